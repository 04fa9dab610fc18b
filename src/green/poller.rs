//! Which green threads of one worker wait for which descriptors: an epoll set of the hub's own.
//! Its descriptor is itself watched by may's selector, so readiness is handled on the worker's own
//! thread. Only the hub takes events out; green threads enter themselves, and whoever closes a
//! descriptor takes its waiters out from any thread.
//!
//! A descriptor is watched one event at a time (EPOLLONESHOT), for all that its waiters want
//! together, and is entered anew by each wait: nothing is remembered of a descriptor that nobody
//! waits on, so that its number may be closed and reused behind our back.

use std::collections::HashMap;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::time::Instant;

use nix::errno::Errno;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use nix::sys::timerfd::TimerFd;

use super::lock::Mutex;
use super::thread::{Green, sheltered};
use super::waiter::{Waited, block_or_interrupted};
use super::{overflow, panics};

/// The timer's events carry this instead of a descriptor.
const TIMER: u64 = u64::MAX;

/// Told of any descriptor, whether asked for or not.
const ALWAYS: u32 = (libc::EPOLLERR | libc::EPOLLHUP) as u32;

pub(super) struct Poller {
    epoll: Epoll,
    watched: Mutex<HashMap<RawFd, Vec<Watch>>>,
    /// How many waits there are, so that with none the kernel need not be asked.
    waits: AtomicUsize,
}

/// One wait for one descriptor.
struct Watch {
    events: u32,
    wait: Arc<Wait>,
}

// `tests/loom/descriptors.rs` has a model that mirrors who enters, leaves, fires and closes.

/// One wait, for any number of descriptors.
struct Wait {
    green: Arc<Green>,
    state: AtomicU32,
}

const PENDING: u32 = 0;
const READY: u32 = 1;
const CLOSED: u32 = 2;

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

impl Poller {
    /// A set that may's selector of the worker `index` will watch. may has a descriptor watched by
    /// the worker whose number is the descriptor's, modulo the number of workers: so sets are made
    /// until one is the right worker's.
    pub(super) fn of_worker(index: usize, workers: usize, timer: &TimerFd) -> nix::Result<Poller> {
        let mut others = Vec::new();
        let epoll = loop {
            let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
            if epoll.0.as_raw_fd() as usize % workers == index {
                break epoll;
            }
            others.push(epoll);
        };
        // It is never read, only armed anew, and stays ready until then: so a busy green thread that
        // takes a turn does not take the timer's event away from may's selector.
        epoll.add(timer.as_fd(), EpollEvent::new(EpollFlags::EPOLLIN, TIMER))?;
        Ok(Poller { epoll, watched: Mutex::default(), waits: AtomicUsize::new(0) })
    }

    pub(super) fn fd(&self) -> RawFd {
        self.epoll.0.as_raw_fd()
    }

    /// Somebody waits.
    pub(super) fn is_needed(&self) -> bool {
        // ORDERING: Relaxed: waits are entered by green threads of this very worker.
        self.waits.load(Ordering::Relaxed) > 0
    }

    /// Wakes all whose descriptors are ready. On the worker only; never blocks.
    pub(super) fn turn(&self) {
        let mut events = [EpollEvent::empty(); 64];
        loop {
            let count = self.epoll.wait(&mut events, EpollTimeout::ZERO).unwrap_or(0);
            for event in events.iter().take(count).filter(|event| event.data() != TIMER) {
                self.fired(event.data() as RawFd, event.events().bits() as u32);
            }
            if count < events.len() {
                return;
            }
        }
    }

    fn fired(&self, fd: RawFd, events: u32) {
        let mut watched = self.watched.lock();
        // Nobody, if the wait was given up.
        let Some(watches) = watched.get_mut(&fd) else { return };
        let mut woken: Vec<Watch> =
            watches.extract_if(.., |watch| (watch.events | ALWAYS) & events != 0).collect();
        let mut refused = None;
        if watches.is_empty() {
            watched.remove(&fd);
        } else if let Err(errno) = self.arm(fd, watches) {
            // It can't be watched any more: its waiters will find out why.
            refused = Some(errno);
            woken.extend(watched.remove(&fd).unwrap_or_default());
        }
        drop(watched);
        // Without the lock: a logger may close a descriptor.
        if let Some(errno) = refused {
            panics::contain(|| log::debug!("descriptor {fd} can't be watched: {errno}"));
        }
        woken.iter().for_each(|watch| watch.wait.end(READY));
    }

