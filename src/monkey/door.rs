//! Who waits for the connections of a listener that an OS thread accepts from for green threads,
//! and what that thread has laid down for them. Pure: `accept` keeps it under a lock, and does what
//! it says; so the loom model can do the same.
//!
//! ```text
//!   enter ──▶ waits ──take──▶ gone, with what was laid down
//!               └────leave──▶ gone, with nothing or with that
//! ```
//! There is a thread while more wait than there is laid down for, and it goes on as long as that is
//! so. Whoever makes it needless without having taken anything tells it to stop, for it sleeps
//! until a connection comes.
//!
//! What is laid down is for those who wait. If they go without it, because the thread could not be
//! stopped any more, it is kept for whoever comes next.

use std::collections::{BTreeMap, VecDeque};
use std::ffi::c_int;

/// `C` is a connection, `W` somebody to wake.
pub(crate) struct Door<C, W> {
    /// Not yet taken by anybody, with the number of the listener when they were waited for.
    connections: VecDeque<(c_int, C)>,
    /// What the thread failed with.
    failures: VecDeque<c_int>,
    /// By their tickets.
    waiting: BTreeMap<Ticket, Waiting<W>>,
    tickets: u64,
    has_thread: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Ticket(u64);

struct Waiting<W> {
    waiter: W,
    listener: c_int,
    is_closed: bool,
}

/// What came of a wait.
pub(crate) enum Outcome<C> {
    Accepted(C),
    /// With this errno.
    Failed(c_int),
    /// The listener was closed.
    Closed,
}

impl<C, W: Clone> Door<C, W> {
    pub(crate) fn new() -> Door<C, W> {
        Door {
            connections: VecDeque::new(),
            failures: VecDeque::new(),
            waiting: BTreeMap::new(),
            tickets: 0,
            has_thread: false,
        }
    }

    pub(crate) fn is_unused(&self) -> bool {
        self.connections.is_empty() && self.waiting.is_empty() && !self.has_thread
    }

    /// Somebody waits. Gives its ticket, and true if a thread is to be started.
    #[must_use]
    pub(crate) fn enter(&mut self, waiter: W, listener: c_int) -> (Ticket, bool) {
        self.tickets += 1;
        let ticket = Ticket(self.tickets);
        self.waiting.insert(ticket, Waiting { waiter, listener, is_closed: false });
        let starts = self.is_wanting() && !self.has_thread;
        self.has_thread |= starts;
        (ticket, starts)
    }

    /// What came of a wait, if anything did: then it is over.
    pub(crate) fn take(&mut self, ticket: Ticket) -> Option<Outcome<C>> {
        let outcome = if self.waiting.get(&ticket)?.is_closed {
            Outcome::Closed
        } else if let Some((_, connection)) = self.connections.pop_front() {
            Outcome::Accepted(connection)
        } else {
            Outcome::Failed(self.failures.pop_front()?)
        };
        self.waiting.remove(&ticket);
        Some(outcome)
    }

    /// A wait is given up. Gives what it came to this moment, and true if the thread is to stop.
    #[must_use]
    pub(crate) fn leave(&mut self, ticket: Ticket) -> (Option<C>, bool) {
        let Some(Waiting { is_closed: false, .. }) = self.waiting.remove(&ticket) else {
            return (None, false);
        };
        let connection = self.connections.pop_front().map(|(_, connection)| connection);
        // One that was meant for who goes now.
        self.failures.truncate(self.patient());
        (connection, self.is_to_stop())
    }

    /// For one who does not wait: a connection that nobody who does is to have.
    pub(crate) fn take_kept(&mut self) -> Option<C> {
        if self.connections.len() <= self.patient() {
            return None;
        }
        self.connections.pop_front().map(|(_, connection)| connection)
    }

    /// For the thread: whether it is to go on. If not, it must end, for the next may be started.
    #[must_use]
    pub(crate) fn goes_on(&mut self) -> bool {
        self.has_thread = self.is_wanting();
        self.has_thread
    }

    /// The thread that was to be started can't be. Gives whom to wake: those who relied on it fail.
    #[must_use]
    pub(crate) fn lose_thread(&mut self, errno: c_int) -> Vec<W> {
        self.has_thread = false;
        while self.is_wanting() {
            self.failures.push_back(errno);
        }
        self.waiters()
    }

    /// The thread, which waits at the listener's number, has got this. Gives whom to wake; nobody,
    /// if it is kept.
    #[must_use]
    pub(crate) fn lay_down(&mut self, got: Result<C, c_int>, listener: c_int) -> Vec<W> {
        match got {
            Ok(connection) => self.connections.push_back((listener, connection)),
            Err(errno) if self.is_wanting() => self.failures.push_back(errno),
            Err(_) => {}
        }
        // Whoever comes first has it; the others wait on.
        self.waiters()
    }

    /// The listener of this number is about to be closed. Gives whom to wake, what is to be dropped
    /// with it, and true if the thread is to stop.
    #[must_use]
    pub(crate) fn close(&mut self, listener: c_int) -> (Vec<W>, Vec<C>, bool) {
        let mut woken = Vec::new();
        for waiting in self.waiting.values_mut().filter(|waiting| waiting.listener == listener) {
            waiting.is_closed = true;
            woken.push(waiting.waiter.clone());
        }
        self.failures.truncate(self.patient());
        (woken, self.refuse(listener), self.is_to_stop())
    }

    /// Gives what came in by that listener, unless somebody waits for it by another number.
    #[must_use]
    pub(crate) fn refuse(&mut self, listener: c_int) -> Vec<C> {
        if self.patient() > 0 {
            return Vec::new();
        }
        let (refused, kept) = std::mem::take(&mut self.connections)
            .into_iter()
            .partition(|(by, _): &(c_int, C)| *by == listener);
        self.connections = kept;
        let refused: VecDeque<(c_int, C)> = refused;
        refused.into_iter().map(|(_, connection)| connection).collect()
    }

    fn waiters(&self) -> Vec<W> {
        self.waiting.values().map(|waiting| waiting.waiter.clone()).collect()
    }

    pub(crate) fn is_waited_at(&self) -> bool {
        self.patient() > 0
    }

    /// How many wait for a connection.
    fn patient(&self) -> usize {
        self.waiting.values().filter(|waiting| !waiting.is_closed).count()
    }

    /// More wait than there is laid down for.
    fn is_wanting(&self) -> bool {
        self.patient() > self.connections.len() + self.failures.len()
    }

    fn is_to_stop(&self) -> bool {
        self.has_thread && !self.is_wanting()
    }
}
