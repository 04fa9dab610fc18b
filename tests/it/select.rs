//! `Select` and `select!`: that an operation is done or not, never half, whoever meets whom.

use std::cell::Cell;
use std::collections::HashSet;
use std::sync::mpsc;
use std::sync::{Arc, Mutex as StdMutex};
use std::time::{Duration, Instant};

use minihuey::green;
use minihuey::sync::channel::{
    Receiver, RecvError, RecvTimeoutError, SendError, Sender, bounded, never, unbounded,
};
use minihuey::sync::{Select, select, select_biased};

use crate::support::{Census, Counted, Kind, Random, next, pairs};

pub const SHORT: Duration = Duration::from_millis(5);

/// Longer than any test lasts.
pub const LONG: Duration = Duration::from_secs(600);

fn make<T>(capacity: Option<usize>) -> (Sender<T>, Receiver<T>) {
    capacity.map_or_else(unbounded, bounded)
}

/// A channel of this capacity, and full.
fn full(capacity: usize) -> (Sender<u32>, Receiver<u32>) {
    let (sender, receiver) = bounded(capacity);
    (0..capacity).for_each(|_| sender.send(0).unwrap());
    (sender, receiver)
}

/// Whoever was started on the worker before has come to its wait.
pub fn all_green_ones_wait() {
    Kind::Green.run(|| ()).end();
}

#[test]
fn who_selects_receives_what_is_sent_to_any_of_its_channels_between_any_two_kinds() {
    for (one, other) in pairs() {
        for capacity in [Some(0), Some(1), Some(7), None] {
            let (a, from_a) = make(capacity);
            let (b, from_b) = make(capacity);
            let sends = one.run(move || {
                for n in 0..300 {
                    if n % 3 == 0 { a.send(n) } else { b.send(n) }.unwrap();
                }
            });
            let receives = other.run(move || {
                let mut got = (Vec::new(), Vec::new());
                while got.0.len() + got.1.len() < 300 {
                    select! {
                        recv(from_a) -> n => got.0.extend(n),
                        recv(from_b) -> n => got.1.extend(n),
                    }
                }
                got
            });
            sends.end();
            let (third, rest) = receives.end();
            assert!(third.into_iter().eq((0..300).filter(|n| n % 3 == 0)));
            assert!(rest.into_iter().eq((0..300).filter(|n| n % 3 != 0)));
        }
    }
}

#[test]
fn who_selects_sends_to_whichever_receiver_is_there_however_that_one_receives() {
    for (one, other) in pairs() {
        for capacity in [0, 1, 7] {
            for way in 0..4 {
                let (stuck, _nobody) = full(capacity);
                let (sender, receiver) = bounded(capacity);
                let sends = one.run(move || {
                    for n in 0..50 {
                        select! {
                            send(stuck, 0) -> _ => unreachable!(),
                            send(sender, n) -> sent => sent.unwrap(),
                        }
                    }
                });
                let receives = other.run(move || {
                    let mut got = Vec::new();
                    while got.len() < 50 {
                        got.extend(match way {
                            0 => receiver.recv().ok(),
                            1 => receiver.recv_timeout(LONG).ok(),
                            2 => receiver.try_recv().ok(),
                            _ => select! {
                                recv(receiver) -> n => n.ok(),
                                default => None,
                            },
                        });
                        green::yield_now();
                    }
                    got
                });
                sends.end();
                assert_eq!(receives.end(), (0..50).collect::<Vec<_>>());
            }
        }
    }
}

#[test]
fn two_who_select_with_capacity_0_meet_though_both_wait_elsewhere_too() {
    for (one, other) in pairs() {
        let (a, from_a) = bounded(0);
        let (b, from_b) = bounded(0);
        let sends = one.run(move || {
            let mut sum = 0;
            for n in 0..500_u64 {
                select! {
                    send(a, n) -> sent => sent.unwrap(),
                    send(b, n) -> sent => sent.unwrap(),
                }
                sum += n;
            }
            sum
        });
        let receives = other.run(move || {
            let mut sum = 0;
            for n in 0..500 {
                let got = select! {
                    recv(from_b) -> got => got,
                    recv(from_a) -> got => got,
                };
                assert_eq!(got, Ok(n));
                sum += n;
            }
            sum
        });
        assert_eq!(sends.end(), receives.end());
    }
}

