//! What is in a channel, and who waits at which end of it. Pure: the channel keeps it under its
//! lock, wakes whom it says, and lets go of values without the lock, for their destructors are
//! foreign.
//!
//! ```text
//!                       queue, at most `capacity`
//!   send ──▶ ┌──────────────────────────────────────┐ ──▶ receive
//!            └──────────────────────────────────────┘
//!   senders: wait with their values,     receivers: wait only while the queue is empty;
//!   while the queue is full              a value that comes is handed to the first
//! ```
//! A sender whose value was taken is off its list; one who finds itself on the list has its value
//! still there, to take back. A receiver who is off its list finds a value handed to it, or, if
//! there is none, that all senders are gone, or that it was promised one that did not come: then it
//! asks again.
//!
//! Who waits at several channels (`select`) is listed with a [`Choice`]. A receiver of that kind is
//! as any other once it is claimed. A sender of that kind has no value yet: it makes one when it
//! knows that it is chosen. So it is granted a place for it:
//! - room in the queue, which is kept free for it;
//! - or, where there can be no room, a receiver. That one stays on its list, for this sender alone,
//!   and waits for the value, until the sender, if it has changed its mind, sends it away.
//!
//! ```text
//!   a receiver:  listed ──meets a sender that selects──▶ promised ──fulfil──▶ handed a value
//!                                                           └──end_offer──▶ off the list, asks again
//! ```
//! A promised receiver waits on though its time is over, because the sender relies on it. It may
//! still give up, if it is cancelled. Then the sender's value is put into the queue, be that full,
//! as if that one had been handed it and put it back.
//!
//! Who only wants to know when something is possible (`ready`) *watches* an end, and claims
//! nothing. Whoever changed anything has all those told who wait for what is possible then.

use std::collections::{BTreeMap, VecDeque};

use crossbeam_channel::{SendError, TryRecvError, TrySendError};

use super::selection::{Choice, claim_pair};
use super::wait_list::{Look, Ticket, WaitList};

pub(crate) struct Exchange<T, W> {
    /// `None`: no limit. With 0 every value is handed from a sender to a receiver.
    capacity: Option<usize>,
    queue: VecDeque<T>,
    /// Room in the queue that was granted, and is not used yet.
    reserved: usize,
    senders: WaitList<Offer<T, W>>,
    receivers: WaitList<Ask<W>>,
    /// For receivers who were woken, and have not come yet.
    handed: BTreeMap<Ticket, Box<T>>,
    /// For senders who were chosen, and have not come yet.
    granted: BTreeMap<Ticket, Grant>,
    /// Who wants to know when something can be received, and who, when something can be sent.
    watching: [WaitList<W>; 2],
    no_senders: bool,
    no_receivers: bool,
}

struct Offer<T, W> {
    what: What<T>,
    /// None if it was woken because there are no receivers left.
    waiter: Option<W>,
}

enum What<T> {
    /// In a box, as what is handed, so that a tree's nodes don't have room for eleven large values.
    Value(Box<T>),
    /// It has no value yet, and waits elsewhere, too.
    Choice(Choice),
}

impl<T, W> Offer<T, W> {
    fn choice(&self) -> Option<&Choice> {
        match &self.what {
            What::Value(_) => None,
            What::Choice(choice) => Some(choice),
        }
    }
}

struct Ask<W> {
    waiter: W,
    /// It waits elsewhere, too.
    choice: Option<Choice>,
    promised: bool,
}

/// Where a chosen sender's value will go.
enum Grant {
    Room,
    Receiver(Ticket),
}

impl<T, W> Exchange<T, W> {
    pub(crate) fn new(capacity: Option<usize>) -> Exchange<T, W> {
        Exchange {
            capacity,
            queue: VecDeque::new(),
            reserved: 0,
            senders: WaitList::new(),
            receivers: WaitList::new(),
            handed: BTreeMap::new(),
            granted: BTreeMap::new(),
            watching: [WaitList::new(), WaitList::new()],
            no_senders: false,
            no_receivers: false,
        }
    }

    pub(crate) fn capacity(&self) -> Option<usize> {
        self.capacity
    }

    pub(crate) fn len(&self) -> usize {
        self.queue.len()
    }

