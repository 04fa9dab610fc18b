//! A condition variable: those who wait for a notification, and the lock that they let go of.
//!
//! Seen to fail, in `Condition`: unlocked before the list is entered:
//! `what_is_notified_under_the_lock_is_not_missed` deadlocks; a notification that is kept by who
//! unwinds, or one who gives up and stays listed:
//! `a_notification_of_one_who_gives_up_is_the_next_one_s` does, and the latter finds a wait that
//! timed out though it was notified in `a_wait_times_out_or_is_notified`.

use loom::sync::{Arc, Mutex};
use loom::thread;

use crate::bell::Bell;
use crate::condition::Condition;
use crate::preemptions::bounded_model;
use crate::{primitives, wait_list};

/// A condition variable, and how often what is waited for is there.
struct Shared {
    condition: Condition<Arc<Bell>>,
    there: Mutex<u32>,
}

/// How a wait ends, at the latest.
#[derive(Clone, Copy, PartialEq)]
enum Patience {
    Endless,
    /// It looks once: when that is, is up to loom.
    TimeOut,
    /// The same; then it unwinds.
    Cancel,
}

impl Shared {
    fn new() -> Arc<Shared> {
        let waiting = primitives::Mutex::new(wait_list::WaitList::new());
        Arc::new(Shared { condition: Condition::of(waiting), there: Mutex::new(0) })
    }

    fn notify_one(&self) -> bool {
        self.condition.notify_one(|bell| bell.ring())
    }

    fn put(&self) {
        *self.there.lock().unwrap() += 1;
        self.notify_one();
    }

    /// `Condvar::wait_while`. None if it unwinds; false if its time is over.
    fn take(&self, patience: Patience) -> Option<bool> {
        let bell = Bell::new();
        let mut guard = Some(self.there.lock().unwrap());
        while guard.as_deref() == Some(&0) {
            let locked = std::cell::Cell::new(guard.take());
            let (ended, was_notified) = self.condition.wait(
                bell.clone(),
                || drop(locked.take()),
                |is_over| {
                    match patience {
                        Patience::Endless => {
                            while !is_over() {
                                bell.wait();
                            }
                        }
                        Patience::TimeOut => thread::yield_now(),
                        // It has looked, and then is ended.
                        Patience::Cancel => return Err(is_over()),
                    }
                    Ok(())
                },
                || locked.set(Some(self.there.lock().unwrap())),
                |bell| bell.ring(),
            );
            guard = locked.take();
            ended.ok()?;
            if !was_notified {
                return Some(false);
            }
        }
        *guard.expect("it is locked again") -= 1;
        Some(true)
    }
}

#[test]
fn what_is_notified_under_the_lock_is_not_missed() {
    bounded_model(|| {
        let shared = Shared::new();
        let takers = [0; 2].map(|_| {
            let shared = shared.clone();
            thread::spawn(move || shared.take(Patience::Endless))
        });
        shared.put();
        shared.put();
        assert_eq!(takers.map(|taker| taker.join().unwrap()), [Some(true); 2]);
        assert_eq!(*shared.there.lock().unwrap(), 0);
    });
}

#[test]
fn a_notification_of_one_who_gives_up_is_the_next_one_s() {
    bounded_model(|| {
        let shared = Shared::new();
        let hasty = thread::spawn({
            let shared = shared.clone();
            move || shared.take(Patience::Cancel)
        });
        let patient = thread::spawn({
            let shared = shared.clone();
            move || shared.take(Patience::Endless)
        });
        shared.put();
        if hasty.join().unwrap() == Some(true) {
            // It came first, and has taken it.
            shared.put();
        }
        assert_eq!(patient.join().unwrap(), Some(true));
    });
}

#[test]
fn a_wait_times_out_or_is_notified() {
    bounded_model(|| {
        let shared = Shared::new();
        let waiter = thread::spawn({
            let shared = shared.clone();
            move || shared.take(Patience::TimeOut)
        });
        *shared.there.lock().unwrap() += 1;
        let somebody_waited = shared.notify_one();
        let taken = waiter.join().unwrap().unwrap();
        assert!(taken || !somebody_waited, "it was notified, and says that its time was over");
        // Whoever gave up is off the list.
        assert!(!shared.notify_one());
    });
}

#[test]
fn all_who_wait_are_notified() {
    bounded_model(|| {
        let shared = Shared::new();
        let takers = [0; 2].map(|_| {
            let shared = shared.clone();
            thread::spawn(move || shared.take(Patience::Endless))
        });
        *shared.there.lock().unwrap() += 2;
        shared.condition.notify_all(|bell| bell.ring());
        assert_eq!(takers.map(|taker| taker.join().unwrap()), [Some(true); 2]);
    });
}
