//! `recv` and all that receives: tried without blocking first, and waited for if nothing is there.

use std::ffi::{c_int, c_uint, c_void};
use std::ptr;
use std::time::{Duration, Instant};

use libc::{iovec, mmsghdr, msghdr, size_t, sockaddr, socklen_t, ssize_t, timespec};

use super::descriptors::{self, Kind};
use super::gate::{self, Caller, Patience, Pauses, Waited};
use super::parts::Parts;
use super::polling::{duration, has_failed, is_ready};
use super::raw;

/// These never block in the kernel, or ask for what is not ours to do.
const KERNELS_OWN: c_int = libc::MSG_DONTWAIT | libc::MSG_ERRQUEUE | libc::MSG_OOB;

/// Makes `attempt`, which must not block, until it does not fail for want of data. `as_it_was` is
/// the call with the program's own flags.
fn receive(fd: c_int, attempt: impl Fn() -> ssize_t, as_it_was: impl Fn() -> ssize_t) -> ssize_t {
    let mut patience = Patience::to_receive(fd);
    loop {
        let got = attempt();
        if got >= 0 || raw::errno() != libc::EAGAIN {
            return got;
        }
        match patience.wait() {
            Waited::Again => {}
            Waited::AsItWas => return as_it_was(),
            Waited::Failed(errno) => return raw::fail(errno),
        }
    }
}

/// As `receive` for MSG_WAITALL on a stream: until all of `parts` is filled, the peer has ended, or
/// something goes wrong; then what was received before counts. The peer's address, which comes with
/// the first piece, and the flags are written to `message`, whose own parts are not used.
fn receive_all(fd: c_int, message: &mut msghdr, parts: &mut Parts, flags: c_int) -> ssize_t {
    let mut patience = Patience::to_receive(fd);
    let mut received = 0;
    // What came was all that was there. To ask for more at once might take what the socket has
    // failed with since, which is for the next call.
    let mut is_drained = false;
    while !parts.is_empty() {
        let mut piece = parts.message();
        if received == 0 {
            (piece.msg_name, piece.msg_namelen) = (message.msg_name, message.msg_namelen);
        }
        // SAFETY: the message has the parts that the caller of the C function vouched for, and his
        // room for an address.
        let mut receive = |flags| unsafe { raw::recvmsg(fd, &raw mut piece, flags) };
        let mut got = if is_drained { -1 } else { receive(flags | libc::MSG_DONTWAIT) };
        if std::mem::take(&mut is_drained) || (got < 0 && raw::errno() == libc::EAGAIN) {
            match patience.wait() {
                // What it failed with is for the next call, which has nothing else to tell.
                Waited::Again if received > 0 && has_failed(fd) && !has_data(fd) => break,
                Waited::Again => continue,
                Waited::AsItWas => got = receive(flags),
                Waited::Failed(errno) => got = raw::fail(errno),
            }
        }
        if got < 0 {
            return if received > 0 { received } else { got };
        }
        if received == 0 {
            message.msg_namelen = piece.msg_namelen;
        }
        message.msg_flags = piece.msg_flags;
        if got == 0 {
            break;
        }
        received += got;
        parts.advance(got as usize);
        patience.note_progress();
        is_drained = true;
    }
    received
}

/// Something can be received, whatever happened afterwards.
fn has_data(fd: c_int) -> bool {
    let mut bytes: c_int = 0;
    // SAFETY: the kernel writes one number.
    unsafe { libc::ioctl(fd, libc::FIONREAD, &raw mut bytes) == 0 && bytes > 0 }
}

/// As `receive` for MSG_WAITALL with MSG_PEEK on a stream: until `wanted` bytes are there, or the
/// peer has ended. It takes nothing out, so the descriptor is ready with the first byte, and
/// nothing tells when the last one is there.
fn peek_all(
    fd: c_int,
    wanted: usize,
    attempt: impl Fn() -> ssize_t,
    as_it_was: impl Fn() -> ssize_t,
) -> ssize_t {
    let deadline = Patience::to_receive(fd).deadline();
    let mut pauses = Pauses::new();
    let mut has_ended = false;
    loop {
        let got = receive(fd, &attempt, &as_it_was);
        if has_ended || got <= 0 || got as usize >= wanted || raw::is_nonblocking(fd) {
            return got;
        }
        has_ended = is_ready(fd, libc::POLLRDHUP);
        if has_ended {
            // What came before the end is there now.
            continue;
        }
        let is_over = deadline.is_some_and(|deadline| deadline <= Instant::now());
        match gate::caller() {
            Caller::Green(me) if !is_over && pauses.pause(&me, deadline).is_ok() => {}
            _ => return got,
        }
    }
}

/// MSG_WAITALL with MSG_PEEK: a Unix stream gives what is there.
fn peeks_all(fd: c_int, flags: c_int, wanted: usize) -> bool {
    flags & libc::MSG_PEEK != 0
        && wants_all(fd, flags, wanted)
        && raw::socket_option(fd, libc::SO_DOMAIN) != Some(libc::AF_UNIX)
}