    pub(crate) fn is_full(&self) -> bool {
        self.capacity.is_some_and(|capacity| self.queue.len() + self.reserved >= capacity)
    }

    /// Gives who is to be woken, if anybody is.
    pub(crate) fn send(&mut self, value: T) -> Result<Option<W>, TrySendError<T>> {
        if self.no_receivers {
            return Err(TrySendError::Disconnected(value));
        }
        match self.hand(value) {
            Ok(receiver) => Ok(Some(receiver)),
            Err(value) if self.is_full() => Err(TrySendError::Full(value)),
            Err(value) => {
                self.queue.push_back(value);
                Ok(None)
            }
        }
    }

    /// Hands a value to the first receiver, who is to be woken; gives it back if there is none.
    fn hand(&mut self, value: T) -> Result<W, T> {
        let Some(ticket) = self.choose_receiver(None) else { return Err(value) };
        let Some(ask) = self.receivers.remove(ticket) else { return Err(value) };
        self.handed.insert(ticket, Box::new(value));
        Ok(ask.waiter)
    }

    /// The first receiver that waits and is promised nothing. Claims it and `own`.
    fn choose_receiver(&mut self, own: Option<&Choice>) -> Option<Ticket> {
        self.receivers.choose(|ask| match ask.promised {
            true => Look::Pass,
            false => claim_pair(own, ask.choice.as_ref()),
        })
    }

    /// Gives a value, and who is to be woken, if anybody is.
    ///
    /// Empty, too, if the first sender has yet to make its value: see `ask`.
    pub(crate) fn receive(&mut self) -> Result<(T, Option<W>), TryRecvError> {
        if let Some(received) = self.pop() {
            return Ok(received);
        }
        let sender = self.senders.choose(|offer| match &offer.what {
            What::Value(_) => Look::Take,
            What::Choice(choice) if choice.is_open() => Look::Stop,
            What::Choice(_) => Look::Gone,
        });
        match sender.and_then(|ticket| self.senders.remove(ticket)) {
            Some(Offer { what: What::Value(value), waiter }) => Ok((*value, waiter)),
            _ if self.no_senders => Err(TryRecvError::Disconnected),
            _ => Err(TryRecvError::Empty),
        }
    }

    /// There are some who have yet to make their values, or who will be admitted.
    pub(crate) fn has_senders_listed(&self) -> bool {
        !self.senders.is_empty()
    }

    fn pop(&mut self) -> Option<(T, Option<W>)> {
        let value = self.queue.pop_front()?;
        Some((value, self.admit()))
    }

    /// There may be room for a sender that waits. Gives who is to be woken.
    fn admit(&mut self) -> Option<W> {
        if self.is_full() {
            return None;
        }
        let ticket = self.senders.choose(|offer| claim_pair(None, offer.choice()))?;
        let offer = self.senders.remove(ticket)?;
        match offer.what {
            What::Value(value) => self.queue.push_back(*value),
            What::Choice(_) => self.grant_room(ticket),
        }
        offer.waiter
    }

    fn grant_room(&mut self, ticket: Ticket) {
        self.reserved += 1;
        self.granted.insert(ticket, Grant::Room);
    }

    /// To be called if `send` said Full.
    pub(crate) fn list_sender(&mut self, value: T, waiter: W) -> Ticket {
        self.senders.push(Offer { what: What::Value(Box::new(value)), waiter: Some(waiter) })
    }

    pub(crate) fn is_sender_done(&self, ticket: Ticket) -> bool {
        self.no_receivers || !self.senders.contains(ticket)
    }

    /// The sender waits no longer. Gives its value back if nobody took it.
    pub(crate) fn end_send(&mut self, ticket: Ticket) -> Option<T> {
        match self.senders.remove(ticket)?.what {
            What::Value(value) => Some(*value),
            What::Choice(_) => None,
        }
    }

    pub(crate) fn has_no_receivers(&self) -> bool {
        self.no_receivers
    }

