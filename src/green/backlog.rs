//! What waits to run, in which order, and who must be woken for it. Pure: the pool keeps it under
//! its lock and does what it says; so the loom model can do the same with threads.
//!
//! Each worker has a crew of runners. At any moment at most one of a crew is on *standby*: it was
//! woken, or is just done, and will look for work when the worker comes to it. Whoever takes work
//! and leaves some behind sees to it that there is a standby *before* it runs what it took, so
//! that work that blocks is never alone; whoever adds work does so if there is none.

use std::collections::VecDeque;

/// Something to run. It may stand in two queues, and may be withdrawn from both.
pub(crate) trait Entry {
    /// Gives true the first time: whoever gets it has it to run, or to let go. Called under the
    /// lock that the backlog is under.
    fn claim(&self) -> bool;
}

/// `J` is what runs, `R` a runner.
pub(crate) struct Backlog<J, R> {
    /// What somebody in the pool waits for, who lent its place for it.
    urgent: VecDeque<J>,
    /// Those who lent their place, are done waiting, and need one to go on.
    returning: VecDeque<R>,
    /// The rest, first in, first out.
    queue: VecDeque<J>,
    /// How many may run at a moment, and how many do.
    limit: usize,
    /// Not counted if there is no limit.
    places_taken: usize,
    crews: Vec<Crew<R>>,
    /// How many crews have a standby.
    standbys: usize,
    next_crew: usize,
}

struct Crew<R> {
    standby: bool,
    /// How many runners let others run between two pieces of work, and will go on by themselves.
    stepped_aside: usize,
    idle: Vec<R>,
}

/// Who must be brought to work.
#[must_use]
pub(crate) enum Help<R> {
    /// Nobody: there is nothing to do, no place for it, or somebody on the way.
    None,
    Wake(R),
    /// Another worker's runner is on the way, and may take the work before this one has come: so
    /// this one need not come at once.
    WakeSoon(R),
    /// This worker needs one runner more. If that can't be had, say so with `no_help`.
    Spawn(usize),
}

/// What a runner is to do next.
pub(crate) enum Next<J, R> {
    Run(J),
    /// This one was claimed before: let go of it, not under the lock, and ask once more.
    Skip(J),
    /// Call this one, which has its place again, and ask once more.
    Call(R),
    /// Let others run and ask once more.
    Yield,
    /// Nothing: it was listed as idle; park until woken.
    Rest,
}

impl<J: Entry, R> Backlog<J, R> {
    pub(crate) fn new(workers: usize, limit: usize) -> Backlog<J, R> {
        let crew = || Crew { standby: false, stepped_aside: 0, idle: Vec::new() };
        Backlog {
            urgent: VecDeque::new(),
            returning: VecDeque::new(),
            queue: VecDeque::new(),
            limit,
            places_taken: 0,
            standbys: 0,
            crews: (0..workers).map(|_| crew()).collect(),
            next_crew: 0,
        }
    }

    /// Adds work; [`help`](Backlog::help) tells who is to be woken for it.
    pub(crate) fn push(&mut self, job: J) {
        self.queue.push_back(job);
    }

    /// Adds work that somebody waits for: it goes first.
    pub(crate) fn push_urgent(&mut self, job: J) {
        self.urgent.push_back(job);
    }

    fn has_work(&self) -> bool {
        !(self.queue.is_empty() && self.urgent.is_empty()) && self.places_taken < self.limit
    }

    /// If there is work that could run and a crew without standby, makes one: of the worker
    /// `near`, if it can be chosen.
    #[inline]
    pub(crate) fn help(&mut self, near: Option<usize>) -> Help<R> {
        if self.standbys == self.crews.len() || !self.has_work() {
            return Help::None;
        }
        let Some(crew) = self.crew_to_help(near) else {
            return Help::None;
        };
        self.set_standby(crew, true);
        match self.crews[crew].idle.pop() {
            Some(runner) if self.standbys > 1 => Help::WakeSoon(runner),
            Some(runner) => Help::Wake(runner),
            None => Help::Spawn(crew),
        }
    }

    fn crew_to_help(&mut self, near: Option<usize>) -> Option<usize> {
        if let Some(near) = near
            && !self.crews[near].standby
        {
            return Some(near);
        }
        // The standby's worker may be held by what runs there: have another one join in.
        let workers = self.crews.len();
        let start = self.next_crew;
        let free = (start..start + workers).map(|i| i % workers).find(|i| !self.crews[*i].standby);
        self.next_crew = free.map_or(start, |crew| (crew + 1) % workers);
        free
    }

    /// A runner that `help` asked for can't be had. Gives one of another worker instead, if there is
    /// one: it is to be woken.
    pub(crate) fn no_help(&mut self, crew: usize) -> Option<R> {
        self.set_standby(crew, false);
        let other = self.crews.iter().position(|crew| !crew.standby && !crew.idle.is_empty())?;
        self.set_standby(other, true);
        self.crews[other].idle.pop()
    }

