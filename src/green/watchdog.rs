//! The one OS thread that sees to what can't wait for a worker: time-outs of tasks, and who holds
//! a worker. It sleeps until the earliest deadline, and for good while no worker has work.

use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};

use super::doze::{doze, is_to_be_woken};
use super::hub::{self, to_nanos};
use super::interrupt::end_all;
use super::job::{End, JobRef};
use super::pool::Pool;
use super::thread::Green;
use super::timers::{Key, Timers};
use super::watch::Watch;
use super::{overflow, panics};

static DESK: Desk = Desk {
    state: Mutex::new(State {
        deadlines: Timers::new(),
        sleeps_until: 0,
        roused: false,
        runs: false,
        watch: None,
    }),
    changed: Condvar::new(),
};

/// The watch sleeps: whoever begins to work must [`rouse`] it. See [`doze`](super::doze).
static DOZES: AtomicBool = AtomicBool::new(true);

/// What others tell the thread.
struct Desk {
    state: Mutex<State>,
    changed: Condvar,
}

struct State {
    deadlines: Timers<JobRef>,
    /// Of what it will wake by itself, on the clock of `hub::to_nanos`.
    sleeps_until: u64,
    roused: bool,
    /// The thread was started.
    runs: bool,
    /// For the thread to take over.
    watch: Option<Watch>,
}

/// A running job's deadline. Dropping this, when the job ends, withdraws it.
pub(crate) struct Deadline(Key);

impl Drop for Deadline {
    fn drop(&mut self) {
        overflow::probe();
        let withdrawn = hub::alone(|| DESK.state.lock().deadlines.remove(self.0));
        drop(withdrawn);
    }
}

/// Has the job with this number, which the caller is about to run for the pool with that one, end
/// as timed out if it runs for longer than `timeout`. None if no pool runs it, or the deadline is
/// farther away than can be told (some 584 years).
#[cold]
pub(crate) fn set_deadline(pool: u32, job: u64, timeout: Duration) -> Option<Deadline> {
    overflow::probe();
    let deadline = Instant::now().checked_add(timeout).map(to_nanos)?;
    let job = Pool::by_id(pool)?.find_running(Green::current().as_deref(), job)?;
    Some(hub::alone(|| {
        let mut state = DESK.state.lock();
        let key = state.deadlines.insert(deadline, job);
        let is_first = deadline < state.sleeps_until;
        ensure_runs(&mut state);
        drop(state);
        if is_first {
            DESK.changed.notify_one();
        }
        Deadline(key)
    }))
}

/// Has the thread look after the workers.
pub(super) fn start(watch: Watch) {
    hub::alone(|| {
        let mut state = DESK.state.lock();
        state.watch = Some(watch);
        ensure_runs(&mut state);
    });
}

fn ensure_runs(state: &mut State) {
    if state.runs {
        return;
    }
    let thread = std::thread::Builder::new().name("minihuey-watchdog".to_owned());
    match thread.spawn(run) {
        Ok(_) => state.runs = true,
        // The next one who needs it tries again.
        Err(error) => panics::contain(|| {
            log::error!("no thread for time-outs and the watchdog can be had: {error}");
        }),
    }
}

/// To be called by whoever begins to work on a worker that may have been idle.
#[inline]
pub(super) fn note_work() {
    if is_to_be_woken(&DOZES) {
        rouse();
    }
}

#[cold]
fn rouse() {
    hub::alone(|| {
        DESK.state.lock().roused = true;
        DESK.changed.notify_one();
    });
}

fn run() {
    let mut watch: Option<Watch> = None;
    // When it looks at the workers again; None while it dozes.
    let mut next_look: Option<u64> = None;
    loop {
        let now = hub::now();
        let mut due = Vec::new();
        let mut state = DESK.state.lock();
        if let Some(new) = state.watch.take() {
            watch = Some(new);
        }
        if std::mem::take(&mut state.roused)
            && let Some(watch) = &mut watch
        {
            next_look = Some(now + watch.begin(now));
        }
        while let Some(job) = state.deadlines.pop_due(now) {
            due.push(job);
        }
        let looks = next_look.is_some_and(|at| at <= now);
        if due.is_empty() && !looks {
            let until = next_look.into_iter().chain(state.deadlines.next()).min();
            state.sleeps_until = until.unwrap_or(u64::MAX);
            match until {
                None => DESK.changed.wait(&mut state),
                Some(until) => {
                    let left = Duration::from_nanos(until.saturating_sub(now));
                    DESK.changed.wait_for(&mut state, left);
                }
            }
            // Awake it looks at everything before it sleeps again.
            state.sleeps_until = 0;
            continue;
        }
        drop(state);
        if !due.is_empty() {
            time_out(due);
        }
        if looks && let Some(watch) = &mut watch {
            next_look = look(watch, now);
        }
    }
}

/// Wakers and callbacks of whoever waits for these run here, too.
fn time_out(due: Vec<JobRef>) {
    end_all(due.iter().map(|job| &**job), &|| End::TimedOut, &|job| {
        let timeout = job.meta().timeout.unwrap_or_default();
        log::warn!("task {} #{} timed out: it has run for {timeout:?}", job.meta().name, job.id());
    });
    panics::contain(|| drop(due));
}

/// Looks at the workers; gives when to do so again.
fn look(watch: &mut Watch, now: u64) -> Option<u64> {
    doze(&DOZES, || watch.look(now)).map(|after| now + after)
}