    /// For a sender that has no value yet. If it can be chosen now, claims `own`, and gives a
    /// ticket that `is_granted`. If not, the ticket it has while it is listed, if it `waits`.
    pub(crate) fn offer(&mut self, own: &Choice, waits: bool, waiter: W) -> Option<Ticket> {
        if self.no_receivers || !self.is_full() {
            if !own.claim() {
                return None;
            }
            let ticket = self.senders.ticket();
            if !self.no_receivers {
                self.grant_room(ticket);
            }
            return Some(ticket);
        }
        if let Some(receiver) = self.choose_receiver(Some(own)) {
            self.promise(receiver);
            let ticket = self.senders.ticket();
            self.granted.insert(ticket, Grant::Receiver(receiver));
            return Some(ticket);
        }
        let offer = Offer { what: What::Choice(own.clone()), waiter: Some(waiter) };
        waits.then(|| self.senders.push(offer))
    }

    fn promise(&mut self, receiver: Ticket) {
        if let Some(ask) = self.receivers.get_mut(receiver) {
            ask.promised = true;
        }
    }

    /// A sender who was chosen may go on: what it was granted is still there, or it is to be told
    /// that there are no receivers.
    pub(crate) fn is_granted(&self, ticket: Ticket) -> bool {
        match self.granted.get(&ticket) {
            Some(Grant::Room) => true,
            Some(Grant::Receiver(receiver)) => self.receivers.contains(*receiver),
            None => self.no_receivers,
        }
    }

    /// A sender who was chosen has made its value. As `send`, but never Full.
    pub(crate) fn fulfil(&mut self, ticket: Ticket, value: T) -> Result<Option<W>, SendError<T>> {
        let grant = self.granted.remove(&ticket);
        match grant {
            Some(Grant::Receiver(receiver)) if let Some(ask) = self.receivers.remove(receiver) => {
                self.handed.insert(receiver, Box::new(value));
                return Ok(Some(ask.waiter));
            }
            Some(Grant::Room) => self.reserved -= 1,
            _ => {}
        }
        if self.no_receivers {
            return Err(SendError(value));
        }
        Ok(match self.hand(value) {
            Ok(receiver) => Some(receiver),
            Err(value) => {
                self.queue.push_back(value);
                None
            }
        })
    }

    /// A sender, chosen or not, sends nothing after all. Gives who is to be woken.
    pub(crate) fn end_offer(&mut self, ticket: Ticket) -> Option<W> {
        self.senders.remove(ticket);
        match self.granted.remove(&ticket)? {
            Grant::Room => {
                self.reserved -= 1;
                self.admit()
            }
            Grant::Receiver(receiver) => self.receivers.remove(receiver).map(|ask| ask.waiter),
        }
    }

    /// To be called if `receive` said Empty, and then `meet`.
    pub(crate) fn list_receiver(&mut self, waiter: W) -> Ticket {
        self.receivers.push(Ask { waiter, choice: None, promised: false })
    }

    /// A receiver that was just listed is handed the first sender's value, or promised the one that
    /// it will make. Gives who is to be woken; `None` if it met nobody. Claims both.
    pub(crate) fn meet(&mut self, receiver: Ticket, own: Option<&Choice>) -> Option<Option<W>> {
        let sender = self.senders.choose(|offer| claim_pair(own, offer.choice()))?;
        let offer = self.senders.remove(sender)?;
        match offer.what {
            What::Value(value) => {
                self.receivers.remove(receiver);
                self.handed.insert(receiver, value);
            }
            What::Choice(_) => {
                self.promise(receiver);
                self.granted.insert(sender, Grant::Receiver(receiver));
            }
        }
        Some(offer.waiter)
    }

    /// For a receiver that waits elsewhere, too. If it can be chosen now, claims `own`, and gives a
    /// ticket that is done, or will be when the sender has made its value. If not, the ticket it
    /// has while it is listed, if it `waits`. And gives who is to be woken.
    pub(crate) fn ask(
        &mut self,
        own: &Choice,
        waits: bool,
        waiter: W,
    ) -> (Option<Ticket>, Option<W>) {
        if !self.queue.is_empty() {
            if !own.claim() {
                return (None, None);
            }
            let ticket = self.receivers.ticket();
            let (value, sender) = self.pop().unzip();
            self.handed.extend(value.map(|value| (ticket, Box::new(value))));
            return (Some(ticket), sender.flatten());
        }
        let ask = Ask { waiter, choice: Some(own.clone()), promised: false };
        let ticket = self.receivers.push(ask);
        if let Some(sender) = self.meet(ticket, Some(own)) {
            return (Some(ticket), sender);
        }
        if self.no_senders && own.claim() {
            self.receivers.remove(ticket);
        } else if !waits {
            self.receivers.remove(ticket);
            return (None, None);
        }
        (Some(ticket), None)
    }

