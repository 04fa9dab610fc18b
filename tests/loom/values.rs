//! The slot: one value, once, from whoever decides it to the one who waits.
//!
//! Seen to fail:
//! * `publish`'s fetch_or(READY, AcqRel) to Acquire: `a_value_reaches_who_waits_for_it` reports a
//!   race on the content; to Release: on the waiter.
//! * `register`'s fetch_or(WAITING, AcqRel) to Acquire: the same model reports a race on the
//!   waiter.
//! * `publish` that gives no value back when somebody has ended it: in
//!   `of_a_runner_and_two_who_end_it_from_outside_one_decides_and_the_fate_says_which` two decide.
//! * `leave` that only looks: the value stays in the slot in `a_value_that_nobody_takes_…`; a
//!   `publish` that does not look for `GONE` does the same, and one that does not say that it is
//!   taken drops it twice; `leave` that does not acquire: a race on the content.
//! * `discard` that clears nothing: the work is dropped twice in
//!   `what_is_ended_before_it_begins_…`; one that is left to the slot's drop, and forgotten there:
//!   it is never dropped.
//! * in `blocking::block`, a wait that takes any wake for its own:
//!   `a_wait_whose_time_runs_out_as_the_value_comes_ends_once` finds no value; one that looks for
//!   an interruption before it parks and not again: `a_task_that_is_ended_while_it_waits_ends`
//!   deadlocks, and one that looks for it last gives the wrong end there; no care that others run:
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

/// By whoever has the work.
fn resolve(slot: &Slot, value: Counted) -> bool {
    // SAFETY: the caller has it, and does so once.
    unsafe { slot.publish(value, drop) }.is_some_and(wake)
}

fn wake(waiter: Option<Arc<Bell>>) -> bool {
    if let Some(bell) = waiter {
        bell.ring();
    }
    true
}

/// As the one receiver: the value, or how it was ended.
///
/// # Safety
/// As `Slot::take`.
unsafe fn take<F>(slot: &cell::Slot<(), F, Counted, Arc<Bell>>) -> Option<Result<Counted, u8>> {
    let mut fate = 0;
    // SAFETY: the caller's promise.
    let value = unsafe {
        slot.take(|its_fate| {
            fate = its_fate;
            Count::new().make(0)
        })
    }?;
    Some(if fate == 0 { Ok(value) } else { Err(fate) })
}

