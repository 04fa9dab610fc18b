//! The ends of a channel as a select sees them: each is one of several cases, which it lists itself
//! at, is claimed for, and goes on with or withdraws from. Only `select` uses it; what is kept
//! under the tickets is in `exchange`.

use std::sync::Arc;
use std::time::Instant;

use super::channel::{Receiver, RecvError, SendError, Sender, release};
use super::selection::Choice;
use super::wait_list::Ticket;
use crate::green::{Green, Waiter, overflow};

/// One end of a channel, as one of several cases. Both ends keep what is theirs under a ticket.
pub(super) trait Case {
    /// Overflows now rather than with something listed.
    fn probe(&self);

    /// If it is possible now, or soon for certain, claims `choice` for it. If not, and it `waits`,
    /// lists it.
    fn attempt(&self, choice: &Choice, waits: bool, me: Option<&Arc<Green>>) -> Option<Ticket>;

    /// It was claimed, and there is no more to wait for.
    fn is_done(&self, ticket: Ticket) -> bool;

    /// It is done and can go on. If not, what it was claimed for is gone again.
    fn is_certain(&self, ticket: Ticket) -> bool;

    /// Gives up, whatever it has.
    fn withdraw(&self, ticket: Ticket);

    /// It is possible now.
    fn is_possible(&self) -> bool;

    /// Has `me` told when it is possible. `None`: it is now.
    fn watch(&self, me: Option<&Arc<Green>>) -> Option<Ticket>;

    fn is_told(&self, ticket: Ticket) -> bool;

    fn end_watch(&self, ticket: Ticket);

    /// When it becomes possible of itself.
    fn due(&self) -> Option<Instant>;

    /// It is the sending, or the receiving, end of the channel at this address.
    fn is_end(&self, sends: bool, channel: *const ()) -> bool;
}

impl<T> Sender<T> {
    pub(super) fn channel(&self) -> *const () {
        Arc::as_ptr(&self.0).cast()
    }

    /// Sends for a ticket that was chosen.
    pub(super) fn fulfil(&self, ticket: Ticket, message: T) -> Result<(), SendError<T>> {
        overflow::probe_to_wait(size_of::<T>());
        // Not by `with`, as in `try_send`.
        let mut exchange = self.0.exchange.lock();
        let receiver = exchange.fulfil(ticket, message);
        release(exchange);
        if let Some(receiver) = receiver? {
            receiver.wake();
        }
        Ok(())
    }
}

impl<T> Case for Sender<T> {
    fn probe(&self) {
        overflow::probe_to_wait(size_of::<T>());
    }

    fn attempt(&self, choice: &Choice, waits: bool, me: Option<&Arc<Green>>) -> Option<Ticket> {
        self.0.with(|exchange| exchange.offer(choice, waits, Waiter::of(me)))
    }

    fn is_done(&self, ticket: Ticket) -> bool {
        self.0.exchange.lock().is_sender_done(ticket)
    }

    fn is_certain(&self, ticket: Ticket) -> bool {
        self.0.exchange.lock().is_granted(ticket)
    }

    fn withdraw(&self, ticket: Ticket) {
        overflow::probe();
        let next = self.0.with(|exchange| exchange.end_offer(ticket));
        if let Some(next) = next {
            next.wake();
        }
    }

    fn is_possible(&self) -> bool {
        self.0.exchange.lock().can(true)
    }

    fn watch(&self, me: Option<&Arc<Green>>) -> Option<Ticket> {
        self.0.exchange.lock().watch(true, Waiter::of(me))
    }

    fn is_told(&self, ticket: Ticket) -> bool {
        !self.0.exchange.lock().is_watching(true, ticket)
    }

    fn end_watch(&self, ticket: Ticket) {
        overflow::probe();
        self.0.exchange.lock().end_watch(true, ticket);
    }

    fn due(&self) -> Option<Instant> {
        None
    }

    fn is_end(&self, sends: bool, channel: *const ()) -> bool {
        sends && channel == self.channel()
    }
}

impl<T> Receiver<T> {
    pub(super) fn channel(&self) -> *const () {
        Arc::as_ptr(&self.0).cast()
    }

    /// Receives for a ticket that was chosen.
    pub(super) fn take(&self, ticket: Ticket) -> Result<T, RecvError> {
        overflow::probe_to_wait(size_of::<T>());
        let value = self.0.with(|exchange| exchange.end_receive(ticket));
        value.ok_or(RecvError)
    }
}

impl<T> Case for Receiver<T> {
    fn probe(&self) {
        overflow::probe_to_wait(size_of::<T>());
    }

    fn attempt(&self, choice: &Choice, waits: bool, me: Option<&Arc<Green>>) -> Option<Ticket> {
        self.0.look_at_alarm();
        let (ticket, sender) = self.0.with(|exchange| exchange.ask(choice, waits, Waiter::of(me)));
        if let Some(sender) = sender {
            sender.wake();
        }
        ticket
    }

    fn is_done(&self, ticket: Ticket) -> bool {
        self.0.exchange.lock().is_receiver_done(ticket)
    }

    fn is_certain(&self, ticket: Ticket) -> bool {
        self.0.exchange.lock().is_handed(ticket)
    }

    fn withdraw(&self, ticket: Ticket) {
        overflow::probe_to_wait(size_of::<T>());
        self.0.give_up(ticket);
    }

    fn is_possible(&self) -> bool {
        self.0.look_at_alarm();
        self.0.exchange.lock().can(false)
    }

    fn watch(&self, me: Option<&Arc<Green>>) -> Option<Ticket> {
        self.0.look_at_alarm();
        self.0.exchange.lock().watch(false, Waiter::of(me))
    }

    fn is_told(&self, ticket: Ticket) -> bool {
        !self.0.exchange.lock().is_watching(false, ticket)
    }

    fn end_watch(&self, ticket: Ticket) {
        overflow::probe();
        self.0.exchange.lock().end_watch(false, ticket);
    }

    fn due(&self) -> Option<Instant> {
        self.0.due()
    }

    fn is_end(&self, sends: bool, channel: *const ()) -> bool {
        !sends && channel == self.channel()
    }
}
