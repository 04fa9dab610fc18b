//! `select`: those who wait at several channels, with those whom they meet.
//!
//! Seen to fail:
//! * in `Choice::claim_both`, the other claimed whether or not it is open, or without a look at its own
//!   state: `who_is_claimed_by_one_is_not_claimed_by_another` finds a message in a queue that has no
//!   room.
//! * in `Exchange::meet`, a promise without a grant: `what_is_promised_comes_or_is_asked_for_again`
//!   deadlocks, as it does if a sender that gives up leaves its receiver listed.
//! * in `Exchange::put_back`, a message that is dropped:
//!   `every_message_is_received_once_though_one_who_selects_gives_up` misses one.
//! * in `Exchange::lose_senders`, nobody claimed: `who_selects_is_told_when_the_senders_are_gone`
//!   deadlocks.

use crossbeam_channel::{TryRecvError, TrySendError};
use loom::sync::Arc;
use loom::sync::atomic::{AtomicUsize, Ordering};
use loom::thread;

use crate::bell::Bell;
use crate::exchange::Exchange;
use crate::primitives;
use crate::selection::{Choice, Selection};
use crate::wait_list::Ticket;

/// A message, which counts itself when it is dropped.
struct Counted(u32, Arc<AtomicUsize>);

impl Drop for Counted {
    fn drop(&mut self) {
        self.1.fetch_add(1, Ordering::Relaxed);
    }
}

/// A channel, as the library's.
struct Channel(primitives::Mutex<Exchange<Counted, Arc<Bell>>>);

impl Channel {
    fn new(capacity: usize) -> Arc<Channel> {
        Arc::new(Channel(primitives::Mutex::new(Exchange::new(Some(capacity)))))
    }

    fn send(&self, message: Counted) {
        let bell = Bell::new();
        let mut exchange = self.0.lock();
        let ticket = match exchange.send(message) {
            Ok(receiver) => {
                drop(exchange);
                receiver.inspect(|bell| bell.ring());
                return;
            }
            Err(TrySendError::Disconnected(_)) => panic!("there is a receiver"),
            Err(TrySendError::Full(message)) => exchange.list_sender(message, bell.clone()),
        };
        drop(exchange);
        while !self.0.lock().is_sender_done(ticket) {
            bell.wait();
        }
        assert!(self.0.lock().end_send(ticket).is_none());
    }

    /// As `Channel::recv_later` in `src/green/sync/channel.rs`. `None` if all senders are gone.
    fn receive(&self) -> Option<Counted> {
        let bell = Bell::new();
        loop {
            let mut exchange = self.0.lock();
            match exchange.receive() {
                Ok((message, sender)) => {
                    drop(exchange);
                    sender.inspect(|bell| bell.ring());
                    return Some(message);
                }
                Err(TryRecvError::Disconnected) => return None,
                Err(TryRecvError::Empty) => {}
            }
            let ticket = exchange.list_receiver(bell.clone());
            let sender = exchange.meet(ticket, None);
            drop(exchange);
            sender.flatten().inspect(|bell| bell.ring());
            while !self.0.lock().is_receiver_done(ticket) {
                bell.wait();
            }
            if let Some(message) = self.0.lock().end_receive(ticket) {
                return Some(message);
            }
        }
    }

    fn give_up(&self, ticket: Ticket) {
        let mut exchange = self.0.lock();
        let message = exchange.end_receive(ticket);
        let next = message.and_then(|message| exchange.put_back(message));
        drop(exchange);
        next.inspect(|bell| bell.ring());
    }

    fn lose_senders(&self) {
        let receivers = self.0.lock().lose_senders();
        receivers.iter().for_each(|bell| bell.ring());
    }
}

/// As `Case` in `src/green/sync/select.rs`.
#[derive(Clone)]
enum End {
    Sender(Arc<Channel>),
    Receiver(Arc<Channel>),
}

impl End {
    fn attempt(&self, choice: &Choice, waits: bool, bell: Arc<Bell>) -> Option<Ticket> {
        match self {
            End::Sender(channel) => channel.0.lock().offer(choice, waits, bell),
            End::Receiver(channel) => {
                let (ticket, sender) = channel.0.lock().ask(choice, waits, bell);
                sender.inspect(|bell| bell.ring());
                ticket
            }
        }
    }

    fn is_done(&self, ticket: Ticket) -> bool {
        match self {
            End::Sender(channel) => channel.0.lock().is_sender_done(ticket),
            End::Receiver(channel) => channel.0.lock().is_receiver_done(ticket),
        }
    }

