//! [`Pool`]: connections that are made when they are needed, lent to one thread at a time, and
//! kept. It connects, checks and lets go of connections without its lock: these are the program's
//! code, and may wait.

use std::collections::VecDeque;
use std::error::Error;
use std::fmt;
use std::ops::{Deref, DerefMut};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::green::Mutex;

use super::super::{Waited, Waiter, overflow};
use super::permits::{MAX_PERMITS, Permits};
use crate::clock::deadline;
use crate::error::PoolError;

/// A pool of connections, or of anything else that is dear to make, for green threads and OS
/// threads alike. Clones are the same pool.
///
/// A thread that waits here for a connection does not hold the worker; other crates' pools (r2d2,
/// `mysql::Pool`) would. A connection is made by `connect` when none is idle, and lent by a guard
/// that gives it back when it is dropped. Whoever has waited longest gets the next. A task that
/// waits keeps its place in its huey's `pool_size`.
///
/// A connection that comes back while a panic (or the end of a cancelled task) unwinds is not kept:
/// there may be half an answer in it.
///
/// ```
/// use minihuey::{green, sync::Pool};
/// use std::io::{self, Read, Write};
/// use std::net::{TcpListener, TcpStream};
/// use std::time::Duration;
///
/// # let listener = TcpListener::bind("127.0.0.1:0")?;
/// # let address = listener.local_addr()?;
/// # std::thread::spawn(move || {
/// #     for peer in listener.incoming() {
/// #         std::thread::spawn(move || {
/// #             let mut peer = peer.unwrap();
/// #             let mut byte = [0];
/// #             while peer.read_exact(&mut byte).is_ok() { peer.write_all(&byte).unwrap() }
/// #         });
/// #     }
/// # });
/// let pool = Pool::builder(move || TcpStream::connect(address))
///     .max_size(2)
///     .is_valid(|connection| connection.take_error().is_ok_and(|error| error.is_none()))
///     .build();
/// let tasks: Vec<_> = (0..10)
///     .map(|n| {
///         let pool = pool.clone();
///         green::spawn(move || -> io::Result<u8> {
///             let mut connection = pool.get_timeout(Duration::from_secs(10)).unwrap();
///             connection.write_all(&[n])?;
///             let mut answer = [0];
///             connection.read_exact(&mut answer)?;
///             Ok(answer[0])
///         })
///     })
///     .collect();
/// for (n, task) in (0..).zip(tasks) {
///     assert_eq!(task.join().unwrap()?, n);
/// }
/// assert!(pool.state().connections <= 2);
/// # Ok::<(), io::Error>(())
/// ```
pub struct Pool<T, E = Box<dyn Error + Send + Sync>>(Arc<Shared<T, E>>);

struct Shared<T, E> {
    settings: PoolBuilder<T, E>,
    /// One for each connection that there may be.
    permits: Permits<Waiter>,
    /// The one that was used last is the last: so those that are not needed grow old.
    idle: Mutex<VecDeque<Idle<T>>>,
}

struct Idle<T> {
    connection: T,
    since: Instant,
}

type Connect<T, E> = Box<dyn Fn() -> Result<T, E> + Send + Sync>;
type Test<T> = Box<dyn Fn(&mut T) -> bool + Send + Sync>;

/// Settings for a [`Pool`], which [`build`](PoolBuilder::build) makes.
#[must_use = "the settings make a pool by `build`"]
pub struct PoolBuilder<T, E> {
    connect: Connect<T, E>,
    is_valid: Option<Test<T>>,
    has_broken: Option<Test<T>>,
    max_size: usize,
    max_idle: Option<usize>,
    idle_timeout: Option<Duration>,
}

/// How a [`Pool`] stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct PoolState {
    /// Connections that are lent, are being made, or are idle.
    pub connections: usize,
    /// Those that wait to be lent.
    pub idle: usize,
}

/// A connection of a [`Pool`], which gets it back when this is dropped.
pub struct Pooled<T, E = Box<dyn Error + Send + Sync>> {
    /// There until it is dropped or taken out.
    connection: Option<T>,
    // After the connection: it is counted until it is closed.
    place: Place<T, E>,
}

/// A permit for one connection.
struct Place<T, E>(Arc<Shared<T, E>>);

impl<T, E> Drop for Place<T, E> {
    fn drop(&mut self) {
        self.0.permits.give_back(1);
    }
}

