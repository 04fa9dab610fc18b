//! Channels: those who send and receive, wait, give up and go.
//!
//! Seen to fail: an end that goes without waking whoever waits at the other, nobody woken when
//! there is room or a message, or a message left with a receiver who gave up: a deadlock or a lost
//! message.

use std::time::Duration;

use loom::thread;

use crate::channel::{bounded, unbounded};
use crate::counted::Count;
use crate::preemptions::bounded_model;

#[test]
fn every_message_comes_once_though_a_receiver_gives_up() {
    for capacity in [Some(0), Some(1), None] {
        bounded_model(move || {
            let count = Count::new();
            let (sender, receiver) = capacity.map_or_else(unbounded, bounded);
            let sends = thread::spawn({
                let messages = [count.make(1), count.make(2)];
                move || {
                    for message in messages {
                        assert!(sender.send(message).is_ok());
                    }
                }
            });
            let hasty = thread::spawn({
                let receiver = receiver.clone();
                move || receiver.recv_timeout(Duration::ZERO).map_or(0, |message| *message.value)
            });
            let patient: u32 = receiver.iter().map(|message| *message.value).sum();
            sends.join().unwrap();
            assert_eq!(patient + hasty.join().unwrap(), 3);
            assert_eq!(count.dropped(), 2);
        });
    }
}

#[test]
fn a_sender_has_its_message_back_or_it_was_received_or_dropped_when_the_receiver_is_gone() {
    for capacity in [0, 1] {
        bounded_model(move || {
            let count = Count::new();
            let (sender, receiver) = bounded(capacity);
            let sends = thread::spawn({
                let messages = [count.make(1), count.make(2)];
                move || messages.map(|message| sender.send(message).is_ok())
            });
            let received = receiver.recv_timeout(Duration::ZERO).is_ok();
            drop(receiver);
            let sent = sends.join().unwrap();
            assert!(sent[0] || !received);
            assert_eq!(count.dropped(), 2);
        });
    }
}

#[test]
fn a_sender_who_gives_up_has_its_message_back_or_it_is_received() {
    for capacity in [0, 1] {
        bounded_model(move || {
            let count = Count::new();
            let (sender, receiver) = bounded(capacity);
            let sends = thread::spawn({
                let messages = [count.make(1), count.make(2)];
                move || messages.map(|message| sender.send_timeout(message, Duration::ZERO).is_ok())
            });
            let received = receiver.iter().count();
            let sent = sends.join().unwrap();
            assert_eq!(received, sent.into_iter().filter(|sent| *sent).count());
            assert_eq!(count.dropped(), 2);
        });
    }
}
