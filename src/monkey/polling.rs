//! `poll` and `select`: looked at without blocking, and waited for by the hub between two looks.

use std::ffi::{c_int, c_long};
use std::ptr;
use std::time::{Duration, Instant};

use libc::{fd_set, nfds_t, pollfd, sigset_t, timespec, timeval};

use super::gate::{self, Caller, Pauses, UNWINDING_WAIT, timespec};
use super::raw;
use crate::green::{self, Polled};

/// The descriptor has one of these events, or has failed.
pub fn is_ready(fd: c_int, events: i16) -> bool {
    self::events(fd, events) != 0
}

/// Which of these events the descriptor has, and how it has failed.
pub fn events(fd: c_int, events: i16) -> i16 {
    let mut asked = [pollfd { fd, events, revents: 0 }];
    match look(&mut asked, ptr::null()) {
        // The kernel could not even look.
        ..0 => libc::POLLERR,
        _ => asked[0].revents,
    }
}

/// The next call on the socket fails with what happened to it, and whatever call it is, it is told
/// of it once.
pub fn has_failed(fd: c_int) -> bool {
    events(fd, 0) & libc::POLLERR != 0
}

/// A poll that does not block.
fn look(asked: &mut [pollfd], mask: *const sigset_t) -> c_int {
    let mut none = timespec(Duration::ZERO);
    // SAFETY: the slice is valid, and so is the mask, if there is one.
    unsafe { raw::ppoll(asked.as_mut_ptr(), asked.len() as nfds_t, &raw mut none, mask) }
}

/// Waits for `descriptors` between two calls of `look`, until that gives something other than 0 or
/// `timeout` has passed. `None`: it is not ours to wait.
fn wait_until(
    descriptors: &[(c_int, u32)],
    timeout: Option<Duration>,
    mut look: impl FnMut() -> c_int,
) -> Option<c_int> {
    let start = Instant::now();
    let (me, timeout) = match gate::caller() {
        Caller::Other => return None,
        Caller::Green(me) => (Some(me), timeout),
        Caller::Unwinding => (None, Some(timeout.unwrap_or(UNWINDING_WAIT).min(UNWINDING_WAIT))),
    };
    let deadline = timeout.and_then(|timeout| start.checked_add(timeout));
    let mut pauses = Pauses::new();
    let mut woken = false;
    loop {
        let found = look();
        if found != 0 || deadline.is_some_and(|deadline| deadline <= Instant::now()) {
            return Some(found);
        }
        let Some(me) = &me else {
            let mut short = timespec(Duration::from_millis(1));
            // SAFETY: the struct is valid.
            unsafe {
                raw::clock_nanosleep(libc::CLOCK_MONOTONIC, 0, &raw mut short, ptr::null_mut())
            };
            continue;
        };
        if !std::mem::take(&mut woken) {
            match green::wait_for(me, descriptors, deadline) {
                Ok(Polled::Interrupted) => return Some(raw::fail(libc::ECANCELED)),
                Ok(_) => {
                    woken = true;
                    continue;
                }
                Err(_) => {}
            }
        }
        // Something that can't be watched, or has an event that was not asked for (`select` does
        // not tell all that epoll does): look now and then.
        if let Err(errno) = pauses.pause(me, deadline) {
            return Some(raw::fail(errno));
        }
    }
}

/// # Safety
/// As `ppoll` in C.
unsafe fn poll_for(
    fds: *mut pollfd,
    count: nfds_t,
    timeout: Option<Duration>,
    mask: *const sigset_t,
) -> Option<c_int> {
    if fds.is_null() && count > 0 {
        return None;
    }
    // So the kernel takes it.
    let count = nfds_t::from(count as u32);
    // The kernel says first whether there may be as many.
    let mut none = timespec(Duration::ZERO);
    // SAFETY: the caller's promise.
    let found = unsafe { raw::ppoll(fds, count, &raw mut none, mask) };
    if found != 0 {
        return Some(found);
    }
    let asked: &mut [pollfd] = if count == 0 {
        &mut []
    } else {
        // SAFETY: the caller's promise.
        unsafe { std::slice::from_raw_parts_mut(fds, count as usize) }
    };
    // The two have the same numbers, and poll gives errors unasked, too.
    let descriptors: Vec<(c_int, u32)> = asked
        .iter()
        .filter(|asked| asked.fd >= 0)
        .map(|asked| (asked.fd, u32::from(asked.events as u16)))
        .collect();
    wait_until(&descriptors, timeout, || look(asked, mask))
}

