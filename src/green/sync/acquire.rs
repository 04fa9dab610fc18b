//! How the calling thread, of either kind, waits for permits, and gives them back.

use std::panic::catch_unwind;
use std::sync::atomic::AtomicUsize;
use std::time::{Duration, Instant};

use crate::green::Mutex;

use super::super::{
    Green, Waited, Waiter, block_uninterrupted, block_until, hold_worker, overflow, panics,
};
use super::permits::Permits;
use super::wait_list::{Ticket, WaitList};

/// How long a wait that can't fail may hold a worker: in a destructor while a panic unwinds, or in
/// a coroutine that `may` has cancelled.
const PATIENCE: Duration = Duration::from_secs(5);

/// The calling thread, and how to wake it.
pub(super) fn caller() -> (Option<std::sync::Arc<Green>>, Waiter) {
    let me = Green::current();
    let waiter = Waiter::of(me.as_ref());
    (me, waiter)
}

impl Permits<Waiter> {
    pub(super) const fn new(free: usize) -> Permits<Waiter> {
        Permits::of(AtomicUsize::new(free * 2), Mutex::new(WaitList::new()))
    }

    /// Waits as long as it takes, and never unwinds, not even if `may` cancels the coroutine:
    /// lock_api's guards take a lock again while they are there to let go of it. Where that can't
    /// be waited for, see [`Patience`].
    #[inline]
    pub(super) fn acquire_through(&self, permits: usize) {
        if !self.try_acquire(permits) {
            persist(|| self.wait_through(permits));
        }
    }

    /// Waits as long as it takes. Unwinds in a task that was cancelled; then it has no permit.
    #[inline]
    pub(super) fn acquire(&self, permits: usize) {
        if !self.try_acquire(permits) {
            persist(|| self.wait(permits, None));
        }
    }

    /// As [`acquire`](Permits::acquire), until `deadline`.
    #[inline]
    pub(super) fn acquire_until(&self, permits: usize, deadline: Option<Instant>) -> Waited {
        if self.try_acquire(permits) { Waited::Ready } else { self.wait(permits, deadline) }
    }

    #[cold]
    fn wait(&self, permits: usize, deadline: Option<Instant>) -> Waited {
        overflow::probe_to_wait(0);
        let (me, waiter) = caller();
        self.wait_as(waiter, permits, |is_granted| block_until(me.as_deref(), deadline, is_granted))
    }

    #[cold]
    fn wait_through(&self, permits: usize) -> Waited {
        overflow::probe_to_wait(0);
        match catch_unwind(caller) {
            Ok((me, waiter)) => self.wait_as(waiter, permits, |is_granted| {
                block_uninterrupted(me.as_deref(), is_granted)
            }),
            // A wait of may's own had taken it away from its worker, and `may` cancelled it on its
            // way back. It looks by itself.
            Err(_) => self.wait_as(Waiter::this_os_thread(), permits, |is_granted| {
                hold_worker(None, is_granted)
            }),
        }
    }

    #[inline]
    fn wait_as(
        &self,
        waiter: Waiter,
        permits: usize,
        block: impl FnOnce(&dyn Fn() -> bool) -> Waited,
    ) -> Waited {
        let Some(ticket) = self.acquire_or_list(permits, waiter) else {
            return Waited::Ready;
        };
        let listed = Listed { from: self, permits, ticket };
        let waited = block(&|| self.is_granted(ticket));
        std::mem::forget(listed);
        // If it was granted while the time ran out it is the caller's after all.
        if waited == Waited::Ready || !self.withdraw(ticket, Waiter::wake) {
            return Waited::Ready;
        }
        waited
    }

    #[inline]
    pub(super) fn give_back(&self, permits: usize) {
        if !self.try_release(permits) {
            overflow::probe();
            self.hand_over(permits, Waiter::wake);
        }
    }
}

/// Undoes a wait that ends by unwinding.
struct Listed<'a> {
    from: &'a Permits<Waiter>,
    permits: usize,
    ticket: Ticket,
}

impl Drop for Listed<'_> {
    fn drop(&mut self) {
        if !self.from.withdraw(self.ticket, Waiter::wake) {
            self.from.give_back(self.permits);
        }
    }
}

