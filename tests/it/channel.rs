//! Channels: that they do what crossbeam's do, between threads of both kinds.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::Mutex as StdMutex;
use std::time::{Duration, Instant};

use minihuey::sync::channel::{
    Receiver, RecvError, RecvTimeoutError, SendError, SendTimeoutError, Sender, TryRecvError,
    TrySendError, bounded, unbounded,
};
use minihuey::{TaskError, green};
use proptest::prelude::*;

use crate::support::{Census, Kind, Random, Unwinding, pairs, until};

const SHORT: Duration = Duration::from_millis(5);

/// Longer than any test lasts.
const LONG: Duration = Duration::from_secs(600);

fn make<T>(capacity: Option<usize>) -> (Sender<T>, Receiver<T>) {
    capacity.map_or_else(unbounded, bounded)
}

/// Sends in one of the ways that wait.
fn send_somehow<T>(random: &mut Random, sender: &Sender<T>, mut message: T) {
    loop {
        let refused = match random.below(4) {
            0 => sender.try_send(message).map_err(|error| error.into_inner()),
            1 => sender
                .send_timeout(message, random.micros(100))
                .map_err(SendTimeoutError::into_inner),
            2 => sender
                .send_deadline(message, Instant::now() + random.micros(100))
                .map_err(SendTimeoutError::into_inner),
            _ => sender.send(message).map_err(SendError::into_inner),
        };
        match refused {
            Ok(()) => return,
            Err(back) => message = back,
        }
        green::yield_now();
    }
}

/// Receives in one of the ways that wait; `None` when all senders are gone.
fn receive_somehow<T>(random: &mut Random, receiver: &Receiver<T>) -> Option<T> {
    loop {
        let is_over = match random.below(4) {
            0 => match receiver.try_recv() {
                Ok(message) => return Some(message),
                Err(error) => error == TryRecvError::Disconnected,
            },
            1 => match receiver.recv_timeout(random.micros(100)) {
                Ok(message) => return Some(message),
                Err(error) => error == RecvTimeoutError::Disconnected,
            },
            2 => match receiver.recv_deadline(Instant::now() + random.micros(100)) {
                Ok(message) => return Some(message),
                Err(error) => error == RecvTimeoutError::Disconnected,
            },
            _ => return receiver.recv().ok(),
        };
        if is_over {
            return None;
        }
        green::yield_now();
    }
}

#[test]
fn messages_come_in_the_order_in_which_they_were_sent_between_any_two_kinds() {
    for (one, other) in pairs() {
        for capacity in [Some(0), Some(1), Some(7), None] {
            let (sender, receiver) = make(capacity);
            let sends = one.run(move || (0..500).for_each(|n| sender.send(n).unwrap()));
            let receives = other.run(move || receiver.iter().collect::<Vec<_>>());
            assert_eq!(receives.end(), (0..500).collect::<Vec<_>>());
            sends.end();
        }
    }
}

#[test]
fn every_message_is_received_once_whoever_gives_up_meanwhile() {
    const EACH: u64 = 300;
    let mut random = Random::new("channel");
    for capacity in [Some(0), Some(1), Some(5), None] {
        let census = Census::default();
        let (sender, receiver) = make(capacity);
        let senders: Vec<_> = (0..6)
            .map(|n| {
                let (sender, census, mut random) = (sender.clone(), census.clone(), random.fork());
                Kind::BOTH[n % 2].run(move || {
                    for number in 0..EACH {
                        let message = census.make(n as u64 * EACH + number);
                        send_somehow(&mut random, &sender, message);
                    }
                })
            })
            .collect();
        let receivers: Vec<_> = (0..6)
            .map(|n| {
                let (receiver, mut random) = (receiver.clone(), random.fork());
                Kind::BOTH[n % 2].run(move || {
                    std::iter::from_fn(|| receive_somehow(&mut random, &receiver))
                        .map(|message| message.1)
                        .collect::<Vec<_>>()
                })
            })
            .collect();
        drop((sender, receiver));
        senders.into_iter().for_each(|sender| sender.end());
        let received: Vec<_> = receivers.into_iter().flat_map(|receiver| receiver.end()).collect();
        assert_eq!(received.len() as u64, 6 * EACH);
        assert_eq!(received.iter().collect::<HashSet<_>>().len() as u64, 6 * EACH);
        assert_eq!(census.alive(), 0);
    }
}

