//! All that sleeps, and `sched_yield`.

use std::ffi::{c_int, c_uint};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use std::{mem, ptr};

use libc::{clockid_t, timespec};

use super::gate::{self, Caller, pause};
use super::polling::duration;
use super::raw;
use crate::green::{self, panics};

/// How long a destructor may sleep while a panic unwinds in a green thread: it holds the worker.
const UNWINDING_SLEEP: Duration = Duration::from_millis(10);

/// How long a sleep that follows the wall clock goes without looking at it, for it may be set.
const WALL_SLICE: Duration = Duration::from_millis(500);

/// Sleeps without holding the worker. `None`: it is not ours to sleep; else what the call fails
/// with, if it does.
fn sleep_for(time: Duration) -> Option<Result<(), c_int>> {
    super::count_a_call();
    if !gate::is_open() {
        return None;
    }
    match gate::caller() {
        Caller::Other => None,
        Caller::Green(me) => {
            let slept = pause(&me, Instant::now().checked_add(time));
            if slept.is_err() {
                panics::sleep_fails(&me);
            }
            Some(slept)
        }
        Caller::Unwinding => {
            // SAFETY: no memory is involved.
            unsafe { sleep_really(libc::CLOCK_MONOTONIC, 0, time.min(UNWINDING_SLEEP)) };
            Some(Ok(()))
        }
    }
}

/// # Safety
/// None; the kernel is given valid structs only.
unsafe fn sleep_really(clock: clockid_t, flags: c_int, time: Duration) -> (c_int, Duration) {
    let mut left = gate::timespec(Duration::ZERO);
    let request = gate::timespec(time);
    // SAFETY: both structs are valid.
    let done = unsafe { raw::clock_nanosleep(clock, flags, &raw const request, &raw mut left) };
    (done, duration(&left).unwrap_or_default())
}

/// As `nanosleep` in C.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn nanosleep(request: *const timespec, remaining: *mut timespec) -> c_int {
    // SAFETY: the caller's promise: valid, or null, which the kernel refuses.
    let slept = unsafe { request.as_ref() }.and_then(duration).and_then(sleep_for);
    match slept {
        Some(Ok(())) => 0,
        Some(Err(errno)) => raw::fail(errno),
        // SAFETY: the caller's promise.
        None => unsafe { raw::clock_nanosleep(libc::CLOCK_REALTIME, 0, request, remaining) },
    }
}

/// As `clock_nanosleep` in C: gives the error, and leaves errno alone.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn clock_nanosleep(
    clock: clockid_t,
    flags: c_int,
    request: *const timespec,
    remaining: *mut timespec,
) -> c_int {
    let before = raw::errno();
    // SAFETY: the caller's promise.
    let time = unsafe { request.as_ref() }.and_then(duration);
    let slept = match (clock, time) {
        (libc::CLOCK_REALTIME | libc::CLOCK_MONOTONIC | libc::CLOCK_BOOTTIME, Some(time)) => {
            if flags & libc::TIMER_ABSTIME == 0 {
                sleep_for(time)
            } else {
                sleep_until(clock, time)
            }
        }
        _ => None,
    };
    let error = match slept {
        Some(Ok(())) => 0,
        Some(Err(errno)) => errno,
        // SAFETY: the caller's promise.
        None => match unsafe { raw::clock_nanosleep(clock, flags, request, remaining) } {
            0 => 0,
            _ => raw::errno(),
        },
    };
    raw::fail::<c_int>(before);
    error
}

/// Sleeps until `clock` shows `time`.
fn sleep_until(clock: clockid_t, time: Duration) -> Option<Result<(), c_int>> {
    loop {
        let left = time.saturating_sub(now(clock));
        if left.is_zero() {
            // Also counts the call, and asks whether it is ours.
            return sleep_for(left);
        }
        let slept = sleep_for(left.min(WALL_SLICE))?;
        if slept.is_err() {
            return Some(slept);
        }
        if std::thread::panicking() {
            return Some(Ok(()));
        }
    }
}

fn now(clock: clockid_t) -> Duration {
    if clock == libc::CLOCK_REALTIME {
        return SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    }
    let mut now = mem::MaybeUninit::uninit();
    // SAFETY: the struct is read only if the kernel has written it.
    unsafe {
        if libc::clock_gettime(clock, now.as_mut_ptr()) == 0 {
            duration(&now.assume_init()).unwrap_or_default()
        } else {
            Duration::MAX
        }
    }
}

/// As `sleep` in C: gives the seconds that are left.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sleep(seconds: c_uint) -> c_uint {
    let time = Duration::from_secs(seconds.into());
    let start = Instant::now();
    let slept = sleep_for(time).unwrap_or_else(|| {
        // SAFETY: no memory of the caller's is involved.
        match unsafe { sleep_really(libc::CLOCK_REALTIME, 0, time) } {
            (0, _) => Ok(()),
            _ => Err(raw::errno()),
        }
    });
    match slept {
        Ok(()) => 0,
        Err(_) => {
            let left = time.saturating_sub(start.elapsed());
            // Rounded, as glibc does.
            c_uint::try_from((left + Duration::from_millis(500)).as_secs()).unwrap_or(seconds)
        }
    }
}

/// As `usleep` in C.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn usleep(micros: c_uint) -> c_int {
    let request = gate::timespec(Duration::from_micros(micros.into()));
    // SAFETY: the struct is valid.
    unsafe { nanosleep(&raw const request, ptr::null_mut()) }
}

/// As `sched_yield` in C.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sched_yield() -> c_int {
    super::count_a_call();
    if gate::is_open()
        && let Caller::Green(me) = gate::caller()
    {
        green::yield_uninterrupted(&me);
        return 0;
    }
    // SAFETY: no memory is involved.
    unsafe { raw::sched_yield() }
}
