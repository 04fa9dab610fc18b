//! How the watch over the workers goes to sleep, and who wakes it. Pure: to look, to sleep and to
//! wake are the caller's.
//!
//! ```text
//!   watch:   look, all idle ─▶ DOZES ─▶ look, all idle ─▶ sleep
//!   worker:  leave the selector ─▶ DOZES? wake the watch ─▶ work
//! ```

use crate::primitives::{AtomicBool, Ordering};

/// To be called by whoever begins to work. Gives true if the watch dozes, and the caller is to wake
/// it.
#[inline]
pub(crate) fn is_to_be_woken(dozes: &AtomicBool) -> bool {
    // ORDERING: Relaxed. The watch sees that a worker is idle after it has said that it dozes: the
    // kernel has put that thread to sleep meanwhile, which it does not leave without seeing this.
    // Of several who begin, one wakes it.
    dozes.load(Ordering::Relaxed) && dozes.swap(false, Ordering::Relaxed)
}

/// Has the watch doze, if `look` finds nobody at work; gives what it found else.
pub(crate) fn doze<T>(dozes: &AtomicBool, mut look: impl FnMut() -> Option<T>) -> Option<T> {
    if let Some(found) = look() {
        return Some(found);
    }
    // ORDERING: SeqCst, before the second look: see `is_to_be_woken`.
    dozes.store(true, Ordering::SeqCst);
    let found = look()?;
    // Somebody began this moment, and may or may not have seen it.
    dozes.store(false, Ordering::SeqCst);
    Some(found)
}
