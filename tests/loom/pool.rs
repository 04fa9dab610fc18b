//! The backlog, and the runners that it is fed to.
//!
//! Seen to fail: in `Backlog::help`, no standby for work that was left behind, and in
//! `Backlog::next`, a runner that rests without being listed:
//! `work_is_done_even_if_it_blocks_on_later_work` deadlocks.

use loom::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use loom::sync::{Arc, Mutex};
use loom::thread;

use crate::backlog::{Backlog, Entry, Help, Next};
use crate::bell::Bell;
use crate::preemptions::bounded_model;

/// The pool's hand-over: the backlog under a lock, and runners that rest until they are called.
/// Threads stand for runners, which can do more than runners of one worker can: run in parallel.
struct Pool {
    state: Mutex<(Backlog<Job, Arc<Runner>>, bool)>,
    runners: Mutex<Vec<thread::JoinHandle<()>>>,
}

struct Runner {
    bell: Arc<Bell>,
    dismissed: AtomicBool,
}

type Work = Box<dyn FnOnce() + Send>;

#[derive(Clone)]
pub struct Job {
    claimed: Arc<AtomicBool>,
    work: Arc<Mutex<Option<Work>>>,
}

impl Job {
    pub fn new(work: impl FnOnce() + Send + 'static) -> Job {
        let work: Work = Box::new(work);
        Job { claimed: Arc::new(AtomicBool::new(false)), work: Arc::new(Mutex::new(Some(work))) }
    }

    pub fn run(&self) {
        let work = self.work.lock().unwrap().take();
        work.expect("claimed once, so run once")();
    }
}

impl Entry for Job {
    fn claim(&self) -> bool {
        // As the real one: not one step, for the lock is held.
        let is_first = !self.claimed.load(Ordering::Relaxed);
        self.claimed.store(true, Ordering::Relaxed);
        is_first
    }
}

impl Pool {
    fn new(limit: usize) -> Arc<Pool> {
        Arc::new(Pool {
            state: Mutex::new((Backlog::new(1, limit), false)),
            runners: Mutex::new(Vec::new()),
        })
    }

    fn push(this: &Arc<Pool>, job: Job) {
        let help = {
            let mut state = this.state.lock().unwrap();
            state.0.push(job);
            state.0.help(None)
        };
        Pool::send(this, help);
    }

    fn send(this: &Arc<Pool>, help: Help<Arc<Runner>>) {
        match help {
            Help::None => {}
            Help::Wake(runner) | Help::WakeSoon(runner) => runner.bell.ring(),
            Help::Spawn(_) => {
                let pool = this.clone();
                let runner = thread::spawn(move || Pool::run(&pool));
                this.runners.lock().unwrap().push(runner);
            }
        }
    }

    fn run(this: &Arc<Pool>) {
        let me = Arc::new(Runner { bell: Bell::new(), dismissed: AtomicBool::new(false) });
        let mut standby = true;
        let mut has_place = false;
        loop {
            let mut state = this.state.lock().unwrap();
            if std::mem::take(&mut has_place) && state.0.is_limited() {
                assert!(state.0.give_place().is_none(), "nobody returns in these models");
            }
            match state.0.next(0, &mut standby, &me) {
                Next::Run(job) => {
                    let help = state.0.help(Some(0));
                    drop(state);
                    Pool::send(this, help);
                    job.run();
                    has_place = true;
                }
                Next::Skip(_) => {}
                Next::Call(_) => unreachable!("nobody returns in these models"),
                Next::Yield => {
                    drop(state);
                    thread::yield_now();
                }
                Next::Rest => {
                    if state.1 && state.0.no_rest(0, 0) {
                        return;
                    }
                    drop(state);
                    me.bell.wait();
                    if me.dismissed.load(Ordering::Relaxed) {
                        return;
                    }
                    standby = true;
                }
            }
        }
    }

    fn close(&self) {
        let idle = {
            let mut state = self.state.lock().unwrap();
            state.1 = true;
            state.0.drain_idle()
        };
        for runner in idle {
            runner.dismissed.store(true, Ordering::Relaxed);
            runner.bell.ring();
        }
        loop {
            let runner = self.runners.lock().unwrap().pop();
            let Some(runner) = runner else { return };
            runner.join().unwrap();
        }
    }
}

#[test]
fn work_is_done_even_if_it_blocks_on_later_work() {
    bounded_model(|| {
        let pool = Pool::new(usize::MAX);
        let done = Bell::new();
        let later = Bell::new();
        Pool::push(
            &pool,
            Job::new({
                let (done, later) = (done.clone(), later.clone());
                move || {
                    later.wait();
                    done.ring();
                }
            }),
        );
        Pool::push(&pool, Job::new(move || later.ring()));
        done.wait();
        pool.close();
    });
}

#[test]
fn work_that_is_added_while_a_runner_goes_to_rest_is_done() {
    bounded_model(|| {
        let pool = Pool::new(1);
        let done = Bell::new();
        for _ in 0..2 {
            let its_done = done.clone();
            Pool::push(&pool, Job::new(move || its_done.ring()));
            done.wait();
        }
        pool.close();
    });
}

#[test]
fn two_callers_work_is_all_done() {
    bounded_model(|| {
        let pool = Pool::new(usize::MAX);
        let count = Arc::new(AtomicUsize::new(0));
        let job = || {
            let count = count.clone();
            Job::new(move || {
                count.fetch_add(1, Ordering::Relaxed);
            })
        };
        let other = thread::spawn({
            let (pool, job) = (pool.clone(), job());
            move || Pool::push(&pool, job)
        });
        Pool::push(&pool, job());
        other.join().unwrap();
        // Closed while work waits: it is done before the runners end.
        pool.close();
        assert_eq!(count.load(Ordering::Relaxed), 2);
    });
}
