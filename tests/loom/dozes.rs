//! The watch that goes to sleep while no worker works, and is woken by the first that does.
//!
//! Seen to fail: in `doze`, no second look, or one before it is said that the watch dozes:
//! `a_worker_that_begins_wakes_the_watch_or_is_seen` deadlocks.

use loom::sync::atomic::AtomicBool;
use loom::sync::{Arc, Mutex};
use loom::thread;

use crate::bell::Bell;
use crate::doze;
use crate::preemptions::bounded_model;

/// The watchdog's thread and the workers as far as that goes: `look` and `rouse` of the watchdog,
/// with a bell for what it waits for.
struct Watched {
    dozes: AtomicBool,
    roused: Arc<Bell>,
    /// Of each worker: it sleeps in its selector. In place of the kernel, which tells the watch and
    /// puts to sleep and wakes the worker under a lock of its own, too.
    sleeps: [Mutex<bool>; 2],
}

impl Watched {
    fn look(&self) -> Option<()> {
        self.sleeps.iter().any(|sleeps| !*sleeps.lock().unwrap()).then_some(())
    }

    fn begin(&self, worker: usize) {
        *self.sleeps[worker].lock().unwrap() = false;
        if doze::is_to_be_woken(&self.dozes) {
            self.roused.ring();
        }
    }

    fn rest(&self, worker: usize) {
        *self.sleeps[worker].lock().unwrap() = true;
    }
}

#[test]
fn a_worker_that_begins_wakes_the_watch_or_is_seen() {
    bounded_model(|| {
        let watched = Arc::new(Watched {
            dozes: AtomicBool::new(false),
            roused: Bell::new(),
            sleeps: [Mutex::new(true), Mutex::new(true)],
        });
        let workers: Vec<_> = [0, 1]
            .map(|worker| {
                let watched = watched.clone();
                thread::spawn(move || {
                    watched.begin(worker);
                    // One has little to do; the other is at it for good.
                    if worker == 0 {
                        watched.rest(worker);
                    }
                })
            })
            .into();
        while doze::doze(&watched.dozes, || watched.look()).is_none() {
            watched.roused.wait();
        }
        workers.into_iter().for_each(|worker| worker.join().unwrap());
        assert!(watched.look().is_some());
    });
}
