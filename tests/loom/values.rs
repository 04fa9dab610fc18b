//! The slot: one value, once, from whoever decides it to the one who waits.
//!
//! Seen to fail:
//! * `publish`'s fetch_or(READY, AcqRel) to Acquire: `a_value_reaches_who_waits_for_it` reports a
//!   race on the content; to Release: on the waiter.
//! * `register`'s fetch_or(WAITING, AcqRel) to Acquire: the same model reports a race on the waiter.
//! * `begin`'s vacant.store(Release) to Relaxed: `only_one_of_runner_and_canceller_decides`.
//! * in `blocking::block`, a wait that takes any wake for its own:
//!   `a_wait_whose_time_runs_out_as_the_value_comes_ends_once` finds no value; one that looks for an
//!   interruption before it parks and not again: `a_task_that_is_ended_while_it_waits_ends` deadlocks,
//!   and one that looks for it last gives the wrong end there; no care that others run:
//!   `a_wait_whose_time_is_over_lets_others_run_first`.

use loom::sync::Arc;
use loom::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use loom::thread;

use crate::bell::Bell;
use crate::blocking::{Waited, Waits, block};
use crate::counted::{Count, Counted};
use crate::preemptions::{bounded_model, model_with_preemptions};
use crate::{cell, states};

type Slot = cell::Slot<(), Counted, Counted, Arc<Bell>>;

fn resolve(slot: &Slot, value: Counted) -> bool {
    if !slot.decide() {
        return false;
    }
    // SAFETY: `decide` gave true.
    if let Some(waiter) = unsafe { slot.publish(value) } {
        waiter.ring();
    }
    true
}

/// Waits as the library does. Only the one receiver may call it.
fn receive(slot: &Slot) -> Counted {
    // SAFETY: each model has one receiver.
    unsafe {
        let bell = Bell::new();
        if slot.register(bell.clone()) {
            bell.wait();
        }
        slot.take().expect("ready, and taken by nobody else")
    }
}

#[test]
fn a_value_reaches_who_waits_for_it() {
    loom::model(|| {
        let count = Count::new();
        let slot = Arc::new(Slot::new((), 0, count.make(1)));
        let runner = thread::spawn({
            let (slot, value) = (slot.clone(), count.make(2));
            move || {
                let work = slot.begin().expect("nobody else begins");
                assert_eq!(*work.value, 1);
                assert!(resolve(&slot, value));
            }
        });
        assert_eq!(*receive(&slot).value, 2);
        runner.join().unwrap();
        drop(slot);
        assert_eq!(count.dropped(), 2);
    });
}

#[test]
fn only_one_of_runner_and_canceller_decides() {
    bounded_model(|| {
        let count = Count::new();
        let slot = Arc::new(Slot::new((), 0, count.make(0)));
        // The canceller may find that the work is just being moved out: then it is too early for
        // it (the library looks again until it is not), and the runner decides.
        let decides = |value: u32, cancels: bool| {
            let (slot, value) = (slot.clone(), count.make(value));
            thread::spawn(move || {
                let work = slot.begin();
                (cancels || work.is_some()) && resolve(&slot, value)
            })
        };
        let runner = decides(1, false);
        let canceller = decides(2, true);
        let value = *receive(&slot).value;
        let (ran, cancelled) = (runner.join().unwrap(), canceller.join().unwrap());
        assert!(ran ^ cancelled, "exactly one decides");
        assert_eq!(value, if ran { 1 } else { 2 });
        drop(slot);
        assert_eq!(count.dropped(), 3);
    });
}

#[test]
fn of_a_runner_and_two_who_end_it_from_outside_one_decides_and_the_fate_says_which() {
    model_with_preemptions(2, || {
        let count = Count::new();
        let slot = Arc::new(Slot::new((), 0, count.make(0)));
        let ends = |fate: u8| {
            let (slot, value) = (slot.clone(), count.make(u32::from(fate)));
            thread::spawn(move || {
                if !slot.discard_work(fate) {
                    return false;
                }
                // If it is too early, as above, the runner decides.
                let decides = slot.decide_for_it(fate);
                if decides {
                    // SAFETY: `decide_for_it` gave true.
                    drop(unsafe { slot.publish(value) });
                }
                decides
            })
        };
        let canceller = ends(states::CANCELLED);
        let shutdown = ends(states::SHUT_DOWN);
        let value = count.make(0);
        let ran = match slot.begin() {
            Some(work) => {
                drop(work);
                resolve(&slot, value)
            }
            None => {
                drop(value);
                false
            }
        };
        let (cancelled, shut_down) = (canceller.join().unwrap(), shutdown.join().unwrap());
        assert_eq!(u8::from(ran) + u8::from(cancelled) + u8::from(shut_down), 1);
        let fate = if ran {
            0
        } else if cancelled {
            states::CANCELLED
        } else {
            states::SHUT_DOWN
        };
        assert_eq!(slot.fate(), fate);
        // SAFETY: this is the one receiver.
        assert_eq!(*unsafe { slot.take() }.expect("decided").value, u32::from(fate));
        drop(slot);
        assert_eq!(count.dropped(), 4);
    });
}

