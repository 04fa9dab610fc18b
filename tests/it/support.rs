//! What tests wait with: signals, with a limit so generous that only a hang reaches it.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use minihuey::{MiniHuey, Task};

pub const LIMIT: Duration = Duration::from_secs(60);

/// The next message; fails the test if none comes.
#[track_caller]
pub fn next<T>(receiver: &Receiver<T>) -> T {
    match receiver.recv_timeout(LIMIT) {
        Ok(message) => message,
        Err(RecvTimeoutError::Timeout) => panic!("nothing came within {LIMIT:?}"),
        Err(RecvTimeoutError::Disconnected) => panic!("the sender is gone"),
    }
}

/// A gate that tasks wait at, in an OS thread or a green one, until the test opens it.
#[derive(Clone, Default)]
pub struct Gate(Arc<(Mutex<bool>, Condvar)>);

impl Gate {
    pub fn open(&self) {
        *self.0.0.lock().unwrap() = true;
        self.0.1.notify_all();
    }

    /// In a green thread: lets others run meanwhile.
    pub fn pass(&self) {
        while !*self.0.0.lock().unwrap() {
            minihuey::green::sleep(Duration::from_millis(1));
        }
    }
}

/// Looks until `condition` holds; fails the test if it never does.
#[track_caller]
pub fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + LIMIT;
    while !condition() {
        assert!(Instant::now() < deadline, "never: {what}");
        std::thread::yield_now();
    }
}

/// How many are inside at a moment, and the most that ever were.
#[derive(Clone, Default)]
pub struct Gauge(Arc<(AtomicUsize, AtomicUsize)>);

impl Gauge {
    pub fn inside<R>(&self, f: impl FnOnce() -> R) -> R {
        self.enter();
        let result = f();
        self.leave();
        result
    }

    pub fn enter(&self) {
        let now = self.0.0.fetch_add(1, Ordering::SeqCst) + 1;
        self.0.1.fetch_max(now, Ordering::SeqCst);
    }

    pub fn leave(&self) {
        self.0.0.fetch_sub(1, Ordering::SeqCst);
    }

    pub fn most(&self) -> usize {
        self.0.1.load(Ordering::SeqCst)
    }
}

/// A task called "hold" that says when it began, and then waits at a gate.
pub fn hold(huey: &MiniHuey) -> (Task<(), ()>, Gate, Receiver<()>) {
    let gate = Gate::default();
    let (sender, receiver) = mpsc::channel();
    let its_gate = gate.clone();
    let hold = huey.task("hold", move || {
        // Not every test listens.
        let _ = sender.send(());
        its_gate.pass();
    });
    (hold, gate, receiver)
}

/// A small generator of what a test tries, so that a run can be repeated by its seed alone
/// (xorshift64*).
pub struct Random(u64);

impl Random {
    /// Begins with the seed in MINIHUEY_SEED, or with the time; a test that fails shows it.
    pub fn printed(test: &str) -> Random {
        let seed = match std::env::var("MINIHUEY_SEED") {
            Ok(seed) => seed.parse().expect("MINIHUEY_SEED must be a whole number"),
            Err(_) => SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos() as u64,
        };
        println!("{test}: MINIHUEY_SEED={seed}");
        Random(seed | 1)
    }

    pub fn next(&mut self, below: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        // The high bits are the good ones.
        (self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 16) % below
    }
}
