//! Who waits for something to change, such as a backlog having room. Pure: whoever keeps one does
//! so under the lock of what may change, and wakes those whom it gives.
//!
//! A guest that is called is off the list, and looks again: it may find that others were quicker.
//! One that finds what it waits for without a call leaves the list, too, for a call to it would be
//! lost for those behind.

use super::wait_list::{Ticket, WaitList};

pub(crate) struct Lobby<W> {
    waiting: WaitList<W>,
}

/// One who waits, over all the times that it is woken for nothing.
#[derive(Default)]
pub(crate) struct Guest(Option<Ticket>);

impl<W> Lobby<W> {
    pub(crate) const fn new() -> Lobby<W> {
        Lobby { waiting: WaitList::new() }
    }

    /// A guest has looked whether its wait is over. Lists it if not, unless it is listed; gives
    /// `is_over`.
    pub(crate) fn look(
        &mut self,
        guest: &mut Guest,
        is_over: bool,
        waiter: impl FnOnce() -> W,
    ) -> bool {
        if is_over {
            let _ = self.strike(guest);
        } else if !guest.0.is_some_and(|ticket| self.waiting.contains(ticket)) {
            guest.0 = Some(self.waiting.push(waiter()));
        }
        is_over
    }

    /// A guest gives up. Gives whom to wake in its place, if it was called for nothing.
    pub(crate) fn leave(&mut self, mut guest: Guest) -> Option<W> {
        let was_called = guest.0.is_some() && self.strike(&mut guest).is_none();
        if was_called { self.call() } else { None }
    }

    fn strike(&mut self, guest: &mut Guest) -> Option<W> {
        self.waiting.remove(guest.0.take()?)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Takes off the one who has waited longest, who is to be woken.
    pub(crate) fn call(&mut self) -> Option<W> {
        self.waiting.pop().map(|(_, waiter)| waiter)
    }

    /// As `call`, all of them.
    pub(crate) fn call_all(&mut self) -> Vec<W> {
        self.waiting.drain()
    }
}
