//! The crew that runs what is offloaded, with loom's threads.
//!
//! Seen to fail, in `Crew`: a thread that ends though it is called, or is still listed as idle; no
//! share given back, or nobody told of it who returns; what is queued before who returns; a share
//! beyond the limit. And if the system refuses a thread: its share kept, the work queued though
//! nobody is there to do it, or done without a share; and one that is spawned without the lock.

use std::cell::Cell;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use loom::sync::atomic::{AtomicUsize, Ordering};
use loom::thread;

use crate::bell::Bell;
use crate::preemptions::{bounded_model, model_with_preemptions};
use crate::primitives::futex;
use crate::with_bells::crew::{Crew, Refused, Seat};

/// As `Threads`, but that it is told which threads the system refuses, and looks on.
struct Threads {
    crew: Crew<Work>,
    limit: usize,
    /// Of each thread that is asked for: it is refused. Those that are not told of are there.
    refused: Mutex<VecDeque<bool>>,
    spawned: Mutex<Vec<thread::JoinHandle<()>>>,
    at_work: AtomicUsize,
    /// How many works were begun.
    begun: AtomicUsize,
}

type Work = Box<dyn FnOnce(&Own) + Send>;

/// What is thread-local in the library.
struct Own {
    threads: Arc<Threads>,
    seat: Arc<Seat<Work>>,
}

impl Threads {
    fn new(limit: usize, refused: impl IntoIterator<Item = bool>) -> Arc<Threads> {
        Arc::new(Threads {
            crew: Crew::new(limit),
            limit,
            refused: Mutex::new(refused.into_iter().collect()),
            spawned: Mutex::new(Vec::new()),
            at_work: AtomicUsize::new(0),
            begun: AtomicUsize::new(0),
        })
    }

    /// Gives false if the work was given back.
    fn submit(self: &Arc<Threads>, work: impl FnOnce(&Own) + Send + 'static) -> bool {
        let submitted = self.crew.submit(Box::new(work), |seat| self.spawn(seat));
        !matches!(submitted, Err(Refused::Work(..)))
    }

    /// A work that submits another one, and waits for that. Gives what it rings when it has.
    fn submit_parent(self: &Arc<Threads>) -> loom::sync::Arc<Bell> {
        let done = Bell::new();
        let rings = done.clone();
        let is_taken = self.submit(move |own| {
            let child_done = Bell::new();
            let child_rings = child_done.clone();
            own.threads.submit(move |_| child_rings.ring());
            own.wait(|| child_done.wait());
            rings.ring();
        });
        assert!(is_taken);
        done
    }

    fn spawn(self: &Arc<Threads>, seat: Arc<Seat<Work>>) -> Result<(), ()> {
        if self.refused.lock().unwrap().pop_front().unwrap_or(false) {
            return Err(());
        }
        let own = Own { threads: self.clone(), seat };
        let spawned = thread::spawn(move || own.serve());
        self.spawned.lock().unwrap().push(spawned);
        Ok(())
    }

    fn enter(&self) {
        let at_work = self.at_work.fetch_add(1, Ordering::SeqCst) + 1;
        assert!(at_work <= self.limit, "{at_work} at a moment");
    }

    fn leave(&self) {
        self.at_work.fetch_sub(1, Ordering::SeqCst);
    }

    /// How many works were run, once all threads have ended.
    fn join(&self) -> usize {
        futex::tick();
        loop {
            let spawned = self.spawned.lock().unwrap().pop();
            let Some(spawned) = spawned else { break };
            spawned.join().unwrap();
        }
        assert_eq!(self.at_work.load(Ordering::Relaxed), 0);
        self.begun.load(Ordering::Relaxed)
    }
}

impl Own {
    fn serve(&self) {
        let has_waited = Cell::new(false);
        let run = |work: Work| {
            has_waited.set(false);
            self.run(work);
        };
        // Each waits until the clock is turned. From then on it does not wait at all: so who must
        // not end lets others run.
        let patience = || {
            if has_waited.replace(true) {
                thread::yield_now();
            }
            1
        };
        self.threads.crew.serve(&self.seat, run, patience);
    }

