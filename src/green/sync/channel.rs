//! Channels between green threads and OS threads, with the verbs, the errors and the rules of
//! [`crossbeam_channel`](https://docs.rs/crossbeam-channel): to port is to change the `use`.
//!
//! A message is moved, by way of the stack: put what has more than some KB in a box.
//!
//! What differs: a [`tick`] that is received late does not put off the next. A message goes to the
//! receiver that has waited longest, room to the sender that has.
//! To wait is a point where a cancelled task unwinds: its message was not sent, and one that it was
//! just given goes back to the front. A task that waits here keeps its place in its huey's
//! `pool_size`. In a destructor while a panic unwinds a green thread, which can't let others run
//! then, a wait ends after 10 ms at the most, with the error of a time-out, or, where that is none
//! of the errors, of a lost connection.
//!
//! As with crossbeam, a sender in a `select!` makes its message when it has met a receiver, and
//! that one waits for it: where the capacity is 0 even `try_recv` does, and one whose time is over.
//!
//! ```
//! use minihuey::green;
//! use minihuey::sync::channel::{bounded, unbounded};
//!
//! let (jobs, todo) = bounded::<u32>(10);
//! let (done, results) = unbounded();
//! for _ in 0..3 {
//!     let (todo, done) = (todo.clone(), done.clone());
//!     green::spawn(move || {
//!         for job in todo {
//!             done.send(job * job).unwrap();
//!         }
//!     });
//! }
//! drop(done);                                              // the workers have theirs
//! (1..=4).for_each(|n| jobs.send(n).unwrap());
//! drop(jobs);                                              // the workers' loops end
//! assert_eq!(results.iter().sum::<u32>(), 30);
//! ```

use std::fmt;
use std::iter::FusedIterator;
use std::sync::Arc;
use std::time::{Duration, Instant};

#[doc(no_inline)]
pub use crossbeam_channel::{
    RecvError, RecvTimeoutError, SendError, SendTimeoutError, TryRecvError, TrySendError,
};

use super::alarm::Alarm;
use super::exchange::Exchange;
#[doc(inline)]
pub use super::select::{
    ReadyTimeoutError, Select, SelectTimeoutError, SelectedOperation, TryReadyError, TrySelectError,
};
use super::wait_list::Ticket;
use crate::clock::{deadline, earlier};
use crate::green::{Green, Waited, Waiter, block_until, overflow};
use crate::primitives::{AtomicUsize, Mutex, MutexGuard, Ordering};
#[doc(no_inline)]
pub use crate::{__select as select, __select_biased as select_biased};

/// A channel that holds at most `capacity` messages; more senders wait. With 0 a message is handed
/// over: each of both ends waits for the other.
///
/// ```
/// use minihuey::{green, sync::channel::bounded};
///
/// let (sender, receiver) = bounded(0);
/// let task = green::spawn(move || sender.send("hello"));
/// assert_eq!(receiver.recv()?, "hello");
/// assert!(task.join().unwrap().is_ok());
/// # Ok::<(), minihuey::sync::channel::RecvError>(())
/// ```
pub fn bounded<T>(capacity: usize) -> (Sender<T>, Receiver<T>) {
    channel(Some(capacity))
}

/// A channel that takes messages as long as there is memory: senders never wait.
///
/// ```
/// let (sender, receiver) = minihuey::sync::channel::unbounded();
/// sender.send(1).unwrap();
/// assert_eq!(receiver.try_recv(), Ok(1));
/// ```
pub fn unbounded<T>() -> (Sender<T>, Receiver<T>) {
    channel(None)
}

/// A receiver that gets no message, and no error either: its channel is never disconnected.
///
/// ```
/// use minihuey::sync::channel::{after, never};
/// use std::time::Duration;
///
/// let limit: Option<Duration> = None;
/// let over = limit.map_or_else(never, after);              // for a `select!` that may have a limit
/// assert!(over.try_recv().is_err());
/// ```
pub fn never<T>() -> Receiver<T> {
    Receiver(Channel::new(Some(0), None))
}

/// A receiver that gets one message, after `duration`, which is the time then; and never an error.
/// It takes no thread to send it.
///
/// ```
/// use minihuey::sync::{channel::{after, unbounded}, select};
/// use std::time::Duration;
///
/// let (_sender, receiver) = unbounded::<u32>();
/// select! {
///     recv(receiver) -> message => println!("{message:?}"),
///     recv(after(Duration::from_millis(5))) -> _ => println!("nothing came"),
/// }
/// ```
pub fn after(duration: Duration) -> Receiver<Instant> {
    deadline(duration).map_or_else(never, at)
}