/// Waits as the library does. Only the one receiver may call it.
fn receive(slot: &Slot) -> Counted {
    // SAFETY: each model has one receiver.
    unsafe {
        let bell = Bell::new();
        if slot.register(bell.clone()) {
            bell.wait();
        }
        take(slot).expect("ready, and taken by nobody else").expect("nobody ends it")
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
fn of_a_runner_and_two_who_end_it_from_outside_one_decides_and_the_fate_says_which() {
    model_with_preemptions(2, || {
        let count = Count::new();
        let slot = Arc::new(Slot::new((), 0, count.make(0)));
        let ends = |fate: u8| {
            let slot = slot.clone();
            thread::spawn(move || slot.end(fate).is_some_and(wake))
        };
        let canceller = ends(states::CANCELLED);
        let shutdown = ends(states::SHUT_DOWN);
        let value = count.make(1);
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
        // SAFETY: this is the one receiver.
        match unsafe { take(&slot) }.expect("decided") {
            Ok(value) => assert!(ran && *value.value == 1),
            Err(fate) if cancelled => assert_eq!(fate, states::CANCELLED),
            Err(fate) => assert!(shut_down && fate == states::SHUT_DOWN),
        }
        drop(slot);
        assert_eq!(count.dropped(), 2);
    });
}

#[test]
fn who_waits_for_what_is_ended_as_its_value_comes_gets_one_of_them() {
    bounded_model(|| {
        let count = Count::new();
        let slot = Arc::new(Slot::new((), 0, count.make(0)));
        let runner = thread::spawn({
            let (slot, value) = (slot.clone(), count.make(1));
            move || slot.begin().is_some() && resolve(&slot, value)
        });
        let canceller = thread::spawn({
            let slot = slot.clone();
            move || slot.end(states::CANCELLED).is_some_and(wake)
        });
        let bell = Bell::new();
        // SAFETY: this is the one receiver.
        let taken = unsafe {
            if slot.register(bell.clone()) {
                bell.wait();
            }
            take(&slot).expect("it is over")
        };
        // While the other may still be at it: the value is the receiver's, or its maker's.
        let has_value = match taken {
            Ok(value) => *value.value == 1,
            Err(fate) => fate != states::CANCELLED,
        };
        assert_eq!(runner.join().unwrap(), has_value);
        assert_eq!(canceller.join().unwrap(), !has_value);
        drop(slot);
        assert_eq!(count.dropped(), 2);
    });
}

#[test]
fn what_is_ended_before_it_begins_has_its_work_dropped_once() {
    for nobody_discards in [false, true] {
        bounded_model(move || {
            let count = Count::new();
            let slot = Arc::new(Slot::new((), 0, count.make(0)));
            let ends = |fate: u8| {
                let slot = slot.clone();
                thread::spawn(move || {
                    let ended = slot.end(fate).is_some_and(wake);
                    if !nobody_discards {
                        slot.discard();
                    }
                    ended
                })
            };
            let enders = [ends(states::TIMED_OUT), ends(states::CANCELLED)];
            let bell = Bell::new();
            // SAFETY: this is the one receiver.
            let fate = unsafe {
                if slot.register(bell.clone()) {
                    bell.wait();
                }
                take(&slot).expect("it is over").err()
            };
            assert!(slot.begin().is_none());
            let ended = enders.map(|ender| ender.join().unwrap());
            assert!(ended[0] ^ ended[1]);
            assert_eq!(fate, Some(if ended[0] { states::TIMED_OUT } else { states::CANCELLED }));
            assert_eq!(count.dropped(), usize::from(!nobody_discards));
            drop(slot);
            assert_eq!(count.dropped(), 1);
        });
    }
}

#[test]
fn one_who_died_is_buried_or_was_ended_before() {
    // It may have died on its way to the work.
    for has_begun in [true, false] {
        bounded_model(move || {
            // No counted work: it is leaked.
            let slot = Arc::new(cell::Slot::<_, _, Counted, _>::new((), 0, ()));
            if has_begun {
                slot.begin();
            }
            let hub = thread::spawn({
                let slot = slot.clone();
                move || {
                    // SAFETY: who began it does nothing more.
                    unsafe { slot.doom() };
                    slot.bury_doomed().is_some_and(wake)
                }
            });
            let canceller = thread::spawn({
                let slot = slot.clone();
                move || slot.end(states::CANCELLED).is_some_and(wake)
            });
            let bell = Bell::new();
            // SAFETY: this is the one receiver.
            let taken = unsafe {
                if slot.register(bell.clone()) {
                    bell.wait();
                }
                take(&slot).expect("it is over").err()
            };
            let buried = hub.join().unwrap();
            assert_eq!(canceller.join().unwrap(), !buried);
            let fate = if buried { states::OVERFLOWED } else { states::CANCELLED };
            assert_eq!(taken, Some(fate));
        });
    }
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
                let value = take(&slot).expect("register or unregister said ready");
                assert_eq!(*value.expect("nobody ends it").value, 2);
            }
        }
        runner.join().unwrap();
        drop(slot);
        assert_eq!(count.dropped(), 2);
    });
}

#[test]
fn a_value_that_nobody_takes_is_dropped_by_its_maker_or_by_the_receiver() {
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
            slot.register(Bell::new());
            slot.leave();
        }
        runner.join().unwrap();
        assert_eq!(count.dropped(), 2, "though somebody still has the slot");
        drop(slot);
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
            let value = take(&slot).expect("some wait said so");
            assert_eq!(*value.expect("nobody ends it").value, 2);
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