impl<T, E> Pool<T, E> {
    /// A pool whose connections are made by `connect`. What it gives as an error comes back from
    /// [`get`](Pool::get) as it was.
    pub fn builder(
        connect: impl Fn() -> Result<T, E> + Send + Sync + 'static,
    ) -> PoolBuilder<T, E> {
        PoolBuilder {
            connect: Box::new(connect),
            is_valid: None,
            has_broken: None,
            max_size: 10,
            max_idle: None,
            idle_timeout: None,
        }
    }

    /// Lends a connection; waits while as many as there may be are lent.
    ///
    /// # Errors
    /// [`PoolError::Connect`] with what `connect` gave; [`PoolError::Misconfigured`] if there may
    /// be no connections; [`PoolError::WaitImpossible`] in a destructor while a panic unwinds a
    /// green thread, if there is none within 10 ms.
    pub fn get(&self) -> Result<Pooled<T, E>, PoolError<E>> {
        self.lend(None)
    }

    /// As [`get`](Pool::get), waiting for at most `timeout`. It does not limit how long `connect`
    /// takes, nor the check: these know how to do that.
    ///
    /// # Errors
    /// [`PoolError::TimedOut`], and those of [`get`](Pool::get).
    pub fn get_timeout(&self, timeout: Duration) -> Result<Pooled<T, E>, PoolError<E>> {
        self.lend(deadline(timeout))
    }

    /// As [`get`](Pool::get), but gives `None` if it would have to wait for somebody else's.
    ///
    /// # Errors
    /// As [`get`](Pool::get).
    pub fn try_get(&self) -> Result<Option<Pooled<T, E>>, PoolError<E>> {
        self.check_settings()?;
        if self.0.permits.try_acquire(1) { self.fill_place().map(Some) } else { Ok(None) }
    }

    /// How many connections there are at this moment.
    pub fn state(&self) -> PoolState {
        overflow::probe();
        let idle = self.0.idle.lock().len();
        // The permits first would count one twice that comes back in between.
        let lent = self.0.settings.max_size.saturating_sub(self.0.permits.free());
        PoolState { connections: lent + idle, idle }
    }

    fn lend(&self, deadline: Option<Instant>) -> Result<Pooled<T, E>, PoolError<E>> {
        self.check_settings()?;
        match self.0.permits.acquire_until(1, deadline) {
            Waited::Ready => self.fill_place(),
            Waited::TimedOut => Err(PoolError::TimedOut),
            // (An interrupted wait unwinds.)
            Waited::Impossible | Waited::Interrupted => Err(PoolError::WaitImpossible),
        }
    }

    fn check_settings(&self) -> Result<(), PoolError<E>> {
        if self.0.settings.max_size > 0 {
            return Ok(());
        }
        let what = "max_size is 0: there could never be a connection; expected at least 1";
        Err(PoolError::Misconfigured(what.to_owned()))
    }

    /// With a permit. Whatever happens here, an error or a panic, gives it back.
    fn fill_place(&self) -> Result<Pooled<T, E>, PoolError<E>> {
        let place = Place(self.0.clone());
        let settings = &self.0.settings;
        self.0.drop_aged();
        loop {
            overflow::probe_to_wait(size_of::<T>());
            let idle = self.0.idle.lock().pop_back();
            let Some(Idle { mut connection, .. }) = idle else { break };
            if settings.is_valid.as_ref().is_none_or(|is_valid| is_valid(&mut connection)) {
                return Ok(Pooled { connection: Some(connection), place });
            }
        }
        let connection = (settings.connect)().map_err(PoolError::Connect)?;
        Ok(Pooled { connection: Some(connection), place })
    }
}

impl<T, E> Shared<T, E> {
    /// Closes those that have been idle for too long.
    fn drop_aged(&self) {
        let Some(timeout) = self.settings.idle_timeout else { return };
        overflow::probe();
        let mut idle = self.idle.lock();
        let aged = idle.iter().take_while(|idle| idle.since.elapsed() > timeout).count();
        let aged: Vec<_> = idle.drain(..aged).collect();
        drop(idle);
        drop(aged);
    }

