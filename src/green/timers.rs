//! Who sleeps until when, on one worker: a sorted map from deadline to green thread. Pure: it
//! neither reads a clock nor wakes anybody.

use std::collections::BTreeMap;

/// Identifies an entry. Sorts by deadline, then by the order of insertion.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Key {
    deadline: u64,
    sequence: u64,
}

#[derive(Debug)]
pub(crate) struct Timers<S> {
    sleepers: BTreeMap<Key, S>,
    sequence: u64,
}

impl<S> Timers<S> {
    pub(crate) const fn new() -> Timers<S> {
        Timers { sleepers: BTreeMap::new(), sequence: 0 }
    }

    /// Adds an entry, due at `deadline` nanoseconds of whatever clock the caller uses.
    pub(crate) fn insert(&mut self, deadline: u64, sleeper: S) -> Key {
        self.sequence += 1;
        let key = Key { deadline, sequence: self.sequence };
        self.sleepers.insert(key, sleeper);
        key
    }

    /// Removes an entry, if it has not come due.
    pub(crate) fn remove(&mut self, key: Key) -> Option<S> {
        self.sleepers.remove(&key)
    }

    /// Removes and gives the first entry that is due at `now`.
    pub(crate) fn pop_due(&mut self, now: u64) -> Option<S> {
        let first = self.sleepers.first_entry()?;
        (first.key().deadline <= now).then(|| first.remove())
    }

    /// The earliest deadline.
    pub(crate) fn next(&self) -> Option<u64> {
        self.sleepers.first_key_value().map(|(key, _)| key.deadline)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_come_due_by_deadline_and_then_in_the_order_they_were_made() {
        let mut timers = Timers::new();
        for (deadline, name) in [(20, 'c'), (10, 'a'), (30, 'e'), (20, 'd'), (10, 'b')] {
            timers.insert(deadline, name);
        }
        assert_eq!(timers.next(), Some(10));
        assert_eq!(timers.pop_due(9), None);
        let due: String = std::iter::from_fn(|| timers.pop_due(20)).collect();
        assert_eq!(due, "abcd");
        assert_eq!(timers.next(), Some(30));
    }

    #[test]
    fn a_removed_entry_never_comes_due() {
        let mut timers = Timers::new();
        let key = timers.insert(1, "gone");
        timers.insert(1, "stays");
        assert_eq!(timers.remove(key), Some("gone"));
        assert_eq!(timers.remove(key), None);
        assert_eq!(timers.pop_due(1), Some("stays"));
        assert_eq!(timers.pop_due(u64::MAX), None);
    }
}
