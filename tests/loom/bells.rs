//! What an OS thread waits for, on the kernel's futex. (`bell` is the models' own, with which they
//! park.)
//!
//! Seen to fail: each ordering that is not Relaxed to Relaxed: a race on what was done before the
//! ring. In `ring`, no wake of who waits; in `wait_until`, no look for a ring as the time is over:
//! a deadlock.

use loom::cell::UnsafeCell;
use loom::sync::Arc;
use loom::sync::atomic::{AtomicBool, Ordering};
use loom::thread;

use crate::preemptions::bounded_model;
use crate::primitives::futex;
use crate::with_bells::bell::Bell;

#[derive(Default)]
struct Rung {
    bell: Bell,
    /// What is done before it is rung.
    deed: Deed,
}

struct Deed(UnsafeCell<u32>);

impl Default for Deed {
    fn default() -> Deed {
        Deed(UnsafeCell::new(0))
    }
}

impl Rung {
    fn act_and_ring(&self) {
        // SAFETY: the other one looks when it was rung for; loom finds out whether it does.
        self.deed.0.with_mut(|deed| unsafe { *deed += 1 });
        self.bell.ring();
    }

    fn deed(&self) -> u32 {
        // SAFETY: as above.
        self.deed.0.with(|deed| unsafe { *deed })
    }
}

#[test]
fn who_was_rung_for_goes_on_and_sees_what_was_done_before() {
    loom::model(|| {
        let rung = Arc::new(Rung::default());
        let other = thread::spawn({
            let rung = rung.clone();
            move || rung.act_and_ring()
        });
        rung.bell.wait();
        assert_eq!(rung.deed(), 1);
        other.join().unwrap();
        assert!(!rung.bell.wait_until(0), "it is waited for once");
        rung.bell.ring();
        assert!(rung.bell.wait_until(0));
    });
}

#[test]
fn a_ring_that_comes_as_the_time_is_over_is_heard_then_or_the_next_time() {
    bounded_model(|| {
        let rung = Arc::new(Rung::default());
        let time = thread::spawn(futex::tick);
        let other = thread::spawn({
            let rung = rung.clone();
            move || rung.act_and_ring()
        });
        if !rung.bell.wait_until(1) {
            assert_eq!(futex::now(), 1, "it was given up too early");
            rung.bell.wait();
        }
        assert_eq!(rung.deed(), 1);
        time.join().unwrap();
        other.join().unwrap();
        assert!(!rung.bell.wait_until(0), "it is waited for once");
    });
}

#[test]
fn of_two_who_ring_both_are_heard() {
    bounded_model(|| {
        let bell = Arc::new(Bell::default());
        let said = Arc::new([AtomicBool::new(false), AtomicBool::new(false)]);
        let others = [0, 1].map(|who| {
            let (bell, said) = (bell.clone(), said.clone());
            thread::spawn(move || {
                said[who].store(true, Ordering::Relaxed);
                bell.ring();
            })
        });
        while !said.iter().all(|said| said.load(Ordering::Relaxed)) {
            bell.wait();
        }
        others.into_iter().for_each(|other| other.join().unwrap());
    });
}