    fn is_certain(&self, ticket: Ticket) -> bool {
        match self {
            End::Sender(channel) => channel.0.lock().is_granted(ticket),
            End::Receiver(channel) => channel.0.lock().is_handed(ticket),
        }
    }

    fn withdraw(&self, ticket: Ticket) {
        match self {
            End::Sender(channel) => {
                let next = channel.0.lock().end_offer(ticket);
                next.inspect(|bell| bell.ring());
            }
            End::Receiver(channel) => channel.give_up(ticket),
        }
    }

    /// What a `SelectedOperation` does: gives the message that was received.
    fn complete(&self, ticket: Ticket, message: &mut Option<Counted>) -> Option<Counted> {
        match self {
            End::Receiver(channel) => channel.0.lock().end_receive(ticket),
            End::Sender(channel) => {
                let sent = channel.0.lock().fulfil(ticket, message.take()?);
                match sent {
                    Ok(receiver) => drop(receiver.inspect(|bell| bell.ring())),
                    Err(refused) => channel.send(refused.into_inner()),
                }
                None
            }
        }
    }
}

/// As `Select::run`. In haste, it gives up instead of waiting.
fn select(ends: &[End], hasty: bool) -> Option<(usize, Ticket)> {
    let bell = Bell::new();
    loop {
        let selection = Selection::new();
        let mut listed = Vec::new();
        'attempts: for waits in [false, true] {
            for (index, end) in ends.iter().enumerate() {
                let choice = Choice::new(&selection, index);
                let ticket = end.attempt(&choice, waits, bell.clone());
                listed.extend(ticket.map(|ticket| (index, ticket)));
                if selection.claimed().is_some() {
                    break 'attempts;
                }
            }
        }
        let claimed = || {
            let index = selection.claimed()?;
            listed.iter().copied().find(|case| case.0 == index)
        };
        while !hasty && !claimed().is_some_and(|(index, ticket)| ends[index].is_done(ticket)) {
            bell.wait();
        }
        selection.close();
        let selected = claimed().filter(|(index, ticket)| {
            ends[*index].is_done(*ticket) && ends[*index].is_certain(*ticket)
        });
        for (index, ticket) in listed {
            if Some((index, ticket)) != selected {
                ends[index].withdraw(ticket);
            }
        }
        if selected.is_some() || hasty {
            return selected;
        }
    }
}

/// Selects, and does it. Gives the message that was received.
fn do_one(ends: &[End], hasty: bool, message: &mut Option<Counted>) -> Option<Counted> {
    let (index, ticket) = select(ends, hasty)?;
    ends[index].complete(ticket, message)
}

/// Interleavings with up to so many preemptions: all of them are too many.
fn model(preemptions: usize, model: impl Fn() + Sync + Send + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(preemptions);
    builder.check(model);
}

#[test]
fn two_who_select_and_two_channels_pass_one_message() {
    model(2, || {
        let dropped = Arc::new(AtomicUsize::new(0));
        let (a, b) = (Channel::new(0), Channel::new(0));
        let sender = thread::spawn({
            let ends = [End::Sender(a.clone()), End::Sender(b.clone())];
            let mut message = Some(Counted(1, dropped.clone()));
            move || {
                assert!(do_one(&ends, false, &mut message).is_none());
                assert!(message.is_none(), "sent");
            }
        });
        let ends = [End::Receiver(b), End::Receiver(a)];
        assert_eq!(do_one(&ends, false, &mut None).map(|message| message.0), Some(1));
        sender.join().unwrap();
        assert_eq!(dropped.load(Ordering::SeqCst), 1);
    });
}

#[test]
fn who_is_claimed_by_one_is_not_claimed_by_another() {
    model(2, || {
        let dropped = Arc::new(AtomicUsize::new(0));
        let (a, b) = (Channel::new(0), Channel::new(0));
        let plain = thread::spawn({
            let (a, message) = (a.clone(), Counted(1, dropped.clone()));
            move || a.send(message)
        });
        let selects = thread::spawn({
            let (end, mut message) = (End::Sender(b.clone()), Some(Counted(2, dropped.clone())));
            move || assert!(do_one(&[end], false, &mut message).is_none())
        });
        let ends = [End::Receiver(a.clone()), End::Receiver(b.clone())];
        let first = do_one(&ends, false, &mut None).map_or(0, |message| message.0);
        // The other one has not been received, and is still its sender's.
        assert_eq!(a.0.lock().len() + b.0.lock().len(), 0);
        let other = if first == 1 { b.receive() } else { a.receive() };
        assert_eq!(first + other.map_or(0, |message| message.0), 3);
        plain.join().unwrap();
        selects.join().unwrap();
        assert_eq!(dropped.load(Ordering::SeqCst), 2);
    });
}