#[test]
fn a_wait_that_times_out_withdraws_its_waiter_or_finds_the_value() {
    loom::model(|| {
        let count = Count::new();
        let slot = Arc::new(Slot::new((), 0, count.make(1)));
        let runner = thread::spawn({
            let (slot, value) = (slot.clone(), count.make(2));
            move || {
                drop(slot.begin());
                assert!(resolve(&slot, value));
            }
        });
        // SAFETY: this is the one receiver.
        unsafe {
            if slot.register(Bell::new()) && slot.unregister() {
                // Timed out; a second wait must work as the first.
                assert_eq!(*receive(&slot).value, 2);
            } else {
                assert_eq!(*slot.take().expect("register or unregister said ready").value, 2);
            }
        }
        runner.join().unwrap();
        drop(slot);
        assert_eq!(count.dropped(), 2);
    });
}

#[test]
fn a_value_that_nobody_takes_is_dropped_once() {
    loom::model(|| {
        let count = Count::new();
        let slot = Arc::new(Slot::new((), 0, count.make(1)));
        let runner = thread::spawn({
            let (slot, value) = (slot.clone(), count.make(2));
            move || {
                drop(slot.begin());
                assert!(resolve(&slot, value));
            }
        });
        // SAFETY: this is the one receiver.
        unsafe { slot.register(Bell::new()) };
        drop(slot);
        runner.join().unwrap();
        assert_eq!(count.dropped(), 2);
    });
}

/// A green thread whose wait has a time, and may be ended from outside.
struct Waiting {
    parking: Arc<Bell>,
    is_interrupted: AtomicBool,
    is_time_over: AtomicBool,
    yields: AtomicUsize,
}

impl Waiting {
    fn new() -> Arc<Waiting> {
        Arc::new(Waiting {
            parking: Bell::new(),
            is_interrupted: AtomicBool::new(false),
            is_time_over: AtomicBool::new(false),
            yields: AtomicUsize::new(0),
        })
    }
}

impl Waits for Waiting {
    fn is_interrupted(&self) -> bool {
        // As `Green::is_interrupted`.
        self.is_interrupted.load(Ordering::Acquire)
    }

    fn is_time_over(&self) -> bool {
        self.is_time_over.load(Ordering::Relaxed)
    }

    fn yield_now(&self) {
        self.yields.fetch_add(1, Ordering::Relaxed);
        thread::yield_now();
    }

    fn park(&self) {
        self.parking.wait();
    }
}

#[test]
fn a_wait_whose_time_runs_out_as_the_value_comes_ends_once() {
    bounded_model(|| {
        let count = Count::new();
        let slot = Arc::new(Slot::new((), 0, count.make(1)));
        let waiting = Waiting::new();
        let runner = thread::spawn({
            let (slot, value) = (slot.clone(), count.make(2));
            move || {
                drop(slot.begin());
                assert!(resolve(&slot, value));
            }
        });
        let hub = thread::spawn({
            let waiting = waiting.clone();
            move || {
                waiting.is_time_over.store(true, Ordering::Relaxed);
                waiting.parking.ring();
            }
        });
        // SAFETY: this is the one receiver.
        unsafe {
            let parking = &waiting.parking;
            if slot.register(parking.clone())
                && block(&*waiting, || slot.is_ready()) == Waited::TimedOut
                && slot.unregister()
                && slot.register(parking.clone())
            {
                // It waits again, for as long as it takes: a wake that was meant for the first wait
                // may come now.
                assert_eq!(block(&**parking, || slot.is_ready()), Waited::Ready);
            }
            assert_eq!(*slot.take().expect("some wait said so").value, 2);
        }
        runner.join().unwrap();
        hub.join().unwrap();
        drop(slot);
        assert_eq!(count.dropped(), 2);
    });
}

#[test]
fn a_task_that_is_ended_while_it_waits_ends() {
    bounded_model(|| {
        let count = Count::new();
        let slot = Arc::new(Slot::new((), 0, count.make(1)));
        let waiting = Waiting::new();
        // SAFETY: this is the one receiver.
        assert!(unsafe { slot.register(waiting.parking.clone()) });
        let runner = thread::spawn({
            let (slot, value) = (slot.clone(), count.make(2));
            move || {
                drop(slot.begin());
                assert!(resolve(&slot, value));
            }
        });
        let canceller = thread::spawn({
            let waiting = waiting.clone();
            move || {
                waiting.is_interrupted.store(true, Ordering::Release);
                waiting.parking.ring();
            }
        });
        // It waits for more than the value that comes.
        assert_eq!(block(&*waiting, || false), Waited::Interrupted);
        runner.join().unwrap();
        canceller.join().unwrap();
        // So does one that has nothing to wait for.
        assert_eq!(block(&*waiting, || true), Waited::Interrupted);
        drop(slot);
    });
}

#[test]
fn a_wait_whose_time_is_over_lets_others_run_first() {
    loom::model(|| {
        let waiting = Waiting::new();
        waiting.is_time_over.store(true, Ordering::Relaxed);
        assert_eq!(block(&*waiting, || false), Waited::TimedOut);
        assert_eq!(waiting.yields.load(Ordering::Relaxed), 1);
    });
}
