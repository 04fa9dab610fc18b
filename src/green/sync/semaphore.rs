//! [`Semaphore`]: permits, as they are.

use std::fmt;
use std::time::{Duration, Instant};

use super::super::{Waited, Waiter};
use super::permits::{MAX_PERMITS, Permits};
use crate::clock::deadline;

/// So many permits, and no more, at a moment: to limit what green threads and OS threads do at
/// once.
///
/// First come, first served: who asks for many is not overtaken by who asks for few. To wait is a
/// point where a cancelled task unwinds; it has no permit then. In a destructor while a panic
/// unwinds a green thread use [`try_acquire_for`](Semaphore::try_acquire_for): what
/// [`Mutex`](super::Mutex) says of destructors holds for `acquire`, too.
///
/// ```
/// use minihuey::{green, sync::Semaphore};
/// use std::time::Duration;
///
/// static CALLS_TO_THE_API: Semaphore = Semaphore::new(3);
///
/// let tasks: Vec<_> = (0..10)
///     .map(|n| {
///         green::spawn(move || {
///             let _permit = CALLS_TO_THE_API.acquire();
///             green::sleep(Duration::from_millis(1));       // three of these at a moment
///             n
///         })
///     })
///     .collect();
/// let sum: i32 = tasks.into_iter().map(|task| task.join().unwrap()).sum();
/// assert_eq!(sum, 45);
/// ```
pub struct Semaphore {
    permits: Permits<Waiter>,
}

/// Permits of a [`Semaphore`]; gives them back when it is dropped.
#[must_use = "dropped at once it gives the permit back at once"]
pub struct SemaphorePermit<'a> {
    semaphore: &'a Semaphore,
    count: usize,
}

impl Semaphore {
    /// As many permits as there can be.
    pub const MAX_PERMITS: usize = MAX_PERMITS;

    /// With so many permits, or [`MAX_PERMITS`](Semaphore::MAX_PERMITS) if that is fewer.
    pub const fn new(permits: usize) -> Semaphore {
        let free = if permits < MAX_PERMITS { permits } else { MAX_PERMITS };
        Semaphore { permits: Permits::new(free) }
    }

    /// Waits for a permit.
    pub fn acquire(&self) -> SemaphorePermit<'_> {
        self.acquire_many(1)
    }

    /// Waits for so many permits. If there are not as many in all, until they are
    /// [added](Semaphore::add_permits).
    pub fn acquire_many(&self, count: usize) -> SemaphorePermit<'_> {
        if count > 0 {
            self.permits.acquire(count);
        }
        SemaphorePermit { semaphore: self, count }
    }

    /// A permit, if one is free and nobody waits.
    pub fn try_acquire(&self) -> Option<SemaphorePermit<'_>> {
        self.try_acquire_many(1)
    }

    /// So many permits, if they are free and nobody waits.
    pub fn try_acquire_many(&self, count: usize) -> Option<SemaphorePermit<'_>> {
        let taken = count == 0 || self.permits.try_acquire(count);
        taken.then(|| SemaphorePermit { semaphore: self, count })
    }

    /// Waits for a permit for at most `timeout`.
    ///
    /// ```
    /// # use minihuey::sync::Semaphore;
    /// # use std::time::Duration;
    /// let semaphore = Semaphore::new(1);
    /// let permit = semaphore.acquire();
    /// assert!(semaphore.try_acquire_for(Duration::from_millis(1)).is_none());
    /// drop(permit);
    /// assert!(semaphore.try_acquire_for(Duration::from_millis(1)).is_some());
    /// ```
    pub fn try_acquire_for(&self, timeout: Duration) -> Option<SemaphorePermit<'_>> {
        self.acquire_by(deadline(timeout))
    }

    /// Waits for a permit until `end`.
    pub fn try_acquire_until(&self, end: Instant) -> Option<SemaphorePermit<'_>> {
        self.acquire_by(Some(end))
    }

    fn acquire_by(&self, deadline: Option<Instant>) -> Option<SemaphorePermit<'_>> {
        let waited = self.permits.acquire_until(1, deadline);
        (waited == Waited::Ready).then(|| SemaphorePermit { semaphore: self, count: 1 })
    }

    /// How many permits are free at this moment.
    pub fn available_permits(&self) -> usize {
        self.permits.free()
    }

    /// Makes so many more permits, up to [`MAX_PERMITS`](Semaphore::MAX_PERMITS). To take some
    /// away, acquire and [`forget`](SemaphorePermit::forget) them.
    pub fn add_permits(&self, count: usize) {
        self.permits.give_back(count);
    }
}

impl SemaphorePermit<'_> {
    /// Never gives the permits back.
    pub fn forget(self) {
        std::mem::forget(self);
    }
}

impl Drop for SemaphorePermit<'_> {
    fn drop(&mut self) {
        self.semaphore.permits.give_back(self.count);
    }
}

impl fmt::Debug for Semaphore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Semaphore").field("available_permits", &self.available_permits()).finish()
    }
}

impl fmt::Debug for SemaphorePermit<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SemaphorePermit").field("count", &self.count).finish()
    }
}