/// A receiver that gets one message, `when` at the earliest, which is `when`; and never an error.
///
/// ```
/// use std::time::{Duration, Instant};
///
/// let when = Instant::now() + Duration::from_millis(5);
/// assert_eq!(minihuey::sync::channel::at(when).recv(), Ok(when));
/// assert!(Instant::now() >= when);
/// ```
pub fn at(when: Instant) -> Receiver<Instant> {
    Receiver(Channel::new(Some(1), Some(Alarm::new(when, None))))
}

/// A receiver that gets a message every `period`, which is the time at which it was due; and never
/// an error. What is missed comes once: the next is due a period after this one was, or, if that is
/// over when this one is received, a period after then.
///
/// ```
/// use std::time::{Duration, Instant};
///
/// let start = Instant::now();
/// let ticks = minihuey::sync::channel::tick(Duration::from_millis(5));
/// ticks.iter().take(3).for_each(drop);
/// assert!(start.elapsed() >= Duration::from_millis(15));
/// ```
pub fn tick(period: Duration) -> Receiver<Instant> {
    deadline(period).map_or_else(never, |first| {
        Receiver(Channel::new(Some(1), Some(Alarm::new(first, Some(period)))))
    })
}

fn channel<T>(capacity: Option<usize>) -> (Sender<T>, Receiver<T>) {
    let channel = Channel::new(capacity, None);
    (Sender(channel.clone()), Receiver(channel))
}

/// What both ends share: the exchange, and how one waits for it.
pub(super) struct Channel<T> {
    pub(super) exchange: Mutex<Exchange<T, Waiter>>,
    /// Where messages come from if there is no sender.
    alarm: Option<Mutex<Alarm<T>>>,
    senders: AtomicUsize,
    receivers: AtomicUsize,
}

/// Lets go of the exchange, and tells whoever watches it what has become possible.
#[inline]
pub(super) fn release<T>(mut exchange: MutexGuard<'_, Exchange<T, Waiter>>) {
    let told = exchange.told();
    drop(exchange);
    told.into_iter().for_each(Waiter::wake);
}

impl<T> Channel<T> {
    /// With one of each end, whether or not it is made.
    fn new(capacity: Option<usize>, alarm: Option<Alarm<T>>) -> Arc<Channel<T>> {
        Arc::new(Channel {
            exchange: Mutex::new(Exchange::new(capacity)),
            alarm: alarm.map(Mutex::new),
            senders: AtomicUsize::new(1),
            receivers: AtomicUsize::new(1),
        })
    }

    /// Gives `f` the exchange, and tells whoever watches it what has become possible.
    #[inline]
    pub(super) fn with<R>(&self, f: impl FnOnce(&mut Exchange<T, Waiter>) -> R) -> R {
        let mut exchange = self.exchange.lock();
        let given = f(&mut exchange);
        release(exchange);
        given
    }

    fn try_send(&self, value: T) -> Result<(), TrySendError<T>> {
        overflow::probe_to_wait(size_of::<T>());
        // Not by `with`: an unoptimised build would copy the value once more on its way.
        let mut exchange = self.exchange.lock();
        let receiver = exchange.send(value);
        release(exchange);
        if let Some(receiver) = receiver? {
            receiver.wake();
        }
        Ok(())
    }

    /// Without a deadline it may time out, too: where it is impossible to wait for long.
    fn send(&self, value: T, deadline: Option<Instant>) -> Result<(), SendTimeoutError<T>> {
        match self.try_send(value) {
            Ok(()) => Ok(()),
            Err(TrySendError::Disconnected(value)) => Err(SendTimeoutError::Disconnected(value)),
            Err(TrySendError::Full(value)) => self.send_later(value, deadline),
        }
    }

