//! Waits for several channels at once. What happens when two meet is in `exchange`; which of several
//! cases one goes on with, in `selection`. Here is the one who selects:
//!
//! ```text
//!   each channel: can it be now? ──yes, and claimed──────────────────────────┐
//!     │ none can                                                             ▼
//!   each channel: can it be now, else list ──▶ block until claimed ──▶ withdraw from the others
//!     ▲                                              │ time is over          │
//!     └──◀── what was claimed is gone again ─────────│───────────────────────┤
//!                                                    ▼                       ▼
//!                                             withdraw from all      SelectedOperation
//! ```
//! What was claimed is gone again if a sender was granted a receiver that gives up before the sender
//! runs, or a receiver was promised a message by a sender that gives up before it sends it.
//!
//! A claim is all that others do. Whatever they hand, grant or promise is kept in the channel under
//! the ticket, so that leaving is the same at every moment, by a time-out, by unwinding or by dropping
//! a [`SelectedOperation`]: withdraw the ticket, and what is kept for it goes to the next.

use std::cell::Cell;
use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::super::{Green, Waited, block_until};
use super::channel::{Receiver, RecvError, SendError, Sender};
use super::selection::{Choice, Selection};
use super::wait_list::Ticket;
use crate::clock::{deadline, earlier};

#[doc(no_inline)]
pub use crossbeam_channel::{SelectTimeoutError, TrySelectError};

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

    /// When it becomes possible of itself.
    fn due(&self) -> Option<Instant>;

    /// It is the sending, or the receiving, end of the channel at this address.
    fn is_end(&self, sends: bool, channel: *const ()) -> bool;
}

/// Waits for several operations on channels, and does one that is possible. The dynamic form of
/// [`select!`](macro@super::select), for as many channels as there happen to be.
///
/// ```
/// use minihuey::{green, sync::{Select, channel::unbounded}};
///
/// let (senders, receivers): (Vec<_>, Vec<_>) = (0..3).map(|_| unbounded::<u32>()).unzip();
/// let sender = senders[1].clone();
/// let task = green::spawn(move || sender.send(7));
///
/// let mut select = Select::new();
/// for receiver in &receivers {
///     select.recv(receiver);
/// }
/// let operation = select.select();
/// let index = operation.index();
/// assert_eq!(index, 1);
/// assert_eq!(operation.recv(&receivers[index])?, 7);
/// # task.join().unwrap().unwrap();
/// # Ok::<(), minihuey::sync::channel::RecvError>(())
/// ```
///
/// An operation is possible if it need not wait, be it because the other end is gone: then it gives
/// its error. Among several that are possible, each has its turn.
///
/// What differs from crossbeam's: there is no `ready`; dropping a [`SelectedOperation`] is allowed.
#[derive(Clone, Default)]
pub struct Select<'a> {
    /// None: removed.
    cases: Vec<Option<&'a dyn Case>>,
    is_biased: bool,
}

