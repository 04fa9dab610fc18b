//! What tests wait with: signals, with a limit so generous that only a hang reaches it.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

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

/// The two kinds of threads, both of which everything that waits must work in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Os,
    Green,
}

impl Kind {
    pub const BOTH: [Kind; 2] = [Kind::Os, Kind::Green];

    pub fn run<T: Send + 'static>(self, f: impl FnOnce() -> T + Send + 'static) -> Running<T> {
        let (sender, receiver) = mpsc::channel();
        let body = move || {
            let value = f();
            // Not every test asks for the end.
            let _ = sender.send(value);
        };
        match self {
            Kind::Os => drop(std::thread::spawn(body)),
            Kind::Green => drop(minihuey::green::spawn(body)),
        }
        Running(receiver)
    }
}

/// Every pair of kinds.
pub fn pairs() -> impl Iterator<Item = (Kind, Kind)> {
    Kind::BOTH.into_iter().flat_map(|one| Kind::BOTH.map(|other| (one, other)))
}

/// A thread of either kind that was started.
#[must_use]
pub struct Running<T>(Receiver<T>);

impl<T> Running<T> {
    /// What it gives; fails the test if it panicked or does not end.
    #[track_caller]
    pub fn end(self) -> T {
        next(&self.0)
    }

    pub fn has_ended(&self) -> bool {
        !matches!(self.0.try_recv(), Err(mpsc::TryRecvError::Empty))
    }
}

/// Random numbers: xorshift.
#[derive(Clone)]
pub struct Random(u64);

impl Random {
    /// Of a seed that is different each time, and printed; `MINIHUEY_SEED` sets it.
    pub fn new(test: &str) -> Random {
        let now = || {
            let epoch = std::time::UNIX_EPOCH.elapsed().expect("a clock after 1970");
            epoch.as_nanos() as u64 | 1
        };
        let seed = std::env::var("MINIHUEY_SEED").ok().and_then(|seed| seed.parse().ok());
        let seed = seed.unwrap_or_else(now);
        println!("{test}: MINIHUEY_SEED={seed}");
        Random(seed)
    }

    /// Another sequence, for another thread.
    pub fn fork(&mut self) -> Random {
        Random(self.below(u64::MAX) | 1)
    }

    /// From 0 up to, but not, `end`.
    pub fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % end
    }

    pub fn micros(&mut self, end: u64) -> Duration {
        Duration::from_micros(self.below(end))
    }
}

/// Counts how many of its kind were made and dropped.
#[derive(Clone, Default)]
pub struct Census(Arc<AtomicUsize>);

/// One who is counted.
#[derive(Debug)]
pub struct Counted(Arc<AtomicUsize>, pub u64);

impl Census {
    pub fn make(&self, number: u64) -> Counted {
        self.0.fetch_add(1, Ordering::SeqCst);
        Counted(self.0.clone(), number)
    }

    pub fn alive(&self) -> usize {
        self.0.load(Ordering::SeqCst)
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

/// A coroutine of may's, which can be made to unwind where it waits.
pub struct Unwinding(may::coroutine::JoinHandle<()>);

impl Unwinding {
    /// Returns once it waits: for that is the first time that it lets others run on its worker.
    pub fn start(f: impl FnOnce() + Send + 'static) -> Unwinding {
        // Not before the runtime is set up.
        Kind::Green.run(|| ()).end();
        let (sender, began) = mpsc::channel();
        let unwinding = Unwinding(may::go!(move || {
            sender.send(()).unwrap();
            f();
        }));
        next(&began);
        Kind::Green.run(|| ()).end();
        unwinding
    }

    /// Has it unwind at the wait that it is in, or the next one; returns when it has.
    pub fn unwind(self) {
        self.begin();
        self.end();
    }

    /// Has it unwind, but not yet, if this is called on its worker.
    pub fn begin(&self) {
        // SAFETY: the coroutine's own frames, and ours, release what they hold when they unwind.
        unsafe { self.0.coroutine().cancel() };
    }

    #[track_caller]
    pub fn end(self) {
        assert!(self.0.join().is_err(), "it did not unwind");
    }

    /// Lets it end as any other.
    #[track_caller]
    pub fn finish(self) {
        assert!(self.0.join().is_ok(), "it panicked");
    }
}