    #[cold]
    fn send_later(&self, value: T, deadline: Option<Instant>) -> Result<(), SendTimeoutError<T>> {
        overflow::probe_to_wait(size_of::<T>());
        let me = Green::current();
        let waiter = Waiter::of(me.as_ref());
        // Not by `with`, as above.
        let mut exchange = self.exchange.lock();
        let ticket = match exchange.send(value) {
            Ok(receiver) => {
                release(exchange);
                if let Some(receiver) = receiver {
                    receiver.wake();
                }
                return Ok(());
            }
            Err(TrySendError::Disconnected(value)) => {
                return Err(SendTimeoutError::Disconnected(value));
            }
            Err(TrySendError::Full(value)) => exchange.list_sender(value, waiter),
        };
        release(exchange);
        let listed = Offered(self, ticket);
        let is_done = || self.exchange.lock().is_sender_done(ticket);
        // However it ended: what counts is whether the value is still there.
        let _ = block_until(me.as_deref(), deadline, is_done);
        std::mem::forget(listed);
        self.with(|exchange| match exchange.end_send(ticket) {
            None => Ok(()),
            Some(value) if exchange.has_no_receivers() => {
                Err(SendTimeoutError::Disconnected(value))
            }
            Some(value) => Err(SendTimeoutError::Timeout(value)),
        })
    }

    fn try_recv(&self) -> Result<T, TryRecvError> {
        match self.recv_now() {
            Err(TryRecvError::Empty) if self.has_senders_listed() => {}
            received => return received,
        }
        self.recv_later(None, false).map_err(|error| match error {
            RecvTimeoutError::Timeout => TryRecvError::Empty,
            RecvTimeoutError::Disconnected => TryRecvError::Disconnected,
        })
    }

    /// Senders who have yet to make their values, if there is no value.
    fn has_senders_listed(&self) -> bool {
        self.exchange.lock().has_senders_listed()
    }

    fn recv_now(&self) -> Result<T, TryRecvError> {
        overflow::probe_to_wait(size_of::<T>());
        self.look_at_alarm();
        let (value, sender) = self.with(Exchange::receive)?;
        if let Some(sender) = sender {
            sender.wake();
        }
        Ok(value)
    }

    /// As [`send`](Channel::send), it may time out without a deadline.
    fn recv(&self, deadline: Option<Instant>) -> Result<T, RecvTimeoutError> {
        match self.recv_now() {
            Ok(value) => Ok(value),
            Err(TryRecvError::Disconnected) => Err(RecvTimeoutError::Disconnected),
            Err(TryRecvError::Empty) => self.recv_later(deadline, true),
        }
    }

    /// If it does not wait, it waits only for one who is about to send.
    #[cold]
    fn recv_later(&self, deadline: Option<Instant>, waits: bool) -> Result<T, RecvTimeoutError> {
        overflow::probe_to_wait(size_of::<T>());
        let me = Green::current();
        loop {
            self.look_at_alarm();
            let asked = self.with(|exchange| match exchange.receive() {
                Err(TryRecvError::Empty) => {
                    let ticket = exchange.list_receiver(Waiter::of(me.as_ref()));
                    let sender = exchange.meet(ticket, None);
                    if sender.is_none() && !waits {
                        exchange.end_receive(ticket);
                        return Err(Err(TryRecvError::Empty));
                    }
                    Ok((ticket, sender.flatten()))
                }
                received => Err(received),
            });
            let (ticket, sender) = match asked {
                Ok(asked) => asked,
                Err(Ok((value, sender))) => {
                    if let Some(sender) = sender {
                        sender.wake();
                    }
                    return Ok(value);
                }
                Err(Err(TryRecvError::Disconnected)) => return Err(RecvTimeoutError::Disconnected),
                Err(Err(TryRecvError::Empty)) => return Err(RecvTimeoutError::Timeout),
            };
            let listed = Asked(self, ticket);
            if let Some(sender) = sender {
                sender.wake();
            }
            let is_done = || self.exchange.lock().is_receiver_done(ticket);
            let mut limit = earlier(deadline, self.due());
            // However it ends: what counts is whether there is a value.
            let (waited, was_done, value) = loop {
                let waited = block_until(me.as_deref(), limit, is_done);
                let ended = self.with(|exchange| {
                    // Whoever has met it relies on it: its time does not count any more.
                    let is_relied_on = waited == Waited::TimedOut && exchange.is_promised(ticket);
                    (!is_relied_on)
                        .then(|| (exchange.is_receiver_done(ticket), exchange.end_receive(ticket)))
                });
                match ended {
                    Some((was_done, value)) => break (waited, was_done, value),
                    None => limit = None,
                }
            };
            std::mem::forget(listed);
            if let Some(value) = value {
                return Ok(value);
            }
            let is_late = || deadline.is_some_and(|deadline| deadline <= Instant::now());
            if !was_done && (waited == Waited::Impossible || is_late()) {
                return Err(RecvTimeoutError::Timeout);
            }
            // All senders are gone, or one changed its mind, or the alarm is due.
        }
    }