    pub(crate) fn is_receiver_done(&self, ticket: Ticket) -> bool {
        !self.receivers.contains(ticket)
    }

    /// It waits for a sender that has yet to make its value.
    pub(crate) fn is_promised(&self, ticket: Ticket) -> bool {
        self.receivers.get(ticket).is_some_and(|ask| ask.promised)
    }

    /// A receiver who was chosen, and is done, has a value, or is to be told that there are no
    /// senders. (Not as long as there are values, as there may be if it was promised one that did
    /// not come.)
    pub(crate) fn is_handed(&self, ticket: Ticket) -> bool {
        self.handed.contains_key(&ticket) || (self.no_senders && self.queue.is_empty())
    }

    /// The receiver waits no longer. Gives the value that it was handed.
    pub(crate) fn end_receive(&mut self, ticket: Ticket) -> Option<T> {
        self.receivers.remove(ticket);
        self.handed.remove(&ticket).map(|value| *value)
    }

    /// A receiver that unwinds was handed a value: it goes to the next, or is the first in the
    /// queue, be that full. Gives who is to be woken.
    pub(crate) fn put_back(&mut self, value: T) -> Option<W> {
        match self.hand(value) {
            Ok(receiver) => Some(receiver),
            Err(value) => {
                self.queue.push_front(value);
                None
            }
        }
    }

    /// Gives who is to be woken.
    pub(crate) fn lose_senders(&mut self) -> Vec<W> {
        self.no_senders = true;
        let asks = self.receivers.drain();
        for choice in asks.iter().filter_map(|ask| ask.choice.as_ref()) {
            choice.claim();
        }
        asks.into_iter().map(|ask| ask.waiter).collect()
    }

    /// Gives the values that nobody will receive, and who is to be woken.
    pub(crate) fn lose_receivers(&mut self) -> (VecDeque<T>, Vec<W>) {
        self.no_receivers = true;
        let mut told = Vec::new();
        for offer in self.senders.iter_mut() {
            if let What::Choice(choice) = &offer.what {
                choice.claim();
            }
            told.extend(offer.waiter.take());
        }
        (std::mem::take(&mut self.queue), told)
    }

    /// Something can be sent, or received, at once, be it because there is nobody at the other end.
    pub(crate) fn can(&self, send: bool) -> bool {
        let is_open = |choice: Option<&Choice>| choice.is_none_or(Choice::is_open);
        if send {
            let receives = |ask: &Ask<W>| !ask.promised && is_open(ask.choice.as_ref());
            self.no_receivers || !self.is_full() || self.receivers.iter().any(receives)
        } else {
            let sends = |offer: &Offer<T, W>| is_open(offer.choice());
            self.no_senders || !self.queue.is_empty() || self.senders.iter().any(sends)
        }
    }

    /// Has `waiter` told when something can be sent, or received. `None`: now.
    pub(crate) fn watch(&mut self, send: bool, waiter: W) -> Option<Ticket> {
        (!self.can(send)).then(|| self.watching[usize::from(send)].push(waiter))
    }

    /// Gives false if it was told.
    pub(crate) fn is_watching(&self, send: bool, ticket: Ticket) -> bool {
        self.watching[usize::from(send)].contains(ticket)
    }

    pub(crate) fn end_watch(&mut self, send: bool, ticket: Ticket) {
        self.watching[usize::from(send)].remove(ticket);
    }

    /// To be called after anything else was. Gives who is to be woken, because they watch.
    #[inline]
    #[must_use]
    pub(crate) fn told(&mut self) -> Vec<W> {
        if self.watching.iter().all(WaitList::is_empty) { Vec::new() } else { self.tell() }
    }

    #[cold]
    fn tell(&mut self) -> Vec<W> {
        let mut told = Vec::new();
        for send in [false, true] {
            if !self.watching[usize::from(send)].is_empty() && self.can(send) {
                told.extend(self.watching[usize::from(send)].drain());
            }
        }
        told
    }
}
