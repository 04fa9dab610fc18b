//! `Select::ready`: that one who waits for something to be possible is told, and takes nothing.

use std::sync::mpsc;
use std::time::Instant;

use minihuey::green;
use minihuey::sync::Select;
use minihuey::sync::channel::{
    Receiver, Sender, TryRecvError, TrySendError, after, at, bounded, never, tick, unbounded,
};

use crate::select::{LONG, SHORT, all_green_ones_wait};
use crate::support::{Kind, Running, next, pairs};

/// Waits until something can be received from one of them.
fn waits_to_receive(kind: Kind, receivers: Vec<Receiver<u32>>) -> Running<usize> {
    let (began, begins) = mpsc::channel();
    let waits = kind.run(move || {
        let mut select = Select::new();
        for receiver in &receivers {
            select.recv(receiver);
        }
        began.send(()).unwrap();
        select.ready()
    });
    next(&begins);
    all_green_ones_wait();
    waits
}

fn waits_to_send(kind: Kind, senders: Vec<Sender<u32>>) -> Running<usize> {
    let (began, begins) = mpsc::channel();
    let waits = kind.run(move || {
        let mut select = Select::new();
        for sender in &senders {
            select.send(sender);
        }
        began.send(()).unwrap();
        select.ready()
    });
    next(&begins);
    all_green_ones_wait();
    waits
}

#[test]
fn one_who_waits_until_it_can_receive_receives_what_is_sent_between_any_two_kinds() {
    for (one, other) in pairs() {
        for capacity in [Some(0), Some(1), Some(7), None] {
            let (senders, receivers): (Vec<_>, Vec<_>) =
                (0..3).map(|_| capacity.map_or_else(unbounded, bounded)).unzip();
            let sends = other.run(move || {
                for n in 0..300 {
                    senders[n as usize % 3].send(n).unwrap();
                }
            });
            let receives = one.run(move || {
                let mut select = Select::new();
                for receiver in &receivers {
                    select.recv(receiver);
                }
                let mut got: Vec<u32> = Vec::new();
                while got.len() < 300 {
                    match receivers[select.ready()].try_recv() {
                        Ok(n) => got.push(n),
                        // It has sent all.
                        Err(TryRecvError::Disconnected) => {}
                        Err(TryRecvError::Empty) => panic!("nobody else receives"),
                    }
                }
                got.sort_unstable();
                got
            });
            assert!(receives.end().into_iter().eq(0..300));
            sends.end();
        }
    }
}

#[test]
fn one_who_waits_until_it_can_send_sends_to_whoever_receives() {
    for (one, other) in pairs() {
        for capacity in [0, 1, 7] {
            let (stuck, _nobody) = bounded::<u32>(0);
            let (sender, receiver) = bounded(capacity);
            let sends = one.run(move || {
                let mut select = Select::new();
                select.send(&stuck);
                let it = select.send(&sender);
                for n in 0..100 {
                    assert_eq!(select.ready(), it);
                    // Nobody else sends.
                    sender.try_send(n).unwrap();
                }
            });
            let receives = other.run(move || receiver.iter().collect::<Vec<u32>>());
            sends.end();
            assert!(receives.end().into_iter().eq(0..100));
        }
    }
}

#[test]
fn to_wait_until_something_is_possible_takes_nothing() {
    for kind in Kind::BOTH {
        let (sender, receiver) = bounded(0);
        let waits = waits_to_receive(kind, vec![never(), receiver.clone()]);
        // It is nobody whom one could send to.
        assert_eq!(sender.try_send(1), Err(TrySendError::Full(1)));
        let its = sender.clone();
        let sends = Kind::Green.run(move || its.send(2));
        assert_eq!(waits.end(), 1);
        assert!(!sends.has_ended());
        assert_eq!(receiver.recv(), Ok(2));
        assert_eq!(sends.end(), Ok(()));

        let waits = waits_to_send(kind, vec![sender.clone()]);
        assert_eq!(receiver.try_recv(), Err(TryRecvError::Empty));
        let its = receiver.clone();
        let receives = Kind::Green.run(move || its.recv());
        assert_eq!(waits.end(), 0);
        assert!(!receives.has_ended());
        assert_eq!(sender.try_send(3), Ok(()));
        assert_eq!(receives.end(), Ok(3));

        // Two who wait so do not meet.
        let to_send = waits_to_send(kind, vec![sender.clone()]);
        let to_receive = waits_to_receive(kind, vec![receiver.clone()]);
        all_green_ones_wait();
        assert!(!to_send.has_ended() && !to_receive.has_ended());
        // But one who selects is met, by the one that it is for.
        let selects = Kind::Green.run(move || {
            let mut select = Select::new();
            select.recv(&receiver);
            select.select().recv(&receiver)
        });
        assert_eq!(to_send.end(), 0);
        sender.send(4).unwrap();
        assert_eq!(selects.end(), Ok(4));
        drop(sender);
        assert_eq!(to_receive.end(), 0);
    }
}