    /// A receiver waits no longer. What it was handed goes to the next.
    pub(super) fn give_up(&self, ticket: Ticket) {
        let next = self.with(|exchange| {
            let value = exchange.end_receive(ticket);
            value.and_then(|value| exchange.put_back(value))
        });
        if let Some(next) = next {
            next.wake();
        }
    }

    /// Has the message there that is due.
    pub(super) fn look_at_alarm(&self) {
        let Some(alarm) = &self.alarm else { return };
        if self.exchange.lock().len() > 0 {
            return;
        }
        let message = alarm.lock().take(Instant::now());
        let receiver = message.and_then(|message| self.with(|exchange| exchange.put_back(message)));
        if let Some(receiver) = receiver {
            receiver.wake();
        }
    }

    /// When the next message comes of itself.
    pub(super) fn due(&self) -> Option<Instant> {
        self.alarm.as_ref().and_then(|alarm| alarm.lock().due())
    }

    fn len(&self) -> usize {
        overflow::probe();
        let is_due = self.due().is_some_and(|due| due <= Instant::now());
        self.exchange.lock().len().max(usize::from(is_due))
    }

    fn is_full(&self) -> bool {
        overflow::probe();
        match self.alarm {
            Some(_) => self.len() > 0,
            None => self.exchange.lock().is_full(),
        }
    }
}

/// Takes a message back whose sender unwinds.
struct Offered<'a, T>(&'a Channel<T>, Ticket);

impl<T> Drop for Offered<'_, T> {
    fn drop(&mut self) {
        let value = self.0.with(|exchange| exchange.end_send(self.1));
        drop(value);
    }
}

/// Gives a message on whose receiver unwinds.
struct Asked<'a, T>(&'a Channel<T>, Ticket);

impl<T> Drop for Asked<'_, T> {
    fn drop(&mut self) {
        self.0.give_up(self.1);
    }
}

/// One end of a channel, which may be cloned. When all senders are gone, receivers get what is left
/// and then errors.
pub struct Sender<T>(pub(super) Arc<Channel<T>>);

/// The other end of a channel, which may be cloned, too: each message goes to one receiver. When
/// all receivers are gone, what was not received is dropped, and senders get errors.
pub struct Receiver<T>(pub(super) Arc<Channel<T>>);

impl<T> Sender<T> {
    /// Sends a message; waits while the channel is full.
    ///
    /// # Errors
    /// [`SendError`], with the message, if all receivers are gone.
    pub fn send(&self, message: T) -> Result<(), SendError<T>> {
        self.0.send(message, None).map_err(|error| SendError(error.into_inner()))
    }

    /// Sends a message if that is possible at once.
    ///
    /// # Errors
    /// With the message: `Full` if there is no room, or, where the capacity is 0, nobody who waits
    /// for a message; `Disconnected` if all receivers are gone.
    pub fn try_send(&self, message: T) -> Result<(), TrySendError<T>> {
        self.0.try_send(message)
    }

    /// As [`send`](Sender::send), waiting for at most `timeout`.
    ///
    /// # Errors
    /// With the message: `Timeout`, or `Disconnected` if all receivers are gone.
    pub fn send_timeout(&self, message: T, timeout: Duration) -> Result<(), SendTimeoutError<T>> {
        self.0.send(message, deadline(timeout))
    }

    /// As [`send`](Sender::send), waiting until `end`.
    ///
    /// # Errors
    /// As [`send_timeout`](Sender::send_timeout).
    pub fn send_deadline(&self, message: T, end: Instant) -> Result<(), SendTimeoutError<T>> {
        self.0.send(message, Some(end))
    }
}

impl<T> Receiver<T> {
    /// The next message; waits while there is none.
    ///
    /// # Errors
    /// [`RecvError`] if there is none left and all senders are gone.
    pub fn recv(&self) -> Result<T, RecvError> {
        self.0.recv(None).map_err(|_| RecvError)
    }

    /// The next message, if there is one.
    ///
    /// # Errors
    /// `Empty` if there is none, or, where the capacity is 0, nobody who waits to send one;
    /// `Disconnected` if there is none left and all senders are gone.
    pub fn try_recv(&self) -> Result<T, TryRecvError> {
        self.0.try_recv()
    }

