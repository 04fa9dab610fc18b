//! `close` and what closes on the way: whoever waits for the descriptor is woken, and what is known
//! of it is forgotten, before its number can be another's; and whoever began to wait for it in
//! between is looked after when it is closed.

use std::ffi::c_int;

use super::{accept, descriptors, gate, raw};
use crate::green;

fn about_to_close(fd: c_int) {
    if fd >= 0 && gate::is_patched() {
        accept::about_to_close(fd);
        descriptors::forget(fd);
        green::about_to_close(fd);
    }
}

/// Leaves errno as it is.
fn closed(fd: c_int) {
    if fd >= 0 && gate::is_patched() {
        let errno = raw::errno();
        green::closed(fd);
        accept::closed(fd);
        raw::fail::<c_int>(errno);
    }
}

/// As `close` in C. Green threads that wait for the descriptor get EBADF.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn close(fd: c_int) -> c_int {
    about_to_close(fd);
    // SAFETY: no memory is involved.
    let done = unsafe { raw::close(fd) };
    closed(fd);
    done
}

/// `dup3` will close what `to` was: what it refuses leaves that as it is.
fn about_to_replace(from: c_int, to: c_int, flags: c_int) {
    // SAFETY: no memory is involved.
    if flags & !libc::O_CLOEXEC == 0 && unsafe { libc::fcntl(from, libc::F_GETFD) } >= 0 {
        about_to_close(to);
    }
}

/// As `dup2` in C.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn dup2(from: c_int, to: c_int) -> c_int {
    if from == to {
        // dup3 refuses that; dup2 only asks whether it is open.
        // SAFETY: no memory is involved.
        return if unsafe { libc::fcntl(from, libc::F_GETFD) } < 0 { -1 } else { to };
    }
    about_to_replace(from, to, 0);
    // SAFETY: no memory is involved.
    let done = unsafe { raw::dup3(from, to, 0) };
    closed(to);
    done
}

/// As `dup3` in C.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn dup3(from: c_int, to: c_int, flags: c_int) -> c_int {
    if from != to {
        about_to_replace(from, to, flags);
    }
    // SAFETY: no memory is involved.
    let done = unsafe { raw::dup3(from, to, flags) };
    closed(to);
    done
}