/// As `poll` in C.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn poll(fds: *mut pollfd, count: nfds_t, timeout: c_int) -> c_int {
    // Negative: for ever.
    let timeout = u64::try_from(timeout).ok().map(Duration::from_millis);
    if gate::is_open() && timeout != Some(Duration::ZERO) {
        // SAFETY: the caller's promise.
        if let Some(done) = unsafe { poll_for(fds, count, timeout, ptr::null()) } {
            return done;
        }
    }
    let mut timeout = timeout.map(timespec);
    let timeout = timeout.as_mut().map_or(ptr::null_mut(), |timeout| timeout);
    // SAFETY: the caller's promise; the time-out is null or valid.
    unsafe { raw::ppoll(fds, count, timeout, ptr::null()) }
}

/// As `ppoll` in C.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ppoll(
    fds: *mut pollfd,
    count: nfds_t,
    timeout: *const timespec,
    mask: *const sigset_t,
) -> c_int {
    // SAFETY: the caller's promise: null or valid.
    let given = unsafe { timeout.as_ref() };
    let waits = match given.map(duration) {
        None => Some(None),
        Some(Some(Duration::ZERO) | None) => None,
        Some(timeout) => Some(timeout),
    };
    if gate::is_open()
        && let Some(timeout) = waits
    {
        // SAFETY: the caller's promise.
        if let Some(done) = unsafe { poll_for(fds, count, timeout, mask) } {
            return done;
        }
    }
    // The kernel writes what is left to it; the C function does not.
    let mut copy = given.copied();
    let timeout = copy.as_mut().map_or(ptr::null_mut(), |timeout| timeout);
    // SAFETY: the caller's promise.
    unsafe { raw::ppoll(fds, count, timeout, mask) }
}

/// None if it is none.
pub fn duration(time: &timespec) -> Option<Duration> {
    let nanos = u32::try_from(time.tv_nsec).ok().filter(|nanos| *nanos < 1_000_000_000)?;
    Some(Duration::new(u64::try_from(time.tv_sec).ok()?, nanos))
}

const WORD: usize = c_long::BITS as usize;

/// How many bits of a set the kernel looks at if `count` are asked for: no more than its table of
/// descriptors has room for, so that there may be callers whose sets are not longer than that.
fn descriptors_at_most(count: c_int) -> usize {
    let count = count as usize;
    if count <= libc::FD_SETSIZE {
        return count;
    }
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let size = status.lines().find_map(|line| line.strip_prefix("FDSize:"));
    size.and_then(|size| size.trim().parse().ok()).map_or(count, |size: usize| count.min(size))
}

/// What is asked of `select`: for each set, its words, or nothing if there is none.
struct Asked {
    count: c_int,
    sets: [*mut fd_set; 3],
    words: [Vec<c_long>; 3],
}

impl Asked {
    /// # Safety
    /// As `select` in C.
    unsafe fn new(count: c_int, sets: [*mut fd_set; 3]) -> Asked {
        let len = descriptors_at_most(count).div_ceil(WORD);
        let words = sets.map(|set| {
            if set.is_null() || len == 0 {
                return Vec::new();
            }
            // SAFETY: the caller's promise: a set has `count` bits, in whole words, or at least
            // those that the kernel reads.
            unsafe { std::slice::from_raw_parts(set.cast::<c_long>(), len) }.to_vec()
        });
        Asked { count, sets, words }
    }

    fn descriptors(&self) -> Vec<(c_int, u32)> {
        // What select(2) says its sets mean, in poll's words.
        let events = [libc::EPOLLIN | libc::EPOLLRDHUP, libc::EPOLLOUT, libc::EPOLLPRI];
        let bits = self.words.iter().map(Vec::len).max().unwrap_or(0) * WORD;
        let all = (0..bits.min(self.count as usize)).map(|fd| {
            let is_in = |words: &Vec<c_long>| {
                words.get(fd / WORD).is_some_and(|word| word >> (fd % WORD) & 1 != 0)
            };
            let wanted = self.words.iter().zip(events).filter(|(words, _)| is_in(words));
            (fd as c_int, wanted.fold(0, |all, (_, events)| all | events as u32))
        });
        all.filter(|(_, events)| *events != 0).collect()
    }