#[test]
fn one_who_selects_both_ends_of_a_channel_does_not_meet_itself() {
    for kind in Kind::BOTH {
        let (sender, receiver) = bounded(0);
        let (its_sender, its_receiver) = (sender.clone(), receiver.clone());
        kind.run(move || {
            select! {
                send(its_sender, 1) -> _ => unreachable!(),
                recv(its_receiver) -> _ => unreachable!(),
                default(SHORT) => {}
            }
        })
        .end();
        // But it meets others, of either kind of end.
        let both = |sender: Sender<u32>, receiver: Receiver<u32>| {
            kind.run(move || {
                select! {
                    send(sender, 1) -> sent => sent.map(|()| 0).unwrap(),
                    recv(receiver) -> got => got.unwrap(),
                }
            })
        };
        let waits = both(sender.clone(), receiver.clone());
        assert_eq!(receiver.recv(), Ok(1));
        assert_eq!(waits.end(), 0);
        let waits = both(sender.clone(), receiver.clone());
        sender.send(2).unwrap();
        assert_eq!(waits.end(), 2);
        let one = both(sender.clone(), receiver.clone());
        let other = both(sender, receiver);
        assert_eq!(one.end() + other.end(), 1);
    }
}

/// Selects among these channels, in one of the ways. Gives a message that was received; takes its
/// own if that was sent. Neither if it gave up.
fn select_somehow(
    random: &mut Random,
    senders: &[Sender<Counted>],
    receivers: &[Receiver<Counted>],
    message: &mut Option<Counted>,
) -> Result<Option<Counted>, ()> {
    let mut select = Select::new();
    for sender in senders {
        select.send(sender);
    }
    for receiver in receivers {
        select.recv(receiver);
    }
    let selected = match random.below(4) {
        0 => select.try_select().ok(),
        1 => select.select_timeout(random.micros(100)).ok(),
        2 => select.select_deadline(Instant::now() + random.micros(100)).ok(),
        _ => Some(select.select()),
    };
    let Some(operation) = selected else { return Ok(None) };
    match random.below(8) {
        0 => return Ok(None),
        1 => green::yield_now(),
        _ => {}
    }
    let index = operation.index();
    match receivers.get(index.wrapping_sub(senders.len())) {
        Some(receiver) => operation.recv(receiver).map(Some).map_err(|_| ()),
        None => {
            let sent = message.take().map(|message| operation.send(&senders[index], message));
            assert!(sent.is_none_or(|sent| sent.is_ok()));
            Ok(None)
        }
    }
}

#[test]
fn every_message_is_received_once_whoever_gives_up_or_drops_what_it_selected() {
    const EACH: u64 = 300;
    let mut random = Random::new("select");
    for capacities in [[0, 0, 0], [0, 1, 5], [1, 1, 1]] {
        let census = Census::default();
        let (senders, receivers): (Vec<_>, Vec<_>) = capacities.into_iter().map(bounded).unzip();
        let sending: Vec<_> = (0..6)
            .map(|n| {
                let (senders, census, mut random) =
                    (senders.clone(), census.clone(), random.fork());
                Kind::BOTH[n % 2].run(move || {
                    for number in 0..EACH {
                        let mut message = Some(census.make(n as u64 * EACH + number));
                        while message.is_some() {
                            let plain = &senders[random.below(3) as usize];
                            if random.below(3) > 0 {
                                let none = select_somehow(&mut random, &senders, &[], &mut message);
                                assert!(matches!(none, Ok(None)));
                            } else if let Some(its) = message.take()
                                && let Err(back) = plain.send_timeout(its, random.micros(100))
                            {
                                message = Some(back.into_inner());
                            }
                            green::yield_now();
                        }
                    }
                })
            })
            .collect();
        let receiving: Vec<_> = (0..6)
            .map(|n| {
                let (receivers, mut random) = (receivers.clone(), random.fork());
                Kind::BOTH[n % 2].run(move || {
                    let mut numbers = Vec::new();
                    let mut is_over = false;
                    while !is_over {
                        let got = if random.below(3) > 0 {
                            select_somehow(&mut random, &[], &receivers, &mut None)
                        } else {
                            let plain = &receivers[random.below(3) as usize];
                            match plain.recv_timeout(random.micros(100)) {
                                Err(RecvTimeoutError::Disconnected) => Err(()),
                                got => Ok(got.ok()),
                            }
                        };
                        match got {
                            Ok(message) => numbers.extend(message.map(|message| message.1)),
                            // One is empty: whoever sees that sees to the others.
                            Err(()) => {
                                for receiver in &receivers {
                                    numbers.extend(receiver.iter().map(|message| message.1));
                                }
                                is_over = true;
                            }
                        }
                        green::yield_now();
                    }
                    numbers
                })
            })
            .collect();
        drop(senders);
        sending.into_iter().for_each(|sends| sends.end());
        let mut received: Vec<_> =
            receiving.into_iter().flat_map(|receives| receives.end()).collect();
        // What one had selected and dropped as the others left.
        let left = receivers.iter().flat_map(Receiver::try_iter).map(|message| message.1);
        received.extend(left);
        assert_eq!(received.len() as u64, 6 * EACH);
        assert_eq!(received.iter().collect::<HashSet<_>>().len() as u64, 6 * EACH);
        assert_eq!(census.alive(), 0);
    }
}

