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
//! * in `Exchange::fulfil`, a message that is dropped if its receiver is gone:
//!   `a_message_whose_receiver_gives_up_is_the_next_one_s` deadlocks.
//! * in `Channel::with`, those who watch not told, or in `Exchange::can`, those who wait at the other end
//!   not looked for: the tests of those who watch deadlock.

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

    /// As the library's: tells whoever watches.
    fn with<R>(&self, f: impl FnOnce(&mut Exchange<Counted, Arc<Bell>>) -> R) -> R {
        let mut exchange = self.0.lock();
        let given = f(&mut exchange);
        let told = exchange.told();
        drop(exchange);
        told.iter().for_each(|bell| bell.ring());
        given
    }

    fn send(&self, message: Counted) {
        let bell = Bell::new();
        let ticket = self.with(|exchange| match exchange.send(message) {
            Ok(receiver) => Err(receiver),
            Err(TrySendError::Disconnected(_)) => panic!("there is a receiver"),
            Err(TrySendError::Full(message)) => Ok(exchange.list_sender(message, bell.clone())),
        });
        let ticket = match ticket {
            Ok(ticket) => ticket,
            Err(receiver) => return drop(receiver.inspect(|bell| bell.ring())),
        };
        while !self.0.lock().is_sender_done(ticket) {
            bell.wait();
        }
        assert!(self.with(|exchange| exchange.end_send(ticket)).is_none());
    }

    /// As `Channel::recv_later` in `src/green/sync/channel.rs`. `None` if all senders are gone, or, in
    /// haste, if it would have to wait for one that is not there.
    fn receive(&self, hasty: bool) -> Option<Counted> {
        let bell = Bell::new();
        loop {
            let asked = self.with(|exchange| match exchange.receive() {
                Err(TryRecvError::Empty) => {
                    let ticket = exchange.list_receiver(bell.clone());
                    let sender = exchange.meet(ticket, None);
                    if sender.is_none() && hasty {
                        exchange.end_receive(ticket);
                        return Err(None);
                    }
                    Ok((ticket, sender.flatten()))
                }
                received => Err(received.ok()),
            });
            let (ticket, sender) = match asked {
                Ok(asked) => asked,
                Err(received) => {
                    let (message, sender) = received?;
                    sender.inspect(|bell| bell.ring());
                    return Some(message);
                }
            };
            sender.inspect(|bell| bell.ring());
            while !self.0.lock().is_receiver_done(ticket) {
                bell.wait();
            }
            if let Some(message) = self.with(|exchange| exchange.end_receive(ticket)) {
                return Some(message);
            }
        }
    }

    fn give_up(&self, ticket: Ticket) {
        let next = self.with(|exchange| {
            let message = exchange.end_receive(ticket);
            message.and_then(|message| exchange.put_back(message))
        });
        next.inspect(|bell| bell.ring());
    }

    fn lose_senders(&self) {
        let receivers = self.with(Exchange::lose_senders);
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
            End::Sender(channel) => channel.with(|exchange| exchange.offer(choice, waits, bell)),
            End::Receiver(channel) => {
                let (ticket, sender) = channel.with(|exchange| exchange.ask(choice, waits, bell));
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
                let next = channel.with(|exchange| exchange.end_offer(ticket));
                next.inspect(|bell| bell.ring());
            }
            End::Receiver(channel) => channel.give_up(ticket),
        }
    }

    /// Which end it is, and its channel.
    fn channel(&self) -> (bool, &Channel) {
        match self {
            End::Sender(channel) => (true, channel),
            End::Receiver(channel) => (false, channel),
        }
    }

    /// What a `SelectedOperation` does: gives the message that was received.
    fn complete(&self, ticket: Ticket, message: &mut Option<Counted>) -> Option<Counted> {
        match self {
            End::Receiver(channel) => channel.with(|exchange| exchange.end_receive(ticket)),
            End::Sender(channel) => {
                let message = message.take()?;
                let sent = channel.with(|exchange| exchange.fulfil(ticket, message));
                drop(sent.map(|receiver| receiver.inspect(|bell| bell.ring())));
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

/// As `Select::watch`.
fn ready(ends: &[End]) -> usize {
    let bell = Bell::new();
    loop {
        let mut watched = Vec::new();
        let possible = ends.iter().position(|end| {
            let (sends, channel) = end.channel();
            let ticket = channel.0.lock().watch(sends, bell.clone());
            watched.extend(ticket.map(|ticket| (sends, channel, ticket)));
            ticket.is_none()
        });
        let is_told = || {
            watched
                .iter()
                .any(|(sends, channel, ticket)| !channel.0.lock().is_watching(*sends, *ticket))
        };
        while possible.is_none() && !is_told() {
            bell.wait();
        }
        for (sends, channel, ticket) in watched {
            channel.0.lock().end_watch(sends, ticket);
        }
        if let Some(index) = possible {
            return index;
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
        let other = if first == 1 { b.receive(false) } else { a.receive(false) };
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
            assert_eq!(channel.receive(false).map(|message| message.0), Some(1));
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

#[test]
fn a_message_whose_receiver_gives_up_is_the_next_one_s() {
    model(3, || {
        let dropped = Arc::new(AtomicUsize::new(0));
        let channel = Channel::new(0);
        let cancelled = thread::spawn({
            let end = End::Receiver(channel.clone());
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
        cancelled.join().unwrap();
        assert_eq!(channel.receive(false).map(|message| message.0), Some(1));
        sends.join().unwrap();
        assert_eq!(dropped.load(Ordering::SeqCst), 1);
    });
}

#[test]
fn one_who_watches_is_told_of_a_sender_and_receives_unless_another_is_faster() {
    for capacity in [0, 1] {
        model(2, move || {
            let dropped = Arc::new(AtomicUsize::new(0));
            let (a, b) = (Channel::new(capacity), Channel::new(capacity));
            let sender = thread::spawn({
                let (b, message) = (b.clone(), Counted(1, dropped.clone()));
                move || {
                    b.send(message);
                    b.lose_senders();
                }
            });
            let faster = thread::spawn({
                let b = b.clone();
                move || b.receive(true).map_or(0, |message| message.0)
            });
            let ends = [End::Receiver(a), End::Receiver(b.clone())];
            let mut got = 0;
            while got == 0 {
                assert_eq!(ready(&ends), 1);
                match b.receive(true) {
                    Some(message) => got = message.0,
                    // The faster one has it, or has given it up.
                    None if b.0.lock().can(false) => break,
                    None => {}
                }
            }
            sender.join().unwrap();
            assert_eq!((got + faster.join().unwrap(), dropped.load(Ordering::SeqCst)), (1, 1));
        });
    }
}

#[test]
fn one_who_watches_is_told_of_room_or_of_a_receiver() {
    for capacity in [0, 1] {
        model(2, move || {
            let dropped = Arc::new(AtomicUsize::new(0));
            let channel = Channel::new(capacity);
            if capacity > 0 {
                channel.send(Counted(1, dropped.clone()));
            }
            let receiver = thread::spawn({
                let end = End::Receiver(channel.clone());
                move || do_one(&[end], false, &mut None).map_or(0, |message| message.0)
            });
            assert_eq!(ready(&[End::Sender(channel.clone())]), 0);
            // It is there, and nobody else sends.
            assert!(
                channel
                    .0
                    .lock()
                    .send(Counted(1, dropped))
                    .map(|receiver| {
                        receiver.inspect(|bell| bell.ring());
                    })
                    .is_ok()
            );
            assert_eq!(receiver.join().unwrap(), 1);
        });
    }
}
