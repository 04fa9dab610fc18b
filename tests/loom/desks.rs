//! The desk of the watchdog's thread: deadlines and rouses that come while it goes to sleep.
//!
//! Seen to fail, in `Desk`: `enter` that does not ring, or not for what is earlier; `rouse` that
//! does not ring; `sleep` that says until when only after it has let go of the lock, that sleeps
//! with the rouse that it took, or until the later of two times: a deadlock.

use loom::sync::Arc;
use loom::thread;

use crate::preemptions::bounded_model;
use crate::primitives::{AtomicU32, Mutex, futex};
use crate::with_bells::bell::{Bell, SILENT};
use crate::with_bells::desk::{Desk, Entries};

fn desk() -> Arc<Desk<&'static str>> {
    Arc::new(Desk::of(Mutex::new(Entries::new()), Bell(AtomicU32::new(SILENT))))
}

/// The thread, until one round has something due.
fn until_due(desk: &Desk<&'static str>) -> (u64, Vec<&'static str>) {
    loop {
        let round = desk.sleep(None, futex::now);
        assert!(!round.roused);
        if !round.due.is_empty() {
            return (round.now, round.due);
        }
    }
}

#[test]
fn a_deadline_is_not_missed_though_it_is_entered_as_the_thread_goes_to_sleep() {
    bounded_model(|| {
        let desk = desk();
        let time = thread::spawn(futex::tick);
        let other = thread::spawn({
            let desk = desk.clone();
            move || desk.enter(1, "first")
        });
        assert_eq!(until_due(&desk), (1, vec!["first"]));
        time.join().unwrap();
        other.join().unwrap();
    });
}

#[test]
fn an_earlier_deadline_wakes_the_thread_before_a_later_one() {
    bounded_model(|| {
        let desk = desk();
        desk.enter(2, "second");
        let other = thread::spawn({
            let desk = desk.clone();
            move || {
                desk.enter(1, "first");
                futex::tick();
            }
        });
        assert_eq!(until_due(&desk), (1, vec!["first"]));
        futex::tick();
        assert_eq!(until_due(&desk), (2, vec!["second"]));
        other.join().unwrap();
    });
}

#[test]
fn what_is_withdrawn_is_not_reported_and_all_else_is() {
    bounded_model(|| {
        let desk = desk();
        let key = desk.enter(1, "withdrawn");
        desk.enter(1, "due");
        let other = thread::spawn({
            let desk = desk.clone();
            move || desk.withdraw(key)
        });
        let time = thread::spawn(futex::tick);
        let (_, due) = until_due(&desk);
        time.join().unwrap();
        match other.join().unwrap() {
            Some(_) => assert_eq!(due, ["due"]),
            None => assert_eq!(due, ["withdrawn", "due"]),
        }
    });
}

#[test]
fn who_rouses_the_thread_is_heard_whatever_it_sleeps_until() {
    bounded_model(|| {
        let desk = desk();
        desk.enter(2, "due");
        let rouses = thread::spawn({
            let desk = desk.clone();
            move || desk.rouse()
        });
        let time = thread::spawn(futex::tick);
        let (mut roused, mut due) = (0, 0);
        let mut look_at = Some(1);
        while roused == 0 || due == 0 || look_at.is_some() {
            let round = desk.sleep(look_at, futex::now);
            roused += usize::from(round.roused);
            due += round.due.len();
            if look_at.take_if(|at| *at <= round.now).is_some() {
                // Only now is the other one due.
                futex::tick();
            }
        }
        assert_eq!((roused, due), (1, 1));
        rouses.join().unwrap();
        time.join().unwrap();
    });
}