    /// As [`recv`](Receiver::recv), waiting for at most `timeout`.
    ///
    /// # Errors
    /// `Timeout`, or `Disconnected` if there is none left and all senders are gone.
    pub fn recv_timeout(&self, timeout: Duration) -> Result<T, RecvTimeoutError> {
        self.0.recv(deadline(timeout))
    }

    /// As [`recv`](Receiver::recv), waiting until `end`.
    ///
    /// # Errors
    /// As [`recv_timeout`](Receiver::recv_timeout).
    pub fn recv_deadline(&self, end: Instant) -> Result<T, RecvTimeoutError> {
        self.0.recv(Some(end))
    }

    /// All messages, waiting for each, until all senders are gone.
    pub fn iter(&self) -> Iter<'_, T> {
        Iter(self)
    }

    /// The messages that are there, waiting for none.
    pub fn try_iter(&self) -> TryIter<'_, T> {
        TryIter(self)
    }
}

/// What both ends have.
macro_rules! end {
    ($end:ident, $count:ident, $lose:ident, $name:literal) => {
        impl<T> $end<T> {
            /// True if there is no message.
            pub fn is_empty(&self) -> bool {
                self.len() == 0
            }

            /// True if there is no room for a message. Always so where the capacity is 0.
            pub fn is_full(&self) -> bool {
                self.0.is_full()
            }

            /// How many messages there are. (Not those of senders who wait.)
            pub fn len(&self) -> usize {
                self.0.len()
            }

            /// How many messages there may be. `None` if there is no limit.
            pub fn capacity(&self) -> Option<usize> {
                overflow::probe();
                self.0.exchange.lock().capacity()
            }

            /// True if the other one belongs to the same channel.
            pub fn same_channel(&self, other: &$end<T>) -> bool {
                Arc::ptr_eq(&self.0, &other.0)
            }
        }

        impl<T> Clone for $end<T> {
            fn clone(&self) -> $end<T> {
                // ORDERING: Relaxed, as for an Arc: who clones has one.
                self.0.$count.fetch_add(1, Ordering::Relaxed);
                $end(self.0.clone())
            }
        }

        impl<T> Drop for $end<T> {
            fn drop(&mut self) {
                // ORDERING: AcqRel, as for an Arc: the last one comes after all others.
                if self.0.$count.fetch_sub(1, Ordering::AcqRel) == 1 {
                    self.0.$lose();
                }
            }
        }

        impl<T> fmt::Debug for $end<T> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(concat!($name, " { .. }"))
            }
        }
    };
}

end!(Sender, senders, lose_senders, "Sender");
end!(Receiver, receivers, lose_receivers, "Receiver");

impl<T> Channel<T> {
    fn lose_senders(&self) {
        overflow::probe();
        let receivers = self.with(Exchange::lose_senders);
        receivers.into_iter().for_each(Waiter::wake);
    }

    fn lose_receivers(&self) {
        overflow::probe();
        let (messages, senders) = self.with(Exchange::lose_receivers);
        senders.into_iter().for_each(Waiter::wake);
        drop(messages);
    }
}

/// See [`Receiver::iter`].
#[derive(Debug)]
pub struct Iter<'a, T>(&'a Receiver<T>);

/// See [`Receiver::try_iter`].
#[derive(Debug)]
pub struct TryIter<'a, T>(&'a Receiver<T>);

/// All messages of a receiver that was taken, until all senders are gone.
#[derive(Debug)]
pub struct IntoIter<T>(Receiver<T>);

impl<T> Iterator for Iter<'_, T> {
    type Item = T;

    fn next(&mut self) -> Option<T> {
        self.0.recv().ok()
    }
}

impl<T> FusedIterator for Iter<'_, T> {}

impl<T> Iterator for TryIter<'_, T> {
    type Item = T;

    fn next(&mut self) -> Option<T> {
        self.0.try_recv().ok()
    }
}

impl<T> Iterator for IntoIter<T> {
    type Item = T;

    fn next(&mut self) -> Option<T> {
        self.0.recv().ok()
    }
}

impl<T> FusedIterator for IntoIter<T> {}

impl<'a, T> IntoIterator for &'a Receiver<T> {
    type Item = T;
    type IntoIter = Iter<'a, T>;

    fn into_iter(self) -> Iter<'a, T> {
        self.iter()
    }
}

impl<T> IntoIterator for Receiver<T> {
    type Item = T;
    type IntoIter = IntoIter<T>;

    fn into_iter(self) -> IntoIter<T> {
        IntoIter(self)
    }
}