    /// Asks for one event of what `watches` want.
    fn arm(&self, fd: RawFd, watches: &[Watch]) -> nix::Result<()> {
        let wanted = watches.iter().fold(0, |events, watch| events | watch.events);
        let flags = EpollFlags::from_bits_truncate(wanted as i32) | EpollFlags::EPOLLONESHOT;
        let mut event = EpollEvent::new(flags, fd as u64);
        // SAFETY: the number is used in this call alone, and is not closed by it; if it is not
        // open, or another's, the kernel says so or watches that, which does no harm.
        let fd = unsafe { BorrowedFd::borrow_raw(fd) };
        match self.epoll.modify(fd, &mut event) {
            // It was not watched before, or was closed and is another one now.
            Err(Errno::ENOENT) => self.epoll.add(fd, event),
            done => done,
        }
    }

    fn enter(&self, fd: RawFd, events: u32, wait: &Arc<Wait>) -> nix::Result<()> {
        let mut watched = self.watched.lock();
        let watches = watched.entry(fd).or_default();
        watches.push(Watch { events, wait: wait.clone() });
        self.arm(fd, watches)
    }

    fn leave(&self, fd: RawFd, wait: &Arc<Wait>) {
        let mut watched = self.watched.lock();
        if let Some(watches) = watched.get_mut(&fd) {
            watches.retain(|watch| !Arc::ptr_eq(&watch.wait, wait));
            if watches.is_empty() {
                watched.remove(&fd);
            }
        }
    }

    /// Ends all waits for `fd`, which is about to be closed. From any thread.
    #[cfg(feature = "monkey")]
    fn close(&self, fd: RawFd) {
        // ORDERING: Relaxed. A wait that begins while another thread closes its descriptor may
        // miss that, as it may in the kernel.
        if self.waits.load(Ordering::Relaxed) == 0 {
            return;
        }
        overflow::probe();
        let Some(watches) = self.watched.lock().remove(&fd) else { return };
        // SAFETY: as in `arm`.
        let _ = self.epoll.delete(unsafe { BorrowedFd::borrow_raw(fd) });
        watches.iter().for_each(|watch| watch.wait.end(CLOSED));
    }
}

impl Wait {
    fn end(&self, state: u32) {
        // ORDERING: Release and Acquire (in `wait_for`) are not needed for any data, only for the
        // flag itself; the unpark comes after it, and whoever is woken looks again.
        let _ = self.state.compare_exchange(PENDING, state, Ordering::Relaxed, Ordering::Relaxed);
        self.green.unpark();
    }
}

/// Blocks the calling green thread, `me`, until one of the descriptors has one of its events
/// (epoll's numbers), or was closed.
///
/// # Errors
/// What epoll says of a descriptor that can't be watched: EPERM for a file, EBADF for none.
pub(crate) fn wait_for(
    me: &Arc<Green>,
    descriptors: &[(RawFd, u32)],
    deadline: Option<Instant>,
) -> io::Result<Polled> {
    overflow::probe();
    let poller = &me.hub.poller;
    let wait = Arc::new(Wait { green: me.clone(), state: AtomicU32::new(PENDING) });
    // ORDERING: Relaxed, see `is_needed`.
    poller.waits.fetch_add(1, Ordering::Relaxed);
    let entered = descriptors.iter().try_for_each(|(fd, events)| poller.enter(*fd, *events, &wait));
    let waited = entered.map(|()| {
        let is_over = || wait.state.load(Ordering::Relaxed) != PENDING;
        sheltered(me, || block_or_interrupted(Some(me), deadline, is_over))
            .unwrap_or(Waited::Interrupted)
    });
    for (fd, _) in descriptors {
        poller.leave(*fd, &wait);
    }
    poller.waits.fetch_sub(1, Ordering::Relaxed);
    Ok(match waited? {
        Waited::Ready if wait.state.load(Ordering::Relaxed) == CLOSED => Polled::Closed,
        Waited::Ready => Polled::Ready,
        Waited::TimedOut => Polled::TimedOut,
        Waited::Interrupted => {
            // The call fails. Whoever only makes it again must not hold the worker.
            sheltered(me, || me.yield_now());
            Polled::Interrupted
        }
        Waited::Impossible => Polled::Impossible,
    })
}

/// Ends all waits of green threads for `fd`, which is about to be closed. From any thread.
#[cfg(feature = "monkey")]
pub(crate) fn about_to_close(fd: RawFd) {
    for hub in super::runtime::hubs_if_started() {
        hub.poller.close(fd);
    }
}