    /// Keeps it for the next, or closes it.
    fn take_back(&self, mut connection: T) {
        let has_broken = self.settings.has_broken.as_ref();
        if std::thread::panicking() || has_broken.is_some_and(|test| test(&mut connection)) {
            return;
        }
        self.drop_aged();
        overflow::probe_to_wait(size_of::<T>());
        let mut idle = self.idle.lock();
        if self.settings.max_idle.is_none_or(|most| idle.len() < most) {
            idle.push_back(Idle { connection, since: Instant::now() });
            return;
        }
        drop(idle);
        drop(connection);
    }
}

impl<T, E> PoolBuilder<T, E> {
    /// How many connections there may be at a moment, lent and idle; 10 unless set.
    pub fn max_size(mut self, connections: usize) -> PoolBuilder<T, E> {
        self.max_size = connections;
        self
    }

    /// How many idle ones are kept at most; `max_size` unless set.
    pub fn max_idle(mut self, connections: usize) -> PoolBuilder<T, E> {
        self.max_idle = Some(connections);
        self
    }

    /// An idle connection is not lent again after this long; it is, however old, unless set. It is
    /// closed when the pool is used next.
    pub fn idle_timeout(mut self, timeout: Duration) -> PoolBuilder<T, E> {
        self.idle_timeout = Some(timeout);
        self
    }

    /// How to find out, before an idle connection is lent, whether it still works: by a ping, say.
    /// One that does not is closed, and another one tried or made.
    pub fn is_valid(
        mut self,
        is_valid: impl Fn(&mut T) -> bool + Send + Sync + 'static,
    ) -> PoolBuilder<T, E> {
        self.is_valid = Some(Box::new(is_valid));
        self
    }

    /// How to tell, when a connection comes back, that it is not to be kept. Should not wait.
    pub fn has_broken(
        mut self,
        has_broken: impl Fn(&mut T) -> bool + Send + Sync + 'static,
    ) -> PoolBuilder<T, E> {
        self.has_broken = Some(Box::new(has_broken));
        self
    }

    /// Makes the pool. It connects when it is first asked for a connection.
    pub fn build(mut self) -> Pool<T, E> {
        self.max_size = self.max_size.min(MAX_PERMITS);
        Pool(Arc::new(Shared {
            permits: Permits::new(self.max_size),
            idle: Mutex::new(VecDeque::new()),
            settings: self,
        }))
    }
}

impl<T, E> Pooled<T, E> {
    /// Takes the connection out of the pool, which may make another one for it.
    ///
    /// ```
    /// # use minihuey::sync::{Pool, Pooled};
    /// let pool: Pool<String> = Pool::builder(|| Ok("connection".to_owned())).build();
    /// let mine: String = Pooled::detach(pool.get()?);
    /// assert_eq!(pool.state().connections, 0);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn detach(mut this: Pooled<T, E>) -> T {
        match this.connection.take() {
            Some(connection) => connection,
            None => unreachable!("it is there until the guard is dropped"),
        }
    }

    /// Closes the connection: it is broken, or was left in the middle of something.
    pub fn discard(mut this: Pooled<T, E>) {
        // Before its place is another's.
        drop(this.connection.take());
    }
}

impl<T, E> Deref for Pooled<T, E> {
    type Target = T;

    fn deref(&self) -> &T {
        match &self.connection {
            Some(connection) => connection,
            None => unreachable!("it is there until the guard is dropped"),
        }
    }
}

impl<T, E> DerefMut for Pooled<T, E> {
    fn deref_mut(&mut self) -> &mut T {
        match &mut self.connection {
            Some(connection) => connection,
            None => unreachable!("it is there until the guard is dropped"),
        }
    }
}

impl<T, E> Drop for Pooled<T, E> {
    fn drop(&mut self) {
        if let Some(connection) = self.connection.take() {
            self.place.0.take_back(connection);
        }
    }
}

impl<T, E> Clone for Pool<T, E> {
    fn clone(&self) -> Pool<T, E> {
        Pool(self.0.clone())
    }
}

impl<T, E> fmt::Debug for Pool<T, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pool")
            .field("max_size", &self.0.settings.max_size)
            .field("state", &self.state())
            .finish_non_exhaustive()
    }
}

impl<T, E> fmt::Debug for PoolBuilder<T, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PoolBuilder")
            .field("max_size", &self.max_size)
            .field("max_idle", &self.max_idle)
            .field("idle_timeout", &self.idle_timeout)
            .finish_non_exhaustive()
    }
}

impl<T: fmt::Debug, E> fmt::Debug for Pooled<T, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&**self, f)
    }
}