/// Waits again and again, where a green thread can't park, for what may not come in a short wait.
fn persist(mut wait: impl FnMut() -> Waited) {
    let mut patience = Patience::default();
    while wait() != Waited::Ready {
        patience.lose();
    }
}

/// With a wait that can't fail, in a destructor while a panic unwinds a green thread, or in a
/// coroutine that `may` has cancelled, which can't be parked any more. What it waits for may come
/// from another OS thread. If it has to come from a parked green thread of the same worker it
/// can't: that would be a wait for good, of all that run here.
#[derive(Default)]
pub(super) struct Patience {
    end: Option<Instant>,
}

impl Patience {
    /// A wait was impossible.
    pub(super) fn lose(&mut self) {
        if Instant::now() > *self.end.get_or_insert_with(|| Instant::now() + PATIENCE) {
            give_up();
        }
    }
}

/// Nothing less would do. lock_api's guards count on the lock, and a second panic ends the process
/// anyway. Nor can others be let run until the lock is free: std counts the panics of an OS thread,
/// and a green thread that took this one's place would be believed to unwind, and not be unwound.
#[cold]
fn give_up() -> ! {
    let text = format!(
        "minihuey: {}: a destructor, run by a panic, or a coroutine that `may` cancelled, has \
         waited {PATIENCE:?} for a lock, a semaphore or a condition. It holds its worker, for it can \
         let nobody else run there: if a green thread of this worker has what it waits for, it would \
         wait for good. In destructors use try_lock, or try_lock_for, try_acquire_for and \
         wait_for, which end after 10 ms then; or have another task, or an OS thread, do it. The \
         process ends.",
        who()
    );
    panics::contain(|| log::error!("{text}"));
    panics::contain(|| eprintln!("{text}"));
    std::process::abort()
}

/// What the calling green thread runs.
fn who() -> String {
    let task = Green::current().and_then(|green| green.running_task());
    task.map_or_else(
        || String::from("a green thread"),
        |(job, _)| format!("{} #{}", job.meta().name, job.id()),
    )
}

#[cfg(test)]
mod tests {
    use super::super::permits::MAX_PERMITS;
    use super::*;

    // Here, because the loom models compile `permits`, and its tests would run on loom's atomics.

    fn permits(free: usize) -> Permits<&'static str> {
        Permits::of(AtomicUsize::new(free * 2), Mutex::new(WaitList::new()))
    }

    fn released(permits: &Permits<&'static str>, count: usize) -> Vec<&'static str> {
        let mut woken = Vec::new();
        if !permits.try_release(count) {
            permits.hand_over(count, |waiter| woken.push(waiter));
        }
        woken
    }

    #[test]
    fn permits_go_to_those_who_wait_in_their_order() {
        let permits = permits(0);
        for name in ["a", "b", "c"] {
            assert!(permits.acquire_or_list(1, name).is_some());
        }
        assert_eq!(released(&permits, 2), ["a", "b"]);
        assert_eq!(released(&permits, 2), ["c"]);
        assert_eq!(permits.free(), 1);
        assert!(permits.try_acquire(1) && !permits.try_acquire(1));
    }

    #[test]
    fn a_large_request_is_not_overtaken_and_lets_others_go_on_when_it_gives_up() {
        let permits = permits(2);
        let large = permits.acquire_or_list(3, "large").unwrap();
        let small = permits.acquire_or_list(1, "small").unwrap();
        assert!(!permits.try_acquire(1));
        let mut woken = Vec::new();
        assert!(permits.withdraw(large, |waiter| woken.push(waiter)));
        assert_eq!(woken, ["small"]);
        assert!(permits.is_granted(small));
        assert!(!permits.withdraw(small, |_| ()), "granted: it is too late to give up");
        assert_eq!(permits.free(), 1);
    }

    #[test]
    fn there_are_never_more_permits_than_can_be() {
        let permits = permits(MAX_PERMITS);
        assert_eq!(released(&permits, usize::MAX), [""; 0]);
        assert_eq!(permits.free(), MAX_PERMITS);
        assert!(permits.try_acquire(MAX_PERMITS) && !permits.try_acquire(1));
    }
}