    /// Puts the question back where the kernel has written its last answer.
    fn restore(&self) {
        for (set, words) in self.sets.iter().zip(&self.words) {
            if !words.is_empty() {
                // SAFETY: as many words as were copied from there.
                unsafe { ptr::copy_nonoverlapping(words.as_ptr(), set.cast(), words.len()) };
            }
        }
    }

    /// Asks (again).
    fn look(&self, mask: *const sigset_t) -> c_int {
        self.restore();
        let mut none = timespec(Duration::ZERO);
        // SAFETY: the promise of the caller of the C function.
        unsafe { raw::pselect(self.count, self.sets, &raw mut none, mask) }
    }
}

/// # Safety
/// As `pselect` in C.
unsafe fn select_for(
    count: c_int,
    sets: [*mut fd_set; 3],
    timeout: Option<Duration>,
    mask: *const sigset_t,
) -> Option<c_int> {
    if !gate::is_open() || timeout == Some(Duration::ZERO) || count < 0 {
        return None;
    }
    // SAFETY: the caller's promise.
    let asked = unsafe { Asked::new(count, sets) };
    let descriptors = asked.descriptors();
    let found = wait_until(&descriptors, timeout, || asked.look(mask));
    if found.is_some_and(|found| found < 0) {
        // The kernel leaves the sets alone when it fails.
        asked.restore();
    }
    found
}

/// As `select` in C: it writes to `timeout` what is left of it, as Linux does.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn select(
    count: c_int,
    readable: *mut fd_set,
    writable: *mut fd_set,
    exceptional: *mut fd_set,
    timeout: *mut timeval,
) -> c_int {
    let sets = [readable, writable, exceptional];
    let start = Instant::now();
    // SAFETY: the caller's promise: null or valid.
    let given = unsafe { timeout.as_mut() };
    let wanted = match &given {
        None => Ok(None),
        Some(time) => {
            let (seconds, micros) = (u64::try_from(time.tv_sec), u64::try_from(time.tv_usec));
            seconds.and_then(|seconds| {
                micros.map(|micros| {
                    Some(Duration::from_secs(seconds).saturating_add(Duration::from_micros(micros)))
                })
            })
        }
    };
    let Ok(wanted) = wanted else { return raw::fail(libc::EINVAL) };
    // SAFETY: the caller's promise.
    let done = unsafe { select_for(count, sets, wanted, ptr::null()) }.unwrap_or_else(|| {
        let mut left = wanted.map(gate::timespec);
        let left = left.as_mut().map_or(ptr::null_mut(), |left| left);
        // SAFETY: the caller's promise.
        unsafe { raw::pselect(count, sets, left, ptr::null()) }
    });
    if let (Some(time), Some(wanted)) = (given, wanted) {
        let left = wanted.saturating_sub(start.elapsed());
        time.tv_sec = libc::time_t::try_from(left.as_secs()).unwrap_or(libc::time_t::MAX);
        time.tv_usec = left.subsec_micros().into();
    }
    done
}

/// As `pselect` in C.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pselect(
    count: c_int,
    readable: *mut fd_set,
    writable: *mut fd_set,
    exceptional: *mut fd_set,
    timeout: *const timespec,
    mask: *const sigset_t,
) -> c_int {
    let sets = [readable, writable, exceptional];
    // SAFETY: the caller's promise: null or valid.
    let mut given = unsafe { timeout.as_ref() }.copied();
    let wanted = given.as_ref().map(duration);
    if wanted != Some(None) {
        // SAFETY: the caller's promise.
        if let Some(done) = unsafe { select_for(count, sets, wanted.flatten(), mask) } {
            return done;
        }
    }
    let timeout = given.as_mut().map_or(ptr::null_mut(), |timeout| timeout);
    // SAFETY: the caller's promise; the kernel writes to our copy.
    unsafe { raw::pselect(count, sets, timeout, mask) }
}
