//! The runs of a periodic task that are to follow each other: whether the last one has ended, and
//! how many wait for that. Pure: it is kept under the lock of the task's row, and to make the runs
//! is the caller's.
//!
//! ```text
//!   a run:    ends ─▶ ENDED ─▶ tells the scheduler
//!   the row:  due ─▶ ENDED? ─ yes ─▶ runs
//!                           ─ no ──▶ is owed ─▶ told ─▶ ENDED? ─▶ runs
//! ```

use std::sync::Arc;

use crate::primitives::{AtomicBool, Ordering};

#[derive(Default)]
pub(crate) struct Runs {
    /// Whether the one that began last has ended.
    last: Option<Arc<AtomicBool>>,
    /// How many wait for it to end.
    owed: u64,
}

/// For a run, to be told of its end.
pub(crate) struct Ends(Arc<AtomicBool>);

impl Runs {
    /// The one that began last has not ended.
    pub(crate) fn is_running(&self) -> bool {
        // ORDERING: Acquire, pairs with the Release in `Ends::end`: the next run sees what this one
        // did.
        self.last.as_ref().is_some_and(|ended| !ended.load(Ordering::Acquire))
    }

    /// One begins.
    pub(crate) fn begin(&mut self) -> Ends {
        let ended = Arc::new(AtomicBool::new(false));
        self.last = Some(ended.clone());
        Ends(ended)
    }

    /// One is due that is to begin when the last one has ended.
    pub(crate) fn owe(&mut self) {
        self.owed += 1;
    }

    /// Gives true if one that is owed can begin.
    pub(crate) fn take_owed(&mut self) -> bool {
        let is_next = self.owed > 0 && !self.is_running();
        self.owed -= u64::from(is_next);
        is_next
    }
}

impl Ends {
    /// The run has ended. `tell` has whoever makes the runs look for what is owed: those that come
    /// due later find this one ended.
    pub(crate) fn end(self, tell: impl FnOnce()) {
        // ORDERING: Release, see `Runs::is_running`.
        self.0.store(true, Ordering::Release);
        tell();
    }
}
