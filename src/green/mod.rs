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

mod active;
mod activity;
mod arena;
mod armed;
mod backlog;
mod bell;
mod bequest;
mod blocking;
mod called;
mod crew;
mod descriptor;
mod desk;
mod doze;
pub(crate) mod futex;
mod guard;
mod hub;
mod inbox;
mod interrupt;
mod job;
mod lane;
mod lane_run;
mod lending;
mod lobby;
mod lock;
mod offload;
mod overflow;
mod overflowed;
pub(crate) mod panics;
mod poller;
mod pool;
mod pools;
mod post;
mod quota;
mod roster;
mod runner;
mod runtime;
mod shared;
#[doc(hidden)]
pub mod sync;
mod thread;
mod threads;
mod timers;
mod visit;
mod wait_list;
mod waiter;
mod watch;
mod watchdog;
mod watches;
mod word;

use std::sync::Arc;
use std::time::{Duration, Instant};

pub use descriptor::{wait_readable, wait_writable};
pub use offload::offload;
pub use runtime::{RuntimeBuilder, runtime};

pub(crate) use bequest::wake_all;
pub(crate) use blocking::Waited;
pub(crate) use interrupt::{cancel, cancel_all};

#[doc(hidden)]
pub use job::TaskMeta;
pub(crate) use job::{Dead, End, Job, JobRef, Ran};
pub(crate) use lending::lend;
pub(crate) use lock::{Mutex, MutexGuard};
#[cfg(feature = "monkey")]
pub(crate) use offload::leave_to_a_thread;
#[cfg(feature = "monkey")]
pub(crate) use overflow::probe_to_wait;
pub(crate) use overflow::{probe, probe_for_inner_lock};
#[cfg(feature = "monkey")]
pub(crate) use poller::{about_to_close, closed, rouse, wait_for};
pub(crate) use pool::{Books, Pool, Refused};
pub(crate) use runtime::{Runtime, check_stack_size, page_size, runtime_of};
pub(crate) use shared::Shared;
pub(crate) use thread::Green;
pub(crate) use waiter::{
    Waiter, block_or_interrupted, block_uninterrupted, block_until, hold_worker,
};
pub(crate) use watchdog::set_deadline;
#[cfg(feature = "monkey")]
pub(crate) use watches::Polled;

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
        Some(green) => {
            // It may go on to compute: so before and after.
            green.heed();
            green.yield_now();
            green.heed();
        }
        None => std::thread::yield_now(),
    }
}

/// The calling thread is a worker, and runs something other than the hub.
#[cfg(feature = "monkey")]
#[inline]
pub(crate) fn is_on_worker() -> bool {
    hub::current().is_some() && !hub::is_at_work()
}

/// Lets all others run whose descriptors are ready, or who are ready anyway.
#[cfg(feature = "monkey")]
pub(crate) fn look_and_yield(me: &Green) {
    me.hub.look();
    yield_uninterrupted(me);
}

/// As [`block_or_interrupted`] for the green thread `me`, in a call of C's that fails if it gives
/// [`Waited::Interrupted`]: it does not unwind, and lets others run even if the call is made again
/// and again.
pub(crate) fn block_sheltered(
    me: &Arc<Green>,
    deadline: Option<Instant>,
    done: impl FnMut() -> bool,
) -> Waited {
    let waited = thread::sheltered(me, || block_or_interrupted(Some(me), deadline, done))
        .unwrap_or(Waited::Interrupted);
    if waited == Waited::Interrupted {
        thread::sheltered(me, || me.yield_now());
    }
    waited
}

/// Lets others run. Never unwinds.
#[cfg(feature = "monkey")]
pub(crate) fn yield_uninterrupted(me: &Green) {
    thread::sheltered(me, || me.yield_now());
}

/// True in a green thread: in every task but those that are declared `offload`, and those that an
/// `immediate` huey runs in their callers.
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
