//! `Select` and `select!`, where one leaves: by dropping what was selected, by a cancel, by
//! unwinding.

use std::collections::HashSet;
use std::sync::mpsc;
use std::sync::{Arc, Mutex as StdMutex};
use std::time::{Duration, Instant};

use minihuey::sync::channel::{
    RecvError, SendError, TryRecvError, TrySendError, after, bounded, never, unbounded,
};
use minihuey::sync::{Select, select};
use minihuey::{MiniHuey, green};

use crate::select::{LONG, all_green_ones_wait};
use crate::support::{Census, Kind, LIMIT, Unwinding, next};

#[test]
fn a_message_that_was_selected_and_not_received_is_the_next_again() {
    let census = Census::default();
    let (sender, receiver) = unbounded();
    (1..=2).for_each(|n| sender.send(census.make(n)).unwrap());
    let mut select = Select::new();
    select.recv(&receiver);
    drop(select.select());
    assert_eq!(receiver.len(), 2);
    let operation = select.select();
    let waits = Kind::Green.run({
        let receiver = receiver.clone();
        move || (receiver.recv().unwrap().1, receiver.recv().unwrap().1)
    });
    all_green_ones_wait();
    drop(operation);
    assert_eq!(waits.end(), (2, 1), "whoever waits is given it");
    assert_eq!(census.alive(), 0);
}

#[test]
fn room_that_was_selected_is_kept_and_goes_to_the_next_if_it_is_not_used() {
    let (sender, receiver) = bounded(1);
    let mut select = Select::new();
    select.send(&sender);
    let operation = select.select();
    assert_eq!(sender.try_send(1), Err(TrySendError::Full(1)));
    assert_eq!(receiver.try_recv(), Err(TryRecvError::Empty));
    let its = sender.clone();
    let waits = Unwinding::start(move || its.send(2).unwrap());
    let its = sender.clone();
    let also_waits = Unwinding::start(move || {
        select! {
            send(its, 3) -> sent => sent.unwrap(),
            recv(never::<u32>()) -> _ => unreachable!(),
        }
    });
    drop(operation);
    waits.finish();
    assert_eq!(receiver.recv(), Ok(2));
    also_waits.finish();
    assert_eq!(receiver.recv(), Ok(3));
    select.select().send(&sender, 4).unwrap();
    assert_eq!(receiver.recv(), Ok(4));
}

#[test]
fn a_receiver_that_was_promised_a_message_asks_again_if_it_does_not_come() {
    for kind in Kind::BOTH {
        let (sender, receiver) = bounded(0);
        let waits: Vec<_> = (0..2)
            .map(|n| {
                let receiver = receiver.clone();
                kind.run(move || match n {
                    0 => receiver.recv(),
                    _ => select! {
                        recv(receiver) -> got => got,
                        recv(never::<u32>()) -> _ => unreachable!(),
                    },
                })
            })
            .collect();
        let mut select = Select::new();
        select.send(&sender);
        drop(select.select());
        let (one, other) = (select.select(), select.select());
        drop(one);
        let sends = Kind::Green.run({
            let sender = sender.clone();
            move || sender.send(2)
        });
        other.send(&sender, 1).unwrap();
        let got: HashSet<_> = waits.into_iter().map(|wait| wait.end().unwrap()).collect();
        assert_eq!(got, HashSet::from([1, 2]));
        assert_eq!(sends.end(), Ok(()));
    }
}

#[test]
fn a_receiver_that_was_promised_a_message_asks_again_though_all_senders_are_gone_meanwhile() {
    let (sender, receiver) = bounded(1);
    let selects = Kind::Green.run(move || {
        select! {
            recv(receiver) -> got => got,
            recv(never::<u32>()) -> _ => unreachable!(),
        }
    });
    all_green_ones_wait();
    // On the worker: the receiver is woken, but all of this is done before it runs.
    let sends = Kind::Green.run(move || {
        let mut select = Select::new();
        select.send(&sender);
        let (has_room, has_met) = (select.select(), select.select());
        has_room.send(&sender, 1).unwrap();
        drop(has_met);
    });
    sends.end();
    assert_eq!(selects.end(), Ok(1));
}

#[test]
fn a_receiver_that_a_sender_has_met_waits_for_the_message_though_its_time_is_over() {
    for kind in Kind::BOTH {
        for selects in [false, true] {
            let (sender, receiver) = bounded(0);
            let (began, begins) = mpsc::channel();
            let start = Instant::now();
            let receives = kind.run(move || {
                began.send(()).unwrap();
                if !selects {
                    return receiver.recv_timeout(WHILE).ok();
                }
                select! {
                    recv(receiver) -> got => got.ok(),
                    recv(never::<u32>()) -> _ => unreachable!(),
                    default(WHILE) => None,
                }
            });
            next(&begins);
            let mut select = Select::new();
            select.send(&sender);
            let Ok(operation) = select.select_timeout(WHILE) else {
                // (The machine is slow today.)
                assert_eq!(receives.end(), None);
                continue;
            };
            std::thread::sleep((start + 2 * WHILE).saturating_duration_since(Instant::now()));
            assert_eq!(operation.send(&sender, 1), Ok(()));
            assert_eq!(receives.end(), Some(1));
        }
    }
}

/// The time that is over.
const WHILE: Duration = Duration::from_millis(50);

#[test]
fn a_receiver_whose_time_is_over_ends_if_the_sender_that_it_has_met_gives_up() {
    for kind in Kind::BOTH {
        let (sender, receiver) = bounded::<u32>(0);
        let receives = kind.run(move || receiver.recv_timeout(WHILE));
        let mut select = Select::new();
        select.send(&sender);
        let operation = select.select();
        std::thread::sleep(2 * WHILE);
        assert!(!receives.has_ended());
        drop(operation);
        assert!(receives.end().is_err());
    }
}

