//! Waiting for a child process: for its pidfd, which becomes readable when it ends.

use std::ffi::c_int;
use std::os::fd::AsRawFd;
use std::os::fd::{FromRawFd, OwnedFd, RawFd};
use std::{mem, ptr};

use libc::{id_t, pid_t, rusage, siginfo_t};

use super::gate::{self, Caller, Pauses};
use super::raw;
use crate::green::{self, Green, Polled};

/// What is waited for between two looks.
enum End {
    /// This descriptor: readable when the child has ended.
    Of(RawFd),
    /// Any of several children, or one that only stops: nothing can be waited for.
    OfAny,
}

/// Calls `look`, which does not block and gives `None` if no child is there yet, until it gives
/// something.
fn wait_for_child<T: From<i8>>(
    me: &std::sync::Arc<Green>,
    end: &End,
    mut look: impl FnMut() -> Option<T>,
) -> T {
    let mut pauses = Pauses::new();
    loop {
        if let Some(found) = look() {
            return found;
        }
        let waited = match end {
            End::Of(pidfd) => match green::wait_for(me, &[(*pidfd, libc::EPOLLIN as u32)], None) {
                Ok(Polled::Interrupted) => Err(libc::ECANCELED),
                Ok(_) => Ok(()),
                Err(_) => pauses.pause(me, None),
            },
            End::OfAny => pauses.pause(me, None),
        };
        if let Err(errno) = waited {
            return raw::fail(errno);
        }
    }
}

/// A descriptor of the process, if it can be had.
fn pidfd(pid: pid_t) -> Option<OwnedFd> {
    // SAFETY: no memory is involved.
    let fd = unsafe { raw::pidfd_open(pid, 0) };
    // SAFETY: the kernel has just made it for us.
    (fd >= 0).then(|| unsafe { OwnedFd::from_raw_fd(fd) })
}

/// As `wait4` in C.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn wait4(
    pid: pid_t,
    status: *mut c_int,
    options: c_int,
    usage: *mut rusage,
) -> pid_t {
    // SAFETY: the caller's promise.
    let call = |options| unsafe { raw::wait4(pid, status, options, usage) };
    if !gate::is_open() || options & libc::WNOHANG != 0 {
        return call(options);
    }
    let Caller::Green(me) = gate::caller() else { return call(options) };
    let only_its_end = options & (libc::WUNTRACED | libc::WCONTINUED) == 0;
    let pidfd = (pid > 0 && only_its_end).then(|| pidfd(pid)).flatten();
    let end = pidfd.as_ref().map_or(End::OfAny, |pidfd| End::Of(pidfd.as_raw_fd()));
    wait_for_child(&me, &end, || {
        let found = call(options | libc::WNOHANG);
        (found != 0).then_some(found)
    })
}

/// As `waitpid` in C.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn waitpid(pid: pid_t, status: *mut c_int, options: c_int) -> pid_t {
    // SAFETY: the caller's promise.
    unsafe { wait4(pid, status, options, ptr::null_mut()) }
}

/// As `wait` in C.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn wait(status: *mut c_int) -> pid_t {
    // SAFETY: the caller's promise.
    unsafe { wait4(-1, status, 0, ptr::null_mut()) }
}

/// As `waitid` in C.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn waitid(
    which: libc::idtype_t,
    id: id_t,
    info: *mut siginfo_t,
    options: c_int,
) -> c_int {
    let which = which as c_int;
    // SAFETY: the caller's promise.
    let call = |info, options| unsafe { raw::waitid(which, id, info, options) };
    if !gate::is_open() || options & libc::WNOHANG != 0 {
        return call(info, options);
    }
    if which == libc::P_PIDFD as c_int && raw::is_nonblocking(id as RawFd) {
        // The kernel fails with EAGAIN, or because it is none.
        return call(info, options);
    }
    let Caller::Green(me) = gate::caller() else { return call(info, options) };
    let only_its_end = options & (libc::WSTOPPED | libc::WCONTINUED) == 0;
    let pidfd =
        (which == libc::P_PID as c_int && only_its_end).then(|| pidfd(id as pid_t)).flatten();
    let end = match &pidfd {
        Some(pidfd) => End::Of(pidfd.as_raw_fd()),
        None if which == libc::P_PIDFD as c_int && only_its_end => End::Of(id as RawFd),
        None => End::OfAny,
    };
    // Without WNOHANG's answer in it nobody could tell a child from none.
    // SAFETY: all zero is a valid siginfo.
    let mut own: siginfo_t = unsafe { mem::zeroed() };
    let answer = if info.is_null() { &raw mut own } else { info };
    wait_for_child(&me, &end, || {
        // SAFETY: null was replaced; the rest is the caller's promise. The kernel leaves it alone
        // or fills it in.
        unsafe {
            (*answer).si_signo = 0;
            let done = call(answer, options | libc::WNOHANG);
            (done != 0 || (*answer).si_signo != 0).then_some(done)
        }
    })
}
