//! Background tasks for blocking Rust. Declare a plain function as a task, call it, and it runs in
//! a green thread (a stackful coroutine on [`may`](https://docs.rs/may)) of your own process. You
//! get its result when you want it, schedule it, and repeat it by crontab. No async anywhere, no
//! broker, no second process. A port of MiniHuey, of Python's
//! [huey](https://github.com/coleifer/huey).
//!
//! ```
//! use minihuey::{MiniHuey, task};
//! use once_cell::sync::Lazy;
//!
//! static HUEY: Lazy<MiniHuey> = Lazy::new(|| MiniHuey::new("my-app"));
//!
//! #[task(HUEY)]
//! fn add(a: i64, b: i64) -> i64 {
//!     a + b
//! }
//!
//! # fn main() -> Result<(), minihuey::Error> {
//! assert_eq!(add(1, 2).get()?, 3);
//! # Ok(())
//! # }
//! ```
//!
//! # The parts
//!
//! - [`MiniHuey`] is what tasks belong to: its settings ([`MiniHuey::builder`]), [`start`] and
//!   [`stop`] of its scheduler, [`join`], [`shutdown`], [`stats`].
//! - [`task`] declares a function as a task; [`MiniHuey::task`] makes one of a closure.
//! - [`TaskResult`] is what a call gives: to wait for in a thread, in another task, or in async
//!   code as a future. [`Group`] is several of them. [`TaskError`] says why there is no value.
//! - [`Eta`] is when a scheduled task is due: a delay or a time. [`Crontab`] and [`Period`] say
//!   when a periodic one is; [`crontab!`](crontab!) checks it when your program is compiled.
//! - [`offload`](offload()) runs a part of a task on an OS thread; `#[task(HUEY, offload)]` runs
//!   all of it there.
//! - [`green`] has what a task needs to wait without holding the others: [`green::sleep`],
//!   [`green::yield_now`]; and [`green::spawn`], for green threads that are no tasks.
//! - [`sync`] has locks, channels and a pool of connections for green threads and OS threads alike.
//! - [`ManualClock`] is for your tests: a clock that you turn by hand.
//!
//! [`start`]: MiniHuey::start
//! [`stop`]: MiniHuey::stop
//! [`join`]: MiniHuey::join
//! [`shutdown`]: MiniHuey::shutdown
//! [`stats`]: MiniHuey::stats
//!
//! # Green threads, and what holds them up
//!
//! All tasks share one worker, an OS thread, unless [`runtime`] says otherwise. One runs at a
//! moment, until it waits: for a result, or in [`green::sleep`]. Then another goes on, within some
//! 100 ns. So tens of thousands can wait at once, and tasks never run in parallel by surprise.
//!
//! The price: **whatever blocks the OS thread, or computes for long, holds all other tasks up.**
//!
//! For sockets, sleeps, pipes and child processes there is a patch, as gevent has one: with the
//! Cargo feature `monkey`, and `minihuey::monkey::patch_all()?` first thing in `main`, they wait
//! without holding the worker, in whatever crate the call is made.
//!
//! Locks can't be patched: for a `std::sync::Mutex` that another task holds while it waits (that
//! one never ends) take [`sync::Mutex`]. Nor can files, computing, and whatever runs an async
//! runtime inside: do such things on OS threads. That is what offloading is for:
//!
//! ```
//! # use minihuey::{MiniHuey, offload, task};
//! # use once_cell::sync::Lazy;
//! # static HUEY: Lazy<MiniHuey> = Lazy::new(|| MiniHuey::new("offloading"));
//! #[task(HUEY, offload)]                    // all of it: OS threads, and their own limit
//! fn checksum(bytes: Vec<u8>) -> u64 {
//!     bytes.iter().map(|byte| u64::from(*byte)).sum()
//! }
//!
//! #[task(HUEY)]
//! fn size(path: String) -> std::io::Result<usize> {
//!     let bytes = offload(|| std::fs::read(&path))?;      // just this part; the others go on
//!     Ok(bytes.len())
//! }
//! # fn main() -> Result<(), minihuey::Error> {
//! # assert_eq!(checksum(vec![1, 2]).get()?, 3);
//! # assert!(size("Cargo.toml".into()).get()? > 0);
//! # Ok(())
//! # }
//! ```
//!
//! Of `may`'s own primitives, avoid those with a time-out inside a task: they resume it on the one
//! thread of may's timers.
//!
//! A watchdog looks on. When a task holds its worker for longer than 100 ms (see
//! [`RuntimeBuilder::hold_threshold`]), the log names it, says what it does and what to do about
//! it, and afterwards for how long it did in all. [`Stats`] counts such holds.
//!
//! A green thread never leaves its worker, so thread-locals are safe to use, also with several
//! workers. (Waits of may's own may take it to another one, from where it comes back at its next
//! wait of ours; and if something in your build turns on may's feature `work_steal`, it may be
//! taken anywhere. Neither matters where there is one worker.)
//!
//! # Cancelling and time-outs
//!
//! [`TaskResult::cancel`], a time-out (`#[task(HUEY, timeout = "30s")]` or [`Task::timeout`]) and
//! the end of [`shutdown`]'s patience end a task from outside. Its result resolves at that moment,
//! whatever the task is at. If it runs, it unwinds when it waits the next time: its destructors
//! run, no panic hook is called, nothing is logged as a failure. In a `std::panic::catch_unwind`
//! of its own it may notice, and should end; its next wait unwinds again. What can't be stopped is
//! a task that does not wait: one that computes, holds its worker, or runs on an OS thread. It runs
//! on, and its value is dropped.
//!
//! ```
//! # use minihuey::{MiniHuey, TaskError, green};
//! # use std::time::Duration;
//! # let huey = MiniHuey::new("ends");
//! let nap = huey.task("nap", || green::sleep(Duration::from_secs(3600)));
//! let result = nap.call(());
//! assert!(result.cancel());
//! assert!(matches!(result.get(), Err(TaskError::Cancelled)));
//!
//! let short = nap.timeout(Duration::from_millis(5));
//! assert!(matches!(short.call(()).get(), Err(TaskError::TimedOut)));
//! ```
//!
//! # What is promised
//!
//! - Calling a task never blocks (unless you choose [`WhenFull::Wait`]), and works whether or not
//!   the scheduler runs.
//! - Every result resolves: to the value, or to a [`TaskError`]. A task that ends oddly leaves the
//!   pool whole.
//! - With `pool_size`, no more than that many run at a moment. A task that waits for another lends
//!   its place meanwhile, to that one first: it never deadlocks. The same holds for offloaded
//!   tasks, with `offload_size`, and for the threads that they run on.
//! - More tasks than can have a stack wait in a backlog, first in, first out.
//! - A delay is counted on the monotonic clock, an eta and a crontab follow the wall clock. What
//!   was missed while the machine slept is skipped and counted, and nothing periodic runs twice for
//!   the same minute. Summer time: see [`crontab`](mod@crontab).
//! - All is in memory: when the process ends, what has not run is lost.
//!
//! # Logging
//!
//! Through the [`log`](https://docs.rs/log) crate, with targets that begin with `minihuey`:
//!
//! | level | what                                                                                 |
//! |-------|--------------------------------------------------------------------------------------|
//! | error | a task failed, panicked, overflowed its stack or was refused; a setting is wrong      |
//! | warn  | a call rejected by a full backlog; a periodic task missed or skipped; a clock set back; |
//! |       | a task timed out, or held its worker; no thread to be had                            |
//! | info  | a huey started, stopped or shut down                                                 |
//! | debug | each task: enqueueing, scheduling, executed in n s, cancelled; how one ended that    |
//! |       | was ended from outside                                                               |
//!
//! Arguments and values are never logged. Error and panic texts are, as the task gave them.
//!
//! The crates underneath log, too, with targets of their own. `may` tells at info what it was set
//! to when the first task is called (`may::config`: "set workers=1"; `may::io::sys::select`: "add
//! fd to epoll select"), and at trace each wake of a worker; `generator` tells of errors only. To
//! hear of tasks alone, have your logger pass these from warn on: for env_logger
//! `RUST_LOG=info,may=warn,generator=warn`.
//!
//! # Features
//!
//! - `monkey` (off): [`monkey::patch_all`](https://docs.rs/minihuey/latest/minihuey/monkey) makes
//!   ordinary blocking calls, of std and of crates such as `ureq`, `redis` and `mysql`, wait
//!   without holding the worker.
//!
//! # Inside
//!
//! A file uses only files on lower floors.
//!
//! ```text
//!  4  mini          MiniHuey and its builder       declared   what #[task] declared, and where
//!     closure       tasks made of closures
//!  3  engine        takes calls: to the pool now, or to the timetable for later
//!     scheduler     the loop, a green thread, that hands over what is due; which one is in loops
//!     periodic      a periodic task: when it fires, and beside, after or instead of its last run;
//!                   those that follow each other are in runs
//!     task          one call of a task: its slot, what becomes of it
//!     spawn         green threads that are no tasks; shown as green::spawn
//!  2  result group  what a call gives; arrivals    timetable  what is scheduled for when; pure
//!     monkey/       libc's blocking calls, by family, that wait as green threads do
//!  1  slot/         one value, once, for any waiter
//!     green/        runtime · quota · hub · inbox · timers · armed · thread · called · waiter ·
//!                   blocking · guard · overflow · active · overflowed · panics · lock, on word and
//!                   futex, and what they run: job · shared · arena · backlog · roster · post ·
//!                   pool · pools · runner · lending · visit · lobby · wait_list · interrupt ·
//!                   bequest · poller · watches;
//!                   sync/: what both kinds of threads wait for, on selection · permits · condition ·
//!                   meeting · exchange · alarm;
//!                   on OS threads: offload · threads · crew · lane · lane_run · watchdog ·
//!                   desk · doze · watch · activity; each waits for a bell
//!     crontab/      matching and searching, zones, summer time
//!  0  error         every public error             clock      now, as a value
//! ```
//! The crontab language itself is in `minihuey-crontab`, which the macros use, too.

