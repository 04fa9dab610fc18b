//! Waits for several channels at once. What happens when two meet is in `exchange`; which of
//! several cases one goes on with, in `selection`. Here is the one who selects:
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
//! What was claimed is gone again if a sender was granted a receiver that is cancelled before the
//! sender runs, or a receiver was promised a message by a sender that gives up before it sends it.
//! One that is claimed waits on though its time is over: the other one relies on it.
//!
//! A claim is all that others do. Whatever they hand, grant or promise is kept in the channel under
//! the ticket, so that leaving is the same at every moment, by a time-out, by unwinding or by
//! dropping a [`SelectedOperation`]: withdraw the ticket, and what is kept for it goes to the next.
//!
//! `ready` claims nothing and is claimed by nobody: it watches the channels.

use std::cell::Cell;
use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::channel::{Receiver, RecvError, SendError, Sender};
use super::ends::Case;
use super::selection::{Choice, Selection};
use super::wait_list::Ticket;
use crate::clock::{deadline, earlier};
use crate::green::{Green, Waited, block_until};

#[doc(no_inline)]
pub use crossbeam_channel::{ReadyTimeoutError, SelectTimeoutError, TryReadyError, TrySelectError};

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
/// To wait without doing anything yet there is [`ready`](Select::ready).
///
/// What differs from crossbeam's: dropping a [`SelectedOperation`] is allowed.
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

    /// Gives the index of an operation that is possible now.
    ///
    /// # Errors
    /// [`TryReadyError`] if none is.
    ///
    /// ```
    /// use minihuey::sync::{Select, channel::bounded};
    ///
    /// let (sender, receiver) = bounded(1);
    /// let mut select = Select::new();
    /// let recv = select.recv(&receiver);
    /// let send = select.send(&sender);
    /// assert_eq!(select.try_ready(), Ok(send));
    /// sender.send("hello")?;
    /// assert_eq!(select.try_ready(), Ok(recv));
    /// # Ok::<(), minihuey::sync::channel::SendError<&str>>(())
    /// ```
    pub fn try_ready(&mut self) -> Result<usize, TryReadyError> {
        self.watch(None, false).map_err(|_| TryReadyError)
    }

    /// Waits until an operation is possible, and gives its index. It does nothing with the
    /// channels: others may be faster to do it, so try it, and wait again if that fails. And two
    /// who wait so, one to send and one to receive, don't meet where the capacity is 0.
    ///
    /// Without operations it gives `usize::MAX` at once. In a destructor while a panic unwinds a
    /// green thread, it gives the index of one that is not possible if none becomes so within 10
    /// ms.
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
    /// let message = loop {
    ///     let index = select.ready();
    ///     if let Ok(message) = receivers[index].try_recv() {
    ///         break message;
    ///     }
    /// };
    /// assert_eq!(message, 7);
    /// # task.join().unwrap().unwrap();
    /// ```
    pub fn ready(&mut self) -> usize {
        if self.cases().next().is_none() {
            return usize::MAX;
        }
        self.watch(None, true).unwrap_or_else(|first| first)
    }

    /// As [`ready`](Select::ready), waiting for at most `timeout`.
    ///
    /// # Errors
    /// [`ReadyTimeoutError`] if no operation became possible. Without operations: when the time is
    /// over.
    ///
    /// ```
    /// use minihuey::sync::{Select, channel::bounded};
    /// use std::time::Duration;
    ///
    /// let (sender, _receiver) = bounded::<u32>(0);
    /// let mut select = Select::new();
    /// select.send(&sender);
    /// assert!(select.ready_timeout(Duration::from_millis(5)).is_err());
    /// ```
    pub fn ready_timeout(&mut self, timeout: Duration) -> Result<usize, ReadyTimeoutError> {
        self.watch(deadline(timeout), true).map_err(|_| ReadyTimeoutError)
    }

    /// As [`ready`](Select::ready), waiting until `end`.
    ///
    /// # Errors
    /// As [`ready_timeout`](Select::ready_timeout).
    ///
    /// ```
    /// use minihuey::sync::{Select, channel::after};
    /// use std::time::{Duration, Instant};
    ///
    /// let soon = after(Duration::from_millis(5));
    /// let mut select = Select::new();
    /// let recv = select.recv(&soon);
    /// assert_eq!(select.ready_deadline(Instant::now() + Duration::from_secs(60))?, recv);
    /// # Ok::<(), minihuey::sync::channel::ReadyTimeoutError>(())
    /// ```
    pub fn ready_deadline(&mut self, end: Instant) -> Result<usize, ReadyTimeoutError> {
        self.watch(Some(end), true).map_err(|_| ReadyTimeoutError)
    }

    /// In which they are tried.
    fn order(&self) -> impl Iterator<Item = (usize, &'a dyn Case)> + Clone {
        let turn = if self.is_biased { 0 } else { random_below(self.cases.len()) };
        let (last, first) = (self.cases(), self.cases());
        first.filter(move |case| case.0 >= turn).chain(last.filter(move |case| case.0 < turn))
    }

    /// If none became possible, gives the index of one.
    fn watch(&self, deadline: Option<Instant>, waits: bool) -> Result<usize, usize> {
        self.cases().for_each(|(_, case)| case.probe());
        let me = Green::current();
        let order = self.order();
        let mut is_over = !waits;
        loop {
            if let Some((index, _)) = order.clone().find(|(_, case)| case.is_possible()) {
                return Ok(index);
            }
            if is_over {
                return Err(order.clone().next().map_or(usize::MAX, |case| case.0));
            }
            let mut watched = Watched(Vec::new());
            for (index, case) in order.clone() {
                let Some(ticket) = case.watch(me.as_ref()) else { return Ok(index) };
                watched.0.push((case, ticket));
            }
            let due = self.cases().filter_map(|(_, case)| case.due()).min();
            let waited = block_until(me.as_deref(), earlier(deadline, due), || watched.is_told());
            // Somebody else may have been faster. One that became possible as time passed counts.
            is_over = waited == Waited::Impossible
                || deadline.is_some_and(|deadline| deadline <= Instant::now());
        }
    }

    /// All that are left, with their indexes.
    fn cases(&self) -> impl Iterator<Item = (usize, &'a dyn Case)> + Clone {
        self.cases.iter().enumerate().filter_map(|(index, case)| Some((index, (*case)?)))
    }

    /// If none became possible, gives the index of one.
    fn run(&self, deadline: Option<Instant>, waits: bool) -> Result<SelectedOperation<'a>, usize> {
        self.cases().for_each(|(_, case)| case.probe());
        let me = Green::current();
        let order = self.order();
        loop {
            let mut listed = Listed { selection: Selection::new(), cases: Vec::new() };
            if !listed.attempt(order.clone(), false, me.as_ref()) {
                if !waits {
                    return Err(usize::MAX);
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

/// Where one who is not to do anything is told that something is possible.
struct Watched<'a>(Vec<(&'a dyn Case, Ticket)>);

impl Watched<'_> {
    fn is_told(&self) -> bool {
        self.0.iter().any(|(case, ticket)| case.is_told(*ticket))
    }
}

impl Drop for Watched<'_> {
    fn drop(&mut self) {
        self.0.iter().for_each(|(case, ticket)| case.end_watch(*ticket));
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
        // Closed, so that it is not claimed as it leaves.
        match self.selection.close() {
            Some(_) if waited == Waited::TimedOut => block_until(me, None, || self.is_done()),
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
    /// It does not wait. If the receiver that it has met is cancelled meanwhile, the message is in
    /// the channel for the next one, even where the capacity is 0. With any other sender than the
    /// one that was selected it does what [`Sender::send`] does, and the operation is dropped.
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
