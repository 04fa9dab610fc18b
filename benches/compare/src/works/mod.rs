//! What is measured: the list of works, and what a work is. A work is described once; who takes
//! part are its contenders, each a function that does the work on one peer.

pub mod calls;
pub mod compute;
pub mod growth;
pub mod idle;
pub mod lateness;
pub mod queued;
pub mod scheduled;
pub mod sleeping;
pub mod sockets;
pub mod throughput;
pub mod waiting;

use std::error::Error;
use std::time::Duration;

pub type Fallible<T> = Result<T, Box<dyn Error + Send + Sync>>;

/// By name. Times are in nanoseconds, memory in bytes. `tasks` says of how many tasks they are,
/// where that is not what the case asks for.
pub type Figures = Vec<(&'static str, f64)>;

/// Measures one case with so many tasks, once, in a process of its own. An error is why the peer
/// can't do it, and is shown as that.
pub type Measure = fn(case: &str, count: u64) -> Fallible<Figures>;

pub struct Work {
    pub name: &'static str,
    pub rounds: usize,
    /// All contenders measure at the same time, because they do nothing.
    pub at_once: bool,
    /// The contenders are clients of [`crate::server`].
    pub needs_server: bool,
    pub cases: &'static [Case],
    pub contenders: &'static [(&'static str, How)],
}

pub struct Case {
    pub name: &'static str,
    /// How many tasks, in earnest and with `--quick`.
    pub count: u64,
    pub quick: u64,
}

/// Where a contender's code is.
#[derive(Clone, Copy)]
pub enum How {
    Here(Measure),
    /// In `peers/peer.py`.
    Python,
    /// In `peers/peer.go`.
    Go,
}

pub const ALL: [&Work; 9] = [
    &throughput::WORK,
    &sockets::WORK,
    &queued::WORK,
    &scheduled::WORK,
    &sleeping::WORK,
    &lateness::WORK,
    &growth::WORK,
    &compute::WORK,
    &idle::WORK,
];

/// What the measuring process does.
pub fn measure(work: &str, peer: &str, case: &str, count: u64) -> Fallible<Figures> {
    let work = ALL.into_iter().find(|known| known.name == work).ok_or("no such work")?;
    let (_, how) =
        work.contenders.iter().find(|(known, _)| *known == peer).ok_or("no such contender")?;
    match how {
        How::Here(measure) => measure(case, count),
        How::Python | How::Go => Err("its code is not here".into()),
    }
}

pub fn nanos(time: Duration) -> f64 {
    time.as_nanos() as f64
}

/// Random numbers that are good enough to shuffle and to spread: xorshift.
pub struct Random(u64);

impl Random {
    /// The same every time: it is the same program every time.
    pub fn new() -> Random {
        Random(0x9E37_79B9_7F4A_7C15)
    }

    /// From 0 up to, but not, `end`.
    pub fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % end
    }

    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            items.swap(last, self.below(last as u64 + 1) as usize);
        }
    }
}
