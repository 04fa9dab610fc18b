//! Who runs on a worker at this moment, for another thread to look at. The worker writes it at
//! every switch, so it holds nobody alive; who looks does so under the lock that each has to take
//! on its way out.
//!
//! ```text
//!   worker:   lock, enlisted ── set ─ clear ─ set … ── lock, retire ── freed
//!   another:                  lock, look: null or alive, until it unlocks
//! ```

use std::ptr;

use crate::primitives::{AtomicPtr, Ordering};

// ORDERING: Relaxed, everywhere. Who looks has the lock: whoever was enlisted before is seen whole,
// and of whoever has retired before, nothing is left here that it could see.
pub(crate) struct Active<T>(AtomicPtr<T>);

impl<T> Active<T> {
    pub(crate) fn new() -> Active<T> {
        Active(AtomicPtr::new(ptr::null_mut()))
    }

    /// `one` runs now; it was enlisted under the lock, and has not retired. By the worker only.
    #[inline]
    pub(crate) fn set(&self, one: &T) {
        self.0.store(ptr::from_ref(one).cast_mut(), Ordering::Relaxed);
    }

    /// Nobody runs that can be looked at. By the worker only.
    #[inline]
    pub(crate) fn clear(&self) {
        self.0.store(ptr::null_mut(), Ordering::Relaxed);
    }

    /// `one` is about to be freed. With the lock, by the worker.
    pub(crate) fn retire(&self, one: *const T) {
        if ptr::eq(self.0.load(Ordering::Relaxed), one) {
            self.clear();
        }
    }

    /// Who runs. It lives for as long as the lock is held.
    ///
    /// # Safety
    /// With the lock; and whoever was `set` has since `retire`d, with the lock, if it was freed.
    pub(crate) unsafe fn look(&self) -> Option<&T> {
        // SAFETY: what the caller promises.
        unsafe { self.0.load(Ordering::Relaxed).as_ref() }
    }
}
