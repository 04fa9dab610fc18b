//! The lane of offloaded work, and its places.
//!
//! Seen to fail: in `Lane::take_place`, a place given beyond the limit:
//! `offloaded_work_that_waits_for_offloaded_work_has_its_turn` sees two inside; in `Lane::demand`,
//! nobody called who returns: it deadlocks.

use loom::sync::atomic::{AtomicUsize, Ordering};
use loom::sync::{Arc, Mutex};
use loom::thread;

use crate::bell::Bell;
use crate::lane::{Demand, Lane, Taken};
use crate::pool::Job;
use crate::preemptions::bounded_model;

/// The lane of offloaded work under its lock, with a thread for each run that it demands.
struct Offload {
    lane: Mutex<Lane<Job, Arc<Bell>>>,
    runs: Mutex<Vec<thread::JoinHandle<()>>>,
    /// How many have a place and go on.
    inside: AtomicUsize,
    limit: usize,
}

impl Offload {
    fn new(limit: usize) -> Arc<Offload> {
        Arc::new(Offload {
            lane: Mutex::new(Lane::new(limit)),
            runs: Mutex::new(Vec::new()),
            inside: AtomicUsize::new(0),
            limit,
        })
    }

    /// Does something to the lane, and then what it demands.
    fn with<R>(this: &Arc<Offload>, f: impl FnOnce(&mut Lane<Job, Arc<Bell>>) -> R) -> R {
        let mut lane = this.lane.lock().unwrap();
        let result = f(&mut lane);
        let mut demands = Vec::new();
        loop {
            match lane.demand() {
                Demand::None => break,
                demand => demands.push(demand),
            }
        }
        drop(lane);
        for demand in demands {
            match demand {
                Demand::None => {}
                Demand::Call(returning) => returning.ring(),
                Demand::Run => {
                    let offload = this.clone();
                    let run = thread::spawn(move || Offload::run(&offload));
                    this.runs.lock().unwrap().push(run);
                }
            }
        }
        result
    }

    fn run(this: &Arc<Offload>) {
        let job = Offload::with(this, |lane| {
            loop {
                match lane.take() {
                    Taken::Job(job) => return Some(job),
                    Taken::Stale(_) => {}
                    Taken::Nothing => return None,
                }
            }
        });
        let Some(job) = job else { return };
        this.enter();
        job.run();
        this.leave();
        Offload::with(this, Lane::give_place);
    }

    fn enter(&self) {
        let inside = self.inside.fetch_add(1, Ordering::SeqCst) + 1;
        assert!(inside <= self.limit, "{inside} have a place");
    }

    fn leave(&self) {
        self.inside.fetch_sub(1, Ordering::SeqCst);
    }

    /// What a job does that waits for another.
    fn wait_for(this: &Arc<Offload>, awaited: Job, done: &Bell) {
        this.leave();
        Offload::with(this, |lane| {
            lane.push_urgent(awaited);
            lane.give_place();
        });
        done.wait();
        let bell = Bell::new();
        if !Offload::with(this, |lane| lane.take_place(bell.clone())) {
            bell.wait();
        }
        this.enter();
    }

    fn join(&self) {
        loop {
            let run = self.runs.lock().unwrap().pop();
            let Some(run) = run else { return };
            run.join().unwrap();
        }
    }
}

#[test]
fn offloaded_work_that_waits_for_offloaded_work_has_its_turn() {
    bounded_model(|| {
        let offload = Offload::new(1);
        let done = Bell::new();
        let parent = Job::new({
            let (offload, done) = (offload.clone(), done.clone());
            move || {
                let child_done = Bell::new();
                let its_done = child_done.clone();
                let child = Job::new(move || its_done.ring());
                Offload::with(&offload, |lane| lane.push(child.clone()));
                Offload::wait_for(&offload, child, &child_done);
                done.ring();
            }
        });
        Offload::with(&offload, |lane| lane.push(parent));
        done.wait();
        offload.join();
    });
}

#[test]
fn two_callers_offloaded_work_is_all_done_one_at_a_time() {
    bounded_model(|| {
        let offload = Offload::new(1);
        let count = Arc::new(AtomicUsize::new(0));
        let (first, second) = (Bell::new(), Bell::new());
        let job = |done: Arc<Bell>| {
            let count = count.clone();
            Job::new(move || {
                count.fetch_add(1, Ordering::Relaxed);
                done.ring();
            })
        };
        let other = thread::spawn({
            let (offload, job) = (offload.clone(), job(first.clone()));
            move || Offload::with(&offload, |lane| lane.push(job))
        });
        let job = job(second.clone());
        Offload::with(&offload, |lane| lane.push(job));
        first.wait();
        second.wait();
        other.join().unwrap();
        offload.join();
        assert_eq!(count.load(Ordering::Relaxed), 2);
    });
}
