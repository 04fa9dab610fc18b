//! A lock of one word, on which the kernel has waiters wait. Only `lock.rs` has it, and its
//! model in `tests/loom/word_lock.rs`.

use crate::primitives::{AtomicU32, Ordering, futex};

pub(crate) const FREE: u32 = 0;
const TAKEN: u32 = 1;
/// Taken, and somebody may wait in the kernel: who unlocks has to wake one.
const AWAITED: u32 = 2;

pub(crate) struct Word(pub(crate) AtomicU32);

impl Word {
    #[inline]
    pub(crate) fn try_lock(&self) -> bool {
        // ORDERING: Acquire, pairs with the Release of `unlock`: what was done under the lock is
        // seen. Relaxed where it is taken: nothing is read then.
        self.0.compare_exchange(FREE, TAKEN, Ordering::Acquire, Ordering::Relaxed).is_ok()
    }

    #[inline]
    pub(crate) fn lock(&self) {
        if !self.try_lock() {
            self.wait();
        }
    }

    #[cold]
    fn wait(&self) {
        for look in 0..futex::LOOKS {
            // ORDERING: Relaxed, a look; taking it orders.
            if self.0.load(Ordering::Relaxed) == FREE && self.try_lock() {
                return;
            }
            futex::look_later(look);
        }
        // Whoever comes this way may have overwritten that another one waits, or may be woken while
        // more of them do: so it takes it as awaited. At worst one wake is for nothing.
        //
        // ORDERING: Acquire, as in `try_lock`.
        while self.0.swap(AWAITED, Ordering::Acquire) != FREE {
            futex::wait(&self.0, AWAITED);
        }
    }

    #[inline]
    pub(crate) fn unlock(&self) {
        // ORDERING: Release, pairs with the Acquire of whoever takes it next.
        if self.0.swap(FREE, Ordering::Release) == AWAITED {
            futex::wake_one(&self.0);
        }
    }
}