#[test]
fn with_capacity_0_each_waits_for_the_other() {
    for (one, other) in pairs() {
        let (sender, receiver) = bounded(0);
        assert_eq!(sender.try_send(0), Err(TrySendError::Full(0)));
        assert_eq!(receiver.try_recv(), Err(TryRecvError::Empty));
        assert!(sender.is_full() && sender.is_empty() && receiver.is_full());
        let its = sender.clone();
        let sends = one.run(move || its.send(1));
        assert_eq!(receiver.recv_timeout(LONG), Ok(1));
        assert_eq!(sends.end(), Ok(()));
        let its = receiver.clone();
        let receives = other.run(move || its.recv());
        until("the receiver waits", || sender.try_send(2).is_ok());
        assert_eq!(receives.end(), Ok(2));
    }
}

#[test]
fn a_send_with_capacity_0_does_not_end_before_it_is_received() {
    let (sender, receiver) = bounded(0);
    let sends = Kind::Green.run(move || sender.send(1));
    Kind::Green.run(|| green::sleep(SHORT)).end();
    assert!(!sends.has_ended());
    assert_eq!(receiver.recv(), Ok(1));
    assert_eq!(sends.end(), Ok(()));
}

#[test]
fn a_full_channel_refuses_and_an_empty_one_has_nothing_until_the_time_is_over() {
    for kind in Kind::BOTH {
        kind.run(|| {
            let (sender, receiver) = bounded(1);
            let start = Instant::now();
            assert_eq!(receiver.recv_timeout(SHORT), Err(RecvTimeoutError::Timeout));
            sender.send(1).unwrap();
            assert_eq!(sender.try_send(2), Err(TrySendError::Full(2)));
            assert_eq!(sender.send_timeout(3, SHORT), Err(SendTimeoutError::Timeout(3)));
            let end = Instant::now() + SHORT;
            assert_eq!(sender.send_deadline(4, end), Err(SendTimeoutError::Timeout(4)));
            assert!(start.elapsed() >= 3 * SHORT);
            assert_eq!(receiver.recv_deadline(end), Ok(1));
            assert_eq!(receiver.recv_deadline(end), Err(RecvTimeoutError::Timeout));
        })
        .end();
    }
}

#[test]
fn room_goes_to_the_sender_that_waits_and_not_to_who_comes_by() {
    let (sender, receiver) = bounded(1);
    sender.send(1).unwrap();
    let its = sender.clone();
    let waits = Unwinding::start(move || its.send(2).unwrap());
    assert_eq!(receiver.try_recv(), Ok(1));
    assert_eq!(sender.try_send(3), Err(TrySendError::Full(3)));
    assert_eq!(receiver.recv(), Ok(2));
    waits.finish();
}

#[test]
fn who_waits_is_told_when_the_other_end_is_gone() {
    for kind in Kind::BOTH {
        for capacity in [0, 1] {
            let (sender, receiver) = bounded::<u32>(capacity);
            let waits: Vec<_> = (0..3)
                .map(|_| {
                    let receiver = receiver.clone();
                    kind.run(move || (receiver.recv(), receiver.recv_timeout(LONG)))
                })
                .collect();
            Kind::Green.run(|| ()).end();
            drop(sender);
            for wait in waits {
                assert_eq!(wait.end(), (Err(RecvError), Err(RecvTimeoutError::Disconnected)));
            }

            let (sender, receiver) = bounded(capacity);
            (0..capacity).for_each(|_| sender.send(9).unwrap());
            let waits: Vec<_> = (0..3)
                .map(|n| {
                    let sender = sender.clone();
                    kind.run(move || (sender.send(n), sender.send_timeout(n, LONG)))
                })
                .collect();
            Kind::Green.run(|| ()).end();
            drop(receiver);
            for (n, wait) in (0..).zip(waits) {
                let told = (Err(SendError(n)), Err(SendTimeoutError::Disconnected(n)));
                assert_eq!(wait.end(), told);
            }
            assert_eq!(sender.try_send(7).unwrap_err().into_inner(), 7);
        }
    }
}

