//! What a pool runs, as far as the pool knows it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::backlog::Entry;
use crate::error::Rejection;

/// Something to run in a green thread. What comes of it is its own affair; the pool only counts.
pub(crate) trait Job: Send + Sync {
    /// Runs it, unless it has begun. Never unwinds.
    fn run(&self) -> Ran;
    /// Takes its work away, if it has not begun, and decides that it ends so. Gives false if it
    /// has a value, or another end, already.
    fn abandon(&self, end: End) -> bool;
    /// Some runner has it, or it was taken out of the backlog. For the pool alone.
    fn claimed(&self) -> &AtomicBool;
    fn id(&self) -> u64;
    fn name(&self) -> &'static str;
    /// The pool that it was pushed to.
    fn pool(&self) -> u32;
}

/// What became of a job, for the books.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ran {
    Finished,
    /// It gave an error or panicked.
    Failed,
    /// Somebody had abandoned it before.
    NotRun,
}

/// Proof that whoever began a job will never run again.
pub(crate) struct Dead(());

impl Dead {
    /// # Safety
    /// It must be so for the job that the proof is given to.
    pub(super) unsafe fn new() -> Dead {
        Dead(())
    }
}

/// How a job ends that does not end by itself.
pub(crate) enum End {
    StackOverflow(Dead),
    ShutDown,
    Rejected(Rejection),
}

impl Entry for Arc<dyn Job> {
    fn claim(&self) -> bool {
        // ORDERING: Relaxed, the pool's lock orders it.
        !self.claimed().swap(true, Ordering::Relaxed)
    }
}
