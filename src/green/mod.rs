//! Green threads: the runtime that tasks run in. The only folder that names `may`.
//!
//! A green thread is a function with a stack of its own that gives its worker, an OS thread, to
//! others whenever it waits. There is one worker unless [`runtime`] says otherwise, and a green
//! thread never leaves the worker it was made on.
//!
//! ```
//! use minihuey::{MiniHuey, green};
//! use std::time::{Duration, Instant};
//!
//! let huey = MiniHuey::new("sleepers");
//! let nap = huey.task("nap", || green::sleep(Duration::from_millis(50)));
//! let start = Instant::now();
//! let naps: Vec<_> = (0..100).map(|_| nap.call(())).collect();
//! for nap in naps {
//!     nap.get()?;
//! }
//! assert!(start.elapsed() < Duration::from_secs(5));          // one after another it would be 5 s
//! # Ok::<(), minihuey::Error>(())
//! ```

mod backlog;
mod hub;
mod job;
mod lending;
mod lobby;
mod overflow;
pub(crate) mod panics;
mod pool;
mod runner;
mod runtime;
#[doc(hidden)]
pub mod sync;
mod thread;
mod timers;
mod waiter;

use std::time::{Duration, Instant};

pub use runtime::{RuntimeBuilder, runtime};

#[doc(hidden)]
pub use job::TaskMeta;
pub(crate) use job::{Dead, End, Job, JobRef, Ran};
pub(crate) use overflow::probe;
pub(crate) use pool::{Books, Pool, Refused};
pub(crate) use runtime::{Runtime, page_size, runtime_of};
pub(crate) use thread::Green;
pub(crate) use waiter::{Waited, Waiter, block_until};

/// Of a higher floor: shown here, used by nothing here.
pub use crate::spawn::{JoinHandle, spawn};

/// Suspends the calling thread for at least `duration`. A green thread lets others run meanwhile.
///
/// Inside a task use this, not `std::thread::sleep`, which would hold the worker and with it all
/// other tasks. On an OS thread it is the same as `std::thread::sleep`. In a destructor while a
/// panic unwinds, where a green thread must not yield, it sleeps for 10 ms at the most.
///
/// ```
/// minihuey::green::sleep(std::time::Duration::from_millis(1));
/// ```
pub fn sleep(duration: Duration) {
    // A deadline that can't be told is some 584 years away.
    let deadline = Instant::now().checked_add(duration);
    block_until(Green::current().as_deref(), deadline, || false);
}

/// Lets other green threads run. On an OS thread: other OS threads.
///
/// ```
/// minihuey::green::yield_now();
/// ```
pub fn yield_now() {
    match Green::current() {
        Some(green) => green.yield_now(),
        None => std::thread::yield_now(),
    }
}

/// True in a green thread, which every task runs in.
///
/// ```
/// use minihuey::{MiniHuey, green::is_green};
/// let huey = MiniHuey::new("colours");
/// assert!(!is_green());
/// assert!(huey.task("colour", is_green).call(()).get()?);
/// # Ok::<(), minihuey::Error>(())
/// ```
pub fn is_green() -> bool {
    // Asked in this order: on a thread that is not a worker, may's test would leak a context.
    hub::current().is_some() && may::coroutine::is_coroutine()
}