#[test]
fn what_was_sent_before_the_senders_went_is_received_and_what_nobody_receives_is_dropped() {
    let census = Census::default();
    let (sender, receiver) = unbounded();
    (0..3).for_each(|n| sender.send(census.make(n)).unwrap());
    drop(sender);
    assert_eq!(receiver.recv().unwrap().1, 0);
    assert_eq!(census.alive(), 2);
    let other = receiver.clone();
    drop(receiver);
    assert_eq!((census.alive(), other.len()), (2, 2));
    drop(other);
    assert_eq!(census.alive(), 0);

    let (sender, receiver) = bounded(5);
    (0..3).for_each(|n| sender.send(census.make(n)).unwrap());
    drop(receiver);
    assert_eq!(census.alive(), 0, "at once, not with the last sender");
    drop(sender.send(census.make(9)).unwrap_err().into_inner());
    assert_eq!(census.alive(), 0);
}

#[test]
fn a_message_may_use_the_channel_when_it_is_dropped() {
    struct Nosy(Sender<Option<Nosy>>);
    impl Drop for Nosy {
        fn drop(&mut self) {
            assert!(self.0.len() <= 3);
            assert!(self.0.try_send(None).is_err());
        }
    }
    let (sender, receiver) = bounded(3);
    (0..3).for_each(|_| sender.send(Some(Nosy(sender.clone()))).unwrap());
    drop(receiver);
    assert!(sender.is_empty());
}

#[test]
fn iterators_end_where_they_should() {
    let (sender, receiver) = unbounded();
    (0..3).for_each(|n| sender.send(n).unwrap());
    assert_eq!(receiver.try_iter().collect::<Vec<_>>(), [0, 1, 2]);
    assert_eq!(receiver.try_iter().next(), None);
    (3..5).for_each(|n| sender.send(n).unwrap());
    drop(sender);
    assert_eq!((&receiver).into_iter().next(), Some(3));
    assert_eq!(receiver.into_iter().collect::<Vec<_>>(), [4]);
}

#[test]
fn ends_know_their_channel() {
    let (sender, receiver) = bounded::<u8>(2);
    let (other, _receiver) = unbounded::<u8>();
    assert!(sender.same_channel(&sender.clone()) && !sender.same_channel(&other));
    assert!(receiver.same_channel(&receiver.clone()));
    assert_eq!(
        (sender.capacity(), receiver.capacity(), other.capacity()),
        (Some(2), Some(2), None)
    );
    assert_eq!(format!("{sender:?} {receiver:?}"), "Sender { .. } Receiver { .. }");
}

/// Sends a message of `SIZE` bytes where so many KiB of the stack are used already; false if that
/// overflows the stack.
fn sends_from_deep_down<const SIZE: usize>(depth: usize) -> bool {
    #[inline(never)]
    fn send_below<const SIZE: usize>(depth: usize, sender: &Sender<[u8; SIZE]>) -> bool {
        let frame = std::hint::black_box([1u8; 1024]);
        match depth {
            0 => sender.send([7; SIZE]).is_ok(),
            _ => send_below(depth - 1, sender) && frame[0] == 1,
        }
    }
    let (sender, receiver) = bounded::<[u8; SIZE]>(1);
    let its = sender.clone();
    let sent = green::spawn(move || send_below(depth, &its)).join();
    match &sent {
        Ok(sent) => assert!(*sent && receiver.recv().unwrap()[SIZE - 1] == 7),
        Err(error) => assert!(matches!(error, TaskError::StackOverflow)),
    }
    // Nobody has died with the lock.
    assert!(sender.is_empty());
    Kind::Green.run(move || receiver.len()).end();
    sent.is_ok()
}