#![deny(unsafe_code)]
#![warn(missing_docs, clippy::undocumented_unsafe_blocks)]
// Where the calls can't be patched, what they are made of is not used.
#![cfg_attr(
    all(feature = "monkey", not(all(target_os = "linux", target_env = "gnu"))),
    allow(dead_code, unused_imports)
)]

mod arrivals;
mod clock;
mod closure;
pub mod crontab;
mod declared;
mod engine;
mod error;
#[allow(unsafe_code, reason = "stacks, signals, and what may asks for; argued at each place")]
pub mod green;
mod group;
mod loops;
mod mini;
#[cfg(all(feature = "monkey", target_os = "linux", target_env = "gnu"))]
#[allow(unsafe_code, reason = "libc's functions under their own names; argued at each place")]
pub mod monkey;
#[cfg(all(feature = "monkey", not(all(target_os = "linux", target_env = "gnu"))))]
#[path = "monkey/unsupported.rs"]
pub mod monkey;
mod periodic;
mod primitives;
mod result;
mod runs;
mod scheduler;
#[allow(unsafe_code, reason = "a value that is handed over by one atomic byte")]
mod slot;
mod spawn;
mod task;
mod timetable;

pub use clock::{Clock, Eta, ManualClock};
pub use closure::Task;
pub use crontab::{Crontab, CrontabError};
pub use declared::HueyRef;
pub use engine::{Abandoned, Stage, Stats, WhenFull};
pub use error::{Error, Failure, Panic, Reason, Rejection, TaskError};
#[doc(inline)]
pub use green::sync;
pub use green::{RuntimeBuilder, offload, runtime};
pub use group::{AsCompleted, Completed, Group, group};
pub use mini::{Builder, MiniHuey};
#[doc(inline)]
pub use minihuey_macros::{crontab, task};
pub use periodic::{IntoPeriod, Overlap, Period};
pub use result::{TaskId, TaskResult};
pub use task::{Ending, TaskFn};

/// What the macros expand to. Not for direct use: it changes without notice.
#[doc(hidden)]
pub mod __private {
    pub use inventory;

    pub use crate::declared::{
        Declaration, Declared, Value, body, call, ending, into_shown, map, schedule,
    };
    pub use crate::error::Failure;
    pub use crate::green::TaskMeta;
    pub use crate::task::{Gives, NotResult, Outcome, Probe};
}

/// Has the examples of the README run with the tests.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
