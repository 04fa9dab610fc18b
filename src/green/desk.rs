//! The desk of the watchdog's thread: the deadlines that others enter there, and until when it
//! sleeps. Pure: to tell the time, and what is done about what is due, are the caller's.
//!
//! ```text
//!   thread:  look: nothing due ─▶ say until when ─▶ sleep ─▶ look
//!   others:  enter, rouse ─▶ is it to be awake earlier? ring
//! ```

use super::bell::Bell;
use super::timers::{Key, Timers};
use crate::primitives::Mutex;

pub(crate) struct Desk<J> {
    entries: Mutex<Entries<J>>,
    /// What the thread waits for.
    bell: Bell,
}

pub(crate) struct Entries<J> {
    deadlines: Timers<J>,
    /// When the thread wakes by itself. Zero while it is awake: it looks at all of this before it
    /// sleeps.
    sleeps_until: u64,
    roused: bool,
}

/// What there is for the thread to do.
pub(crate) struct Round<J> {
    /// When it looked.
    pub(crate) now: u64,
    pub(crate) due: Vec<J>,
    /// Somebody roused it, once or more.
    pub(crate) roused: bool,
}

impl<J> Entries<J> {
    pub(crate) const fn new() -> Entries<J> {
        Entries { deadlines: Timers::new(), sleeps_until: 0, roused: false }
    }
}

impl<J> Desk<J> {
    /// The parts come from outside because loom's can't be made in a `const fn`.
    pub(crate) const fn of(entries: Mutex<Entries<J>>, bell: Bell) -> Desk<J> {
        Desk { entries, bell }
    }

    /// Has `entry` come due at `deadline`, on the thread's clock.
    pub(crate) fn enter(&self, deadline: u64, entry: J) -> Key {
        let mut entries = self.entries.lock();
        let key = entries.deadlines.insert(deadline, entry);
        let is_first = deadline < entries.sleeps_until;
        drop(entries);
        if is_first {
            self.bell.ring();
        }
        key
    }

    /// Takes an entry back, if it has not come due.
    pub(crate) fn withdraw(&self, key: Key) -> Option<J> {
        self.entries.lock().deadlines.remove(key)
    }

    pub(crate) fn rouse(&self) {
        self.entries.lock().roused = true;
        self.bell.ring();
    }

    /// Sleeps until there is something to do: at `at`, if that is given, or before. For the one
    /// thread, whose clock `now` is.
    pub(crate) fn sleep(&self, at: Option<u64>, now: impl Fn() -> u64) -> Round<J> {
        loop {
            let now = now();
            let mut entries = self.entries.lock();
            entries.sleeps_until = 0;
            let due: Vec<_> = std::iter::from_fn(|| entries.deadlines.pop_due(now)).collect();
            let roused = std::mem::take(&mut entries.roused);
            if roused || !due.is_empty() || at.is_some_and(|at| at <= now) {
                return Round { now, due, roused };
            }
            let until = at.into_iter().chain(entries.deadlines.next()).min();
            entries.sleeps_until = until.unwrap_or(u64::MAX);
            drop(entries);
            match until {
                Some(until) => {
                    self.bell.wait_until(until);
                }
                None => self.bell.wait(),
            }
        }
    }
}
