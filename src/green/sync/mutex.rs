//! [`Mutex`]: one permit, behind lock_api's guards.

use std::time::{Duration, Instant};

use super::super::{Waited, Waiter};
use super::permits::Permits;
use crate::clock::deadline;

/// What a [`Mutex`] is made of. For the type parameters of the `lock_api` crate.
pub struct RawMutex(Permits<Waiter>);

/// A lock that green threads and OS threads may share: who waits for it, waits as its kind does.
///
/// It works as parking_lot's: [`lock`](lock_api::Mutex::lock) gives the guard itself, for there is
/// no poisoning: after a panic the lock is free, and the data is as the panic left it. Unlike that
/// one it is always fair: it goes to those who wait in the order in which they came. (A green
/// thread that unlocks and locks again without a wait in between would otherwise keep all others of
/// its worker out for good.)
///
/// It may be held across waits, such as [`green::sleep`](crate::green::sleep), and a guard may be
/// sent to another thread. Locking it again in the thread that holds it waits for good. A task that
/// waits here keeps its place in its huey's `pool_size`.
///
/// `lock` is no point where a cancelled task unwinds, as in POSIX; `try_lock_for` is.
///
/// # In destructors
/// While a panic unwinds a green thread it can't let others run: std would take them for unwinding,
/// too. So waiting holds its worker. If who has the lock is a green thread of that worker, the wait
/// would never end, and it can't fail either, for it has to give a guard. So **after 5 s `lock`
/// ends the process** ([`abort`](std::process::abort)), with a message that names the task. (An OS
/// thread, or a green thread of another worker, has that long to let go of it.) In a destructor of
/// a task use [`try_lock`](lock_api::Mutex::try_lock), or
/// [`try_lock_for`](lock_api::Mutex::try_lock_for), which waits for 10 ms at the most then; or
/// leave the work to another task, to which a [`channel`](super::channel) that is not full takes it
/// without a wait.
///
/// The same holds for `lock` in a coroutine that the program made and cancelled by `may`'s own
/// means, which no longer lets it wait.
///
/// ```
/// use minihuey::{green, sync::Mutex};
/// use std::time::Duration;
///
/// static TOTAL: Mutex<u64> = Mutex::new(0);
///
/// let tasks: Vec<_> = (0..10)
///     .map(|n| {
///         green::spawn(move || {
///             let mut total = TOTAL.lock();
///             green::sleep(Duration::from_millis(1));         // others run, and wait for the lock
///             *total += n;
///         })
///     })
///     .collect();
/// for task in tasks {
///     task.join()?;
/// }
/// assert_eq!(*TOTAL.lock(), 45);
/// # Ok::<(), minihuey::TaskError>(())
/// ```
pub type Mutex<T> = lock_api::Mutex<RawMutex, T>;

/// Unlocks its [`Mutex`] when it is dropped.
pub type MutexGuard<'a, T> = lock_api::MutexGuard<'a, RawMutex, T>;

/// A [`MutexGuard`] of a part of what the lock protects. See `MutexGuard::map`.
pub type MappedMutexGuard<'a, T> = lock_api::MappedMutexGuard<'a, RawMutex, T>;

/// A [`MutexGuard`] that keeps its lock alive. See `Mutex::lock_arc`.
pub type ArcMutexGuard<T> = lock_api::ArcMutexGuard<RawMutex, T>;

// SAFETY: there is one permit, and whoever holds the lock has it: `lock` returns only with it,
// never unwinds, and nobody but `unlock` gives it back. Any thread may.
unsafe impl lock_api::RawMutex for RawMutex {
    #[allow(clippy::declare_interior_mutable_const, reason = "as lock_api asks for")]
    const INIT: RawMutex = RawMutex(Permits::new(1));

    type GuardMarker = lock_api::GuardSend;

    #[inline]
    fn lock(&self) {
        self.0.acquire_through(1);
    }

    #[inline]
    fn try_lock(&self) -> bool {
        self.0.try_acquire(1)
    }

    #[inline]
    unsafe fn unlock(&self) {
        self.0.give_back(1);
    }

    #[inline]
    fn is_locked(&self) -> bool {
        self.0.free() == 0
    }
}

// SAFETY: as above; every unlock is fair.
unsafe impl lock_api::RawMutexFair for RawMutex {
    #[inline]
    unsafe fn unlock_fair(&self) {
        self.0.give_back(1);
    }
}

// SAFETY: as above; it is locked exactly if this says Ready.
unsafe impl lock_api::RawMutexTimed for RawMutex {
    type Duration = Duration;
    type Instant = Instant;

    fn try_lock_for(&self, timeout: Duration) -> bool {
        self.0.acquire_until(1, deadline(timeout)) == Waited::Ready
    }

    fn try_lock_until(&self, end: Instant) -> bool {
        self.0.acquire_until(1, Some(end)) == Waited::Ready
    }
}
