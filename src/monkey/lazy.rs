//! A value that is made when it is first needed and never freed. Without a lock, unlike std's: a
//! child after `fork` may need it, whatever the threads that it does not have were about.

use std::ptr;

use crate::primitives::{AtomicPtr, Ordering};

pub(crate) struct Lazy<T>(AtomicPtr<T>);

impl<T> Lazy<T> {
    /// The pointer comes from outside because loom's can't be made in a `const fn`.
    pub(crate) const fn of(null: AtomicPtr<T>) -> Lazy<T> {
        Lazy(null)
    }

    #[inline]
    pub(crate) fn get_or_make(&self, make: impl FnOnce() -> T) -> &'static T {
        // ORDERING: Acquire, pairs with the Release of whoever made it.
        let there = self.0.load(Ordering::Acquire);
        // SAFETY: what was stored is never freed.
        unsafe { there.as_ref() }.unwrap_or_else(|| self.made(make))
    }

    /// Never inlined: a large value is made on the stack first, and a frame that has room for it
    /// costs each green thread that only looks a page more of its own.
    #[cold]
    #[inline(never)]
    fn made(&self, make: impl FnOnce() -> T) -> &'static T {
        let new = Box::into_raw(Box::new(make()));
        // ORDERING: Release, so that who sees the pointer sees the value; Acquire if it is
        // another's.
        let stored =
            self.0.compare_exchange(ptr::null_mut(), new, Ordering::Release, Ordering::Acquire);
        match stored {
            // SAFETY: as above.
            Ok(_) => unsafe { &*new },
            Err(others) => {
                // SAFETY: made above, and nobody else has it.
                drop(unsafe { Box::from_raw(new) });
                // SAFETY: as above.
                unsafe { &*others }
            }
        }
    }
}
