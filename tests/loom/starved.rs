//! The quota of green threads, and who is refused one.
//!
//! Seen to fail: in `Quota`, either fence left out, and in `list`, a look at `most_at_ease` whoever
//! asks: `who_is_refused_a_green_thread_is_asked_again_when_one_ends` deadlocks. A look after a
//! while that lets the next one believe that there will be another: one of
//! `who_had_no_memory_is_asked_again_later` never is.

use loom::sync::{Arc, Mutex};
use loom::thread;

use crate::bell::Bell;
use crate::preemptions::bounded_model;
use crate::quota::Quota;

/// A pool as far as green threads are concerned that it can't have: `Pool::bring` and
/// `Pool::relieve`, with the real quota.
struct Hungry {
    quota: Quota<Arc<Hungry>>,
    /// Stands for all that is under the pool's lock.
    state: Mutex<State>,
    served: Arc<Bell>,
    is_waited_for: bool,
}

struct State {
    /// It needs a green thread.
    needs_one: bool,
    is_listed: bool,
}

impl Hungry {
    fn bring(this: &Arc<Hungry>) {
        let relieved = Hungry::muster(this, &mut this.state.lock().unwrap());
        Hungry::relieve(relieved);
    }

    fn muster(this: &Arc<Hungry>, state: &mut State) -> Vec<Arc<Hungry>> {
        if !state.needs_one {
            return Vec::new();
        }
        if this.quota.reserve(this.is_waited_for) {
            state.needs_one = false;
            this.served.ring();
            return Vec::new();
        }
        if std::mem::replace(&mut state.is_listed, true) {
            return Vec::new();
        }
        this.quota.list(this.clone(), this.is_waited_for)
    }

    /// The hub does it later: so not under the lock.
    fn relieve(relieved: Vec<Arc<Hungry>>) {
        for pool in relieved {
            let relieved = {
                let mut state = pool.state.lock().unwrap();
                state.is_listed = false;
                Hungry::muster(&pool, &mut state)
            };
            Hungry::relieve(relieved);
        }
    }
}

#[test]
fn who_is_refused_a_green_thread_is_asked_again_when_one_ends() {
    for (is_waited_for, others) in [(false, 0), (true, 0), (false, 1), (true, 1)] {
        bounded_model(move || {
            let quota = Quota::new(2, 1);
            // All that it may have are there, and one ends.
            for _ in 0..if is_waited_for { 2 } else { 1 } {
                assert!(quota.reserve(true));
            }
            let pool = Arc::new(Hungry {
                quota,
                state: Mutex::new(State { needs_one: true, is_listed: false }),
                served: Bell::new(),
                is_waited_for,
            });
            let ends = thread::spawn({
                let pool = pool.clone();
                move || Hungry::relieve(pool.quota.release())
            });
            // While another job of the pool asks for the same, or not.
            let others: Vec<_> = (0..others)
                .map(|_| {
                    let pool = pool.clone();
                    thread::spawn(move || Hungry::bring(&pool))
                })
                .collect();
            Hungry::bring(&pool);
            pool.served.wait();
            ends.join().unwrap();
            others.into_iter().for_each(|other| other.join().unwrap());
            // Who is listed still is its own owner.
            drop(pool.quota.release());
        });
    }
}

/// Two pools for which there is no memory until the first one is looked after.
struct Poor {
    quota: Quota<usize>,
    has_memory: Mutex<bool>,
    served: [Mutex<bool>; 2],
}

impl Poor {
    fn bring(&self, pool: usize) {
        if *self.has_memory.lock().unwrap() {
            *self.served[pool].lock().unwrap() = true;
        } else if self.quota.list_for_later(pool) {
            // The hub does it, after a while.
            *self.has_memory.lock().unwrap() = true;
            self.quota.look_after().into_iter().for_each(|pool| self.bring(pool));
        }
    }
}

#[test]
fn who_had_no_memory_is_asked_again_later() {
    bounded_model(|| {
        let both = Arc::new(Poor {
            quota: Quota::new(2, 2),
            has_memory: Mutex::new(false),
            served: [Mutex::new(false), Mutex::new(false)],
        });
        let other = thread::spawn({
            let both = both.clone();
            move || both.bring(1)
        });
        both.bring(0);
        other.join().unwrap();
        both.served.iter().for_each(|served| assert!(*served.lock().unwrap()));
    });
}
