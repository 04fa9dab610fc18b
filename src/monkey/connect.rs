//! `connect`, `accept` and their kin.

use std::ffi::c_int;

use std::time::Instant;

use libc::{sockaddr, socklen_t};

use super::descriptors::{self, Kind};
use super::elsewhere::elsewhere;
use super::gate::{self, Caller, Patience, Pauses, Waited};
use super::polling::is_ready;
use super::raw;
use crate::green;

/// std asks for 128. Green threads connect by thousands in one go, before the one that accepts
/// comes to run; what the queue can't hold is sent again a second later.
const BACKLOG: c_int = 4096;

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
fn noted(fd: c_int) -> c_int {
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
    unsafe { raw::listen(fd, backlog) }
}

/// As `connect` in C.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn connect(fd: c_int, address: *const sockaddr, len: socklen_t) -> c_int {
    // SAFETY: the caller's promise.
    let call = || unsafe { raw::connect(fd, address, len) };
    if !gate::is_open() || descriptors::kind(fd) != Kind::Socket || raw::is_nonblocking(fd) {
        return call();
    }
    let me = match gate::caller() {
        Caller::Other => return call(),
        Caller::Green(me) => Some(me),
        Caller::Unwinding => None,
    };
    let mut patience = Patience::to_send(fd);
    let mut pauses = Pauses::new();
    loop {
        if without_blocking(fd, call) == 0 {
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
            Waited::Again => {}
            Waited::AsItWas => return call(),
            // So the kernel says it of a connection that takes longer than the time-out.
            Waited::Failed(libc::EAGAIN) => return raw::fail(libc::EINPROGRESS),
            Waited::Failed(errno) => return raw::fail(errno),
        }
    }
}

/// Makes `call` while the descriptor is non-blocking: connecting has no MSG_DONTWAIT.
fn without_blocking(fd: c_int, call: impl Fn() -> c_int) -> c_int {
    // SAFETY: no memory is involved.
    unsafe {
        let flags = libc::fcntl(fd, libc::F_GETFL);
        libc::fcntl(fd, libc::F_SETFL, flags | libc::O_NONBLOCK);
        let done = call();
        let errno = raw::errno();
        libc::fcntl(fd, libc::F_SETFL, flags);
        if done < 0 { raw::fail(errno) } else { done }
    }
}

/// As `accept` in C.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn accept(fd: c_int, address: *mut sockaddr, len: *mut socklen_t) -> c_int {
    // SAFETY: the caller's promise.
    unsafe { accept4(fd, address, len, 0) }
}

/// As `accept4` in C.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn accept4(
    fd: c_int,
    address: *mut sockaddr,
    len: *mut socklen_t,
    flags: c_int,
) -> c_int {
    // SAFETY: the caller's promise.
    let call = || noted(unsafe { raw::accept4(fd, address, len, flags) });
    if !gate::is_open() && gate::is_patched() {
        descriptors::note_contested(fd);
    }
    if !gate::is_open() || descriptors::kind(fd) != Kind::Socket || raw::is_nonblocking(fd) {
        return call();
    }
    let mut patience = Patience::to_receive(fd);
    while !is_ready(fd, libc::POLLIN) {
        if raw::socket_option::<c_int>(fd, libc::SO_ACCEPTCONN) != Some(1) {
            // It does not listen, and the kernel says so.
            return call();
        }
        match patience.wait() {
            Waited::Again => {}
            Waited::AsItWas => return call(),
            Waited::Failed(errno) => return raw::fail(errno),
        }
    }
    // Somebody else may take the connection before this call does, which then would block.
    if descriptors::is_contested(fd) || green::has_several_workers() {
        return elsewhere(-1, call);
    }
    call()
}