impl<'a> Select<'a> {
    /// Without operations.
    pub fn new() -> Select<'a> {
        Select::default()
    }

    /// One that tries the operations in the order in which they were added.
    pub fn new_biased() -> Select<'a> {
        Select { cases: Vec::new(), is_biased: true }
    }

    /// Adds the operation of sending. Gives its index: how many were added before.
    pub fn send<T>(&mut self, sender: &'a Sender<T>) -> usize {
        self.add(sender)
    }

    /// Adds the operation of receiving. Gives its index: how many were added before.
    pub fn recv<T>(&mut self, receiver: &'a Receiver<T>) -> usize {
        self.add(receiver)
    }

    fn add(&mut self, case: &'a dyn Case) -> usize {
        self.cases.push(Some(case));
        self.cases.len() - 1
    }

    /// Removes an operation, such as one whose channel is disconnected. The others keep their
    /// indexes. Does nothing if there is none with this index.
    pub fn remove(&mut self, index: usize) {
        if let Some(case) = self.cases.get_mut(index) {
            *case = None;
        }
    }

    /// Selects an operation if one is possible at once.
    ///
    /// # Errors
    /// [`TrySelectError`] if none is.
    ///
    /// ```
    /// use minihuey::sync::{Select, channel::bounded};
    ///
    /// let (sender, receiver) = bounded(1);
    /// let mut select = Select::new();
    /// let recv = select.recv(&receiver);
    /// assert!(select.try_select().is_err());
    /// sender.send("hello")?;
    /// let operation = select.try_select()?;
    /// assert_eq!(operation.index(), recv);
    /// assert_eq!(operation.recv(&receiver)?, "hello");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn try_select(&mut self) -> Result<SelectedOperation<'a>, TrySelectError> {
        self.run(None, false).map_err(|_| TrySelectError)
    }

    /// Waits until an operation is possible, and selects it.
    ///
    /// Without operations, and in a destructor while a panic unwinds a green thread if none becomes
    /// possible within 10 ms, it gives one that fails as if its channel were disconnected. (Without
    /// operations its index is `usize::MAX`.)
    pub fn select(&mut self) -> SelectedOperation<'a> {
        let none = |first| SelectedOperation { index: first, held: None };
        if self.cases().next().is_none() {
            return none(usize::MAX);
        }
        self.run(None, true).unwrap_or_else(none)
    }

    /// As [`select`](Select::select), waiting for at most `timeout`.
    ///
    /// # Errors
    /// [`SelectTimeoutError`] if no operation became possible. Without operations: when the time is
    /// over.
    ///
    /// ```
    /// use minihuey::sync::{Select, channel::bounded};
    /// use std::time::Duration;
    ///
    /// let (sender, _receiver) = bounded::<u32>(0);
    /// let mut select = Select::new();
    /// select.send(&sender);
    /// assert!(select.select_timeout(Duration::from_millis(5)).is_err());
    /// ```
    pub fn select_timeout(
        &mut self,
        timeout: Duration,
    ) -> Result<SelectedOperation<'a>, SelectTimeoutError> {
        self.run(deadline(timeout), true).map_err(|_| SelectTimeoutError)
    }

    /// As [`select`](Select::select), waiting until `end`.
    ///
    /// # Errors
    /// As [`select_timeout`](Select::select_timeout).
    pub fn select_deadline(
        &mut self,
        end: Instant,
    ) -> Result<SelectedOperation<'a>, SelectTimeoutError> {
        self.run(Some(end), true).map_err(|_| SelectTimeoutError)
    }

    /// All that are left, with their indexes.
    fn cases(&self) -> impl Iterator<Item = (usize, &'a dyn Case)> + Clone {
        self.cases.iter().enumerate().filter_map(|(index, case)| Some((index, (*case)?)))
    }

    /// If none became possible, gives the index of one.
    fn run(&self, deadline: Option<Instant>, waits: bool) -> Result<SelectedOperation<'a>, usize> {
        self.cases().for_each(|(_, case)| case.probe());
        let me = Green::current();
        let turn = if self.is_biased { 0 } else { random_below(self.cases.len()) };
        let (last, first) = (self.cases(), self.cases());
        let order = first.filter(|case| case.0 >= turn).chain(last.filter(|case| case.0 < turn));
        loop {
            let mut listed = Listed { selection: Selection::new(), cases: Vec::new() };
            if !listed.attempt(order.clone(), false, me.as_ref()) {
                if !waits {
                    return Err(turn);
                }
                listed.attempt(order.clone(), true, me.as_ref());
            }
            let waited = listed.block(deadline, me.as_deref());
            if let Some(operation) = listed.end() {
                return Ok(operation);
            }
            let is_over = match waited {
                Waited::Impossible => true,
                _ => deadline.is_some_and(|deadline| deadline <= Instant::now()),
            };
            if is_over {
                return Err(order.clone().next().map_or(usize::MAX, |case| case.0));
            }
            // What was claimed is gone again, or some operation is due.
        }
    }
}

impl fmt::Debug for Select<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Select { .. }")
    }
}

/// What one selection has listed, or was claimed for.
struct Listed<'a> {
    selection: Arc<Selection>,
    cases: Vec<(usize, &'a dyn Case, Ticket)>,
}

