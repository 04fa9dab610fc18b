//! `send` and all that sends: tried without blocking first, and waited for while the buffers are
//! full. On a stream a blocking call sends all of it, so the attempts are repeated until it is.

use std::ffi::{c_int, c_uint, c_void};

use libc::{iovec, mmsghdr, msghdr, off_t, size_t, sockaddr, socklen_t, ssize_t};

use super::descriptors::{self, Kind};
use super::gate::{self, Patience, Waited};
use super::parts::{self, Parts};
use super::polling::has_failed;
use super::raw;

/// What failed would have blocked. If what it did not wait for is a connection that it began
/// (MSG_FASTOPEN), that must not be begun again.
fn would_have_blocked(flags: &mut c_int) -> bool {
    match raw::errno() {
        libc::EINPROGRESS => *flags &= !libc::MSG_FASTOPEN,
        libc::EAGAIN => {}
        _ => return false,
    }
    true
}

/// Sends `parts` and, if nothing was sent before, whatever else is in `message`. Gives how much was
/// sent with what was before, if it `is_full` already.
fn send_all(
    fd: c_int,
    message: &msghdr,
    parts: &mut Parts,
    mut flags: c_int,
    (mut is_full, mut sent): (bool, ssize_t),
) -> ssize_t {
    let mut patience = Patience::to_send(fd);
    loop {
        let mut rest = *message;
        (rest.msg_iov, rest.msg_iovlen) = {
            let left = parts.message();
            (left.msg_iov, left.msg_iovlen)
        };
        if sent > 0 {
            // It went with the first piece.
            rest.msg_controllen = 0;
            // Nor does the kernel signal the end of the stream to who has sent a part.
            flags |= libc::MSG_NOSIGNAL;
        }
        // What could not be sent is not tried again at once: that might take what the socket has
        // failed with since, which is for the next call.
        let done = if is_full {
            -1
        } else {
            // SAFETY: the message and its parts are those that the caller of the C function gave.
            unsafe { raw::sendmsg(fd, &raw const rest, flags | libc::MSG_DONTWAIT) }
        };
        let failure = if done >= 0 {
            sent += done;
            parts.advance(done as usize);
            if done == 0 || parts.is_empty() {
                return sent;
            }
            patience.note_progress();
            is_full = true;
            continue;
        } else if !is_full && !would_have_blocked(&mut flags) {
            raw::errno()
        } else {
            is_full = false;
            match patience.wait() {
                // What it failed with is for the next call, which has nothing else to tell.
                Waited::Again if sent > 0 && has_failed(fd) => return sent,
                Waited::Again => continue,
                Waited::AsItWas => {
                    // SAFETY: as above.
                    let done = unsafe { raw::sendmsg(fd, &raw const rest, flags) };
                    return if done >= 0 { sent + done } else { sent.max(done) };
                }
                Waited::Failed(errno) => errno,
            }
        };
        return if sent > 0 { sent } else { raw::fail(failure) };
    }
}

/// One buffer, to wherever the socket is connected or `address` says.
fn send_one(
    fd: c_int,
    buffer: *const c_void,
    len: size_t,
    mut flags: c_int,
    (address, address_len): (*const sockaddr, socklen_t),
) -> ssize_t {
    // SAFETY: the promise of the caller of the C function.
    let first =
        unsafe { raw::sendto(fd, buffer, len, flags | libc::MSG_DONTWAIT, address, address_len) };
    // In most cases that was all.
    if first == len as ssize_t || (first < 0 && !would_have_blocked(&mut flags)) {
        return first;
    }
    let mut part = [iovec { iov_base: buffer.cast_mut(), iov_len: len }];
    let mut parts = Parts::new(&mut part);
    let sent = first.max(0);
    parts.advance(sent as usize);
    let mut message = parts::message(std::ptr::null_mut(), 0);
    (message.msg_name, message.msg_namelen) = (address.cast_mut().cast(), address_len);
    send_all(fd, &message, &mut parts, flags, (true, sent))
}

/// As `send` in C.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn send(
    fd: c_int,
    buffer: *const c_void,
    len: size_t,
    flags: c_int,
) -> ssize_t {
    // SAFETY: the caller's promise; no address is given.
    unsafe { sendto(fd, buffer, len, flags, std::ptr::null(), 0) }
}

/// As `sendto` in C.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sendto(
    fd: c_int,
    buffer: *const c_void,
    len: size_t,
    flags: c_int,
    address: *const sockaddr,
    address_len: socklen_t,
) -> ssize_t {
    if !gate::is_open() || flags & libc::MSG_DONTWAIT != 0 {
        // SAFETY: the caller's promise.
        return unsafe { raw::sendto(fd, buffer, len, flags, address, address_len) };
    }
    send_one(fd, buffer, len, flags, (address, address_len))
}

