//! Who waits, first come first served. Pure: whoever keeps one does so under a lock, and takes an
//! entry off the list to say that its wait is over.
//!
//! ```text
//!   push(entry) ──▶ listed ──pop(), drain()──▶ granted: it is to be woken
//!                     └──────remove(ticket)──▶ withdrawn: it gave up
//! ```
//! Both ends are taken under the same lock, so a wait that times out at the very moment it is
//! granted is one or the other, never both: `remove` tells which.

use std::collections::BTreeMap;

/// One entry, in the order in which they came.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Ticket(u64);

/// What to do with an entry that was looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Look {
    Take,
    /// It stays; the next one.
    Pass,
    /// It waits no longer: off with it; the next one.
    Gone,
    /// It stays, and none is taken.
    Stop,
}

/// A sorted map, so that one of thousands can leave as cheaply as the first can be served.
#[derive(Debug)]
pub(crate) struct WaitList<E> {
    entries: BTreeMap<Ticket, E>,
    tickets: u64,
}

impl<E> WaitList<E> {
    pub(crate) const fn new() -> WaitList<E> {
        WaitList { entries: BTreeMap::new(), tickets: 0 }
    }

    pub(crate) fn push(&mut self, entry: E) -> Ticket {
        let ticket = self.ticket();
        self.entries.insert(ticket, entry);
        ticket
    }

    /// For one who need not wait.
    pub(crate) fn ticket(&mut self) -> Ticket {
        self.tickets += 1;
        Ticket(self.tickets)
    }

    pub(crate) fn pop(&mut self) -> Option<(Ticket, E)> {
        self.entries.pop_first()
    }

    /// Looks at one after another until one is to be taken, which is left on the list.
    pub(crate) fn choose(&mut self, mut look: impl FnMut(&E) -> Look) -> Option<Ticket> {
        let mut from = Ticket(0);
        loop {
            let (&ticket, entry) = self.entries.range(from..).next()?;
            from = Ticket(ticket.0 + 1);
            match look(entry) {
                Look::Take => return Some(ticket),
                Look::Pass => {}
                Look::Gone => drop(self.entries.remove(&ticket)),
                Look::Stop => return None,
            }
        }
    }

    /// Takes off the first entry, if `may` says so.
    pub(crate) fn pop_if(&mut self, may: impl FnOnce(&E) -> bool) -> Option<E> {
        let first = self.entries.first_entry()?;
        may(first.get()).then(|| first.remove())
    }

    pub(crate) fn remove(&mut self, ticket: Ticket) -> Option<E> {
        self.entries.remove(&ticket)
    }

    pub(crate) fn contains(&self, ticket: Ticket) -> bool {
        self.entries.contains_key(&ticket)
    }

    pub(crate) fn get(&self, ticket: Ticket) -> Option<&E> {
        self.entries.get(&ticket)
    }

    pub(crate) fn get_mut(&mut self, ticket: Ticket) -> Option<&mut E> {
        self.entries.get_mut(&ticket)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &E> {
        self.entries.values()
    }

    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = &mut E> {
        self.entries.values_mut()
    }

    /// Takes all off.
    pub(crate) fn drain(&mut self) -> Vec<E> {
        std::mem::take(&mut self.entries).into_values().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn first_come_first_served_and_whoever_left_is_not() {
        let mut list = WaitList::new();
        let tickets: Vec<_> =
            ["a", "b", "c", "d"].into_iter().map(|name| list.push(name)).collect();
        assert_eq!(list.remove(tickets[1]), Some("b"));
        assert_eq!(list.remove(tickets[1]), None);
        assert_eq!(list.pop_if(|name| *name == "b"), None);
        assert_eq!(list.pop_if(|name| *name == "a"), Some("a"));
        assert!(!list.contains(tickets[0]) && list.contains(tickets[2]));
        let look = |name: &&str| if *name == "d" { Look::Take } else { Look::Pass };
        assert_eq!(list.choose(look), Some(tickets[3]));
        assert_eq!(list.choose(|_| Look::Stop), None);
        assert_eq!(list.pop(), Some((tickets[2], "c")));
        assert_eq!((list.len(), list.drain()), (1, vec!["d"]));
        list.push("e");
        assert_eq!(list.choose(|_| Look::Gone), None);
        assert!(list.is_empty());
    }
}
