//! `select`: those who wait at several channels, with those whom they meet.
//!
//! Seen to fail:
//! * in `Choice::claim_both`, the other claimed whether or not it is open, or without a look at its
//!   own state: `who_is_claimed_by_one_is_not_claimed_by_another` finds a message in a queue that
//!   has no room.
//! * in `Exchange::meet`, a promise without a grant: `what_is_promised_comes_or_is_asked_for_again`
//!   deadlocks, as it does if a sender that gives up leaves its receiver listed. In `is_handed`, no
//!   look at the queue: one is told there that all senders are gone, while a message is left.
//! * in `Exchange::put_back`, a message that is dropped:
//!   `every_message_is_received_once_though_one_who_selects_gives_up` misses one.
//! * in `Exchange::lose_senders`, nobody claimed: `who_selects_is_told_when_the_senders_are_gone`
//!   deadlocks.
//! * in `Exchange::fulfil`, a message that is dropped if its receiver is gone:
//!   `a_message_whose_receiver_gives_up_is_the_next_one_s` deadlocks.
//! * in `channel::release`, those who watch not told, or in `Exchange::can`, those who wait at the
//!   other end not looked for: the tests of those who watch deadlock.
//! * in `Channel::recv_later` and in `Listed::block`, one that goes when its time is over though a
//!   sender relies on it: `who_was_met_waits_though_its_time_is_over` finds a message in a queue
//!   that has no room.
//! * in `Select::run`, one that is not listed, or in `Listed::end`, one that goes on with what is
//!   gone again: deadlocks, or a message too few.

use std::time::Duration;

use loom::thread;

use crate::channel::{Receiver, RecvTimeoutError, Sender, TryRecvError, bounded};
use crate::counted::{Count, Counted};
use crate::green::hindered;
use crate::preemptions::model_with_preemptions as model;
use crate::select::{Select, SelectedOperation};

/// Long enough for one who is hindered to go before.
const LONG: Duration = Duration::from_secs(3600);

/// In the order given: by chance no model can be repeated.
fn senders<'a>(ends: &[&'a Sender<Counted>]) -> Select<'a> {
    let mut select = Select::new_biased();
    for end in ends {
        select.send(end);
    }
    select
}

fn receivers<'a>(ends: &[&'a Receiver<Counted>]) -> Select<'a> {
    let mut select = Select::new_biased();
    for end in ends {
        select.recv(end);
    }
    select
}

fn send_one(ends: &[&Sender<Counted>], message: Counted) {
    let operation = senders(ends).select();
    let end = ends[operation.index()];
    assert!(operation.send(end, message).is_ok());
}

/// What was received; 0 if its channel is disconnected.
fn receive_one(ends: &[&Receiver<Counted>]) -> u32 {
    receive(receivers(ends).select(), ends)
}

fn receive(operation: SelectedOperation<'_>, ends: &[&Receiver<Counted>]) -> u32 {
    let end = ends[operation.index()];
    operation.recv(end).map_or(0, |message| *message.value)
}

#[test]
fn two_who_select_and_two_channels_pass_one_message() {
    model(3, || {
        let count = Count::new();
        let ((to_a, a), (to_b, b)) = (bounded(0), bounded(0));
        let sends = thread::spawn({
            let message = count.make(1);
            move || send_one(&[&to_a, &to_b], message)
        });
        assert_eq!(receive_one(&[&b, &a]), 1);
        sends.join().unwrap();
        assert_eq!(count.dropped(), 1);
    });
}

#[test]
fn who_is_claimed_by_one_is_not_claimed_by_another() {
    model(2, || {
        let count = Count::new();
        let ((to_a, a), (to_b, b)) = (bounded(0), bounded(0));
        let plain = thread::spawn({
            let (to_a, message) = (to_a.clone(), count.make(1));
            move || assert!(to_a.send(message).is_ok())
        });
        let selects = thread::spawn({
            let (to_b, message) = (to_b.clone(), count.make(2));
            move || send_one(&[&to_b], message)
        });
        let first = receive_one(&[&a, &b]);
        // The other one has not been received, and is still its sender's.
        assert_eq!(a.len() + b.len(), 0);
        let other = if first == 1 { b.recv() } else { a.recv() };
        assert_eq!(first + other.map_or(0, |message| *message.value), 3);
        plain.join().unwrap();
        selects.join().unwrap();
        assert_eq!(count.dropped(), 2);
    });
}

#[test]
fn one_of_three_who_select_finds_nobody_and_is_served_by_the_next() {
    model(2, || {
        let count = Count::new();
        let ((to_a, a), (to_b, b)) = (bounded(0), bounded(0));
        let receive: Vec<_> = [[a.clone(), b.clone()], [b, a]]
            .into_iter()
            .map(|ends| thread::spawn(move || receive_one(&ends.each_ref())))
            .collect();
        send_one(&[&to_a, &to_b], count.make(1));
        send_one(&[&to_a, &to_b], count.make(2));
        let got: u32 = receive.into_iter().map(|receives| receives.join().unwrap()).sum();
        assert_eq!((got, count.dropped()), (3, 2));
    });
}