#[test]
fn a_message_too_large_for_the_stack_ends_its_sender_and_leaves_the_channel_whole() {
    assert!(sends_from_deep_down::<4_000>(0));
    // Until it overflows for its depth alone.
    for depth in 0..600 {
        sends_from_deep_down::<4_000>(depth);
        sends_from_deep_down::<9_000>(depth);
    }
    assert!(!sends_from_deep_down::<9_000>(600));
}

/// Under a sanitizer, frames that are larger than the guard are not sure to touch it.
#[test]
fn a_message_too_large_for_the_guard_ends_its_sender_and_leaves_the_channel_whole() {
    sends_from_deep_down::<12_000>(0);
    sends_from_deep_down::<24_000>(0);
    sends_from_deep_down::<48_000>(0);
    assert!(!sends_from_deep_down::<600_000>(0));
}

#[test]
fn a_receiver_that_unwinds_loses_no_message_and_a_sender_takes_its_own_back() {
    for capacity in [Some(0), Some(1), None] {
        let census = Census::default();
        let (sender, receiver) = make(capacity);
        let its = receiver.clone();
        let receives = Unwinding::start(move || drop(its.recv()));
        // On the worker: the message is handed over, but before the receiver runs it is to unwind.
        let message = census.make(1);
        let its = sender.clone();
        let sent = Kind::Green.run(move || {
            its.try_send(message).unwrap();
            receives.begin();
            receives
        });
        sent.end().end();
        assert_eq!(receiver.recv_timeout(LONG).unwrap().1, 1);
        assert_eq!(census.alive(), 0);

        let Some(capacity) = capacity else { continue };
        (0..capacity).for_each(|_| sender.send(census.make(2)).unwrap());
        let (its, message) = (sender.clone(), census.make(3));
        let sends = Unwinding::start(move || drop(its.send(message)));
        sends.unwind();
        assert_eq!(census.alive(), capacity);
        assert_eq!(receiver.try_iter().count(), capacity);
    }
}

#[test]
fn a_message_of_one_who_unwound_goes_to_the_next_who_waits() {
    let (sender, receiver) = unbounded();
    let (first, second) = (receiver.clone(), receiver);
    let receives = Unwinding::start(move || assert!(first.recv().is_ok()));
    let next = Kind::Green.run(move || second.recv());
    Kind::Green.run(|| ()).end();
    let unwinds = Kind::Green.run(move || {
        sender.send(1).unwrap();
        receives.begin();
        (receives, sender)
    });
    unwinds.end().0.end();
    assert_eq!(next.end(), Ok(1));
}

#[test]
fn a_destructor_in_a_panic_is_told_that_it_can_t_wait() {
    let told = Arc::new(StdMutex::new(None));
    struct Waits(Arc<StdMutex<Option<(bool, bool, bool)>>>);
    impl Drop for Waits {
        fn drop(&mut self) {
            let (sender, receiver) = bounded(0);
            let got = receiver.recv_timeout(LONG) == Err(RecvTimeoutError::Timeout);
            let sent = sender.send(1) == Err(SendError(1));
            *self.0.lock().unwrap() = Some((got, sent, receiver.recv() == Err(RecvError)));
        }
    }
    let its = told.clone();
    let fails = green::spawn(move || {
        let _waits = Waits(its);
        panic!("on purpose");
    });
    fails.join().unwrap_err();
    assert_eq!(*told.lock().unwrap(), Some((true, true, true)));
}

/// What can be done to a channel without waiting.
#[derive(Debug, Clone)]
enum Step {
    TrySend,
    SendNow,
    TryRecv,
    RecvNow,
    SelectSend,
    SelectRecv,
    ReadySend,
    ReadyRecv,
    ReadyBoth,
    TryIter,
    CloneSender,
    CloneReceiver,
    DropSender,
    DropReceiver,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        6 => Just(Step::TrySend),
        3 => Just(Step::SendNow),
        5 => Just(Step::TryRecv),
        3 => Just(Step::RecvNow),
        3 => Just(Step::SelectSend),
        3 => Just(Step::SelectRecv),
        2 => Just(Step::ReadySend),
        2 => Just(Step::ReadyRecv),
        2 => Just(Step::ReadyBoth),
        1 => Just(Step::TryIter),
        2 => Just(Step::CloneSender),
        2 => Just(Step::CloneReceiver),
        2 => Just(Step::DropSender),
        2 => Just(Step::DropReceiver),
    ];
    prop::collection::vec(step, 0..60)
}

