//! A job that waits for another gives its place to the pool meanwhile, to the one that it waits for
//! first, and takes one again before it runs on. So a pool of any size runs tasks that wait for
//! each other, and never more than it may at a moment.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use parking_lot::MutexGuard;

use super::backlog::Entry;
use super::job::JobRef;
use super::overflow;
use super::pool::{Pool, Starved, State, call_later};
use super::runner::Member;
use super::thread::Green;

impl Green {
    /// Gives the place of the job that runs here to its pool while it waits for `awaited`. None
    /// if there is nothing to give back: it runs no job, or its pool has no limit.
    #[inline]
    pub(crate) fn lend(self: &Arc<Green>, awaited: impl FnOnce() -> JobRef) -> Option<Lent> {
        let pool = &self.member.as_ref()?.pool;
        // ORDERING: Relaxed: hints. What is awaited was pushed before this look; whatever makes
        // either true after it was pushed later, and stands behind.
        let hurry = pool.has_choice.load(Ordering::Relaxed) || pool.starved.load(Ordering::Relaxed);
        if !pool.limited && !hurry {
            return None;
        }
        self.lend_now(Some(awaited()))
    }

    /// As [`lend`](Green::lend), to whoever is next.
    pub(crate) fn lend_to_any(self: &Arc<Green>) -> Option<Lent> {
        self.lend_now(None)
    }

    fn lend_now(self: &Arc<Green>, awaited: Option<JobRef>) -> Option<Lent> {
        if std::thread::panicking() {
            return None;
        }
        overflow::probe();
        let member = self.member.as_ref()?;
        let pool = &member.pool;
        // ORDERING: Relaxed, only this green thread touches it.
        let lends = pool.limited && member.has_place.load(Ordering::Relaxed);
        // ORDERING: Relaxed, a hint: whoever pops it claims it under the lock.
        let awaited =
            awaited.filter(|job| !job.claimed().load(Ordering::Relaxed) && job.pool() == pool.id);
        let mut state = pool.state.lock();
        if let Some(job) = &awaited {
            state.backlog.push_urgent(job.clone());
        }
        let mut chores = None;
        if lends && let Some(returning) = state.backlog.give_place() {
            call_later(&mut chores, returning);
        }
        match (pool.muster(&mut state, Some(self.hub.index), &mut chores), awaited) {
            (Err(Starved), Some(job)) if overflow::has_room_for_one_more() => {
                if lends {
                    state.backlog.keep_place();
                }
                pool.run_inline(state, self, member, &job);
                return None;
            }
            _ => {
                if lends {
                    // ORDERING: Relaxed, only this green thread touches it.
                    member.has_place.store(false, Ordering::Relaxed);
                }
                drop(state);
                if let Some(chores) = chores {
                    chores.run(pool);
                }
            }
        }
        lends.then(|| Lent(self.clone()))
    }
}

/// A place that was lent. There is no `Drop` that takes it back, because a job that ends while
/// its place is lent does not need it again.
#[must_use]
pub(crate) struct Lent(Arc<Green>);

impl Lent {
    /// Waits until the pool has a place for the caller again.
    pub(crate) fn reclaim(self) {
        overflow::probe();
        let Lent(green) = self;
        let Some(member) = &green.member else { return };
        if !member.pool.state.lock().backlog.take_place(green.clone()) {
            green.sleep_until_called();
        }
        // ORDERING: Relaxed, only this green thread touches it.
        member.has_place.store(true, Ordering::Relaxed);
    }
}

impl Pool {
    /// Runs `job`, which the calling runner waits for, on top of what it runs: the last resort
    /// when there are as many green threads as there may be, and all of them may be waiting.
    fn run_inline(
        self: &Arc<Pool>,
        mut state: MutexGuard<'_, State>,
        runner: &Arc<Green>,
        member: &Member,
        job: &JobRef,
    ) {
        if !job.claim() {
            return;
        }
        let number = state.number();
        state.running[number] = Some(job.clone());
        state.runners[number] = Some(runner.clone());
        state.books.waiting -= 1;
        state.books.begun += 1;
        let for_room = state.for_room.pop();
        drop(state);
        if let Some(waiter) = for_room {
            waiter.wake();
        }
        member.inline.lock().push(number);
        let ran = job.run();
        let mut state = self.state.lock();
        let mut chores = None;
        let job = self.settle(&mut state, number, ran, &mut chores);
        state.free(number);
        drop(state);
        member.inline.lock().retain(|inline| *inline != number);
        drop(job);
        if let Some(chores) = chores {
            chores.run(self);
        }
    }
}
