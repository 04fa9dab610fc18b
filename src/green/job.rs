//! What a pool runs, as far as the pool knows it.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::backlog::Entry;
use super::shared::Shared;
use super::waiter::Waiter;
use crate::error::Rejection;

/// What is known of a task before it is called. Lives as long as the process.
#[derive(Debug, Clone)]
pub struct TaskMeta {
    pub(crate) name: &'static str,
    /// It runs on an OS thread, not in a green one.
    pub(crate) offload: bool,
    /// It may run for this long.
    pub(crate) timeout: Option<Duration>,
    /// Bytes of stack that it needs, if not the runtime's `stack_size`.
    pub(crate) stack_size: Option<usize>,
}

impl TaskMeta {
    #[doc(hidden)]
    pub const fn new(name: &'static str) -> TaskMeta {
        TaskMeta { name, offload: false, timeout: None, stack_size: None }
    }

    #[doc(hidden)]
    pub const fn offload(mut self) -> TaskMeta {
        self.offload = true;
        self
    }

    #[doc(hidden)]
    pub const fn timeout(mut self, timeout: Duration) -> TaskMeta {
        self.timeout = Some(timeout);
        self
    }

    #[doc(hidden)]
    pub const fn stack_size(mut self, bytes: usize) -> TaskMeta {
        self.stack_size = Some(bytes);
        self
    }

    /// For a name that is known at run time only. It is never freed: a task is declared once.
    pub(crate) fn leak(name: &str) -> &'static TaskMeta {
        Box::leak(Box::new(TaskMeta::new(Box::leak(name.into()))))
    }
}

/// A job, shared by whoever calls it, runs it and waits for it.
pub(crate) type JobRef = Shared<dyn Job>;

/// Something to run in a green thread. What comes of it is its own affair; the pool only counts.
pub(crate) trait Job: Send + Sync {
    /// Runs it, unless it has begun or was abandoned. Never unwinds.
    fn run(&self) -> Ran;
    /// Decides that it ends so. None if it has a value, or another end, already. If it has begun, it
    /// runs on (see `interrupt`), or, with `Rejected`, this gives None. If not, it never does. When
    /// all that hangs on its end is done, the caller is to wake the waiter that this gives, if there
    /// is one, and to `discard` what it was called with: both run foreign code, which may never come
    /// back.
    fn end(&self, end: End) -> Option<Option<Waiter>>;
    /// Drops what it was called with, if it was ended before it began.
    fn discard(&self);
    /// As all of it.
    fn abandon(&self, end: End) -> bool {
        let ended = self.end(end);
        let is_ended = ended.is_some();
        if let Some(waiter) = ended.flatten() {
            waiter.wake();
        }
        self.discard();
        is_ended
    }
    /// It holds nothing whose destructor is foreign. For its last owner.
    fn is_empty(&self) -> bool;
    /// Decides that it ends by a stack overflow, and nothing else, unless something has.
    fn doom(&self, proof: &Dead);
    /// Ends it so, if `doom` has decided it.
    fn bury(&self);
    /// How it ends, if `abandon` says so, and not what it does itself.
    fn abandoned(&self) -> Option<Ran>;
    /// Some runner has it, it was taken out of the backlog, or it is kept back until it is due. For
    /// the pool, once it was pushed.
    fn claimed(&self) -> &AtomicBool;
    fn id(&self) -> u64;
    fn meta(&self) -> &'static TaskMeta;
    /// The pool that it was pushed to.
    fn pool(&self) -> u32;
}

/// What became of a job, for the books.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ran {
    Finished,
    /// It gave an error, panicked or overflowed its stack.
    Failed,
    /// Somebody ended it, before it began or while it ran.
    Cancelled,
    TimedOut,
    ShutDown,
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
    Cancelled,
    TimedOut,
    ShutDown,
    Rejected(Rejection),
}

impl Entry for JobRef {
    fn claim(&self) -> bool {
        // ORDERING: Relaxed, and not one step: all who claim do so under the pool's lock.
        let is_first = !self.claimed().load(Ordering::Relaxed);
        self.claimed().store(true, Ordering::Relaxed);
        is_first
    }
}
