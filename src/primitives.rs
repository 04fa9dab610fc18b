//! The atomics, the lock and the cell that hand-made hand-overs are built from, in loom's shape:
//! the loom models (`tests/loom`) compile the same sources against loom's own.

use std::panic::{AssertUnwindSafe, catch_unwind};
pub(crate) use std::sync::atomic::{
    AtomicBool, AtomicPtr, AtomicU8, AtomicU32, AtomicU64, AtomicUsize, Ordering, fence,
};

pub(crate) use crate::green::{Mutex, MutexGuard, futex};

/// std's `UnsafeCell` with the accessors of loom's.
#[derive(Debug)]
pub(crate) struct UnsafeCell<T>(std::cell::UnsafeCell<T>);

impl<T> UnsafeCell<T> {
    pub(crate) const fn new(value: T) -> UnsafeCell<T> {
        UnsafeCell(std::cell::UnsafeCell::new(value))
    }

    /// Runs `f` on a pointer to the value. Whoever dereferences it argues why it may.
    #[inline(always)]
    pub(crate) fn with_mut<R>(&self, f: impl FnOnce(*mut T) -> R) -> R {
        f(self.0.get())
    }
}

/// Runs a foreign destructor, whose panic goes no further. (In a model it does: by a panic loom
/// tells what it has found.)
pub(crate) fn contain(destructor: impl FnOnce()) {
    if let Err(payload) = catch_unwind(AssertUnwindSafe(destructor)) {
        // Its own might panic, too.
        std::mem::forget(payload);
    }
}
