//! Who waits for which descriptors, on one worker, and how each wait begins and ends. Pure: the
//! kernel's set of descriptors, and what blocks and unparks a green thread, are the caller's.
//!
//! ```text
//!   count it ─▶ enter ─▶ PENDING ──fired, rouse─────▶ READY   try again      ─▶ leave
//!     ▲                        ├──about_to_close────▶ CLOSED  EBADF          ─▶ leave
//!     │                        ├──closed────────────▶ STALE                  ─▶ leave ─┐
//!     │                        └──nobody: its time is over, or its task ended ─▶ leave  │
//!     └─────────────────────────────────────────────────────────────────────────────────┘
//! ```
//! A descriptor is watched one event at a time, for all that its waiters want together, and is
//! entered anew by each wait: nothing is relied on of a descriptor that nobody waits on, so that
//! its number may be closed and reused behind our back.
//!
//! Whoever closes a descriptor says so twice. Before: its waiters get EBADF. Afterwards: those who
//! began to wait in between, on another worker, begin anew with whatever has the number now, or
//! none, because the kernel has forgotten what they asked for.

use std::collections::HashMap;
use std::os::fd::RawFd;
use std::sync::Arc;

use super::blocking::Waited;
use crate::primitives::{AtomicU32, AtomicUsize, Mutex, Ordering, fence};

/// Told of any descriptor, whether asked for or not.
const ALWAYS: u32 = (libc::EPOLLERR | libc::EPOLLHUP) as u32;

/// The descriptors that the kernel watches.
pub(crate) trait Set {
    /// What is known of it, kept under the lock of the list.
    type Known: Default;
    /// Why a descriptor can't be watched.
    type Refusal;

    /// Asks for one event, one of these.
    fn arm(&self, known: &mut Self::Known, fd: RawFd, events: u32) -> Result<(), Self::Refusal>;

    /// The number is about to be closed.
    #[cfg(feature = "monkey")]
    fn forget(known: &mut Self::Known, fd: RawFd);

    /// Asks for nothing any more.
    #[cfg(feature = "monkey")]
    fn disarm(&self, fd: RawFd);
}

/// `W` is somebody to unpark.
pub(crate) struct Watches<S: Set, W> {
    pub(super) set: S,
    watched: Mutex<Watched<S::Known, W>>,
    /// How many waits there are, so that with none the kernel need not be asked.
    waits: AtomicUsize,
}

struct Watched<K, W> {
    waiters: HashMap<RawFd, Vec<Watch<W>>>,
    known: K,
}

/// One wait for one descriptor.
struct Watch<W> {
    events: u32,
    wait: Arc<Wait<W>>,
}

/// One wait, for any number of descriptors.
pub(crate) struct Wait<W> {
    waiter: W,
    state: AtomicU32,
}

const PENDING: u32 = 0;
const READY: u32 = 1;
const CLOSED: u32 = 2;
/// The descriptor was closed after the wait began: see at the top.
const STALE: u32 = 3;

/// How a wait for descriptors ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Polled {
    /// One of them may be ready: try again.
    Ready,
    /// One was closed meanwhile, or is none.
    Closed,
    TimedOut,
    Interrupted,
    /// There can be no wait here: a panic unwinds.
    Impossible,
}

impl<W> Wait<W> {
    /// Who waits is unparked after this is so.
    pub(crate) fn is_over(&self) -> bool {
        self.state.load(Ordering::Relaxed) != PENDING
    }

    fn end(&self, state: u32, unpark: impl Fn(&W)) {
        // ORDERING: Release and Acquire (in `is_over`) are not needed for any data, only for the
        // flag itself; the unpark comes after it, and whoever is woken looks again.
        let _ = self.state.compare_exchange(PENDING, state, Ordering::Relaxed, Ordering::Relaxed);
        unpark(&self.waiter);
    }
}

impl<S: Set, W: Clone> Watches<S, W> {
    pub(crate) fn new(set: S) -> Watches<S, W> {
        let watched = Watched { waiters: HashMap::new(), known: S::Known::default() };
        Watches { set, watched: Mutex::new(watched), waits: AtomicUsize::new(0) }
    }

    /// Somebody waits. For the worker itself.
    pub(crate) fn is_needed(&self) -> bool {
        // ORDERING: Relaxed: waits are entered by green threads of this very worker.
        self.waits.load(Ordering::Relaxed) > 0
    }

    /// Has `me` wait until one of the descriptors has one of its events (epoll's numbers), or was
    /// closed. `block` waits until the wait is over, or for less.
    ///
    /// # Errors
    /// What the kernel says of a descriptor that can't be watched.
    pub(crate) fn wait_for(
        &self,
        me: &W,
        descriptors: &[(RawFd, u32)],
        mut block: impl FnMut(&Wait<W>) -> Waited,
    ) -> Result<Polled, S::Refusal> {
        loop {
            if let Some(polled) = self.wait_once(me, descriptors, &mut block)? {
                return Ok(polled);
            }
        }
    }

