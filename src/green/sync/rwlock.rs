//! [`RwLock`]: a permit for each reader, all of them for a writer, behind lock_api's guards.

use std::time::{Duration, Instant};

use super::super::{Waited, Waiter};
use super::permits::{MAX_PERMITS, Permits};
use crate::clock::deadline;

/// What a writer takes: so it is alone.
const ALL: usize = MAX_PERMITS;

/// What an [`RwLock`] is made of. For the type parameters of the `lock_api` crate.
pub struct RawRwLock(Permits<Waiter>);

/// A lock for one writer or many readers, which green threads and OS threads may share.
///
/// As parking_lot's it is never poisoned, and a reader that comes while a writer waits stands
/// behind it: so **a thread that reads must not ask to read again**, for with a writer in between
/// it would wait for itself. Always fair: first come, first served, readers that stand together at
/// once. There are no upgradable reads.
///
/// What [`Mutex`](super::Mutex) says of cancelled tasks and of destructors holds here, too.
///
/// ```
/// use minihuey::{green, sync::RwLock};
/// use std::sync::Arc;
///
/// let rates = Arc::new(RwLock::new(vec![1.0, 1.5]));
/// let reader = green::spawn({
///     let rates = rates.clone();
///     move || rates.read().len()
/// });
/// assert_eq!(reader.join()?, 2);
/// rates.write().push(2.0);
/// # Ok::<(), minihuey::TaskError>(())
/// ```
pub type RwLock<T> = lock_api::RwLock<RawRwLock, T>;

/// Lets go of its [`RwLock`] when it is dropped; others may read meanwhile.
pub type RwLockReadGuard<'a, T> = lock_api::RwLockReadGuard<'a, RawRwLock, T>;

/// Lets go of its [`RwLock`] when it is dropped; nobody else has it meanwhile.
pub type RwLockWriteGuard<'a, T> = lock_api::RwLockWriteGuard<'a, RawRwLock, T>;

/// An [`RwLockReadGuard`] of a part of what the lock protects. See `RwLockReadGuard::map`.
pub type MappedRwLockReadGuard<'a, T> = lock_api::MappedRwLockReadGuard<'a, RawRwLock, T>;

/// An [`RwLockWriteGuard`] of a part of what the lock protects. See `RwLockWriteGuard::map`.
pub type MappedRwLockWriteGuard<'a, T> = lock_api::MappedRwLockWriteGuard<'a, RawRwLock, T>;

// SAFETY: a writer has all permits, a reader one, so nobody else has any beside a writer. Locking
// returns only with them, never unwinds, and nobody but unlocking gives them back. Any thread may.
unsafe impl lock_api::RawRwLock for RawRwLock {
    #[allow(clippy::declare_interior_mutable_const, reason = "as lock_api asks for")]
    const INIT: RawRwLock = RawRwLock(Permits::new(ALL));

    type GuardMarker = lock_api::GuardSend;

    #[inline]
    fn lock_shared(&self) {
        self.0.acquire_through(1);
    }

    #[inline]
    fn try_lock_shared(&self) -> bool {
        self.0.try_acquire(1)
    }

    #[inline]
    unsafe fn unlock_shared(&self) {
        self.0.give_back(1);
    }

    #[inline]
    fn lock_exclusive(&self) {
        self.0.acquire_through(ALL);
    }

    #[inline]
    fn try_lock_exclusive(&self) -> bool {
        self.0.try_acquire(ALL)
    }

    #[inline]
    unsafe fn unlock_exclusive(&self) {
        self.0.give_back(ALL);
    }

    #[inline]
    fn is_locked(&self) -> bool {
        self.0.free() < ALL
    }

    #[inline]
    fn is_locked_exclusive(&self) -> bool {
        self.0.free() == 0
    }
}

// SAFETY: as above; every unlock is fair.
unsafe impl lock_api::RawRwLockFair for RawRwLock {
    #[inline]
    unsafe fn unlock_shared_fair(&self) {
        self.0.give_back(1);
    }

    #[inline]
    unsafe fn unlock_exclusive_fair(&self) {
        self.0.give_back(ALL);
    }
}

// SAFETY: as above; of the writer's permits one is left, which is what a reader has.
unsafe impl lock_api::RawRwLockDowngrade for RawRwLock {
    unsafe fn downgrade(&self) {
        self.0.give_back(ALL - 1);
    }
}

// SAFETY: as above; it is locked exactly if this says Ready.
unsafe impl lock_api::RawRwLockTimed for RawRwLock {
    type Duration = Duration;
    type Instant = Instant;

    fn try_lock_shared_for(&self, timeout: Duration) -> bool {
        self.0.acquire_until(1, deadline(timeout)) == Waited::Ready
    }

    fn try_lock_shared_until(&self, end: Instant) -> bool {
        self.0.acquire_until(1, Some(end)) == Waited::Ready
    }

    fn try_lock_exclusive_for(&self, timeout: Duration) -> bool {
        self.0.acquire_until(ALL, deadline(timeout)) == Waited::Ready
    }

    fn try_lock_exclusive_until(&self, end: Instant) -> bool {
        self.0.acquire_until(ALL, Some(end)) == Waited::Ready
    }
}
