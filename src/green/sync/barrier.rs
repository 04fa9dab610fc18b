//! [`Barrier`]: threads that wait at a [`Meeting`].

use std::fmt;

use crate::green::Mutex;

use super::super::{Waited, Waiter, block_until, overflow};
use super::acquire::caller;
use super::meeting::Meeting;
use super::wait_list::{Ticket, WaitList};

/// Has so many threads, green or not, wait for each other; again and again.
///
/// To wait is a point where a cancelled task unwinds: then it has not been there. In a destructor
/// while a panic unwinds a green thread, it counts but waits for 10 ms at the most.
///
/// ```
/// use minihuey::{green, sync::Barrier};
/// use std::sync::Arc;
///
/// let barrier = Arc::new(Barrier::new(2));
/// let task = green::spawn({
///     let barrier = barrier.clone();
///     move || barrier.wait().is_leader()
/// });
/// let leads = barrier.wait().is_leader();
/// assert_ne!(leads, task.join()?);                          // one of them does
/// # Ok::<(), minihuey::TaskError>(())
/// ```
pub struct Barrier {
    meeting: Meeting<Waiter>,
}

/// What [`Barrier::wait`] gives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BarrierWaitResult(bool);

impl BarrierWaitResult {
    /// True for one of each round: the last that came.
    pub fn is_leader(&self) -> bool {
        self.0
    }
}

impl Barrier {
    /// For so many threads. With 0 or 1 nobody waits.
    pub const fn new(threads: usize) -> Barrier {
        Barrier { meeting: Meeting::of(threads, Mutex::new(WaitList::new())) }
    }

    /// Waits until as many are here as the barrier is for.
    pub fn wait(&self) -> BarrierWaitResult {
        overflow::probe_to_wait(0);
        let (me, waiter) = caller();
        let Some(ticket) = self.meeting.come(waiter, Waiter::wake) else {
            return BarrierWaitResult(true);
        };
        let listed = Listed(self, ticket);
        let is_over = || self.meeting.is_over(ticket);
        // Not for good, if it is impossible: but it has been here.
        let _: Waited = block_until(me.as_deref(), None, is_over);
        std::mem::forget(listed);
        BarrierWaitResult(false)
    }
}

/// Undoes a wait that ends by unwinding.
struct Listed<'a>(&'a Barrier, Ticket);

impl Drop for Listed<'_> {
    fn drop(&mut self) {
        self.0.meeting.leave(self.1);
    }
}

impl fmt::Debug for Barrier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Barrier").field("size", &self.meeting.size()).finish_non_exhaustive()
    }
}
