//! What the tests have in common.

use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};

/// How long to wait for what must come.
pub const LIMIT: Duration = Duration::from_secs(40);

/// Waits until `holds`.
#[track_caller]
pub fn until(what: &str, holds: impl Fn() -> bool) {
    let end = Instant::now() + LIMIT;
    while !holds() {
        assert!(Instant::now() < end, "not within {LIMIT:?}: {what}");
        thread::yield_now();
    }
}

/// Gives the others time to get to where they wait, where nothing tells when they are there. If it
/// is not enough, a test tests less, but does not fail.
pub fn moment() {
    thread::sleep(Duration::from_millis(30));
}

/// Runs `f` in an OS thread, and panics if that does not end.
#[track_caller]
pub fn within_limit<T: Send + 'static>(f: impl FnOnce() -> T + Send + 'static) -> T {
    let (sender, receiver) = mpsc::channel();
    let thread = thread::spawn(move || sender.send(f()).unwrap());
    match receiver.recv_timeout(LIMIT) {
        Ok(value) => value,
        Err(mpsc::RecvTimeoutError::Timeout) => panic!("it hangs"),
        Err(mpsc::RecvTimeoutError::Disconnected) => {
            std::panic::resume_unwind(thread.join().unwrap_err())
        }
    }
}

pub fn utc(text: &str) -> DateTime<Utc> {
    text.parse().unwrap()
}

/// Has no end: outgrows any stack.
#[inline(never)]
pub fn endless(n: u64) -> u64 {
    let frame = std::hint::black_box([n; 64]);
    if n == u64::MAX { 0 } else { endless(n + 1) + frame[3] }
}
