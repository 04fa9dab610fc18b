//! Ending a job from outside. Its result is decided at once; if it runs, the green thread that
//! runs it is told, and unwinds when it waits the next time.
//!
//! ```text
//!   canceller, time-out, shutdown              the runner
//!   ─────────────────────────────              ──────────
//!   job.end(): decides its result
//!   under the pool's lock: finds who runs it
//!       sets Green::interrupted
//!   unparks that one                     ─▶    its wait looks at the hint, then, under the lock,
//!                                              at the job on top of its stack: is it that one?
//!                                              resume_unwind(Interruption)
//!   wakes whoever waits for its result         under the lock: settles the job, clears the hint
//! ```

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::bequest::wake_all;
use super::blocking::Waited;
use super::job::{End, Job, JobRef};
use super::pool::{Pool, State};
use super::roster::{Hint, Runner};
use super::thread::Green;
use super::waiter::Waiter;
use super::{overflow, panics};

/// What an interrupted task unwinds with.
pub(super) struct Interruption;

impl Waited {
    /// Unwinds the calling task if it was interrupted. It ends then, and says nothing.
    #[inline]
    pub(crate) fn or_unwind(self) -> Waited {
        if self == Waited::Interrupted {
            unwind();
        }
        self
    }
}

/// Not a panic: no hook is called, nothing is printed.
#[cold]
pub(super) fn unwind() -> ! {
    std::panic::resume_unwind(Box::new(Interruption))
}

/// Ends `job` with [`TaskError::Cancelled`](crate::TaskError::Cancelled), whether or not it has
/// begun. Gives false if it has a value, or another end, already.
pub(crate) fn cancel(job: &dyn Job) -> bool {
    cancel_all([job]) > 0
}

/// As `cancel`, for several; gives how many it has ended.
pub(crate) fn cancel_all<'a>(jobs: impl IntoIterator<Item = &'a dyn Job>) -> usize {
    end_all(jobs, &|| End::Cancelled, &|job| {
        log::debug!("cancelled {} #{}", job.meta().name, job.id());
    })
}

/// Ends several jobs from outside, as `end` says; gives how many. `report` hears of each.
pub(super) fn end_all<'a>(
    jobs: impl IntoIterator<Item = &'a dyn Job>,
    end: &dyn Fn() -> End,
    report: &dyn Fn(&dyn Job),
) -> usize {
    overflow::probe();
    let mut ended: BTreeMap<u32, Vec<&dyn Job>> = BTreeMap::new();
    let mut waiters = Vec::new();
    for job in jobs {
        if let Some(waiter) = job.end(end()) {
            waiters.extend(waiter);
            ended.entry(job.pool()).or_default().push(job);
        }
    }
    for (pool, jobs) in &ended {
        if let Some(pool) = Pool::by_id(*pool) {
            pool.withdraw(jobs);
        }
    }
    // At the end: callbacks, a logger and destructors are foreign code, and are to take nothing along
    // if they never come back.
    wake_all(waiters);
    let jobs = || ended.values().flatten();
    jobs().for_each(|job| panics::contain(|| report(*job)));
    jobs().map(|job| job.discard()).count()
}

impl Pool {
    /// These jobs were ended: those that wait to run wait no longer, those that run are
    /// interrupted.
    fn withdraw(&self, jobs: &[&dyn Job]) {
        let mut begun = Vec::new();
        let mut wake = Vec::new();
        let mut state = self.state.lock();
        for job in jobs {
            // ORDERING: Relaxed, the lock orders it. Whoever takes it out of the backlog finds it
            // claimed, and lets go of it.
            if job.claimed().swap(true, Ordering::Relaxed) {
                begun.push(job.id());
            } else {
                state.books.waiting -= 1;
                state.books.cancelled += 1;
                wake.extend(state.for_room.call());
            }
        }
        if state.books.waiting == 0 && state.books.begun == 0 {
            wake.extend(state.for_idle.call_all());
        }
        let runners = state.interrupt(begun);
        drop(state);
        runners.iter().for_each(|runner| runner.unpark());
        wake.into_iter().for_each(Waiter::wake);
    }

    /// Has those of these jobs that run here unwind when they wait the next time. Their results
    /// must be decided.
    pub(crate) fn interrupt(&self, ids: Vec<u64>) {
        let runners = self.state.lock().interrupt(ids);
        runners.iter().for_each(|runner| runner.unpark());
    }
}

impl State {
    /// Tells who runs these jobs. Gives those who must be unparked.
    fn interrupt(&self, mut ids: Vec<u64>) -> Vec<Arc<Green>> {
        if ids.is_empty() {
            return Vec::new();
        }
        ids.sort_unstable();
        self.roster.interrupt(|job| ids.binary_search(&job.id()).is_ok())
    }
}

impl Runner for Arc<Green> {
    fn hint(&self) -> &Hint {
        &self.interrupted
    }
}

impl Green {
    /// The job that the calling green thread, which must be this one, runs has been ended by
    /// somebody else.
    #[inline]
    pub(super) fn is_interrupted(&self) -> bool {
        self.interrupted.is_set() && self.has_abandoned_job()
    }

    /// Unwinds the calling green thread, which must be this one, if its task has been ended.
    pub(super) fn heed(&self) {
        if !std::thread::panicking() && self.is_interrupted() {
            unwind();
        }
    }

    /// The hint is meant for any of the jobs that stand on this stack; only the one on top can
    /// unwind.
    #[cold]
    fn has_abandoned_job(&self) -> bool {
        self.running_job().is_some_and(|job| job.abandoned().is_some())
    }

    fn running_job(&self) -> Option<JobRef> {
        let member = self.member.as_ref()?;
        overflow::probe();
        member.with_top(|post| post.job(&post.pool.state.lock()))
    }

    /// What this green thread runs, and for which pool. For the watchdog.
    pub(super) fn running_task(&self) -> Option<(JobRef, Arc<Pool>)> {
        let member = self.member.as_ref()?;
        // Whoever holds a worker is in a job, and no job runs with the lock held; but a worker may
        // not get a processor for long.
        member.with_top(|post| {
            for _ in 0..100 {
                if let Some(state) = post.pool.state.try_lock() {
                    return Some((post.job(&state)?, post.pool.clone()));
                }
                std::thread::sleep(Duration::from_millis(1));
            }
            None
        })
    }
}

impl Pool {
    /// The job with this number, which is running: in `runner`, or, if that has another one, in
    /// any of the pool.
    pub(super) fn find_running(&self, runner: Option<&Green>, id: u64) -> Option<JobRef> {
        let own = runner.and_then(Green::running_job).filter(|job| job.id() == id);
        own.or_else(|| self.running().into_iter().find(|job| job.id() == id))
    }

    /// A job was found to hold its worker.
    pub(super) fn count_hold(&self) {
        self.state.lock().books.held += 1;
    }

    /// One that did has let go of it.
    pub(super) fn count_longest_hold(&self, held: Duration) {
        let longest = &mut self.state.lock().books.longest_hold;
        *longest = held.max(*longest);
    }
}
