//! Which green threads of one worker wait for which descriptors: an epoll set of the hub's own.
//! Its descriptor is itself watched by may's selector, so readiness is handled on the worker's own
//! thread. Only the hub takes events out; green threads enter themselves, and whoever closes a
//! descriptor takes its waiters out from any thread.
//!
//! A descriptor is watched one event at a time (EPOLLONESHOT), for all that its waiters want
//! together, and is entered anew by each wait: nothing is relied on of a descriptor that nobody
//! waits on, so that its number may be closed and reused behind our back.
//!
//! Whoever closes a descriptor tells the poller twice. Before: its waiters get EBADF. Afterwards:
//! those who began to wait in between, on another worker, begin anew with whatever has the number
//! now, or none, because the kernel has forgotten what they asked for.

use std::collections::HashMap;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering, fence};
use std::time::Instant;

use nix::errno::Errno;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use nix::sys::timerfd::TimerFd;

use super::lock::Mutex;
use super::thread::Green;
use super::waiter::Waited;
use super::{block_sheltered, overflow, panics};

/// The timer's events carry this instead of a descriptor.
const TIMER: u64 = u64::MAX;

/// Told of any descriptor, whether asked for or not.
const ALWAYS: u32 = (libc::EPOLLERR | libc::EPOLLHUP) as u32;

pub(super) struct Poller {
    epoll: Epoll,
    watched: Mutex<Watched>,
    /// How many waits there are, so that with none the kernel need not be asked.
    waits: AtomicUsize,
}

#[derive(Default)]
struct Watched {
    waiters: HashMap<RawFd, Vec<Watch>>,
    in_set: Numbers,
}

/// Descriptors that are in the kernel's set, as far as we know: a bit for each. It only tells which
/// of the kernel's two calls is tried first.
#[derive(Default)]
struct Numbers(Vec<u64>);

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

impl Numbers {
    fn place(fd: RawFd) -> Option<(usize, u64)> {
        let fd = usize::try_from(fd).ok()?;
        Some((fd / 64, 1 << (fd % 64)))
    }

    fn has(&self, fd: RawFd) -> bool {
        Numbers::place(fd)
            .is_some_and(|(at, bit)| self.0.get(at).is_some_and(|word| word & bit != 0))
    }

    fn insert(&mut self, fd: RawFd) {
        let Some((at, bit)) = Numbers::place(fd) else { return };
        if self.0.len() <= at {
            self.0.resize(at + 1, 0);
        }
        self.0[at] |= bit;
    }

