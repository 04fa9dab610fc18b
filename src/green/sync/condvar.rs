//! [`Condvar`]: a [`Condition`] that threads of either kind wait for, and the mutex that they let
//! go of meanwhile.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::time::{Duration, Instant};

use lock_api::RawMutex as _;

use super::super::{Waited, Waiter, block_until, overflow};
use super::acquire::{Patience, caller};
use super::condition::Condition;
use super::mutex::MutexGuard;
use super::wait_list::WaitList;
use crate::clock::deadline;

/// Waits, with a [`Mutex`](super::Mutex) let go of meanwhile, until somebody notifies.
///
/// The methods are parking_lot's. A wait may end without a notification, so look at what is waited
/// for in a loop, or use [`wait_while`](Condvar::wait_while). Whoever has waited longest is
/// notified first. A wait is a point where a cancelled task unwinds: it holds its lock again by
/// then, and a notification that it got goes to the next.
///
/// In a destructor while a panic unwinds a green thread, a wait ends after 10 ms at the most, but
/// for `wait_while` and for locking again: what [`Mutex`](super::Mutex) says of destructors holds.
///
/// ```
/// use minihuey::green;
/// use minihuey::sync::{Condvar, Mutex};
/// use std::sync::Arc;
///
/// let shared = Arc::new((Mutex::new(false), Condvar::new()));
/// let task = green::spawn({
///     let shared = shared.clone();
///     move || {
///         *shared.0.lock() = true;
///         shared.1.notify_one();
///     }
/// });
/// let (lock, condvar) = &*shared;
/// let mut ready = lock.lock();
/// condvar.wait_while(&mut ready, |ready| !*ready);
/// assert!(*ready);
/// # drop(ready);
/// # task.join()?;
/// # Ok::<(), minihuey::TaskError>(())
/// ```
pub struct Condvar {
    condition: Condition<Waiter>,
}

/// How a wait with a limit ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WaitTimeoutResult(bool);

impl WaitTimeoutResult {
    /// True if the time ran out before a notification came.
    pub fn timed_out(&self) -> bool {
        self.0
    }
}

impl Condvar {
    /// One that nobody waits at.
    pub const fn new() -> Condvar {
        Condvar { condition: Condition::of(crate::green::Mutex::new(WaitList::new())) }
    }

    /// Unlocks the guard's mutex, waits for a notification, and locks it again.
    ///
    /// The list is entered before the mutex is unlocked, so nobody who locks it to change what is
    /// waited for is missed.
    pub fn wait<T: ?Sized>(&self, guard: &mut MutexGuard<'_, T>) {
        self.wait_or_unwind(guard, None);
    }

    /// As [`wait`](Condvar::wait), for at most `timeout`. (To lock the mutex again may take
    /// longer.)
    ///
    /// ```
    /// # use minihuey::sync::{Condvar, Mutex};
    /// let (lock, condvar) = (Mutex::new(()), Condvar::new());
    /// let waited = condvar.wait_for(&mut lock.lock(), std::time::Duration::from_millis(1));
    /// assert!(waited.timed_out());
    /// ```
    pub fn wait_for<T: ?Sized>(
        &self,
        guard: &mut MutexGuard<'_, T>,
        timeout: Duration,
    ) -> WaitTimeoutResult {
        WaitTimeoutResult(self.wait_or_unwind(guard, deadline(timeout)) == Waited::TimedOut)
    }

    /// As [`wait_for`](Condvar::wait_for), until `end`.
    pub fn wait_until<T: ?Sized>(
        &self,
        guard: &mut MutexGuard<'_, T>,
        end: Instant,
    ) -> WaitTimeoutResult {
        WaitTimeoutResult(self.wait_or_unwind(guard, Some(end)) == Waited::TimedOut)
    }

    /// Waits while `condition`, which is asked with the mutex locked, says so.
    pub fn wait_while<T: ?Sized>(
        &self,
        guard: &mut MutexGuard<'_, T>,
        mut condition: impl FnMut(&mut T) -> bool,
    ) {
        let mut patience = Patience::default();
        while condition(guard) {
            if self.wait_or_unwind(guard, None) == Waited::Impossible {
                patience.lose();
            }
        }
    }

    /// As [`wait_while`](Condvar::wait_while), for at most `timeout`. It has timed out if
    /// `condition` still holds.
    pub fn wait_while_for<T: ?Sized>(
        &self,
        guard: &mut MutexGuard<'_, T>,
        mut condition: impl FnMut(&mut T) -> bool,
        timeout: Duration,
    ) -> WaitTimeoutResult {
        let deadline = deadline(timeout);
        while condition(guard) {
            // Or it is impossible to wait for as long.
            if self.wait_or_unwind(guard, deadline) != Waited::Ready {
                return WaitTimeoutResult(condition(guard));
            }
        }
        WaitTimeoutResult(false)
    }

    /// Has the one who waits longest go on. Gives false if nobody waits.
    pub fn notify_one(&self) -> bool {
        overflow::probe();
        self.condition.notify_one(Waiter::wake)
    }

    /// Has all who wait now go on. Gives how many there were.
    pub fn notify_all(&self) -> usize {
        overflow::probe();
        self.condition.notify_all(Waiter::wake)
    }

    fn wait_or_unwind<T: ?Sized>(
        &self,
        guard: &mut MutexGuard<'_, T>,
        deadline: Option<Instant>,
    ) -> Waited {
        overflow::probe_to_wait(0);
        let (me, waiter) = caller();
        // SAFETY: the guard, which shows that it is locked, is here, borrowed, until it is again.
        let mutex = unsafe { MutexGuard::mutex(guard).raw() };
        let (ended, was_notified) = self.condition.wait(
            waiter,
            // SAFETY: it is locked, by the guard.
            || unsafe { mutex.unlock() },
            // Caught, because to wait for the mutex is impossible while it unwinds.
            |is_over| {
                let block = || block_until(me.as_deref(), deadline, is_over);
                catch_unwind(AssertUnwindSafe(block))
            },
            || mutex.lock(),
            Waiter::wake,
        );
        match ended {
            Ok(_) if was_notified => Waited::Ready,
            Ok(waited) => waited,
            Err(payload) => resume_unwind(payload),
        }
    }
}

impl Default for Condvar {
    fn default() -> Condvar {
        Condvar::new()
    }
}

impl fmt::Debug for Condvar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Condvar { .. }")
    }
}