    /// As `wait_for`; None if it must begin anew.
    fn wait_once(
        &self,
        me: &W,
        descriptors: &[(RawFd, u32)],
        block: impl FnOnce(&Wait<W>) -> Waited,
    ) -> Result<Option<Polled>, S::Refusal> {
        let wait = Arc::new(Wait { waiter: me.clone(), state: AtomicU32::new(PENDING) });
        // ORDERING: Relaxed for `is_needed`; the fence pairs with that in `closed`.
        self.waits.fetch_add(1, Ordering::Relaxed);
        fence(Ordering::SeqCst);
        let entered =
            descriptors.iter().try_for_each(|(fd, events)| self.enter(*fd, *events, &wait));
        let waited = entered.map(|()| block(&wait));
        for (fd, _) in descriptors {
            self.leave(*fd, &wait);
        }
        self.waits.fetch_sub(1, Ordering::Relaxed);
        Ok(match waited? {
            Waited::Ready => match wait.state.load(Ordering::Relaxed) {
                STALE => None,
                CLOSED => Some(Polled::Closed),
                _ => Some(Polled::Ready),
            },
            Waited::TimedOut => Some(Polled::TimedOut),
            Waited::Interrupted => Some(Polled::Interrupted),
            Waited::Impossible => Some(Polled::Impossible),
        })
    }

    fn enter(&self, fd: RawFd, events: u32, wait: &Arc<Wait<W>>) -> Result<(), S::Refusal> {
        let mut watched = self.watched.lock();
        let Watched { waiters, known } = &mut *watched;
        let watches = waiters.entry(fd).or_default();
        watches.push(Watch { events, wait: wait.clone() });
        self.set.arm(known, fd, wanted(watches))
    }

    fn leave(&self, fd: RawFd, wait: &Arc<Wait<W>>) {
        let waiters = &mut self.watched.lock().waiters;
        if let Some(watches) = waiters.get_mut(&fd) {
            watches.retain(|watch| !Arc::ptr_eq(&watch.wait, wait));
            if watches.is_empty() {
                waiters.remove(&fd);
            }
        }
    }

    /// The kernel has told of these events, and watches the descriptor no longer.
    ///
    /// # Errors
    /// It can't be watched any more: its waiters were unparked, and will find out why.
    pub(crate) fn fired(
        &self,
        fd: RawFd,
        events: u32,
        unpark: impl Fn(&W),
    ) -> Result<(), S::Refusal> {
        let mut watched = self.watched.lock();
        let Watched { waiters, known } = &mut *watched;
        // Nobody, if the wait was given up.
        let Some(watches) = waiters.get_mut(&fd) else { return Ok(()) };
        let mut woken: Vec<Watch<W>> =
            watches.extract_if(.., |watch| (watch.events | ALWAYS) & events != 0).collect();
        let mut armed = Ok(());
        if watches.is_empty() {
            waiters.remove(&fd);
        } else {
            armed = self.set.arm(known, fd, wanted(watches));
            if armed.is_err() {
                woken.extend(waiters.remove(&fd).unwrap_or_default());
            }
        }
        drop(watched);
        woken.iter().for_each(|watch| watch.wait.end(READY, &unpark));
        armed
    }

    /// Ends all waits for `fd`, which is about to be closed. From any thread.
    #[cfg(feature = "monkey")]
    pub(crate) fn about_to_close(&self, fd: RawFd, unpark: impl Fn(&W)) {
        let mut watched = self.watched.lock();
        S::forget(&mut watched.known, fd);
        let Some(watches) = watched.waiters.remove(&fd) else { return };
        drop(watched);
        self.set.disarm(fd);
        watches.iter().for_each(|watch| watch.wait.end(CLOSED, &unpark));
    }

    /// Has all waits for `fd`, which was closed, begin anew. From any thread.
    #[cfg(feature = "monkey")]
    pub(crate) fn closed(&self, fd: RawFd, unpark: impl Fn(&W)) {
        // ORDERING: with the fence in `wait_once`: a wait that is not counted yet comes to ask the
        // kernel after it has closed the descriptor, and hears so.
        fence(Ordering::SeqCst);
        if self.waits.load(Ordering::Relaxed) > 0 {
            self.end_all(fd, STALE, unpark);
        }
    }

    /// Has all who wait for `fd` try again. From any thread.
    #[cfg(feature = "monkey")]
    pub(crate) fn rouse(&self, fd: RawFd, unpark: impl Fn(&W)) {
        self.end_all(fd, READY, unpark);
    }

    #[cfg(feature = "monkey")]
    fn end_all(&self, fd: RawFd, state: u32, unpark: impl Fn(&W)) {
        let Some(watches) = self.watched.lock().waiters.remove(&fd) else { return };
        watches.iter().for_each(|watch| watch.wait.end(state, &unpark));
    }

    #[cfg(all(test, feature = "monkey"))]
    pub(crate) fn has_waiters(&self, fd: RawFd) -> bool {
        self.watched.lock().waiters.contains_key(&fd)
    }
}

/// What these want together.
fn wanted<W>(watches: &[Watch<W>]) -> u32 {
    watches.iter().fold(0, |events, watch| events | watch.events)
}
