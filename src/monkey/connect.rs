//! `socket` and its kin, and `connect`.

use std::cell::Cell;
use std::ffi::c_int;
use std::time::Instant;

use libc::{sockaddr, socklen_t};

use super::descriptors::{self, Kind};
use super::gate::{self, Caller, Patience, Pauses, Waited};
use super::{accept, polling, raw};
use crate::green;

/// std asks for 128. Green threads connect by thousands in one go, before the one that accepts
/// comes to run; what the queue can't hold is sent again a second later.
const BACKLOG: c_int = 4096;

/// After so many connections the one that accepts, which may wait for this worker, is let run
/// first: far fewer than its queue takes. Not after each, so that the first of many gets its
/// request sent before the last has connected.
const AT_ONCE: u32 = 64;

thread_local! {
    /// How many were made since one was let run.
    static MADE: Cell<u32> = const { Cell::new(0) };
}

/// As `socket` in C.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn socket(domain: c_int, kind: c_int, protocol: c_int) -> c_int {
    // SAFETY: no memory is involved.
    let fd = unsafe { raw::socket(domain, kind, protocol) };
    noted(fd)
}

/// As `socketpair` in C.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn socketpair(
    domain: c_int,
    kind: c_int,
    protocol: c_int,
    pair: *mut c_int,
) -> c_int {
    // SAFETY: the caller's promise.
    let made = unsafe { raw::socketpair(domain, kind, protocol, pair) };
    if made == 0 {
        // SAFETY: the kernel has just written two of them.
        let both = unsafe { [*pair, *pair.add(1)] };
        for fd in both {
            noted(fd);
        }
    }
    made
}

/// A new socket, whose number another may have had.
pub fn noted(fd: c_int) -> c_int {
    if fd >= 0 && gate::is_patched() {
        descriptors::note(fd, Kind::Socket);
    }
    fd
}

/// As `listen` in C, but the queue is long.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn listen(fd: c_int, backlog: c_int) -> c_int {
    let backlog = if gate::is_patched() { backlog.max(BACKLOG) } else { backlog };
    // SAFETY: no memory is involved.
    let done = unsafe { raw::listen(fd, backlog) };
    if done == 0 {
        accept::made_here(fd);
    }
    done
}

/// As `connect` in C.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn connect(fd: c_int, address: *const sockaddr, len: socklen_t) -> c_int {
    // SAFETY: the caller's promise.
    let call = || unsafe { raw::connect(fd, address, len) };
    if !gate::is_open() || descriptors::kind(fd) != Kind::Socket {
        return call();
    }
    let status = raw::status(fd);
    if status & libc::O_NONBLOCK != 0 || never_blocks(fd) {
        return call();
    }
    let me = match gate::caller() {
        Caller::Other => return call(),
        Caller::Green(me) => Some(me),
        Caller::Unwinding => None,
    };
    let mut done = without_blocking(fd, status, call);
    if let Some(me) = &me
        && done < 0
        && raw::errno() == libc::EINPROGRESS
    {
        let made = MADE.get() + 1;
        MADE.set(made % AT_ONCE);
        if made == AT_ONCE {
            green::yield_uninterrupted(me);
        }
        // On this machine it is made by now.
        if is_connected(fd) {
            return call();
        }
        raw::fail::<c_int>(libc::EINPROGRESS);
    }
    let mut patience = Patience::to_send(fd).of_blocking();
    let mut pauses = Pauses::new();
    loop {
        if done == 0 {
            return 0;
        }
        let waited = match (raw::errno(), &me) {
            // Asked again when it is made or has failed, connect says which.
            (libc::EINPROGRESS | libc::EALREADY, _) => patience.wait(),
            // The queue of a Unix listener is full, and nothing tells when it is not.
            (libc::EAGAIN, Some(me)) => {
                let deadline = patience.deadline();
                if deadline.is_some_and(|deadline| deadline <= Instant::now()) {
                    return raw::fail(libc::EAGAIN);
                }
                match pauses.pause(me, deadline) {
                    Ok(()) => Waited::Again,
                    Err(errno) => Waited::Failed(errno),
                }
            }
            (errno, _) => return raw::fail(errno),
        };
        match waited {
            Waited::Again if is_connected(fd) => return call(),
            Waited::Again => done = without_blocking(fd, raw::status(fd), call),
            Waited::AsItWas => return call(),
            // So the kernel says it of a connection that takes longer than the time-out.
            Waited::Failed(libc::EAGAIN) => return raw::fail(libc::EINPROGRESS),
            Waited::Failed(errno) => return raw::fail(errno),
        }
    }
}

/// To connect such a socket is to note an address.
fn never_blocks(fd: c_int) -> bool {
    matches!(raw::socket_option(fd, libc::SO_TYPE), Some(libc::SOCK_DGRAM | libc::SOCK_RAW))
}

/// The connection that was begun is made, so that `connect` only says so. (One that has failed may
/// be begun anew by it, and that would block.)
fn is_connected(fd: c_int) -> bool {
    polling::events(fd, libc::POLLOUT) & (libc::POLLOUT | libc::POLLERR | libc::POLLHUP)
        == libc::POLLOUT
}

/// Makes `call` while the descriptor, which has `status` now, is non-blocking: connecting has no
/// MSG_DONTWAIT. (Whoever shares the socket sees that, for so long.)
fn without_blocking(fd: c_int, status: c_int, call: impl Fn() -> c_int) -> c_int {
    if status < 0 {
        // Closed meanwhile, as it will say.
        return call();
    }
    // SAFETY: no memory is involved.
    unsafe {
        libc::fcntl(fd, libc::F_SETFL, status | libc::O_NONBLOCK);
        let done = call();
        let errno = raw::errno();
        libc::fcntl(fd, libc::F_SETFL, status);
        if done < 0 { raw::fail(errno) } else { done }
    }
}