/// MSG_WAITALL means something on a stream only, and if anything is asked for.
fn wants_all(fd: c_int, flags: c_int, wanted: usize) -> bool {
    flags & libc::MSG_WAITALL != 0
        && wanted > 0
        && raw::socket_option(fd, libc::SO_TYPE) == Some(libc::SOCK_STREAM)
}

/// As `recv` in C.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn recv(
    fd: c_int,
    buffer: *mut c_void,
    len: size_t,
    flags: c_int,
) -> ssize_t {
    // SAFETY: the caller's promise; no address is asked for.
    unsafe { recvfrom(fd, buffer, len, flags, ptr::null_mut(), ptr::null_mut()) }
}

/// As `recvfrom` in C.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn recvfrom(
    fd: c_int,
    buffer: *mut c_void,
    len: size_t,
    flags: c_int,
    address: *mut sockaddr,
    address_len: *mut socklen_t,
) -> ssize_t {
    // SAFETY: the caller's promise.
    let call = |flags| unsafe { raw::recvfrom(fd, buffer, len, flags, address, address_len) };
    if !gate::is_open() || flags & KERNELS_OWN != 0 {
        return call(flags);
    }
    if peeks_all(fd, flags, len) {
        return peek_all(fd, len, || call(flags | libc::MSG_DONTWAIT), || call(flags));
    }
    if flags & libc::MSG_PEEK == 0 && wants_all(fd, flags, len) {
        let mut part = [iovec { iov_base: buffer, iov_len: len }];
        let mut message = super::parts::message(ptr::null_mut(), 0);
        // SAFETY: the caller's promise: null or valid.
        let address_len = unsafe { address_len.as_mut() };
        if let Some(len) = &address_len
            && !address.is_null()
        {
            (message.msg_name, message.msg_namelen) = (address.cast(), **len);
        }
        let got = receive_all(fd, &mut message, &mut Parts::new(&mut part), flags);
        if let Some(len) = address_len
            && !address.is_null()
            && got >= 0
        {
            *len = message.msg_namelen;
        }
        return got;
    }
    receive(fd, || call(flags | libc::MSG_DONTWAIT), || call(flags))
}

/// As `recvmsg` in C.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn recvmsg(fd: c_int, message: *mut msghdr, flags: c_int) -> ssize_t {
    // SAFETY: the caller's promise.
    let call = |flags| unsafe { raw::recvmsg(fd, message, flags) };
    if !gate::is_open() || flags & KERNELS_OWN != 0 {
        return call(flags);
    }
    if flags & libc::MSG_WAITALL != 0 {
        // SAFETY: the caller's promise: the message is valid, and so are its parts.
        let (has_control, mut parts) = unsafe {
            let message = &*message;
            if message.msg_iovlen > libc::UIO_MAXIOV as usize {
                return call(flags);
            }
            (message.msg_controllen > 0, super::parts::copy(message.msg_iov, message.msg_iovlen))
        };
        // SAFETY: the list is our own.
        let wanted = unsafe { super::parts::total(parts.as_ptr(), parts.len()) };
        if peeks_all(fd, flags, wanted) {
            return peek_all(fd, wanted, || call(flags | libc::MSG_DONTWAIT), || call(flags));
        }
        // With control data the first piece that comes is the message.
        let takes_all = flags & libc::MSG_PEEK == 0 && wants_all(fd, flags, wanted);
        if takes_all && !has_control {
            // SAFETY: as above.
            let message = unsafe { &mut *message };
            return receive_all(fd, message, &mut Parts::new(&mut parts), flags);
        }
    }
    receive(fd, || call(flags | libc::MSG_DONTWAIT), || call(flags))
}

