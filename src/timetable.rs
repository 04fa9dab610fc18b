//! What is scheduled for when. Pure: it is told what time it is, and gives what is due.

use std::cmp::Reverse;

use chrono::{DateTime, Utc};
use dary_heap::{PeekMut, QuaternaryHeap};

/// Entries by two clocks: those that count a delay, and those that follow the wall clock.
/// Entries with equal times come due in the order in which they were added.
pub(crate) struct Timetable<J> {
    // With four children each, a million entries have half as many levels as with two, and most of
    // the time it takes to remove one are misses of the cache, at every level.
    /// By nanoseconds of the monotonic clock.
    delays: QuaternaryHeap<Reverse<Entry<u64, J>>>,
    etas: QuaternaryHeap<Reverse<Entry<DateTime<Utc>, J>>>,
    sequence: u64,
}

struct Entry<T, J> {
    at: T,
    sequence: u64,
    job: J,
}

impl<T: Ord, J> Ord for Entry<T, J> {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (&self.at, self.sequence).cmp(&(&other.at, other.sequence))
    }
}

impl<T: Ord, J> PartialOrd for Entry<T, J> {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl<T: Ord, J> PartialEq for Entry<T, J> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl<T: Ord, J> Eq for Entry<T, J> {}

/// Removes the first entry that is due at `now`; gives its time, too.
fn pop_due<T: Ord + Copy, J>(
    entries: &mut QuaternaryHeap<Reverse<Entry<T, J>>>,
    now: T,
) -> Option<(T, J)> {
    let first = entries.peek_mut()?;
    (first.0.at <= now).then(|| {
        let Entry { at, job, .. } = PeekMut::pop(first).0;
        (at, job)
    })
}

/// An entry that is due, and for how many nanoseconds.
pub(crate) struct Due<J> {
    pub(crate) job: J,
    pub(crate) late: u64,
}

impl<J> Timetable<J> {
    pub(crate) fn new() -> Timetable<J> {
        Timetable { delays: QuaternaryHeap::new(), etas: QuaternaryHeap::new(), sequence: 0 }
    }

    /// Adds an entry; gives true if it comes before all others of its clock.
    pub(crate) fn insert_delay(&mut self, at: u64, job: J) -> bool {
        let first = self.next_delay().is_none_or(|next| at < next);
        self.sequence += 1;
        self.delays.push(Reverse(Entry { at, sequence: self.sequence, job }));
        first
    }

    /// Adds an entry; gives true if it comes before all others of its clock.
    pub(crate) fn insert_eta(&mut self, at: DateTime<Utc>, job: J) -> bool {
        let first = self.next_eta().is_none_or(|next| at < next);
        self.sequence += 1;
        self.etas.push(Reverse(Entry { at, sequence: self.sequence, job }));
        first
    }

    pub(crate) fn next_delay(&self) -> Option<u64> {
        self.delays.peek().map(|entry| entry.0.at)
    }

    pub(crate) fn next_eta(&self) -> Option<DateTime<Utc>> {
        self.etas.peek().map(|entry| entry.0.at)
    }

    /// Removes the next entry that is due, if one is: delays before etas.
    pub(crate) fn pop_due(&mut self, monotonic: u64, wall: DateTime<Utc>) -> Option<Due<J>> {
        if let Some((at, job)) = pop_due(&mut self.delays, monotonic) {
            return Some(Due { job, late: monotonic - at });
        }
        let (at, job) = pop_due(&mut self.etas, wall)?;
        let late = (wall - at).num_nanoseconds().and_then(|late| u64::try_from(late).ok());
        Some(Due { job, late: late.unwrap_or(u64::MAX) })
    }

    pub(crate) fn len(&self) -> usize {
        self.delays.len() + self.etas.len()
    }

    /// Removes the entries that `keep` gives false for.
    pub(crate) fn retain(&mut self, mut keep: impl FnMut(&J) -> bool) {
        self.delays.retain(|entry| keep(&entry.0.job));
        self.etas.retain(|entry| keep(&entry.0.job));
    }

    /// Removes all entries.
    pub(crate) fn drain(&mut self) -> impl Iterator<Item = J> {
        let delays = self.delays.drain().map(|entry| entry.0.job);
        delays.chain(self.etas.drain().map(|entry| entry.0.job))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn due_at(table: &mut Timetable<&'static str>, monotonic: u64, wall: i64) -> Vec<&'static str> {
        let wall = DateTime::from_timestamp(wall, 0).unwrap();
        std::iter::from_fn(|| table.pop_due(monotonic, wall).map(|due| due.job)).collect()
    }

    #[test]
    fn entries_with_equal_times_are_first_in_first_out() {
        let mut table = Timetable::new();
        for job in ["a", "b", "c", "d"] {
            table.insert_delay(5, job);
        }
        let eta = DateTime::from_timestamp(7, 0).unwrap();
        for job in ["e", "f", "g"] {
            table.insert_eta(eta, job);
        }
        assert_eq!(due_at(&mut table, 4, 6), Vec::<&str>::new());
        assert_eq!(due_at(&mut table, 5, 7), ["a", "b", "c", "d", "e", "f", "g"]);
    }

    #[test]
    fn each_entry_follows_its_own_clock() {
        let mut table = Timetable::new();
        table.insert_delay(5, "delay");
        table.insert_eta(DateTime::from_timestamp(7, 0).unwrap(), "eta");
        assert_eq!(due_at(&mut table, 0, 1_000), ["eta"]);
        assert_eq!(due_at(&mut table, 5, 0), ["delay"]);
    }

    #[test]
    fn an_entry_that_comes_first_says_so() {
        let mut table = Timetable::new();
        assert!(table.insert_delay(5, ()));
        assert!(!table.insert_delay(5, ()));
        assert!(table.insert_delay(4, ()));
        assert_eq!(table.len(), 3);
    }

    #[test]
    fn lateness_is_told_in_nanoseconds() {
        let mut table = Timetable::new();
        table.insert_delay(5, ());
        table.insert_eta(DateTime::from_timestamp(7, 0).unwrap(), ());
        let wall = DateTime::from_timestamp(8, 0).unwrap();
        assert_eq!(table.pop_due(9, wall).map(|due| due.late), Some(4));
        assert_eq!(table.pop_due(9, wall).map(|due| due.late), Some(1_000_000_000));
        assert!(table.pop_due(u64::MAX, DateTime::<Utc>::MAX_UTC).is_none());
    }
}
