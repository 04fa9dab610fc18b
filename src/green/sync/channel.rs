//! Channels between green threads and OS threads, with the verbs, the errors and the rules of
//! [`crossbeam_channel`](https://docs.rs/crossbeam-channel): to port is to change the `use`.
//!
//! A message is moved, by way of the stack: put what has more than some KB in a box.
//!
//! What differs: there is no `select!`, `after`, `tick` or `never`. A message goes to the receiver that
//! has waited longest, room to the sender that has. To wait is a point where a cancelled task
//! unwinds: its message was not sent, and one that it was just given goes back to the front. A task
//! that waits here keeps its place in its huey's `pool_size`. In a destructor while a panic unwinds a
//! green thread, which can't let others run then, a wait ends after 10 ms at the most, with the
//! error of a time-out, or, where that is none of the errors, of a lost connection.
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
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use crate::green::Mutex;
#[doc(no_inline)]
pub use crossbeam_channel::{
    RecvError, RecvTimeoutError, SendError, SendTimeoutError, TryRecvError, TrySendError,
};

use super::super::{Waiter, block_until, overflow};
use super::acquire::caller;
use super::exchange::Exchange;
use super::wait_list::Ticket;
use crate::clock::deadline;

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

fn channel<T>(capacity: Option<usize>) -> (Sender<T>, Receiver<T>) {
    let channel = Arc::new(Channel {
        exchange: Mutex::new(Exchange::new(capacity)),
        senders: AtomicUsize::new(1),
        receivers: AtomicUsize::new(1),
    });
    (Sender(channel.clone()), Receiver(channel))
}

struct Channel<T> {
    exchange: Mutex<Exchange<T, Waiter>>,
    senders: AtomicUsize,
    receivers: AtomicUsize,
}

impl<T> Channel<T> {
    fn try_send(&self, value: T) -> Result<(), TrySendError<T>> {
        overflow::probe_to_wait(size_of::<T>());
        let receiver = self.exchange.lock().send(value)?;
        if let Some(receiver) = receiver {
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
        let (me, waiter) = caller();
        let mut exchange = self.exchange.lock();
        let ticket = match exchange.send(value) {
            Ok(receiver) => {
                drop(exchange);
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
        drop(exchange);
        let listed = Offered(self, ticket);
        let is_done = || self.exchange.lock().is_sender_done(ticket);
        // However it ended: what counts is whether the value is still there.
        let _ = block_until(me.as_deref(), deadline, is_done);
        std::mem::forget(listed);
        let mut exchange = self.exchange.lock();
        match exchange.end_send(ticket) {
            None => Ok(()),
            Some(value) if exchange.has_no_receivers() => {
                Err(SendTimeoutError::Disconnected(value))
            }
            Some(value) => Err(SendTimeoutError::Timeout(value)),
        }
    }

    fn try_recv(&self) -> Result<T, TryRecvError> {
        overflow::probe_to_wait(size_of::<T>());
        let (value, sender) = self.exchange.lock().receive()?;
        if let Some(sender) = sender {
            sender.wake();
        }
        Ok(value)
    }

    /// As [`send`](Channel::send), it may time out without a deadline.
    fn recv(&self, deadline: Option<Instant>) -> Result<T, RecvTimeoutError> {
        match self.try_recv() {
            Ok(value) => Ok(value),
            Err(TryRecvError::Disconnected) => Err(RecvTimeoutError::Disconnected),
            Err(TryRecvError::Empty) => self.recv_later(deadline),
        }
    }

    #[cold]
    fn recv_later(&self, deadline: Option<Instant>) -> Result<T, RecvTimeoutError> {
        overflow::probe_to_wait(size_of::<T>());
        let (me, waiter) = caller();
        let mut exchange = self.exchange.lock();
        let ticket = match exchange.receive() {
            Ok((value, sender)) => {
                drop(exchange);
                if let Some(sender) = sender {
                    sender.wake();
                }
                return Ok(value);
            }
            Err(TryRecvError::Disconnected) => return Err(RecvTimeoutError::Disconnected),
            Err(TryRecvError::Empty) => exchange.list_receiver(waiter),
        };
        drop(exchange);
        let listed = Asked(self, ticket);
        let is_done = || self.exchange.lock().is_receiver_done(ticket);
        // However it ended: what counts is whether there is a value.
        let _ = block_until(me.as_deref(), deadline, is_done);
        std::mem::forget(listed);
        let mut exchange = self.exchange.lock();
        match exchange.end_receive(ticket) {
            Some(value) => Ok(value),
            None if exchange.has_no_senders() => Err(RecvTimeoutError::Disconnected),
            None => Err(RecvTimeoutError::Timeout),
        }
    }
}

/// Takes a message back whose sender unwinds.
struct Offered<'a, T>(&'a Channel<T>, Ticket);

impl<T> Drop for Offered<'_, T> {
    fn drop(&mut self) {
        let value = self.0.exchange.lock().end_send(self.1);
        drop(value);
    }
}

/// Gives a message on whose receiver unwinds.
struct Asked<'a, T>(&'a Channel<T>, Ticket);

impl<T> Drop for Asked<'_, T> {
    fn drop(&mut self) {
        let mut exchange = self.0.exchange.lock();
        let value = exchange.end_receive(self.1);
        let next = value.and_then(|value| exchange.put_back(value));
        drop(exchange);
        if let Some(next) = next {
            next.wake();
        }
    }
}

/// One end of a channel, which may be cloned. When all senders are gone, receivers get what is left
/// and then errors.
pub struct Sender<T>(Arc<Channel<T>>);

/// The other end of a channel, which may be cloned, too: each message goes to one receiver. When all
/// receivers are gone, what was not received is dropped, and senders get errors.
pub struct Receiver<T>(Arc<Channel<T>>);

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
    /// With the message: `Full` if there is no room, or, where the capacity is 0, nobody who waits for
    /// a message; `Disconnected` if all receivers are gone.
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
                overflow::probe();
                self.0.exchange.lock().is_full()
            }

            /// How many messages there are. (Not those of senders who wait.)
            pub fn len(&self) -> usize {
                overflow::probe();
                self.0.exchange.lock().len()
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
        let receivers = self.exchange.lock().lose_senders();
        receivers.into_iter().for_each(Waiter::wake);
    }

    fn lose_receivers(&self) {
        overflow::probe();
        let (messages, senders) = self.exchange.lock().lose_receivers();
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