/// As `sendmsg` in C.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sendmsg(fd: c_int, message: *const msghdr, flags: c_int) -> ssize_t {
    if !gate::is_open() || flags & libc::MSG_DONTWAIT != 0 {
        // SAFETY: the caller's promise.
        return unsafe { raw::sendmsg(fd, message, flags) };
    }
    // SAFETY: the caller's promise: the message is valid, and so are its parts.
    let (message, mut list) = unsafe {
        let message = *message;
        if message.msg_iovlen > libc::UIO_MAXIOV as usize {
            return raw::sendmsg(fd, &raw const message, flags);
        }
        (message, parts::copy(message.msg_iov, message.msg_iovlen))
    };
    send_all(fd, &message, &mut Parts::new(&mut list), flags, (false, 0))
}

/// As `sendmmsg` in C.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sendmmsg(
    fd: c_int,
    messages: *mut mmsghdr,
    count: c_uint,
    flags: c_int,
) -> c_int {
    if !gate::is_open() || flags & libc::MSG_DONTWAIT != 0 || count == 0 {
        // SAFETY: the caller's promise.
        return unsafe { raw::sendmmsg(fd, messages, count, flags) };
    }
    // The kernel takes no more at a time, either.
    let count = count.min(libc::UIO_MAXIOV as c_uint);
    for number in 0..count {
        // SAFETY: there are `count` messages.
        let sent = unsafe {
            let message = messages.add(number as usize);
            let sent = sendmsg(fd, &raw const (*message).msg_hdr, flags);
            if sent >= 0 {
                (*message).msg_len = sent as c_uint;
            }
            sent
        };
        if sent < 0 {
            return if number > 0 { number as c_int } else { -1 };
        }
    }
    count as c_int
}

/// As `write` in C. Sockets wait; so do pipes that are full; files are the kernel's.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn write(fd: c_int, buffer: *const c_void, len: size_t) -> ssize_t {
    // SAFETY: the caller's promise.
    let call = || unsafe { raw::write(fd, buffer, len) };
    if !gate::is_open() {
        return call();
    }
    match descriptors::kind(fd) {
        Kind::Other => call(),
        Kind::Pipe if len == 0 => call(),
        Kind::Pipe => {
            let mut part = [iovec { iov_base: buffer.cast_mut(), iov_len: len }];
            write_to_pipe(fd, &mut Parts::new(&mut part), || write_pipe_when_ready(fd, buffer, len))
        }
        // Nothing, too, which may be a datagram.
        Kind::Socket => {
            let sent = send_one(fd, buffer, len, 0, (std::ptr::null(), 0));
            if sent < 0 && raw::errno() == libc::ENOTSOCK {
                descriptors::forget(fd);
                return call();
            }
            sent
        }
    }
}

/// As `writev` in C.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn writev(fd: c_int, parts: *const iovec, count: c_int) -> ssize_t {
    // SAFETY: the caller's promise.
    let call = || unsafe { raw::writev(fd, parts, count) };
    if !gate::is_open() || !(1..=libc::UIO_MAXIOV).contains(&count) {
        return call();
    }
    let kind = descriptors::kind(fd);
    // SAFETY: the caller's promise.
    if kind == Kind::Other || unsafe { parts::total(parts, count as usize) } == 0 {
        return call();
    }
    // SAFETY: the caller's promise.
    let mut list = unsafe { parts::copy(parts, count as usize) };
    if kind == Kind::Pipe {
        let all = list.clone();
        return write_to_pipe(fd, &mut Parts::new(&mut list), || {
            if raw::is_nonblocking(fd) { call() } else { write_parts_when_ready(fd, &all) }
        });
    }
    let message = parts::message(std::ptr::null_mut(), 0);
    let sent = send_all(fd, &message, &mut Parts::new(&mut list), 0, (false, 0));
    if sent < 0 && raw::errno() == libc::ENOTSOCK {
        descriptors::forget(fd);
        return call();
    }
    sent
}

/// All of it, as a blocking write does. `otherwise` is how, if the pipe can't be told not to block.
fn write_to_pipe(fd: c_int, parts: &mut Parts, otherwise: impl FnOnce() -> ssize_t) -> ssize_t {
    let mut patience = Patience::to_send(fd);
    let mut written = 0;
    while !parts.is_empty() {
        let rest = parts.message();
        // SAFETY: the promise of the caller of the C function.
        let mut done = unsafe { raw::writev_now(fd, rest.msg_iov, rest.msg_iovlen) };
        if done < 0 && raw::errno() == libc::EAGAIN {
            match patience.wait() {
                Waited::Again => continue,
                // SAFETY: as above.
                Waited::AsItWas => unsafe {
                    done = raw::writev(fd, rest.msg_iov, rest.msg_iovlen as c_int);
                },
                Waited::Failed(errno) => done = raw::fail(errno),
            }
        } else if done < 0 && written == 0 && raw::can_t_tell() {
            return otherwise();
        }
        if done < 0 {
            return if written > 0 { written } else { done };
        }
        written += done;
        parts.advance(done as usize);
        patience.note_progress();
    }
    written
}