    fn run(&self, work: Work) {
        self.threads.enter();
        self.threads.begun.fetch_add(1, Ordering::Relaxed);
        work(self);
        self.threads.leave();
    }

    /// What a work does that waits.
    fn wait(&self, wait: impl FnOnce()) {
        self.threads.leave();
        while let Err(Refused::Work(work, ())) =
            self.threads.crew.lend(&self.seat, |seat| self.threads.spawn(seat))
        {
            self.run(work);
        }
        wait();
        self.threads.crew.take_share(&self.seat);
        self.threads.enter();
    }
}

#[test]
fn work_that_comes_as_a_thread_goes_idle_or_ends_is_run_once() {
    bounded_model(|| {
        let threads = Threads::new(1, []);
        let time = thread::spawn(futex::tick);
        let (first, second) = (Bell::new(), Bell::new());
        for done in [&first, &second] {
            let done = done.clone();
            assert!(threads.submit(move |_| done.ring()));
        }
        second.wait();
        first.wait();
        time.join().unwrap();
        assert_eq!(threads.join(), 2);
    });
}

#[test]
fn no_more_than_the_limit_are_at_work_though_one_lends_its_share_and_takes_it_again() {
    bounded_model(|| {
        let threads = Threads::new(1, []);
        let done = threads.submit_parent();
        threads.submit(|_| ());
        done.wait();
        assert_eq!(threads.join(), 3);
    });
}

#[test]
fn who_returns_has_a_share_before_what_is_queued() {
    model_with_preemptions(2, || {
        let threads = Threads::new(1, []);
        let child_done = Bell::new();
        let rings = child_done.clone();
        let child = move |own: &Own| {
            rings.ring();
            // The parent waits for its share then.
            while futex::sleepers() == 0 {
                thread::yield_now();
            }
            own.threads.submit(|_| ());
        };
        threads.submit(move |own| {
            own.threads.submit(child);
            own.wait(|| child_done.wait());
            assert_eq!(own.threads.begun.load(Ordering::Relaxed), 2, "what was queued went first");
        });
        assert_eq!(threads.join(), 3);
    });
}

#[test]
fn work_is_run_or_given_back_though_the_first_threads_are_refused() {
    for refused in 1..=2 {
        bounded_model(move || {
            let threads = Threads::new(1, vec![true; refused]);
            let other = thread::spawn({
                let threads = threads.clone();
                move || threads.submit(|_| ())
            });
            let mut taken = usize::from(threads.submit(|_| ()));
            taken += usize::from(other.join().unwrap());
            assert_eq!(taken, 2 - refused);
            assert_eq!(threads.join(), taken);
        });
    }
}

#[test]
fn work_is_run_by_others_or_given_back_though_another_thread_is_refused() {
    bounded_model(|| {
        let threads = Threads::new(2, [false, true]);
        let time = thread::spawn(futex::tick);
        assert!(threads.submit(|_| ()));
        let taken = 1 + usize::from(threads.submit(|_| ()));
        time.join().unwrap();
        assert_eq!(threads.join(), taken);
    });
}

#[test]
fn who_returns_goes_on_though_a_thread_that_its_share_went_to_is_refused() {
    bounded_model(|| {
        let threads = Threads::new(1, [false, true]);
        let lent = Bell::new();
        let lends = lent.clone();
        threads.submit(move |own| own.wait(|| lends.ring()));
        lent.wait();
        let taken = 1 + usize::from(threads.submit(|_| ()));
        assert_eq!(threads.join(), taken);
    });
}

#[test]
fn who_waits_for_work_that_gets_no_thread_does_it_itself() {
    for limit in [1, 2] {
        bounded_model(move || {
            let threads = Threads::new(limit, [false, true, true, true, true]);
            let done = threads.submit_parent();
            let taken = 2 + usize::from(threads.submit(|_| ()));
            done.wait();
            assert_eq!(threads.join(), taken);
        });
    }
}
