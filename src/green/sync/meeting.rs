//! Those who are at a barrier, until the last one comes. Pure: it lists who waits and says whom to
//! wake, and blocks nobody.

use super::wait_list::{Ticket, WaitList};
use crate::primitives::Mutex;

pub(crate) struct Meeting<W> {
    size: usize,
    there: Mutex<WaitList<W>>,
}

impl<W> Meeting<W> {
    /// The list comes from outside because loom's lock can't be made in a `const fn`.
    pub(crate) const fn of(size: usize, there: Mutex<WaitList<W>>) -> Meeting<W> {
        Meeting { size, there }
    }

    pub(crate) fn size(&self) -> usize {
        self.size
    }

    /// Lists one who came. None if it is the last: then `wake` was called for all others, not under
    /// the lock.
    pub(crate) fn come(&self, waiter: W, wake: impl FnMut(W)) -> Option<Ticket> {
        let others = {
            let mut there = self.there.lock();
            if there.len() + 1 < self.size {
                return Some(there.push(waiter));
            }
            there.drain()
        };
        others.into_iter().for_each(wake);
        None
    }

    /// The last one has come since this ticket was given, or who has it left.
    pub(crate) fn is_over(&self, ticket: Ticket) -> bool {
        !self.there.lock().contains(ticket)
    }

    /// Who has this ticket gives up, and has not been there.
    pub(crate) fn leave(&self, ticket: Ticket) {
        let left = self.there.lock().remove(ticket);
        drop(left);
    }
}
