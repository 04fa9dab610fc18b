//! Those who overflowed their stack, on their way from the signal handler to the hub, which sees to
//! them. A list that they link themselves: to add to it takes no lock and no memory.

use std::ptr;

use crate::primitives::{AtomicPtr, Ordering};

pub(crate) struct Overflowed<T> {
    first: AtomicPtr<T>,
}

/// What can be on one list at a time.
pub(crate) trait Linked: Sized + 'static {
    /// Touched by the list alone.
    fn next(&self) -> &AtomicPtr<Self>;
}

impl<T: Linked> Overflowed<T> {
    pub(crate) fn new() -> Overflowed<T> {
        Overflowed { first: AtomicPtr::new(ptr::null_mut()) }
    }

    /// Adds one that is on no list, and never was. Async-signal-safe.
    pub(crate) fn push(&self, one: &'static T) {
        let this = ptr::from_ref(one).cast_mut();
        // ORDERING: Release, so that whoever takes the list sees the links, and what was done
        // before. Relaxed for the link itself, which goes with that.
        let mut first = self.first.load(Ordering::Relaxed);
        loop {
            one.next().store(first, Ordering::Relaxed);
            match self.first.compare_exchange(first, this, Ordering::Release, Ordering::Relaxed) {
                Ok(_) => return,
                Err(now) => first = now,
            }
        }
    }

    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        // ORDERING: Relaxed: whoever adds one has the taker look again afterwards, which orders it.
        self.first.load(Ordering::Relaxed).is_null()
    }

    /// Takes all off.
    #[inline]
    pub(crate) fn take(&self) -> impl Iterator<Item = &'static T> + use<T> {
        let mut next = ptr::null_mut();
        if !self.is_empty() {
            // ORDERING: Acquire, pairs with the Release in `push`.
            next = self.first.swap(next, Ordering::Acquire);
        }
        std::iter::from_fn(move || {
            // SAFETY: it is null, or came from a reference that is good for ever.
            let one = unsafe { next.as_ref() }?;
            next = one.next().load(Ordering::Relaxed);
            Some(one)
        })
    }
}
