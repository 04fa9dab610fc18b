//! The exchange, which all channels are made of.
//!
//! Seen to fail: an end that goes without waking whoever waits at the other, or a message left with
//! a receiver who gave up: a deadlock or a lost message.

use crossbeam_channel::{TryRecvError, TrySendError};
use loom::sync::Arc;
use loom::thread;

use crate::bell::Bell;
use crate::counted::{Count, Counted};
use crate::preemptions::bounded_model;
use crate::{exchange, primitives};

/// A channel of two ends, as the library's.
struct Channel(primitives::Mutex<exchange::Exchange<Counted, Arc<Bell>>>);

impl Channel {
    fn new(capacity: Option<usize>) -> Arc<Channel> {
        Arc::new(Channel(primitives::Mutex::new(exchange::Exchange::new(capacity))))
    }

    /// Gives the message back if there are no receivers.
    fn send(&self, message: Counted) -> Option<Counted> {
        let bell = Bell::new();
        let mut exchange = self.0.lock();
        let ticket = match exchange.send(message) {
            Ok(receiver) => {
                drop(exchange);
                receiver.inspect(|bell| bell.ring());
                return None;
            }
            Err(TrySendError::Disconnected(message)) => return Some(message),
            Err(TrySendError::Full(message)) => exchange.list_sender(message, bell.clone()),
        };
        drop(exchange);
        while !self.0.lock().is_sender_done(ticket) {
            bell.wait();
        }
        self.0.lock().end_send(ticket)
    }

    /// `None` if all senders are gone, or, in haste, if it would have to wait.
    fn receive(&self, hasty: bool) -> Option<Counted> {
        let bell = Bell::new();
        let mut exchange = self.0.lock();
        let ticket = match exchange.receive() {
            Ok((message, sender)) => {
                drop(exchange);
                sender.inspect(|bell| bell.ring());
                return Some(message);
            }
            Err(TryRecvError::Disconnected) => return None,
            Err(TryRecvError::Empty) => exchange.list_receiver(bell.clone()),
        };
        drop(exchange);
        while !hasty && !self.0.lock().is_receiver_done(ticket) {
            bell.wait();
        }
        self.0.lock().end_receive(ticket)
    }

    fn lose_senders(&self) {
        let receivers = self.0.lock().lose_senders();
        receivers.iter().for_each(|bell| bell.ring());
    }

    fn lose_receivers(&self) {
        let (messages, senders) = self.0.lock().lose_receivers();
        senders.iter().for_each(|bell| bell.ring());
        drop(messages);
    }
}

#[test]
fn every_message_comes_once_though_a_receiver_gives_up() {
    for capacity in [Some(0), Some(1), None] {
        bounded_model(move || {
            let count = Count::new();
            let channel = Channel::new(capacity);
            let sender = thread::spawn({
                let (channel, messages) = (channel.clone(), [count.make(1), count.make(2)]);
                move || {
                    for message in messages {
                        assert!(channel.send(message).is_none());
                    }
                    channel.lose_senders();
                }
            });
            let hasty = thread::spawn({
                let channel = channel.clone();
                move || channel.receive(true).map_or(0, |message| *message.value)
            });
            let patient: u32 =
                std::iter::from_fn(|| channel.receive(false)).map(|message| *message.value).sum();
            sender.join().unwrap();
            assert_eq!(patient + hasty.join().unwrap(), 3);
            assert_eq!(count.dropped(), 2);
        });
    }
}

#[test]
fn a_sender_has_its_message_back_or_it_was_received_or_dropped_when_the_receiver_is_gone() {
    for capacity in [Some(0), Some(1)] {
        bounded_model(move || {
            let count = Count::new();
            let channel = Channel::new(capacity);
            let sender = thread::spawn({
                let (channel, messages) = (channel.clone(), [count.make(1), count.make(2)]);
                move || messages.map(|message| channel.send(message).is_none())
            });
            let received = channel.receive(true).is_some();
            channel.lose_receivers();
            let sent = sender.join().unwrap();
            assert!(sent[0] || !received);
            assert_eq!(count.dropped(), 2);
        });
    }
}