#[test]
fn every_message_is_received_once_though_one_who_selects_gives_up() {
    for capacity in [0, 1] {
        model(2, move || {
            let count = Count::new();
            let ((to_a, a), (to_b, b)) = (bounded(capacity), bounded(capacity));
            let sends = thread::spawn({
                let (to_a, to_b) = (to_a.clone(), to_b.clone());
                let messages = (count.make(1), count.make(2));
                move || {
                    assert!(to_a.send(messages.0).is_ok());
                    assert!(to_b.send(messages.1).is_ok());
                }
            });
            let hasty = thread::spawn({
                let ends = [a.clone(), b.clone()];
                move || {
                    let ends = ends.each_ref();
                    match hindered(|| receivers(&ends).select_timeout(LONG)) {
                        Ok(operation) if operation.index() == 1 => receive(operation, &ends),
                        // What it may have it gives up.
                        _ => 0,
                    }
                }
            });
            let mut got = receive_one(&[&b, &a]);
            let its = hasty.join().unwrap();
            if its == 0 {
                got += receive_one(&[&b, &a]);
            }
            sends.join().unwrap();
            assert_eq!((got + its, count.dropped()), (3, 2));
        });
    }
}

#[test]
fn what_is_promised_comes_or_is_asked_for_again() {
    for (capacity, selects) in [(0, false), (1, false), (0, true), (1, true)] {
        model(2, move || {
            let count = Count::new();
            let (sender, receiver) = bounded(capacity);
            let changes_its_mind = thread::spawn({
                let sender = sender.clone();
                move || drop(hindered(|| senders(&[&sender]).select_timeout(LONG)))
            });
            let sends = thread::spawn({
                let message = count.make(1);
                move || send_one(&[&sender], message)
            });
            let got = match selects {
                false => receiver.recv().map_or(0, |message| *message.value),
                true => receive_one(&[&receiver]),
            };
            assert_eq!(got, 1);
            changes_its_mind.join().unwrap();
            sends.join().unwrap();
            assert_eq!(count.dropped(), 1);
        });
    }
}

#[test]
fn who_selects_is_told_when_the_senders_are_gone() {
    model(3, || {
        let count = Count::new();
        let ((_to_a, a), (to_b, b)) = (bounded(1), bounded(1));
        let sends = thread::spawn({
            let message = count.make(1);
            move || assert!(to_b.send(message).is_ok())
        });
        assert_eq!(receive_one(&[&a, &b]), 1);
        assert_eq!(receive_one(&[&a, &b]), 0);
        sends.join().unwrap();
        assert_eq!(count.dropped(), 1);
    });
}

#[test]
fn a_message_whose_receiver_gives_up_is_the_next_one_s() {
    model(3, || {
        let count = Count::new();
        let (sender, receiver) = bounded(0);
        let gives_up = thread::spawn({
            let receiver = receiver.clone();
            move || drop(hindered(|| receivers(&[&receiver]).select_timeout(LONG)))
        });
        let sends = thread::spawn({
            let message = count.make(1);
            move || send_one(&[&sender], message)
        });
        gives_up.join().unwrap();
        assert_eq!(receiver.recv().map(|message| *message.value), Ok(1));
        sends.join().unwrap();
        assert_eq!(count.dropped(), 1);
    });
}

#[test]
fn who_was_met_waits_though_its_time_is_over() {
    for selects in [false, true] {
        model(3, move || {
            let count = Count::new();
            let (sender, receiver) = bounded::<Counted>(0);
            let hasty = thread::spawn({
                let receiver = receiver.clone();
                move || match selects {
                    false => receiver.recv_timeout(Duration::ZERO).map(|message| *message.value),
                    true => receivers(&[&receiver])
                        .select_timeout(Duration::ZERO)
                        .map(|operation| receive(operation, &[&receiver]))
                        .map_err(|_| RecvTimeoutError::Timeout),
                }
            });
            let sends = thread::spawn({
                let message = count.make(1);
                move || {
                    send_one(&[&sender], message);
                    assert_eq!(sender.len(), 0, "it is handed over");
                }
            });
            let its = hasty.join().unwrap();
            let got = its.or_else(|_| receiver.recv().map(|message| *message.value));
            assert_eq!(got, Ok(1));
            sends.join().unwrap();
            assert_eq!(count.dropped(), 1);
        });
    }
}

#[test]
fn one_who_watches_is_told_of_a_sender_and_receives_unless_another_is_faster() {
    for capacity in [0, 1] {
        model(2, move || {
            let count = Count::new();
            let ((_to_a, a), (to_b, b)) = (bounded(capacity), bounded(capacity));
            let sends = thread::spawn({
                let message = count.make(1);
                move || assert!(to_b.send(message).is_ok())
            });
            let faster = thread::spawn({
                let b = b.clone();
                move || b.try_recv().map_or(0, |message| *message.value)
            });
            let mut got = 0;
            while got == 0 {
                assert_eq!(receivers(&[&a, &b]).ready(), 1);
                match b.try_recv() {
                    Ok(message) => got = *message.value,
                    // The faster one has it, or has given it up.
                    Err(TryRecvError::Disconnected) => break,
                    Err(TryRecvError::Empty) => {}
                }
            }
            sends.join().unwrap();
            assert_eq!((got + faster.join().unwrap(), count.dropped()), (1, 1));
        });
    }
}

#[test]
fn one_who_watches_is_told_of_room_or_of_a_receiver() {
    for capacity in [0, 1] {
        model(3, move || {
            let count = Count::new();
            let (sender, receiver) = bounded(capacity);
            if capacity > 0 {
                assert!(sender.send(count.make(1)).is_ok());
            }
            let receives = thread::spawn({
                let receiver = receiver.clone();
                move || receive_one(&[&receiver])
            });
            assert_eq!(senders(&[&sender]).ready(), 0);
            // It is there, and nobody else sends.
            assert!(sender.try_send(count.make(1)).is_ok());
            assert_eq!(receives.join().unwrap(), 1);
        });
    }
}
