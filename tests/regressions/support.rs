//! What the tests have in common.

use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use minihuey::MiniHuey;

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

/// The caller runs on the same stack as the one who gave this address.
pub fn is_on_stack_of(address: usize) -> bool {
    address_here().abs_diff(address) < 400 * 1024
}

#[inline(never)]
pub fn address_here() -> usize {
    let here = 0u8;
    &raw const here as usize
}

/// For so long that all that could begin by now has.
pub fn until_no_more_begin(huey: &MiniHuey) {
    let (mut running, mut looks) = (0, 0);
    while looks < 6 {
        let now = huey.stats().running;
        looks = if now == running { looks + 1 } else { 0 };
        running = now;
        thread::sleep(Duration::from_millis(200));
    }
}
