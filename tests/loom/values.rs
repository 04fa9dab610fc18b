//! The slot: one value, once, from whoever decides it to the one who waits.
//!
//! Seen to fail:
//! * `publish`'s fetch_or(READY, AcqRel) to Acquire: `a_value_reaches_who_waits_for_it` reports a
//!   race on the content; to Release: on the waiter.
//! * `register`'s fetch_or(WAITING, AcqRel) to Acquire: the same model reports a race on the waiter.
//! * `publish` that gives no value back when somebody has ended it: in
//!   `of_a_runner_and_two_who_end_it_from_outside_one_decides_and_the_fate_says_which` two decide.
//! * `end` that is over before the work is dropped: `what_is_ended_is_over_once_its_work_is_dropped`.
//! * in the mirror of `block`, a wait that takes any wake for its own:
//!   `a_wait_whose_time_runs_out_as_the_value_comes_ends_once` finds no value.

use loom::sync::Arc;
use loom::sync::atomic::{AtomicBool, Ordering};
use loom::thread;

use crate::bell::Bell;
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
fn what_is_ended_is_over_once_its_work_is_dropped() {
    loom::model(|| {
        let count = Count::new();
        let slot = Arc::new(Slot::new((), 0, count.make(0)));
        let canceller = thread::spawn({
            let slot = slot.clone();
            move || assert!(slot.end(states::TIMED_OUT).is_some_and(wake))
        });
        let bell = Bell::new();
        // SAFETY: this is the one receiver.
        unsafe {
            if slot.register(bell.clone()) {
                bell.wait();
            }
            assert_eq!(count.dropped(), 1);
            assert_eq!(take(&slot).expect("it is over").err(), Some(states::TIMED_OUT));
        }
        canceller.join().unwrap();
    });
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

/// `block` of `src/green/waiter.rs`, line by line, without its care for panics. A timer is over
/// before it unparks anybody.
fn block(parking: &Bell, timer: Option<&AtomicBool>, done: impl Fn() -> bool) -> bool {
    loop {
        if done() {
            return true;
        }
        if timer.is_some_and(|timer| timer.load(Ordering::Relaxed)) {
            return false;
        }
        parking.wait();
    }
}

#[test]
fn a_wait_whose_time_runs_out_as_the_value_comes_ends_once() {
    bounded_model(|| {
        let count = Count::new();
        let slot = Arc::new(Slot::new((), 0, count.make(1)));
        // All wakes of a green thread end the same park.
        let parking = Bell::new();
        let timer = Arc::new(AtomicBool::new(false));
        let runner = thread::spawn({
            let (slot, value) = (slot.clone(), count.make(2));
            move || {
                drop(slot.begin());
                assert!(resolve(&slot, value));
            }
        });
        let hub = thread::spawn({
            let (timer, parking) = (timer.clone(), parking.clone());
            move || {
                timer.store(true, Ordering::Relaxed);
                parking.ring();
            }
        });
        // SAFETY: this is the one receiver.
        unsafe {
            if slot.register(parking.clone())
                && !block(&parking, Some(&timer), || slot.is_ready())
                && slot.unregister()
                && slot.register(parking.clone())
            {
                // It timed out, and waits again, for as long as it takes: a wake that was meant for
                // the first wait may come now.
                assert!(block(&parking, None, || slot.is_ready()));
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
