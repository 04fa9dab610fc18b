//! The hub's timers: its timerfd is armed for the earliest of them, and a letter that is to wake it
//! before long sets the same timerfd.
//!
//! Seen to fail: in `Armed`, `arm` that keeps what was armed before, or `comes_too_late` that asks
//! for later instead of earlier ones: a sleeper is never woken. In `Inbox::round`, no look at the
//! mail after arming: the letter is not read.

use std::cell::RefCell;

use loom::sync::{Arc, Condvar, Mutex};
use loom::thread;

use crate::armed::Armed;
use crate::inbox::Inbox;
use crate::preemptions::bounded_model;
use crate::sleepers::Timers;

/// The timerfd, and the clock that it goes by.
struct Clock {
    state: Mutex<Ticking>,
    changed: Condvar,
}

#[derive(Default)]
struct Ticking {
    now: u64,
    fires_at: Option<u64>,
}

impl Clock {
    fn now(&self) -> u64 {
        self.state.lock().unwrap().now
    }

    fn tick(&self) {
        self.state.lock().unwrap().now += 1;
        self.changed.notify_one();
    }

    fn set(&self, at: u64) {
        self.state.lock().unwrap().fires_at = Some(at);
        self.changed.notify_one();
    }

    /// The selector.
    fn wait(&self) {
        let mut state = self.state.lock().unwrap();
        while state.fires_at.is_none_or(|at| at > state.now) {
            state = self.changed.wait(state).unwrap();
        }
        state.fires_at = None;
    }
}

struct Hub {
    clock: Clock,
    inbox: Inbox<&'static str>,
    armed: Armed,
}

impl Hub {
    /// The worker: green threads that sleep until these times, each until one after another of its
    /// own, and the hub between them. Until all have slept and a letter was read.
    fn work(&self, mut sleeps: Vec<Vec<u64>>) {
        let timers = RefCell::new(Timers::new());
        let mut ready: Vec<usize> = (0..sleeps.len()).collect();
        let mut letters = 0;
        let mut may_wait = true;
        loop {
            for sleeper in ready.drain(..) {
                if let Some(deadline) = sleeps[sleeper].pop() {
                    timers.borrow_mut().insert(deadline, sleeper);
                    // `set_timer`: the hub is woken by its waker.
                    may_wait &= !self.armed.comes_too_late(deadline);
                }
            }
            if timers.borrow().next().is_none() && letters > 0 {
                return;
            }
            if may_wait {
                self.clock.wait();
            }
            may_wait = self.inbox.round(
                |read| {
                    letters += read.len();
                    let now = self.clock.now();
                    ready.extend(std::iter::from_fn(|| timers.borrow_mut().pop_due(now)));
                },
                || {
                    if let Some(next) = self.armed.arm(timers.borrow().next()) {
                        self.clock.set(next);
                    }
                },
            );
        }
    }
}

#[test]
fn every_sleeper_is_woken_and_every_letter_read() {
    bounded_model(|| {
        let hub = Arc::new(Hub {
            clock: Clock { state: Mutex::new(Ticking::default()), changed: Condvar::new() },
            inbox: Inbox::new(),
            armed: Armed::new(),
        });
        let time = thread::spawn({
            let hub = hub.clone();
            move || (0..3).for_each(|_| hub.clock.tick())
        });
        let other = thread::spawn({
            let hub = hub.clone();
            move || {
                if hub.inbox.post_for_later("run this") {
                    hub.clock.set(0);
                }
            }
        });
        // The later one of each first, for they are popped from the end.
        hub.work(vec![vec![2], vec![3, 1]]);
        time.join().unwrap();
        other.join().unwrap();
    });
}