#[test]
fn one_of_three_who_select_finds_nobody_and_is_served_by_the_next() {
    model(2, || {
        let dropped = Arc::new(AtomicUsize::new(0));
        let (a, b) = (Channel::new(0), Channel::new(0));
        let receivers: Vec<_> = [[&a, &b], [&b, &a]]
            .into_iter()
            .map(|channels| {
                let ends = channels.map(|channel| End::Receiver(channel.clone()));
                thread::spawn(move || {
                    do_one(&ends, false, &mut None).map_or(0, |message| message.0)
                })
            })
            .collect();
        let ends = [End::Sender(a.clone()), End::Sender(b)];
        assert!(do_one(&ends, false, &mut Some(Counted(1, dropped.clone()))).is_none());
        assert!(do_one(&ends, false, &mut Some(Counted(2, dropped.clone()))).is_none());
        let got: u32 = receivers.into_iter().map(|receiver| receiver.join().unwrap()).sum();
        assert_eq!((got, dropped.load(Ordering::SeqCst)), (3, 2));
    });
}

#[test]
fn every_message_is_received_once_though_one_who_selects_gives_up() {
    for capacity in [0, 1] {
        model(2, move || {
            let dropped = Arc::new(AtomicUsize::new(0));
            let (a, b) = (Channel::new(capacity), Channel::new(capacity));
            let sender = thread::spawn({
                let (a, b, dropped) = (a.clone(), b.clone(), dropped.clone());
                move || {
                    a.send(Counted(1, dropped.clone()));
                    b.send(Counted(2, dropped));
                }
            });
            let hasty = thread::spawn({
                let ends = [End::Receiver(a.clone()), End::Receiver(b.clone())];
                move || match select(&ends, true) {
                    Some((1, ticket)) => {
                        ends[1].complete(ticket, &mut None).map_or(0, |message| message.0)
                    }
                    Some((index, ticket)) => {
                        ends[index].withdraw(ticket);
                        0
                    }
                    None => 0,
                }
            });
            let mut got = 0;
            let ends = [End::Receiver(b), End::Receiver(a)];
            // What the hasty one has it does not give up.
            got += do_one(&ends, false, &mut None).map_or(0, |message| message.0);
            let its = hasty.join().unwrap();
            if its == 0 {
                got += do_one(&ends, false, &mut None).map_or(0, |message| message.0);
            }
            sender.join().unwrap();
            assert_eq!((got + its, dropped.load(Ordering::SeqCst)), (3, 2));
        });
    }
}

#[test]
fn what_is_promised_comes_or_is_asked_for_again() {
    for capacity in [0, 1] {
        model(2, move || {
            let dropped = Arc::new(AtomicUsize::new(0));
            let channel = Channel::new(capacity);
            let changes_its_mind = thread::spawn({
                let end = End::Sender(channel.clone());
                move || {
                    if let Some((_, ticket)) = select(std::slice::from_ref(&end), true) {
                        end.withdraw(ticket);
                    }
                }
            });
            let sends = thread::spawn({
                let (end, mut message) =
                    (End::Sender(channel.clone()), Some(Counted(1, dropped.clone())));
                move || assert!(do_one(&[end], false, &mut message).is_none())
            });
            assert_eq!(channel.receive().map(|message| message.0), Some(1));
            changes_its_mind.join().unwrap();
            sends.join().unwrap();
            assert_eq!(dropped.load(Ordering::SeqCst), 1);
        });
    }
}

#[test]
fn who_selects_is_told_when_the_senders_are_gone() {
    model(2, || {
        let dropped = Arc::new(AtomicUsize::new(0));
        let (a, b) = (Channel::new(1), Channel::new(1));
        let sender = thread::spawn({
            let (b, message) = (b.clone(), Counted(1, dropped.clone()));
            move || {
                b.send(message);
                b.lose_senders();
            }
        });
        let ends = [End::Receiver(a), End::Receiver(b)];
        assert!(do_one(&ends, false, &mut None).is_some());
        assert!(do_one(&ends, false, &mut None).is_none());
        sender.join().unwrap();
        assert_eq!(dropped.load(Ordering::SeqCst), 1);
    });
}
