//! One worker's epoll set, of the hub's own, by which green threads wait for descriptors; see
//! [`watches`](super::watches). Its descriptor is itself watched by may's selector, so readiness is
//! handled on the worker's own thread. Only the hub takes events out; green threads enter
//! themselves, and whoever closes a descriptor takes its waiters out from any thread.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};
use std::sync::Arc;
use std::time::Instant;

use nix::errno::Errno;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use nix::sys::timerfd::TimerFd;

use super::thread::Green;
use super::watches::{Polled, Set, Watches};
use super::{block_sheltered, overflow, panics};

/// The timer's events carry this instead of a descriptor.
const TIMER: u64 = u64::MAX;

pub(super) struct Poller {
    watches: Watches<Epoll, Arc<Green>>,
}

/// Descriptors that are in the kernel's set, as far as we know: a bit for each. It only tells which
/// of the kernel's two calls is tried first.
#[derive(Default)]
pub(crate) struct Numbers(Vec<u64>);

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

impl Set for Epoll {
    type Known = Numbers;
    type Refusal = Errno;

    fn arm(&self, in_set: &mut Numbers, fd: RawFd, events: u32) -> nix::Result<()> {
        let flags = EpollFlags::from_bits_truncate(events as i32) | EpollFlags::EPOLLONESHOT;
        let event = EpollEvent::new(flags, fd as u64);
        // SAFETY: the number is used in this call alone, and is not closed by it; if it is not
        // open, or another's, the kernel says so or watches that, which does no harm.
        let borrowed = unsafe { BorrowedFd::borrow_raw(fd) };
        let modify = || self.modify(borrowed, &mut event.clone());
        let add = || self.add(borrowed, event);
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

    #[cfg(feature = "monkey")]
    fn forget(in_set: &mut Numbers, fd: RawFd) {
        in_set.remove(fd);
    }

    #[cfg(feature = "monkey")]
    fn disarm(&self, fd: RawFd) {
        // SAFETY: as in `arm`.
        let _ = self.delete(unsafe { BorrowedFd::borrow_raw(fd) });
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
        // It is never read, only armed anew, and stays ready until then: so a busy green thread
        // that takes a turn does not take the timer's event away from may's selector.
        epoll.add(timer.as_fd(), EpollEvent::new(EpollFlags::EPOLLIN, TIMER))?;
        Ok(Poller { watches: Watches::new(epoll) })
    }

    pub(super) fn fd(&self) -> RawFd {
        self.watches.set.0.as_raw_fd()
    }

    /// Somebody waits.
    pub(super) fn is_needed(&self) -> bool {
        self.watches.is_needed()
    }

    /// Wakes all whose descriptors are ready. On the worker only; never blocks.
    pub(super) fn turn(&self) {
        let mut events = [EpollEvent::empty(); 64];
        loop {
            let count = self.watches.set.wait(&mut events, EpollTimeout::ZERO).unwrap_or(0);
            for event in events.iter().take(count).filter(|event| event.data() != TIMER) {
                self.fired(event.data() as RawFd, event.events().bits() as u32);
            }
            if count < events.len() {
                return;
            }
        }
    }

    fn fired(&self, fd: RawFd, events: u32) {
        if let Err(errno) = self.watches.fired(fd, events, unpark) {
            // Without the lock: a logger may close a descriptor.
            panics::contain(|| log::debug!("descriptor {fd} can't be watched: {errno}"));
        }
    }
}

fn unpark(green: &Arc<Green>) {
    green.unpark();
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
    let watches = &me.hub.poller.watches;
    Ok(watches
        .wait_for(me, descriptors, |wait| block_sheltered(me, deadline, || wait.is_over()))?)
}

/// Ends all waits of green threads for `fd`, which is about to be closed. From any thread.
#[cfg(feature = "monkey")]
pub(crate) fn about_to_close(fd: RawFd) {
    for hub in super::runtime::hubs_if_started() {
        overflow::probe();
        hub.poller.watches.about_to_close(fd, unpark);
    }
}

/// To be called after `about_to_close`, once the kernel has closed `fd` (or has refused to): looks
/// after those who began to wait for it in between.
#[cfg(feature = "monkey")]
pub(crate) fn closed(fd: RawFd) {
    for hub in super::runtime::hubs_if_started() {
        // Nobody else ran meanwhile on the worker that closes it.
        if !hub.is_here() {
            overflow::probe();
            hub.poller.watches.closed(fd, unpark);
        }
    }
}

/// Has all green threads that wait for `fd` try again. From any thread.
#[cfg(feature = "monkey")]
pub(crate) fn rouse(fd: RawFd) {
    for hub in super::runtime::hubs_if_started() {
        overflow::probe();
        hub.poller.watches.rouse(fd, unpark);
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
        hubs.into_iter().any(|hub| hub.poller.watches.has_waiters(fd))
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
        let epoll = Epoll::new(EpollCreateFlags::empty()).unwrap();
        let mut in_set = Numbers::default();
        let (_here, fd) = socket_from(950);
        epoll.arm(&mut in_set, fd, 0).unwrap();
        assert!(in_set.has(fd));
        // In the set, and not known.
        in_set.remove(fd);
        epoll.arm(&mut in_set, fd, 0).unwrap();
        assert!(in_set.has(fd));
        // Known, and closed.
        close_really(fd);
        assert_eq!(epoll.arm(&mut in_set, fd, 0), Err(Errno::EBADF));
        // Known, and another one now.
        let (_there, again) = socket_from(950);
        assert_eq!(again, fd);
        epoll.arm(&mut in_set, fd, 0).unwrap();
        close_really(fd);
    }
}