#[test]
fn an_operation_whose_other_end_is_gone_is_possible_and_gives_its_error() {
    for kind in Kind::BOTH {
        for capacity in [Some(0), Some(1), None] {
            let (lost, from_nobody) = make::<u32>(capacity);
            drop(lost);
            let (to_nobody, lost) = make(capacity);
            drop(lost);
            kind.run(move || {
                select! {
                    recv(from_nobody) -> got => assert_eq!(got, Err(RecvError)),
                    recv(never::<u32>()) -> _ => unreachable!(),
                }
                select! {
                    send(to_nobody, 1) -> sent => assert_eq!(sent, Err(SendError(1))),
                    default => unreachable!(),
                }
            })
            .end();
        }
    }
}

#[test]
fn who_selects_is_told_when_the_other_end_goes() {
    for kind in Kind::BOTH {
        for capacity in [0, 1] {
            let (sender, receiver) = bounded::<u32>(capacity);
            let (began, begins) = mpsc::channel();
            let its = began.clone();
            let receives = kind.run(move || {
                its.send(()).unwrap();
                select! {
                    recv(never::<u32>()) -> _ => unreachable!(),
                    recv(receiver) -> got => got,
                }
            });
            let (to, from) = full(capacity);
            let sends = kind.run(move || {
                began.send(()).unwrap();
                select! {
                    send(to, 1) -> sent => sent,
                    recv(never::<u32>()) -> _ => unreachable!(),
                }
            });
            next(&begins);
            next(&begins);
            all_green_ones_wait();
            drop((sender, from));
            assert_eq!((receives.end(), sends.end()), (Err(RecvError), Err(SendError(1))));
        }
    }
}

#[test]
fn without_a_partner_time_passes_and_nothing_is_left_listed() {
    for kind in Kind::BOTH {
        for capacity in [0, 1] {
            kind.run(move || {
                let (to, full_one) = full(capacity);
                let (sender, empty) = bounded::<u32>(capacity);
                let start = Instant::now();
                let mut select = Select::new();
                select.send(&to);
                select.recv(&empty);
                assert!(select.try_select().is_err());
                assert!(select.select_timeout(SHORT).is_err());
                assert!(select.select_deadline(Instant::now() + SHORT).is_err());
                assert!(start.elapsed() >= 2 * SHORT);
                assert!(Select::new().select_timeout(SHORT).is_err());
                // Nobody takes the one who is gone for one who waits.
                assert_eq!(full_one.try_iter().count(), capacity);
                let nobody = sender.try_send(1);
                assert_eq!(nobody.is_err(), capacity == 0);
                assert_eq!(empty.try_iter().count(), capacity);
                assert_eq!(to.len() + empty.len(), 0);
            })
            .end();
        }
    }
}

