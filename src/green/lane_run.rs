//! The runs of a pool's lane: what is declared to be offloaded, on OS threads, one job a run.

use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::job::{End, JobRef, Ran};
use super::lane::{Demand, Taken};
use super::offload::{Errand, Offloaded, as_errand};
use super::panics;
use super::pool::{Pool, SomeChores, State, wake_later};
use crate::error::Reason;

impl Pool {
    #[cold]
    pub(super) fn push_to_lane(&self, state: &mut State, job: JobRef, chores: &mut SomeChores) {
        state.lane.push(job);
        self.staff_lane(state, chores);
    }

    /// Notes as chores the runs and calls that the lane asks for, and refreshes its hint.
    pub(super) fn staff_lane(&self, state: &mut State, chores: &mut SomeChores) {
        // ORDERING: Relaxed, as in `note`.
        self.lane_has_choice.store(state.lane.has_choice(), Ordering::Relaxed);
        loop {
            match state.lane.demand() {
                Demand::None => return,
                Demand::Run => chores.get_or_insert_default().lane_runs += 1,
                Demand::Call(returning) => chores.get_or_insert_default().ring.push(returning),
            }
        }
    }

    pub(super) fn start_lane_run(self: &Arc<Pool>) {
        let pool = self.clone();
        if self.runtime.threads.submit(Box::new(move || pool.run_from_lane())).is_err() {
            self.refuse_lane();
        }
    }

    /// The lane's next job, entered as running, with the number it has; and what is to be let go
    /// of without the lock. None if there is none: then its place is given back.
    fn take_from_lane(
        &self,
        state: &mut State,
        chores: &mut SomeChores,
    ) -> (Option<(JobRef, usize)>, Vec<JobRef>) {
        let mut stale = Vec::new();
        loop {
            match state.lane.take() {
                Taken::Stale(job) => stale.push(job),
                Taken::Nothing => return (None, stale),
                Taken::Job(job) => {
                    let number = state.roster.number();
                    state.offloaded += 1;
                    state.roster.begin(number, job.clone());
                    state.books.waiting -= 1;
                    state.books.begun += 1;
                    if !state.for_room.is_empty() {
                        wake_later(chores, state.for_room.call());
                    }
                    return (Some((job, number)), stale);
                }
            }
        }
    }

    /// Runs one job of the lane, on an OS thread. Only one: those of others wait, too.
    fn run_from_lane(self: Arc<Pool>) {
        let mut state = self.state.lock();
        let mut chores = None;
        let (job, stale) = self.take_from_lane(&mut state, &mut chores);
        self.staff_lane(&mut state, &mut chores);
        drop(state);
        panics::contain(|| drop(stale));
        if let Some(chores) = chores {
            chores.run(&self);
        }
        let Some((job, number)) = job else { return };
        let task = Offloaded { pool: self.clone(), has_place: Cell::new(true) };
        let errand = Rc::new(Errand::Task(task));
        let ran = as_errand(errand.clone(), || job.run());
        let Errand::Task(task) = &*errand else { return };
        let mut chores = None;
        let mut state = self.state.lock();
        let done = self.settle_offloaded(&mut state, number, ran, &mut chores);
        if task.has_place.get() {
            state.lane.give_place();
        }
        self.staff_lane(&mut state, &mut chores);
        drop(state);
        if let Some(chores) = chores {
            chores.run(&self);
        }
        // Last, for their destructors are foreign code.
        panics::contain(|| drop((job, done)));
    }

    fn settle_offloaded(
        &self,
        state: &mut State,
        number: usize,
        ran: Ran,
        chores: &mut SomeChores,
    ) -> Option<JobRef> {
        state.roster.free(number);
        state.offloaded -= 1;
        self.settle(state, number, ran, chores)
    }

    /// There is no thread for a run that was asked for, and no other one that might do it later:
    /// all jobs that wait are refused.
    #[cold]
    fn refuse_lane(self: &Arc<Pool>) {
        const WHY: &str = "it is to run on an OS thread, and the system refuses even one";
        let mut refused = Vec::new();
        let mut again = true;
        while again {
            let mut chores = None;
            let mut state = self.state.lock();
            let (job, stale) = self.take_from_lane(&mut state, &mut chores);
            if job.is_none() {
                // The place that was given back may be for one who returns.
                self.staff_lane(&mut state, &mut chores);
            }
            drop(state);
            panics::contain(|| drop(stale));
            again = job.is_some();
            if let Some((job, number)) = job {
                job.abandon(End::Rejected(Reason::Runtime(WHY.to_owned()).into()));
                // Somebody may have ended it otherwise.
                let ran = job.abandoned().unwrap_or(Ran::ShutDown);
                let mut state = self.state.lock();
                self.settle_offloaded(&mut state, number, ran, &mut chores);
                state.lane.give_place();
                again = loop {
                    match state.lane.demand() {
                        Demand::None => break false,
                        Demand::Run => break true,
                        Demand::Call(returning) => {
                            chores.get_or_insert_default().ring.push(returning);
                        }
                    }
                };
                drop(state);
                refused.push(job);
            }
            if let Some(chores) = chores {
                chores.run(self);
            }
        }
        // Last, for the logger and destructors are foreign code, which may never come back.
        for job in refused {
            panics::contain(|| {
                log::error!("task {} #{} was not taken on: {WHY}", job.meta().name, job.id());
            });
            panics::contain(|| drop(job));
        }
    }
}
