//! What the hub's timerfd is armed for, so that it is armed anew only for what is due earlier.
//! Pure: to arm it is the hub's.

use crate::primitives::{AtomicU64, Ordering};

/// Written by the hub's worker alone.
// ORDERING: Relaxed, everywhere: who reads it elsewhere only wants to know whether somebody waits
// for the worker.
pub(crate) struct Armed(AtomicU64);

impl Armed {
    pub(crate) fn new() -> Armed {
        Armed(AtomicU64::new(u64::MAX))
    }

    /// There is a timer for `deadline` now. Gives true if the hub has to arm anew; it counts as
    /// armed for it from here on.
    #[inline]
    pub(crate) fn comes_too_late(&self, deadline: u64) -> bool {
        let too_late = deadline < self.0.load(Ordering::Relaxed);
        if too_late {
            self.0.store(deadline, Ordering::Relaxed);
        }
        too_late
    }

    /// The hub arms: gives for when, if there is any timer. (If not, it may stay armed: the worst
    /// is one wake for nothing.)
    pub(crate) fn arm(&self, earliest: Option<u64>) -> Option<u64> {
        self.0.store(earliest.unwrap_or(u64::MAX), Ordering::Relaxed);
        earliest
    }

    /// Somebody was to be woken before `then`.
    pub(crate) fn is_before(&self, then: u64) -> bool {
        self.0.load(Ordering::Relaxed) < then
    }
}