    fn set_standby(&mut self, crew: usize, standby: bool) {
        self.crews[crew].standby = standby;
        if standby {
            self.standbys += 1;
        } else {
            self.standbys -= 1;
        }
    }

    /// What a runner of `crew` is to do. `standby` tells whether it is the crew's standby, and is
    /// kept by the runner between two calls.
    #[inline]
    pub(crate) fn next(&mut self, crew: usize, standby: &mut bool, me: &R) -> Next<J, R>
    where
        R: Clone,
    {
        if *standby && self.crews[crew].stepped_aside > 0 {
            // Whoever stepped aside goes on by itself: the standby is not needed yet.
            return Next::Yield;
        }
        if let Some(next) = self.take_work() {
            if *standby {
                *standby = false;
                self.set_standby(crew, false);
            }
            return next;
        }
        if !*standby && !self.crews[crew].standby {
            // Work often comes right after work: be there for it, for one round of the worker.
            *standby = true;
            self.set_standby(crew, true);
            return Next::Yield;
        }
        if *standby {
            *standby = false;
            self.set_standby(crew, false);
        }
        self.crews[crew].idle.push(me.clone());
        Next::Rest
    }

    #[inline]
    fn take_work(&mut self) -> Option<Next<J, R>> {
        if self.places_taken >= self.limit {
            return None;
        }
        if let Some(job) = self.urgent.pop_front() {
            return Some(self.run_or_skip(job));
        }
        if let Some(runner) = self.returning.pop_front() {
            self.places_taken += 1;
            return Some(Next::Call(runner));
        }
        let job = self.queue.pop_front()?;
        Some(self.run_or_skip(job))
    }

    #[inline]
    fn run_or_skip(&mut self, job: J) -> Next<J, R> {
        if !job.claim() {
            return Next::Skip(job);
        }
        if self.is_limited() {
            self.places_taken += 1;
        }
        Next::Run(job)
    }

    pub(crate) fn is_limited(&self) -> bool {
        self.limit < usize::MAX
    }

    /// Work is done, or lends its place while it waits. Gives whoever has it next, if that is one
    /// who returns: it must be called.
    pub(crate) fn give_place(&mut self) -> Option<R> {
        self.places_taken -= 1;
        if !self.urgent.is_empty() || self.places_taken >= self.limit {
            return None;
        }
        let returning = self.returning.pop_front()?;
        self.places_taken += 1;
        Some(returning)
    }

    /// Nobody can be had to begin what waits to run: gives one who returns and now has the place that
    /// was meant for that, if there is a place. It must be called: it goes on by itself, and it may
    /// be what all others wait for.
    pub(crate) fn return_instead(&mut self) -> Option<R> {
        if self.places_taken >= self.limit {
            return None;
        }
        let returning = self.returning.pop_front()?;
        self.places_taken += 1;
        Some(returning)
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

    pub(crate) fn step_aside(&mut self, crew: usize) {
        self.crews[crew].stepped_aside += 1;
    }

    pub(crate) fn step_back(&mut self, crew: usize) {
        self.crews[crew].stepped_aside -= 1;
    }

    /// There is a place, and nobody for the work that has it: that runs on the stack of who waits for
    /// it.
    pub(crate) fn occupy_place(&mut self) {
        debug_assert!(self.places_taken < self.limit);
        self.places_taken += 1;
    }

    /// More than one piece of work waits: which one is next matters.
    pub(crate) fn has_choice(&self) -> bool {
        self.queue.len() > 1
    }

    pub(crate) fn has_urgent(&self) -> bool {
        !self.urgent.is_empty()
    }

    /// Claims all that waits to run. What else it gives was claimed before.
    pub(crate) fn drain(&mut self) -> (Vec<J>, Vec<J>) {
        self.urgent.drain(..).chain(self.queue.drain(..)).partition(Entry::claim)
    }

    /// All runners that have nothing to do, but for as many as to `keep`.
    pub(crate) fn drain_idle(&mut self, mut keep: usize) -> Vec<R> {
        let but_for_some = |crew: &mut Crew<R>| {
            let kept = keep.min(crew.idle.len());
            keep -= kept;
            crew.idle.split_off(kept)
        };
        self.crews.iter_mut().flat_map(but_for_some).collect()
    }

    /// A runner that was just told to rest ends instead. Gives false if it is needed after all:
    /// it may do so only while more than `most` are idle.
    pub(crate) fn no_rest(&mut self, crew: usize, most: usize) -> bool {
        let idle = &mut self.crews[crew].idle;
        idle.len() > most && idle.pop().is_some()
    }
}