#[test]
fn among_those_that_are_possible_each_has_its_turn_and_biased_the_first() {
    let (sender, receiver) = unbounded();
    (0..2_000).for_each(|n| sender.send(n).unwrap());
    let (a, b, c) = (receiver.clone(), receiver.clone(), receiver);
    let mut turns = [0, 0, 0];
    for _ in 0..1_000 {
        select! {
            recv(a) -> _ => turns[0] += 1,
            recv(b) -> _ => turns[1] += 1,
            recv(c) -> _ => turns[2] += 1,
        }
    }
    assert!(turns.iter().all(|turns| *turns > 200), "{turns:?}");
    for _ in 0..500 {
        select_biased! {
            recv(never::<u32>()) -> _ => unreachable!(),
            recv(a) -> _ => turns[0] = 0,
            recv(b) -> _ => unreachable!(),
        }
    }
    let mut select = Select::new_biased();
    let first = select.recv(&b);
    select.recv(&a);
    for _ in 0..100 {
        let operation = select.select();
        assert_eq!(operation.index(), first);
        operation.recv(&b).unwrap();
    }
    select.remove(first);
    select.remove(7);
    assert_eq!(select.select().index(), 1);
}

#[test]
fn those_who_select_are_served_in_their_order_among_those_who_do_not() {
    for capacity in [0, 1] {
        let (sender, receiver) = bounded(capacity);
        let order = Arc::new(StdMutex::new(Vec::new()));
        let waits: Vec<_> = (0..4)
            .map(|n| {
                let (receiver, order) = (receiver.clone(), order.clone());
                Kind::Green.run(move || {
                    let got = match n % 2 {
                        0 => receiver.recv(),
                        _ => select! {
                            recv(never()) -> got => got,
                            recv(receiver) -> got => got,
                        },
                    };
                    order.lock().unwrap().push((n, got));
                })
            })
            .collect();
        all_green_ones_wait();
        Kind::Green.run(move || (0..4).for_each(|n| sender.send(n).unwrap())).end();
        waits.into_iter().for_each(|wait| wait.end());
        assert_eq!(*order.lock().unwrap(), [(0, Ok(0)), (1, Ok(1)), (2, Ok(2)), (3, Ok(3))]);

        let (sender, receiver) = full(capacity);
        let waits: Vec<_> = (1..=4)
            .map(|n| {
                let sender = sender.clone();
                Kind::Green.run(move || match n % 2 {
                    0 => sender.send(n).unwrap(),
                    _ => select! {
                        recv(never::<u32>()) -> _ => unreachable!(),
                        send(sender, n) -> sent => sent.unwrap(),
                    },
                })
            })
            .collect();
        all_green_ones_wait();
        drop(sender);
        let receives = Kind::Green.run(move || receiver.iter().collect::<Vec<_>>());
        waits.into_iter().for_each(|wait| wait.end());
        let mut got = receives.end();
        if capacity > 0 {
            // Room goes to the first, but the others need not wait for its message.
            got.sort_unstable();
        }
        assert_eq!(got[capacity..], [1, 2, 3, 4]);
    }
}

#[test]
fn arms_may_be_written_as_in_a_match() {
    struct Ends {
        sender: Sender<u32>,
        receiver: Receiver<u32>,
    }
    fn three(ends: &Ends) -> Result<Vec<u32>, RecvError> {
        let made = Cell::new(0);
        let mut got = Vec::new();
        let got = loop {
            select! {
                default() => unreachable!(),
                recv(&ends.receiver) -> n => {
                    got.push(n?);
                    if got.len() < 3 {
                        continue;
                    }
                    break got;
                }
                send(ends.sender, made.replace(made.get() + 1),) -> Ok(()) | Err(_) => {}
            }
        };
        assert_eq!(made.get(), 3, "one for each time that it was selected");
        Ok(got)
    }
    let (sender, receiver) = bounded(1);
    let ends = Ends { sender, receiver };
    assert_eq!(three(&ends), Ok(vec![0, 1, 2]));
    drop(ends.sender);
    let from_nobody = ends.receiver;
    let what = select! { recv(from_nobody,) -> n => n.is_err(), recv(never::<()>()) -> _ => false };
    assert!(what);

    let (sender, receiver) = bounded(0);
    let message = String::from("not sent");
    let kept = select! {
        send(sender, message) -> sent => sent.map(|()| String::new()).unwrap(),
        default(SHORT) => message,
    };
    let sends = Kind::Green.run(move || sender.send(kept));
    // (What is borrowed for it may be moved in an arm.)
    let got = select! { recv(receiver) -> got => (got, receiver).0 };
    assert_eq!(got.as_deref(), Ok("not sent"));
    sends.end().unwrap();
    select! { default(SHORT) => {} }
}