/// Does the steps, and notes all that can be seen.
macro_rules! play {
    ($channel:expr, $select:path, $steps:expr) => {{
        use $select as Select;
        let (sender, receiver) = $channel;
        let (mut senders, mut receivers) = (vec![sender], vec![receiver]);
        let mut seen = Vec::new();
        for (n, step) in $steps.iter().enumerate() {
            let (sender, receiver) = (senders.last(), receivers.last());
            seen.push(match step {
                Step::TrySend => format!("{:?}", sender.map(|end| end.try_send(n))),
                Step::SendNow => {
                    format!("{:?}", sender.map(|end| end.send_timeout(n, Duration::ZERO)))
                }
                Step::TryRecv => format!("{:?}", receiver.map(|end| end.try_recv())),
                Step::RecvNow => {
                    format!("{:?}", receiver.map(|end| end.recv_timeout(Duration::ZERO)))
                }
                Step::SelectSend => {
                    let mut select = Select::new();
                    let sent = sender.map(|end| {
                        select.send(end);
                        select.try_select().map(|operation| operation.send(end, n))
                    });
                    format!("{sent:?}")
                }
                Step::SelectRecv => {
                    let mut select = Select::new();
                    let received = receiver.map(|end| {
                        select.recv(end);
                        select.try_select().map(|operation| operation.recv(end))
                    });
                    format!("{received:?}")
                }
                Step::ReadySend => {
                    let mut select = Select::new();
                    format!(
                        "{:?}",
                        sender.map(|end| {
                            select.send(end);
                            (select.try_ready(), select.ready_timeout(Duration::ZERO))
                        })
                    )
                }
                Step::ReadyRecv => {
                    let mut select = Select::new();
                    format!(
                        "{:?}",
                        receiver.map(|end| {
                            select.recv(end);
                            (select.try_ready(), select.ready_timeout(Duration::ZERO))
                        })
                    )
                }
                Step::ReadyBoth => {
                    let mut select = Select::new_biased();
                    receiver.map(|end| select.recv(end));
                    sender.map(|end| select.send(end));
                    format!("{:?}", select.ready_timeout(Duration::ZERO))
                }
                Step::TryIter => {
                    format!("{:?}", receiver.map(|end| end.try_iter().take(3).collect::<Vec<_>>()))
                }
                Step::CloneSender => {
                    senders.extend(senders.last().cloned());
                    String::new()
                }
                Step::CloneReceiver => {
                    receivers.extend(receivers.last().cloned());
                    String::new()
                }
                Step::DropSender => format!("{}", senders.pop().is_some()),
                Step::DropReceiver => format!("{}", receivers.pop().is_some()),
            });
            // (crossbeam counts those that it dropped with the last receiver.)
            if let (Some(end), false) = (senders.last(), receivers.is_empty()) {
                seen.push(format!("{} {} {}", end.len(), end.is_empty(), end.is_full()));
            }
            if let Some(end) = receivers.last() {
                seen.push(format!("{} {:?} {}", end.len(), end.capacity(), end.is_full()));
            }
        }
        seen
    }};
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..Default::default() })]

    #[test]
    fn a_channel_does_what_crossbeam_s_does(
        capacity in prop::option::of(0_usize..4),
        steps in steps(),
    ) {
        use crossbeam_channel as peer;
        let theirs = capacity.map_or_else(peer::unbounded, peer::bounded);
        prop_assert_eq!(
            play!(make(capacity), minihuey::sync::Select, steps),
            play!(theirs, peer::Select, steps)
        );
    }
}