fn write_parts_when_ready(fd: c_int, parts: &[iovec]) -> ssize_t {
    // SAFETY: the list is our own.
    if unsafe { parts::total(parts.as_ptr(), parts.len()) } <= libc::PIPE_BUF {
        // So few bytes are written at once.
        let mut all = Vec::new();
        for part in parts.iter().filter(|part| part.iov_len > 0) {
            // SAFETY: the promise of the caller of the C function.
            all.extend_from_slice(unsafe {
                std::slice::from_raw_parts(part.iov_base.cast::<u8>(), part.iov_len)
            });
        }
        return write_pipe_when_ready(fd, all.as_ptr().cast(), all.len());
    }
    let mut written = 0;
    for part in parts {
        let done = write_pipe_when_ready(fd, part.iov_base, part.iov_len);
        if done < 0 {
            return if written > 0 { written } else { done };
        }
        written += done;
        if (done as usize) < part.iov_len {
            break;
        }
    }
    written
}

/// A pipe that polls as writable takes PIPE_BUF bytes without blocking: so it is written in pieces
/// of that, which is also what POSIX has written at once. (If another thread fills it in between,
/// the write blocks, as it would have.)
fn write_pipe_when_ready(fd: c_int, buffer: *const c_void, len: size_t) -> ssize_t {
    // SAFETY: the promise of the caller of the C function; `at` and `piece` stay within `len`.
    let write = |at: usize, piece| unsafe { raw::write(fd, buffer.wrapping_byte_add(at), piece) };
    if !raw::is_blocking_for(fd, libc::O_WRONLY) {
        return write(0, len);
    }
    let mut patience = Patience::to_send(fd).of_blocking();
    let mut written = 0;
    while written < len {
        let failure = if super::polling::is_ready(fd, libc::POLLOUT) {
            let done = write(written, (len - written).min(libc::PIPE_BUF));
            if done >= 0 {
                written += done as usize;
                continue;
            }
            raw::errno()
        } else {
            match patience.wait() {
                Waited::Again => continue,
                Waited::AsItWas => {
                    let done = write(written, len - written);
                    return match written as ssize_t {
                        0 => done,
                        before => before + done.max(0),
                    };
                }
                Waited::Failed(errno) => errno,
            }
        };
        return if written > 0 { written as ssize_t } else { raw::fail(failure) };
    }
    written as ssize_t
}

/// As `sendfile` in C. To a socket, a file is read and sent piece by piece, because the call can't
/// be told not to block.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sendfile(
    out: c_int,
    from: c_int,
    offset: *mut off_t,
    count: size_t,
) -> ssize_t {
    const PIECE: usize = 64 * 1024;
    if !gate::is_open()
        || descriptors::kind(out) != Kind::Socket
        || raw::is_nonblocking(out)
        || raw::file_type(from) != Some(libc::S_IFREG)
    {
        // SAFETY: the caller's promise.
        return unsafe { raw::sendfile(out, from, offset, count) };
    }
    // SAFETY: no memory is involved.
    let seek = |to, whence| unsafe { libc::lseek(from, to, whence) };
    // SAFETY: the caller's promise: null or valid.
    let offset = unsafe { offset.as_mut() };
    // Without it, the file's own position is meant.
    let start = offset.as_ref().map_or_else(|| seek(0, libc::SEEK_CUR), |offset| **offset);
    let mut piece = vec![0_u8; count.min(PIECE)];
    let mut sent: usize = 0;
    let failure = loop {
        let wanted = (count - sent).min(PIECE);
        if wanted == 0 {
            break None;
        }
        let at = start + sent as off_t;
        // SAFETY: the buffer has that many bytes.
        let got = unsafe { libc::pread(from, piece.as_mut_ptr().cast(), wanted, at) };
        if got <= 0 {
            break (got < 0).then(raw::errno);
        }
        let done = send_one(out, piece.as_ptr().cast(), got as usize, 0, (std::ptr::null(), 0));
        if done < 0 {
            break Some(raw::errno());
        }
        sent += done as usize;
        if done < got {
            break None;
        }
    };
    let end = start + sent as off_t;
    match offset {
        Some(offset) => *offset = end,
        None => {
            seek(end, libc::SEEK_SET);
        }
    }
    match failure {
        Some(errno) if sent == 0 => raw::fail(errno),
        _ => sent as ssize_t,
    }
}

/// The same under the name that programs with 64-bit offsets use.
#[cfg(target_pointer_width = "64")]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sendfile64(
    out: c_int,
    from: c_int,
    offset: *mut off_t,
    count: size_t,
) -> ssize_t {
    // SAFETY: the caller's promise; on 64-bit systems the two are one.
    unsafe { sendfile(out, from, offset, count) }
}