    #[cfg(feature = "monkey")]
    fn remove(&mut self, fd: RawFd) {
        let Some((at, bit)) = Numbers::place(fd) else { return };
        if let Some(word) = self.0.get_mut(at) {
            *word &= !bit;
        }
    }
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
        let Watched { waiters, in_set } = &mut *watched;
        // Nobody, if the wait was given up.
        let Some(watches) = waiters.get_mut(&fd) else { return };
        let mut woken: Vec<Watch> =
            watches.extract_if(.., |watch| (watch.events | ALWAYS) & events != 0).collect();
        let mut refused = None;
        if watches.is_empty() {
            waiters.remove(&fd);
        } else if let Err(errno) = self.arm(fd, watches, in_set) {
            // It can't be watched any more: its waiters will find out why.
            refused = Some(errno);
            woken.extend(waiters.remove(&fd).unwrap_or_default());
        }
        drop(watched);
        // Without the lock: a logger may close a descriptor.
        if let Some(errno) = refused {
            panics::contain(|| log::debug!("descriptor {fd} can't be watched: {errno}"));
        }
        woken.iter().for_each(|watch| watch.wait.end(READY));
    }

    /// Asks for one event of what `watches` want.
    fn arm(&self, fd: RawFd, watches: &[Watch], in_set: &mut Numbers) -> nix::Result<()> {
        let wanted = watches.iter().fold(0, |events, watch| events | watch.events);
        let flags = EpollFlags::from_bits_truncate(wanted as i32) | EpollFlags::EPOLLONESHOT;
        let event = EpollEvent::new(flags, fd as u64);
        // SAFETY: the number is used in this call alone, and is not closed by it; if it is not
        // open, or another's, the kernel says so or watches that, which does no harm.
        let borrowed = unsafe { BorrowedFd::borrow_raw(fd) };
        let modify = || self.epoll.modify(borrowed, &mut event.clone());
        let add = || self.epoll.add(borrowed, event);
        if in_set.has(fd) {
            return match modify() {
                // It was closed behind our back, and is another one now.
                Err(Errno::ENOENT) => add(),
                done => done,
            };
        }
        match add() {
            // It was not closed after all.
            Err(Errno::EEXIST) => modify()?,
            done => done?,
        }
        in_set.insert(fd);
        Ok(())
    }

    fn enter(&self, fd: RawFd, events: u32, wait: &Arc<Wait>) -> nix::Result<()> {
        let mut watched = self.watched.lock();
        let Watched { waiters, in_set } = &mut *watched;
        let watches = waiters.entry(fd).or_default();
        watches.push(Watch { events, wait: wait.clone() });
        self.arm(fd, watches, in_set)
    }

    fn leave(&self, fd: RawFd, wait: &Arc<Wait>) {
        let waiters = &mut self.watched.lock().waiters;
        if let Some(watches) = waiters.get_mut(&fd) {
            watches.retain(|watch| !Arc::ptr_eq(&watch.wait, wait));
            if watches.is_empty() {
                waiters.remove(&fd);
            }
        }
    }

    /// Ends all waits for `fd`, which is about to be closed. From any thread.
    #[cfg(feature = "monkey")]
    fn about_to_close(&self, fd: RawFd) {
        overflow::probe();
        let mut watched = self.watched.lock();
        watched.in_set.remove(fd);
        let Some(watches) = watched.waiters.remove(&fd) else { return };
        drop(watched);
        // SAFETY: as in `arm`.
        let _ = self.epoll.delete(unsafe { BorrowedFd::borrow_raw(fd) });
        watches.iter().for_each(|watch| watch.wait.end(CLOSED));
    }

    /// Has all waits for `fd`, which was closed, begin anew. From any thread.
    #[cfg(feature = "monkey")]
    fn closed(&self, fd: RawFd) {
        // ORDERING: with the fence in `wait_once`: a wait that is not counted yet comes to ask the
        // kernel after it has closed the descriptor, and hears so.
        fence(Ordering::SeqCst);
        if self.waits.load(Ordering::Relaxed) > 0 {
            self.end_all(fd, STALE);
        }
    }

    /// Has all who wait for `fd` try again. From any thread.
    #[cfg(feature = "monkey")]
    fn rouse(&self, fd: RawFd) {
        self.end_all(fd, READY);
    }

    #[cfg(feature = "monkey")]
    fn end_all(&self, fd: RawFd, state: u32) {
        overflow::probe();
        let mut watched = self.watched.lock();
        let Some(watches) = watched.waiters.remove(&fd) else { return };
        drop(watched);
        watches.iter().for_each(|watch| watch.wait.end(state));
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
    loop {
        if let Some(polled) = wait_once(me, descriptors, deadline)? {
            return Ok(polled);
        }
    }
}