/// As `recvmmsg` in C. Its time-out is looked at after each message, as the kernel does, and what
/// is left of it is written there.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn recvmmsg(
    fd: c_int,
    messages: *mut mmsghdr,
    count: c_uint,
    flags: c_int,
    timeout: *mut timespec,
) -> c_int {
    // SAFETY: the caller's promise: null or valid.
    let limit = unsafe { timeout.as_ref() }.map(duration);
    let is_refused = count == 0 || limit == Some(None);
    if !gate::is_open() || flags & KERNELS_OWN != 0 || is_refused {
        // SAFETY: the caller's promise.
        return unsafe { raw::recvmmsg(fd, messages, count, flags, timeout) };
    }
    let limit = limit.flatten();
    let start = Instant::now();
    let mut patience = Patience::to_receive(fd);
    let mut received = 0;
    while received < count {
        // SAFETY: there are `count` messages.
        let (message, len) = unsafe {
            let message = messages.add(received as usize);
            (&raw mut (*message).msg_hdr, &raw mut (*message).msg_len)
        };
        let others = flags & !libc::MSG_WAITFORONE;
        let waits_for_all = flags & libc::MSG_WAITFORONE == 0;
        // A message of a stream that is to be filled waits by itself.
        let waits_itself = received == 0 || (waits_for_all && flags & libc::MSG_WAITALL != 0);
        let nonblocking = if waits_itself { 0 } else { libc::MSG_DONTWAIT };
        // SAFETY: as above.
        let got = unsafe { recvmsg(fd, message, others | nonblocking) };
        if got < 0 {
            let is_drained = !waits_itself && raw::errno() == libc::EAGAIN;
            if is_drained && waits_for_all && matches!(patience.wait(), Waited::Again) {
                // What it failed with is for the next call, which has nothing else to tell.
                if !has_failed(fd) {
                    continue;
                }
            }
            break;
        }
        // SAFETY: as above. A message's length fits.
        let has_urgent_data = unsafe {
            *len = got as c_uint;
            (*message).msg_flags & libc::MSG_OOB != 0
        };
        received += 1;
        // Each has the socket's time-out for itself.
        patience = Patience::to_receive(fd);
        let left = limit.map(|limit| limit.saturating_sub(start.elapsed()));
        if let Some(left) = left {
            // SAFETY: the caller's promise: there is a limit, so it is not null.
            unsafe { *timeout = gate::timespec(left) };
        }
        if left == Some(Duration::ZERO) || has_urgent_data {
            break;
        }
    }
    if received > 0 { received as c_int } else { -1 }
}

/// As `read` in C. Sockets wait; pipes do if nothing is there; files are the kernel's.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn read(fd: c_int, buffer: *mut c_void, len: size_t) -> ssize_t {
    // SAFETY: the caller's promise.
    let call = || unsafe { raw::read(fd, buffer, len) };
    if !gate::is_open() || len == 0 {
        return call();
    }
    match descriptors::kind(fd) {
        Kind::Other => call(),
        Kind::Pipe => read_pipe(fd, &[iovec { iov_base: buffer, iov_len: len }], call),
        Kind::Socket => {
            // SAFETY: the caller's promise; no address is asked for.
            let attempt = || unsafe {
                let no_address = ptr::null_mut();
                raw::recvfrom(fd, buffer, len, libc::MSG_DONTWAIT, no_address, ptr::null_mut())
            };
            or_if_no_socket(fd, receive(fd, attempt, call), call)
        }
    }
}

/// As `readv` in C.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn readv(fd: c_int, parts: *const iovec, count: c_int) -> ssize_t {
    // SAFETY: the caller's promise.
    let call = || unsafe { raw::readv(fd, parts, count) };
    if !gate::is_open() || !(1..=libc::UIO_MAXIOV).contains(&count) {
        return call();
    }
    match descriptors::kind(fd) {
        Kind::Other => call(),
        // SAFETY: the caller's promise.
        _ if unsafe { super::parts::total(parts, count as usize) } == 0 => call(),
        Kind::Pipe => {
            // SAFETY: the caller's promise.
            let parts = unsafe { std::slice::from_raw_parts(parts, count as usize) };
            read_pipe(fd, parts, call)
        }
        Kind::Socket => {
            let attempt = || {
                let mut message = super::parts::message(parts.cast_mut(), count as usize);
                // SAFETY: the caller's promise for the parts.
                unsafe { raw::recvmsg(fd, &raw mut message, libc::MSG_DONTWAIT) }
            };
            or_if_no_socket(fd, receive(fd, attempt, call), call)
        }
    }
}

/// As `receive`. `call` is the call as it was made.
fn read_pipe(fd: c_int, parts: &[iovec], call: impl Fn() -> ssize_t) -> ssize_t {
    // SAFETY: the promise of the caller of the C function.
    let attempt = || unsafe { raw::readv_now(fd, parts.as_ptr(), parts.len()) };
    let got = receive(fd, attempt, &call);
    if got < 0 && raw::can_t_tell() { read_pipe_when_ready(fd, call) } else { got }
}

/// Waits until something is there, and then reads it. (If another thread takes it in between, the
/// read blocks, as it would have.)
fn read_pipe_when_ready(fd: c_int, call: impl Fn() -> ssize_t) -> ssize_t {
    if !raw::is_blocking_for(fd, libc::O_RDONLY) {
        return call();
    }
    let mut patience = Patience::to_receive(fd).of_blocking();
    while !is_ready(fd, libc::POLLIN) {
        match patience.wait() {
            Waited::Again => {}
            Waited::AsItWas => return call(),
            Waited::Failed(errno) => return raw::fail(errno),
        }
    }
    call()
}

/// The descriptor was closed behind our back, and is something else now.
fn or_if_no_socket(fd: c_int, done: ssize_t, call: impl Fn() -> ssize_t) -> ssize_t {
    if done < 0 && raw::errno() == libc::ENOTSOCK {
        descriptors::forget(fd);
        return call();
    }
    done
}
