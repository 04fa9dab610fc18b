//! A counted pointer, as `Arc` without weak ones, whose objects lie in the [arena](super::arena).
//! Made with two owners at once, for a job has two from the start: the pool and the receiver.

use std::alloc::Layout;
use std::marker::PhantomData;
use std::ops::Deref;
use std::ptr::NonNull;

use super::arena::{self, Place};
use crate::primitives::{AtomicU32, Ordering};

/// Lies right before the object, so that it is found without knowing the object's type.
struct Header {
    owners: AtomicU32,
    place: Place,
}

/// More owners than this are a leak, which must not make the count start again from zero.
const MOST_OWNERS: u32 = u32::MAX / 2;

/// One owner of a `T`, which lives until its last owner lets go.
pub(crate) struct Shared<T: ?Sized> {
    object: NonNull<T>,
    owns: PhantomData<T>,
}

// SAFETY: as for `Arc`: owners in several threads share the object, and any of them may be the one
// that drops it.
unsafe impl<T: ?Sized + Send + Sync> Send for Shared<T> {}
// SAFETY: as above.
unsafe impl<T: ?Sized + Send + Sync> Sync for Shared<T> {}

// To move an owner does not move the object.
impl<T: ?Sized> Unpin for Shared<T> {}

/// How far an object of this layout is from the start of what is allocated for it.
const fn offset_of_object(object: Layout) -> usize {
    // As `next_multiple_of`, which would divide.
    let mask = object.align() - 1;
    (size_of::<Header>() + mask) & !mask
}

/// What is allocated for an object of this layout.
const fn with_header(object: Layout) -> Layout {
    match Layout::new::<Header>().extend(object) {
        Ok((whole, _)) => whole.pad_to_align(),
        Err(_) => panic!("an object as large as the address space"),
    }
}

impl<T> Shared<T> {
    /// Makes an object with two owners.
    pub(crate) fn pair(object: T) -> (Shared<T>, Shared<T>) {
        let (memory, place) = arena::allocate(const { with_header(Layout::new::<T>()) });
        // SAFETY: the memory is new, and of that layout; the header fits in front of the object
        // and is aligned there, for the offset is a multiple of both alignments.
        let pointer = unsafe {
            let pointer = memory.add(offset_of_object(Layout::new::<T>())).cast::<T>();
            pointer.cast::<Header>().sub(1).write(Header { owners: AtomicU32::new(2), place });
            pointer.write(object);
            pointer
        };
        let owner = || Shared { object: pointer, owns: PhantomData };
        (owner(), owner())
    }
}

impl<T: ?Sized> Shared<T> {
    /// Gives the pointer of this owner, to be made one to another type and given to `from_raw`.
    pub(crate) fn into_raw(self) -> NonNull<T> {
        std::mem::ManuallyDrop::new(self).object
    }

    /// # Safety
    /// The pointer was given by `into_raw`, and is used for this once. It may have been coerced.
    pub(crate) unsafe fn from_raw(object: NonNull<T>) -> Shared<T> {
        Shared { object, owns: PhantomData }
    }

    fn header(&self) -> NonNull<Header> {
        // SAFETY: `pair` put it there, in the same allocation.
        unsafe { self.object.cast::<Header>().sub(1) }
    }

    /// Lets go. Gives this owner back if it was the last one.
    #[inline]
    pub(crate) fn into_last(this: Shared<T>) -> Option<Shared<T>> {
        // ORDERING: as in `drop`.
        if this.owners().load(Ordering::Acquire) > 1 {
            if this.owners().fetch_sub(1, Ordering::AcqRel) > 1 {
                std::mem::forget(this);
                return None;
            }
            // ORDERING: Relaxed: nobody else is left.
            this.owners().store(1, Ordering::Relaxed);
        }
        Some(this)
    }

    fn owners(&self) -> &AtomicU32 {
        // SAFETY: the header lives as long as there is an owner.
        unsafe { &self.header().as_ref().owners }
    }

    /// # Safety
    /// This was the last owner, and saw all that the others did.
    #[inline(never)]
    unsafe fn destroy(&mut self) {
        // SAFETY: nobody else is left. If the destructor unwinds, the memory is leaked.
        unsafe {
            let place = self.header().as_ref().place;
            let layout = Layout::for_value(self.object.as_ref());
            self.object.drop_in_place();
            let memory = self.object.cast::<u8>().sub(offset_of_object(layout));
            arena::free(memory, place, || with_header(layout));
        }
    }
}

impl<T: ?Sized> Deref for Shared<T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        // SAFETY: the object lives as long as there is an owner.
        unsafe { self.object.as_ref() }
    }
}

impl<T: ?Sized> Clone for Shared<T> {
    #[inline]
    fn clone(&self) -> Shared<T> {
        // ORDERING: Relaxed: whoever hands the new owner on orders that.
        if self.owners().fetch_add(1, Ordering::Relaxed) > MOST_OWNERS {
            std::process::abort();
        }
        Shared { object: self.object, owns: PhantomData }
    }
}

impl<T: ?Sized> Drop for Shared<T> {
    #[inline]
    fn drop(&mut self) {
        let owners = self.owners();
        // An only owner stays the only one, and need not count down: a plain load is cheaper.
        // ORDERING: Release, so that what this owner did comes before the end; Acquire, so that
        // whoever brings the end about sees what the others did.
        if owners.load(Ordering::Acquire) == 1 || owners.fetch_sub(1, Ordering::AcqRel) == 1 {
            // SAFETY: as just said.
            unsafe { self.destroy() };
        }
    }
}