#[test]
fn a_message_for_a_receiver_that_is_cancelled_meanwhile_is_the_next_one_s() {
    for selects in [false, true] {
        let huey = MiniHuey::new("cancelled");
        let (sender, receiver) = bounded(0);
        let its = receiver.clone();
        let receives = huey.task("receive", move || {
            if !selects {
                return its.recv();
            }
            select! {
                recv(its) -> got => got,
                recv(never::<u32>()) -> _ => unreachable!(),
            }
        });
        let call = receives.call(());
        let mut select = Select::new();
        select.send(&sender);
        let operation = select.select();
        assert!(call.cancel());
        huey.join(LIMIT).unwrap();
        // Nobody waits for it, and it does not wait for anybody.
        assert_eq!(operation.send(&sender, 1), Ok(()));
        assert_eq!(receiver.try_recv(), Ok(1));
    }
}

#[test]
fn an_operation_done_on_another_end_is_that_end_s_own() {
    let (sender, receiver) = unbounded();
    let (other, its_receiver) = unbounded();
    sender.send(1).unwrap();
    other.send(2).unwrap();
    let mut select = Select::new();
    select.recv(&receiver);
    assert_eq!(select.select().recv(&its_receiver), Ok(2));
    assert_eq!(select.select().send(&other, 3), Ok(()));
    assert_eq!((receiver.try_recv(), its_receiver.try_recv()), (Ok(1), Ok(3)));
    // A clone is the same end.
    sender.send(4).unwrap();
    assert_eq!(select.select().recv(&receiver.clone()), Ok(4));
    // Nothing to select.
    let operation = Select::new().select();
    assert_eq!(operation.index(), usize::MAX);
    assert_eq!(operation.recv(&receiver), Err(RecvError));
}

#[test]
fn a_cancelled_task_unwinds_from_select_and_what_is_sent_goes_to_others() {
    struct Tells(mpsc::Sender<()>);
    impl Drop for Tells {
        fn drop(&mut self) {
            self.0.send(()).unwrap();
        }
    }
    let huey = MiniHuey::new("selects");
    let (sender, receiver) = bounded(0);
    let (to, from) = bounded(0);
    let (began, begins) = mpsc::channel();
    let (told, tells) = mpsc::channel();
    let its = receiver.clone();
    let selects = huey.task("select", move || {
        let _tells = Tells(told.clone());
        began.send(()).unwrap();
        select! {
            recv(its) -> _ => unreachable!(),
            send(to, 1) -> _ => unreachable!(),
        }
    });
    let call = selects.call(());
    next(&begins);
    all_green_ones_wait();
    assert!(call.cancel());
    next(&tells);
    assert_eq!(sender.try_send(1), Err(TrySendError::Full(1)));
    assert_eq!(from.try_recv(), Err(TryRecvError::Empty));
    let receives = Kind::Green.run(move || receiver.recv());
    sender.send(2).unwrap();
    assert_eq!(receives.end(), Ok(2));
}

#[test]
fn one_who_unwinds_as_it_is_selected_gives_back_what_it_was_given() {
    let census = Census::default();
    let (sender, receiver) = bounded(0);
    let its = receiver.clone();
    let receives = Unwinding::start(move || {
        select! {
            recv(its) -> got => drop(got),
            recv(never::<u32>()) -> _ => unreachable!(),
        }
    });
    // On the worker: the message is handed over, but before the receiver runs it is to unwind.
    let message = census.make(1);
    let sent = Kind::Green.run(move || {
        sender.try_send(message).unwrap();
        receives.begin();
        (receives, sender)
    });
    let (receives, sender) = sent.end();
    receives.end();
    assert_eq!(receiver.recv_timeout(LONG).unwrap().1, 1);
    assert_eq!(census.alive(), 0);

    // A sender that is chosen by a receiver, which then has to ask again.
    let its = sender.clone();
    let message = census.make(2);
    let sends = Unwinding::start(move || {
        select! {
            send(its, message) -> _ => unreachable!(),
            recv(never::<u32>()) -> _ => unreachable!(),
        }
    });
    let asks = Kind::Green.run(move || {
        sends.begin();
        // It is chosen before it runs; and then it has no message.
        let got = receiver.recv_timeout(LONG).unwrap().1;
        (sends, got)
    });
    sender.send(census.make(3)).unwrap();
    let (sends, got) = asks.end();
    sends.end();
    assert_eq!((got, census.alive()), (3, 0));
}

#[test]
fn a_destructor_in_a_panic_that_selects_is_told_that_it_can_t_wait() {
    let told = Arc::new(StdMutex::new(None));
    struct Waits(Arc<StdMutex<Option<[bool; 4]>>>);
    impl Drop for Waits {
        fn drop(&mut self) {
            let (sender, receiver) = bounded(0);
            let mut select = Select::new();
            select.recv(&receiver);
            let operation = select.select();
            let index = operation.index();
            *self.0.lock().unwrap() = Some([
                index == 0 && operation.recv(&receiver) == Err(RecvError),
                select.select_timeout(LONG).is_err(),
                select! {
                    send(sender, 1) -> sent => sent == Err(SendError(1)),
                },
                select! {
                    recv(after(Duration::from_millis(1))) -> due => due.is_ok(),
                },
            ]);
        }
    }
    let its = told.clone();
    let fails = green::spawn(move || {
        let _waits = Waits(its);
        panic!("on purpose");
    });
    fails.join().unwrap_err();
    assert_eq!(*told.lock().unwrap(), Some([true; 4]));
}
