//! Who waits for something to change, such as a pool running empty: each at most once, and
//! gone when it gives up.

use std::collections::VecDeque;

use super::Waiter;

#[derive(Default)]
pub(super) struct Lobby {
    waiting: VecDeque<(u64, Waiter)>,
    keys: u64,
}

/// One who waits, over all the times that it is woken for nothing.
#[derive(Default)]
pub(super) struct Guest(Option<u64>);

impl Lobby {
    /// Lists the calling thread, unless it is listed.
    pub(super) fn enter(&mut self, guest: &mut Guest) {
        let key = *guest.0.get_or_insert_with(|| {
            self.keys += 1;
            self.keys
        });
        if !self.waiting.iter().any(|(listed, _)| *listed == key) {
            self.waiting.push_back((key, Waiter::current()));
        }
    }

    /// Takes a guest who gave up off the list.
    pub(super) fn leave(&mut self, guest: Guest) {
        self.waiting.retain(|(listed, _)| Some(*listed) != guest.0);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    pub(super) fn pop(&mut self) -> Option<Waiter> {
        self.waiting.pop_front().map(|(_, waiter)| waiter)
    }

    pub(super) fn drain(&mut self) -> impl Iterator<Item = Waiter> {
        self.waiting.drain(..).map(|(_, waiter)| waiter)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_guest_is_listed_once_and_gone_when_it_leaves() {
        let mut lobby = Lobby::default();
        let (mut first, mut second) = (Guest::default(), Guest::default());
        lobby.enter(&mut first);
        lobby.enter(&mut second);
        lobby.enter(&mut first);
        assert_eq!(lobby.waiting.len(), 2);
        assert!(lobby.pop().is_some());
        // Woken for nothing: it waits again, behind the other.
        lobby.enter(&mut first);
        assert_eq!(lobby.waiting.len(), 2);
        lobby.leave(second);
        lobby.leave(first);
        assert!(lobby.is_empty() && lobby.pop().is_none());
    }
}
