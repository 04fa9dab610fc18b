//! A job that is ended while it runs: whoever runs it hears of it, and nobody else.
//!
//! Seen to fail: in `Roster::interrupt`, the hint not set, and in the runner, which is mirrored,
//! the work taken before the job is entered as running:
//! `a_job_that_is_ended_while_it_waits_waits_no_longer` deadlocks.

use loom::sync::Arc;
use loom::thread;

use crate::bell::Bell;
use crate::blocking::{Waited, Waits, block};
use crate::preemptions::bounded_model;
use crate::primitives::Mutex;
use crate::roster::{Hint, Roster, Runner};
use crate::{cell, states};

/// Its header is its number.
type Job = cell::Slot<u32, (), (), Arc<Bell>>;

/// A runner as far as interruptions go.
struct Green {
    hint: Hint,
    parking: Arc<Bell>,
}

impl Runner for Arc<Green> {
    fn hint(&self) -> &Hint {
        &self.hint
    }
}

/// One who waits in a job.
struct Waiting<'a> {
    pool: &'a Pool,
    me: &'a Green,
    number: usize,
}

impl Waits for Waiting<'_> {
    fn is_interrupted(&self) -> bool {
        self.me.hint.is_set() && self.pool.has_ended_job(self.number)
    }

    fn is_time_over(&self) -> bool {
        false
    }

    fn yield_now(&self) {}

    fn park(&self) {
        self.me.parking.wait();
    }
}

struct Pool {
    roster: Mutex<Roster<Arc<Job>, Arc<Green>>>,
}

impl Pool {
    /// `run_jobs`: each job waits for what never comes, or, if it is `quick`, looks once. Gives
    /// which of them were interrupted.
    fn run(&self, me: &Arc<Green>, jobs: Vec<(Arc<Job>, bool)>) -> Vec<u32> {
        let mut interrupted = Vec::new();
        let number = {
            let mut roster = self.roster.lock();
            let number = roster.number();
            roster.enter(number, me.clone());
            number
        };
        for (job, quick) in jobs {
            self.roster.lock().begin(number, job.clone());
            if job.begin().is_some() {
                let me = Waiting { pool: self, me, number };
                if block(&me, || quick) == Waited::Interrupted {
                    interrupted.push(job.header);
                }
                // SAFETY: `begin` gave the work.
                unsafe { job.publish((), drop) };
            }
            let mut roster = self.roster.lock();
            roster.end(number);
            me.hint.clear();
        }
        interrupted
    }

    fn has_ended_job(&self, number: usize) -> bool {
        self.roster.lock().job(number).is_some_and(|job| job.fate() != 0)
    }

    /// `end_all` and `withdraw`.
    fn end(&self, job: &Job, fate: u8) -> bool {
        let Some(_waiter) = job.end(fate) else { return false };
        let told = self.roster.lock().interrupt(|running| running.header == job.header);
        told.iter().for_each(|green| green.parking.ring());
        true
    }
}

#[test]
fn a_job_that_is_ended_while_it_waits_waits_no_longer() {
    bounded_model(|| {
        let pool = Arc::new(Pool { roster: Mutex::new(Roster::new()) });
        let [first, second] = [1, 2].map(|number| Arc::new(Job::new(number, 0, ())));
        let ends = |fate| {
            let (pool, first) = (pool.clone(), first.clone());
            thread::spawn(move || pool.end(&first, fate))
        };
        let enders = [ends(states::CANCELLED), ends(states::TIMED_OUT)];
        let me = Arc::new(Green { hint: Hint::new(), parking: Bell::new() });
        let interrupted = pool.run(&me, vec![(first.clone(), false), (second.clone(), true)]);
        // Or it was ended before it began.
        assert!(interrupted.is_empty() || interrupted == [1]);
        assert!(!me.hint.is_set());
        let ended = enders.map(|ender| ender.join().unwrap());
        assert!(ended[0] ^ ended[1]);
        let fate = if ended[0] { states::CANCELLED } else { states::TIMED_OUT };
        assert_eq!((first.fate(), second.fate()), (fate, 0));
    });
}
