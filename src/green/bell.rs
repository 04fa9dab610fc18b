//! What one OS thread waits for, and others ring: a word on which the kernel has it wait. To ring
//! asks only the kernel, and lets no other green thread run.

use crate::primitives::{AtomicU32, Ordering, futex};

/// Its thread waits in the kernel: who rings has to wake it.
const AWAITED: u32 = 0;
pub(crate) const SILENT: u32 = 1;
const RUNG: u32 = 2;

/// Each ring is waited for once; several, before one waits, are one. Anybody rings, and one thread
/// waits.
pub(crate) struct Bell(pub(crate) AtomicU32);

impl Default for Bell {
    fn default() -> Bell {
        Bell(AtomicU32::new(SILENT))
    }
}

impl Bell {
    pub(crate) fn ring(&self) {
        // ORDERING: Release, pairs with each Acquire of who waits: it sees what was done before.
        if self.0.swap(RUNG, Ordering::Release) == AWAITED {
            futex::wake_one(&self.0);
        }
    }

    pub(crate) fn wait(&self) {
        while !self.wait_until(futex::NEVER) {}
    }

    /// Gives false if it was not rung before `deadline`, in nanoseconds of the monotonic clock.
    pub(crate) fn wait_until(&self, deadline: u64) -> bool {
        // From RUNG to SILENT, or from SILENT to AWAITED.
        //
        // ORDERING: Acquire, here and below, pairs with the Release of `ring`.
        let before = self.0.fetch_sub(1, Ordering::Acquire);
        debug_assert_ne!(before, AWAITED, "one thread waits");
        if before == RUNG {
            return true;
        }
        while futex::wait_until(&self.0, AWAITED, deadline) {
            // ORDERING: Relaxed if it was woken for nothing: nothing is read then.
            let silenced =
                self.0.compare_exchange(RUNG, SILENT, Ordering::Acquire, Ordering::Relaxed);
            if silenced.is_ok() {
                return true;
            }
        }
        // It may have been rung this moment.
        self.0.swap(SILENT, Ordering::Acquire) == RUNG
    }
}