#[test]
fn all_who_wait_are_told_and_the_slower_ones_wait_again() {
    let (sender, receiver) = bounded(1);
    let receives: Vec<_> = (0..6)
        .map(|n| {
            let receiver = receiver.clone();
            Kind::BOTH[n % 2].run(move || {
                let mut select = Select::new();
                select.recv(&receiver);
                let mut got = 0;
                loop {
                    assert_eq!(select.ready(), 0);
                    match receiver.try_recv() {
                        Ok(_) => got += 1,
                        Err(TryRecvError::Empty) => green::yield_now(),
                        Err(TryRecvError::Disconnected) => return got,
                    }
                }
            })
        })
        .collect();
    (0..600).for_each(|n| sender.send(n).unwrap());
    drop(sender);
    assert_eq!(receives.into_iter().map(|receives| receives.end()).sum::<u32>(), 600);
}

#[test]
fn who_waits_is_told_when_the_other_end_goes_and_when_a_selection_is_given_up() {
    for kind in Kind::BOTH {
        for capacity in [0, 1] {
            let (sender, receiver) = bounded(capacity);
            let waits = waits_to_receive(kind, vec![receiver]);
            drop(sender);
            assert_eq!(waits.end(), 0);
            let (sender, receiver) = bounded(capacity);
            (0..capacity).for_each(|_| sender.send(0).unwrap());
            let waits = waits_to_send(kind, vec![sender]);
            drop(receiver);
            assert_eq!(waits.end(), 0);
        }
        let (sender, receiver) = bounded(1);
        let mut select = Select::new();
        select.send(&sender);
        let operation = select.select();
        let waits = waits_to_send(kind, vec![sender.clone()]);
        drop(operation);
        assert_eq!(waits.end(), 0);
        sender.send(1).unwrap();
        let mut select = Select::new();
        select.recv(&receiver);
        let operation = select.select();
        let waits = waits_to_receive(kind, vec![receiver.clone()]);
        drop(operation);
        assert_eq!(waits.end(), 0);
    }
}

#[test]
fn time_that_is_due_is_possible_and_stays_so() {
    for kind in Kind::BOTH {
        kind.run(|| {
            let start = Instant::now();
            let (later, once) = (after(LONG), at(start + SHORT));
            let mut select = Select::new();
            select.recv(&later);
            assert!(select.try_ready().is_err());
            let first = select.recv(&once);
            assert_eq!(select.ready(), first);
            assert!(start.elapsed() >= SHORT);
            select.remove(first);
            let ticks = tick(SHORT);
            let second = select.recv(&ticks);
            assert_eq!(select.ready_timeout(LONG), Ok(second));
            assert_eq!(select.ready_deadline(Instant::now() + LONG), Ok(second));
            assert!(start.elapsed() >= 2 * SHORT);
            assert_eq!(once.try_recv(), Ok(start + SHORT));
            assert!(ticks.try_recv().is_ok());
        })
        .end();
    }
}

#[test]
fn without_a_partner_time_passes_and_nobody_is_left_listed() {
    for kind in Kind::BOTH {
        kind.run(|| {
            let (sender, receiver) = bounded::<u32>(0);
            let start = Instant::now();
            let mut select = Select::new();
            assert_eq!(select.ready(), usize::MAX);
            assert!(select.try_ready().is_err() && select.ready_timeout(SHORT).is_err());
            select.send(&sender);
            select.recv(&receiver);
            assert!(select.try_ready().is_err());
            assert!(select.ready_timeout(SHORT).is_err());
            assert!(select.ready_deadline(Instant::now() + SHORT).is_err());
            assert!(start.elapsed() >= 3 * SHORT);
            assert_eq!(sender.try_send(1), Err(TrySendError::Full(1)));
            assert_eq!(receiver.try_recv(), Err(TryRecvError::Empty));
        })
        .end();
    }
}