impl<'a> Listed<'a> {
    /// Gives true if a case was claimed: then the others need not be tried.
    fn attempt(
        &mut self,
        order: impl Iterator<Item = (usize, &'a dyn Case)>,
        waits: bool,
        me: Option<&Arc<Green>>,
    ) -> bool {
        for (index, case) in order {
            let choice = Choice::new(&self.selection, index);
            let ticket = case.attempt(&choice, waits, me);
            self.cases.extend(ticket.map(|ticket| (index, case, ticket)));
            if self.selection.claimed().is_some() {
                return true;
            }
        }
        false
    }

    fn is_done(&self) -> bool {
        let claimed = self.selection.claimed();
        self.cases.iter().any(|(index, case, ticket)| {
            claimed.is_some_and(|claimed| claimed == *index) && case.is_done(*ticket)
        })
    }

    /// Until the claimed case is done, time is over, or, as long as none is claimed, one is due.
    fn block(&self, deadline: Option<Instant>, me: Option<&Green>) -> Waited {
        let due = self.cases.iter().filter_map(|(_, case, _)| case.due()).min();
        let waited = block_until(me, earlier(deadline, due), || self.is_done());
        match self.selection.claimed() {
            Some(_) if waited == Waited::TimedOut => block_until(me, deadline, || self.is_done()),
            _ => waited,
        }
    }

    /// Withdraws from all, but for the one that it may go on with, if there is one.
    fn end(mut self) -> Option<SelectedOperation<'a>> {
        let claimed = self.selection.close()?;
        let place = self.cases.iter().position(|case| case.0 == claimed)?;
        let (index, case, ticket) = self.cases[place];
        if !(case.is_done(ticket) && case.is_certain(ticket)) {
            return None;
        }
        self.cases.swap_remove(place);
        Some(SelectedOperation { index, held: Some((case, ticket)) })
    }
}

impl Drop for Listed<'_> {
    fn drop(&mut self) {
        self.selection.close();
        self.cases.iter().for_each(|(_, case, ticket)| case.withdraw(*ticket));
    }
}

/// An operation that was selected, to be done by [`send`](SelectedOperation::send) or
/// [`recv`](SelectedOperation::recv). If it is dropped instead, it is not done: a message that was
/// to be received is the next again.
#[must_use = "it is not done before `send` or `recv` is called"]
pub struct SelectedOperation<'a> {
    index: usize,
    /// None: it fails.
    held: Option<(&'a dyn Case, Ticket)>,
}

impl SelectedOperation<'_> {
    /// Which one it is: what [`Select::send`] or [`Select::recv`] gave.
    pub fn index(&self) -> usize {
        self.index
    }

    /// Sends `message`, by the sender that was selected.
    ///
    /// It does not wait, with an exception: where the capacity is 0 and the receiver gives up
    /// between the selection and this, it waits for the next. With any other sender than the one that
    /// was selected it does what [`Sender::send`] does, and the operation is dropped.
    ///
    /// # Errors
    /// [`SendError`], with the message, if all receivers are gone.
    pub fn send<T>(mut self, sender: &Sender<T>, message: T) -> Result<(), SendError<T>> {
        match self.held.take() {
            None => Err(SendError(message)),
            Some((case, ticket)) if case.is_end(true, sender.channel()) => {
                sender.fulfil(ticket, message)
            }
            Some((case, ticket)) => {
                case.withdraw(ticket);
                sender.send(message)
            }
        }
    }

    /// Receives the message, by the receiver that was selected. It does not wait.
    ///
    /// With any other receiver it does what [`Receiver::recv`] does, and the operation is dropped.
    ///
    /// # Errors
    /// [`RecvError`] if there is none left and all senders are gone.
    pub fn recv<T>(mut self, receiver: &Receiver<T>) -> Result<T, RecvError> {
        match self.held.take() {
            None => Err(RecvError),
            Some((case, ticket)) if case.is_end(false, receiver.channel()) => receiver.take(ticket),
            Some((case, ticket)) => {
                case.withdraw(ticket);
                receiver.recv()
            }
        }
    }
}

impl Drop for SelectedOperation<'_> {
    fn drop(&mut self) {
        if let Some((case, ticket)) = self.held.take() {
            case.withdraw(ticket);
        }
    }
}

impl fmt::Debug for SelectedOperation<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SelectedOperation").field("index", &self.index).finish_non_exhaustive()
    }
}

/// So that no case has the first turn always.
fn random_below(end: usize) -> usize {
    thread_local! {
        static STATE: Cell<u64> = Cell::new(RandomState::new().hash_one(0) | 1);
    }
    // Gone, in a thread that ends.
    let random = STATE.try_with(|state| {
        let mut word = state.get();
        word ^= word << 13;
        word ^= word >> 7;
        word ^= word << 17;
        state.set(word);
        word
    });
    (random.unwrap_or(0) >> 16) as usize % end.max(1)
}
