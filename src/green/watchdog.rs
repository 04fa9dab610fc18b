//! The one OS thread that sees to what can't wait for a worker: time-outs of tasks, and who holds
//! a worker. It sleeps until the earliest deadline, and for good while no worker has work.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::{Duration, Instant};

use super::bell::{Bell, SILENT};
use super::desk::{Desk, Entries};
use super::doze::{doze, is_to_be_woken};
use super::hub::{self, to_nanos};
use super::interrupt::end_all;
use super::job::{End, JobRef};
use super::lock::Mutex;
use super::pool::Pool;
use super::thread::Green;
use super::timers::Key;
use super::watch::Watch;
use super::{overflow, panics};

/// Its clock is that of `hub::to_nanos`.
static DESK: Desk<JobRef> = Desk::of(Mutex::new(Entries::new()), Bell(AtomicU32::new(SILENT)));

/// The thread was started, or is about to be.
static RUNS: AtomicBool = AtomicBool::new(false);

/// For the thread to take over when it is roused.
static WATCH: Mutex<Option<Watch>> = Mutex::new(None);

/// The watch sleeps: whoever begins to work must [`rouse`](Desk::rouse) it. See
/// [`doze`](super::doze).
static DOZES: AtomicBool = AtomicBool::new(true);

/// A running job's deadline. Dropping this, when the job ends, withdraws it.
pub(crate) struct Deadline(Key);

impl Drop for Deadline {
    fn drop(&mut self) {
        overflow::probe();
        drop(DESK.withdraw(self.0));
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
    let entered = Deadline(DESK.enter(deadline, job));
    ensure_runs();
    Some(entered)
}

/// Has the thread look after the workers.
pub(super) fn start(watch: Watch) {
    *WATCH.lock() = Some(watch);
    ensure_runs();
}

fn ensure_runs() {
    // ORDERING: Relaxed: nothing is read that hangs on it.
    if RUNS.load(Ordering::Relaxed) || RUNS.swap(true, Ordering::Relaxed) {
        return;
    }
    let thread = std::thread::Builder::new().name("minihuey-watchdog".to_owned());
    if let Err(error) = thread.spawn(run) {
        // The next one who needs it tries again.
        RUNS.store(false, Ordering::Relaxed);
        panics::contain(|| {
            log::error!("no thread for time-outs and the watchdog can be had: {error}");
        });
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
    DESK.rouse();
}

fn run() {
    let mut watch: Option<Watch> = None;
    // When it looks at the workers again; None while it dozes.
    let mut next_look: Option<u64> = None;
    loop {
        let round = DESK.sleep(next_look, hub::now);
        if round.roused {
            watch = WATCH.lock().take().or(watch);
            if let Some(watch) = &mut watch {
                next_look = Some(round.now + watch.begin(round.now));
            }
        }
        if !round.due.is_empty() {
            time_out(round.due);
        }
        if next_look.is_some_and(|at| at <= round.now)
            && let Some(watch) = &mut watch
        {
            next_look = look(watch, round.now);
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
