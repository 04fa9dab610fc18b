//! What is in a channel, and who waits at which end of it. Pure: the channel keeps it under its lock,
//! wakes whom it says, and lets go of values without the lock, for their destructors are foreign.
//!
//! ```text
//!                       queue, at most `capacity`
//!   send ──▶ ┌──────────────────────────────────────┐ ──▶ receive
//!            └──────────────────────────────────────┘
//!   senders: wait with their values,     receivers: wait only while the queue is empty;
//!   while the queue is full              a value that comes is handed to the first
//! ```
//! A sender whose value was taken is off its list; one who finds itself on the list has its value
//! still there, to take back. A receiver who is off its list finds a value handed to it, or, if there
//! is none, that all senders are gone.

use std::collections::{BTreeMap, VecDeque};

use crossbeam_channel::{TryRecvError, TrySendError};

use super::wait_list::{Ticket, WaitList};

pub(crate) struct Exchange<T, W> {
    /// `None`: no limit. With 0 every value is handed from a sender to a receiver.
    capacity: Option<usize>,
    queue: VecDeque<T>,
    senders: WaitList<Offer<T, W>>,
    receivers: WaitList<W>,
    /// For receivers who were woken, and have not come yet.
    handed: BTreeMap<Ticket, Box<T>>,
    no_senders: bool,
    no_receivers: bool,
}

/// In a box, as what is handed, so that a tree's nodes don't have room for eleven large values.
struct Offer<T, W> {
    value: Box<T>,
    /// None if it was woken because there are no receivers left.
    waiter: Option<W>,
}

impl<T, W> Exchange<T, W> {
    pub(crate) fn new(capacity: Option<usize>) -> Exchange<T, W> {
        Exchange {
            capacity,
            queue: VecDeque::new(),
            senders: WaitList::new(),
            receivers: WaitList::new(),
            handed: BTreeMap::new(),
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
        self.capacity.is_some_and(|capacity| self.queue.len() >= capacity)
    }

    /// Gives who is to be woken, if anybody is.
    pub(crate) fn send(&mut self, value: T) -> Result<Option<W>, TrySendError<T>> {
        if self.no_receivers {
            return Err(TrySendError::Disconnected(value));
        }
        if let Some((ticket, receiver)) = self.receivers.pop() {
            self.handed.insert(ticket, Box::new(value));
            return Ok(Some(receiver));
        }
        if self.is_full() {
            return Err(TrySendError::Full(value));
        }
        self.queue.push_back(value);
        Ok(None)
    }

    /// Gives a value, and who is to be woken, if anybody is.
    pub(crate) fn receive(&mut self) -> Result<(T, Option<W>), TryRecvError> {
        if let Some(value) = self.queue.pop_front() {
            let next = if self.is_full() { None } else { self.senders.pop() };
            let sender = next.and_then(|(_, offer)| {
                self.queue.push_back(*offer.value);
                offer.waiter
            });
            return Ok((value, sender));
        }
        match self.senders.pop() {
            Some((_, offer)) => Ok((*offer.value, offer.waiter)),
            None if self.no_senders => Err(TryRecvError::Disconnected),
            None => Err(TryRecvError::Empty),
        }
    }

    /// To be called if `send` said Full.
    pub(crate) fn list_sender(&mut self, value: T, waiter: W) -> Ticket {
        self.senders.push(Offer { value: Box::new(value), waiter: Some(waiter) })
    }

    pub(crate) fn is_sender_done(&self, ticket: Ticket) -> bool {
        self.no_receivers || !self.senders.contains(ticket)
    }

    /// The sender waits no longer. Gives its value back if nobody took it.
    pub(crate) fn end_send(&mut self, ticket: Ticket) -> Option<T> {
        self.senders.remove(ticket).map(|offer| *offer.value)
    }

    pub(crate) fn has_no_receivers(&self) -> bool {
        self.no_receivers
    }

    /// To be called if `receive` said Empty.
    pub(crate) fn list_receiver(&mut self, waiter: W) -> Ticket {
        self.receivers.push(waiter)
    }

    pub(crate) fn is_receiver_done(&self, ticket: Ticket) -> bool {
        !self.receivers.contains(ticket)
    }

    /// The receiver waits no longer. Gives the value that it was handed.
    pub(crate) fn end_receive(&mut self, ticket: Ticket) -> Option<T> {
        self.receivers.remove(ticket);
        self.handed.remove(&ticket).map(|value| *value)
    }

    pub(crate) fn has_no_senders(&self) -> bool {
        self.no_senders
    }

    /// A receiver that unwinds was handed a value: it goes to the next, or is the first in the
    /// queue, be that full. Gives who is to be woken.
    pub(crate) fn put_back(&mut self, value: T) -> Option<W> {
        match self.receivers.pop() {
            Some((ticket, receiver)) => {
                self.handed.insert(ticket, Box::new(value));
                Some(receiver)
            }
            None => {
                self.queue.push_front(value);
                None
            }
        }
    }

    /// Gives who is to be woken.
    pub(crate) fn lose_senders(&mut self) -> Vec<W> {
        self.no_senders = true;
        self.receivers.drain()
    }

    /// Gives the values that nobody will receive, and who is to be woken.
    pub(crate) fn lose_receivers(&mut self) -> (VecDeque<T>, Vec<W>) {
        self.no_receivers = true;
        let senders = self.senders.iter_mut().filter_map(|offer| offer.waiter.take()).collect();
        (std::mem::take(&mut self.queue), senders)
    }
}
