//! What waits to be offloaded, and how many of its kind may run at a moment. Pure: the pool keeps
//! it under its lock and does what it says; so the loom model can do the same.
//!
//! A *place* is had by whoever runs a job, or is on the way to run one. It is taken when a run is
//! asked for, and given back when the job ends, or while it waits for another.

use std::collections::VecDeque;

use super::backlog::Entry;

/// `J` is what runs, `R` somebody who lent its place and wants one again.
pub(crate) struct Lane<J, R> {
    /// What somebody waits for; it stands in `queue`, too.
    urgent: VecDeque<J>,
    /// The rest, first in, first out.
    queue: VecDeque<J>,
    /// Those who are done waiting and need a place to go on.
    returning: VecDeque<R>,
    limit: usize,
    places_taken: usize,
    /// Runs that were asked for and have not looked for their job yet.
    coming: usize,
}

/// What must be done for the lane to go on. To be asked for until there is nothing.
#[must_use]
pub(crate) enum Demand<R> {
    None,
    /// One run: on some thread, `take` until it gives a job or nothing.
    Run,
    /// This one has its place again.
    Call(R),
}

/// What a run is to do.
pub(crate) enum Taken<J> {
    Job(J),
    /// This one was claimed before: let go of it, not under the lock, and take again.
    Stale(J),
    /// Somebody else was quicker. The place is given back.
    Nothing,
}

impl<J: Entry, R> Lane<J, R> {
    pub(crate) fn new(limit: usize) -> Lane<J, R> {
        Lane {
            urgent: VecDeque::new(),
            queue: VecDeque::new(),
            returning: VecDeque::new(),
            limit,
            places_taken: 0,
            coming: 0,
        }
    }

    /// Adds work. As after everything that adds or frees something, ask for demands.
    pub(crate) fn push(&mut self, job: J) {
        self.queue.push_back(job);
    }

    /// Has work that was pushed before go first.
    pub(crate) fn push_urgent(&mut self, job: J) {
        self.urgent.push_back(job);
    }

    pub(crate) fn demand(&mut self) -> Demand<R> {
        if self.places_taken >= self.limit {
            return Demand::None;
        }
        if let Some(returning) = self.returning.pop_front() {
            self.places_taken += 1;
            return Demand::Call(returning);
        }
        // One that stands twice is counted twice: at worst a run finds nothing.
        if self.urgent.len() + self.queue.len() <= self.coming {
            return Demand::None;
        }
        self.places_taken += 1;
        self.coming += 1;
        Demand::Run
    }

    /// For a run that was demanded: its job.
    pub(crate) fn take(&mut self) -> Taken<J> {
        let Some(job) = self.urgent.pop_front().or_else(|| self.queue.pop_front()) else {
            self.coming -= 1;
            self.places_taken -= 1;
            return Taken::Nothing;
        };
        if !job.claim() {
            return Taken::Stale(job);
        }
        self.coming -= 1;
        Taken::Job(job)
    }

    /// A job ended, or lends its place while it waits.
    pub(crate) fn give_place(&mut self) {
        self.places_taken -= 1;
    }

    /// `me` needs a place to go on. Gives true if it has one; else it will be called once it does.
    pub(crate) fn take_place(&mut self, me: R) -> bool {
        if self.places_taken < self.limit && self.returning.is_empty() {
            self.places_taken += 1;
            return true;
        }
        self.returning.push_back(me);
        false
    }

    /// More than one piece of work waits: which one is next matters.
    pub(crate) fn has_choice(&self) -> bool {
        self.queue.len() > 1
    }

    /// Claims all that waits to run. What else it gives was claimed before.
    pub(crate) fn drain(&mut self) -> (Vec<J>, Vec<J>) {
        self.urgent.drain(..).chain(self.queue.drain(..)).partition(Entry::claim)
    }
}