/// As `wait_for`; None if it must begin anew.
fn wait_once(
    me: &Arc<Green>,
    descriptors: &[(RawFd, u32)],
    deadline: Option<Instant>,
) -> io::Result<Option<Polled>> {
    let poller = &me.hub.poller;
    let wait = Arc::new(Wait { green: me.clone(), state: AtomicU32::new(PENDING) });
    // ORDERING: Relaxed for `is_needed`; the fence pairs with that in `closed`.
    poller.waits.fetch_add(1, Ordering::Relaxed);
    fence(Ordering::SeqCst);
    let entered = descriptors.iter().try_for_each(|(fd, events)| poller.enter(*fd, *events, &wait));
    let waited = entered.map(|()| {
        let is_over = || wait.state.load(Ordering::Relaxed) != PENDING;
        block_sheltered(me, deadline, is_over)
    });
    for (fd, _) in descriptors {
        poller.leave(*fd, &wait);
    }
    poller.waits.fetch_sub(1, Ordering::Relaxed);
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

/// Ends all waits of green threads for `fd`, which is about to be closed. From any thread.
#[cfg(feature = "monkey")]
pub(crate) fn about_to_close(fd: RawFd) {
    for hub in super::runtime::hubs_if_started() {
        hub.poller.about_to_close(fd);
    }
}

/// To be called after `about_to_close`, once the kernel has closed `fd` (or has refused to): looks
/// after those who began to wait for it in between.
#[cfg(feature = "monkey")]
pub(crate) fn closed(fd: RawFd) {
    for hub in super::runtime::hubs_if_started() {
        // Nobody else ran meanwhile on the worker that closes it.
        if !hub.is_here() {
            hub.poller.closed(fd);
        }
    }
}

/// Has all green threads that wait for `fd` try again. From any thread.
#[cfg(feature = "monkey")]
pub(crate) fn rouse(fd: RawFd) {
    for hub in super::runtime::hubs_if_started() {
        hub.poller.rouse(fd);
    }
}

#[cfg(all(test, feature = "monkey"))]
mod tests {
    use std::os::unix::net::UnixStream;
    use std::time::Duration;

    use super::*;
    use crate::MiniHuey;
    use crate::green::runtime::hubs_if_started;

    /// A socket of the first number from `number` on, which no other test has.
    fn socket_from(number: RawFd) -> (UnixStream, RawFd) {
        let (here, there) = UnixStream::pair().unwrap();
        // SAFETY: no memory is involved.
        (here, unsafe { libc::fcntl(there.as_raw_fd(), libc::F_DUPFD_CLOEXEC, number) })
    }

    fn close_really(fd: RawFd) {
        // SAFETY: no memory is involved.
        assert_eq!(unsafe { libc::syscall(libc::SYS_close, fd) }, 0);
    }

    fn is_waited_for(fd: RawFd) -> bool {
        let hubs = hubs_if_started().iter();
        hubs.into_iter().any(|hub| hub.poller.watched.lock().waiters.contains_key(&fd))
    }

    #[test]
    fn a_wait_that_begins_while_its_descriptor_is_being_closed_ends() {
        let (_here, fd) = socket_from(900);
        about_to_close(fd);
        let huey = MiniHuey::new("closing");
        let wait = huey.task("wait", move || {
            let me = Green::current().unwrap();
            wait_for(&me, &[(fd, libc::EPOLLIN as u32)], None).map_err(|error| error.raw_os_error())
        });
        let mut waits = wait.call(());
        while !is_waited_for(fd) {
            std::thread::yield_now();
        }
        close_really(fd);
        closed(fd);
        let ended = waits.get_timeout(Duration::from_secs(60)).unwrap();
        assert_eq!(ended, Err(Some(libc::EBADF)));
    }

    #[test]
    fn a_guess_of_what_the_kernel_watches_may_be_wrong() {
        let poller = Poller {
            epoll: Epoll::new(EpollCreateFlags::empty()).unwrap(),
            watched: Mutex::default(),
            waits: AtomicUsize::new(0),
        };
        let mut in_set = Numbers::default();
        let (_here, fd) = socket_from(950);
        poller.arm(fd, &[], &mut in_set).unwrap();
        assert!(in_set.has(fd));
        // In the set, and not known.
        in_set.remove(fd);
        poller.arm(fd, &[], &mut in_set).unwrap();
        assert!(in_set.has(fd));
        // Known, and closed.
        close_really(fd);
        assert_eq!(poller.arm(fd, &[], &mut in_set), Err(Errno::EBADF));
        // Known, and another one now.
        let (_there, again) = socket_from(950);
        assert_eq!(again, fd);
        poller.arm(fd, &[], &mut in_set).unwrap();
        close_really(fd);
    }
}
