//! The hub's inbox, and its timer.
//!
//! Seen to fail: in `Inbox::take`, the flag cleared after the lock is let go of, and in
//! `Inbox::round` no look at `has_mail` after arming: `no_letter_is_left_in_the_hubs_inbox`
//! deadlocks.

use loom::sync::{Arc, Condvar, Mutex};
use loom::thread;

use crate::inbox::Inbox;
use crate::preemptions::bounded_model;

/// As `Hub` in `src/green/hub.rs`, with its `post`, `arm` and `wake` line by line: the inbox is the
/// real one.
struct Hub {
    inbox: Inbox<u32>,
    timer: Timer,
}

/// The timerfd, and the selector that waits for it: told once that it fired, unless it was set to
/// something later before that.
pub struct Timer {
    fires: Mutex<bool>,
    changed: Condvar,
}

impl Timer {
    pub fn new() -> Timer {
        Timer { fires: Mutex::new(false), changed: Condvar::new() }
    }

    pub fn set(&self, fires: bool) {
        *self.fires.lock().unwrap() = fires;
        self.changed.notify_one();
    }

    pub fn wait(&self) {
        let mut fires = self.fires.lock().unwrap();
        while !*fires {
            fires = self.changed.wait(fires).unwrap();
        }
        *fires = false;
    }
}

impl Hub {
    fn new() -> Hub {
        Hub { inbox: Inbox::new(), timer: Timer::new() }
    }

    fn run(&self, letters: usize) -> u32 {
        let mut taken = Vec::new();
        while taken.len() < letters {
            // Armed for some green thread that sleeps for long.
            let arm = || self.timer.set(false);
            let may_wait = self.inbox.round(|letters| taken.extend(letters), arm);
            if may_wait && taken.len() < letters {
                self.timer.wait();
            }
        }
        taken.iter().sum()
    }

    fn post(&self, letter: u32) {
        if self.inbox.post(letter) {
            self.timer.set(true);
        }
    }

    /// It fires after a while, unless the hub sets it to something later.
    fn post_for_later(&self, letter: u32) {
        if self.inbox.post_for_later(letter) {
            self.timer.set(true);
        }
    }
}

#[test]
fn no_letter_is_left_in_the_hubs_inbox() {
    bounded_model(|| {
        let hub = Arc::new(Hub::new());
        let worker = thread::spawn({
            let hub = hub.clone();
            move || hub.run(3)
        });
        let other = thread::spawn({
            let hub = hub.clone();
            move || hub.post_for_later(1)
        });
        hub.post(2);
        hub.post(4);
        other.join().unwrap();
        assert_eq!(worker.join().unwrap(), 7);
    });
}
