//! Makes ordinary blocking calls cooperate: in a green thread they wait without holding the worker.
//!
//! ```
//! use minihuey::{MiniHuey, monkey};
//! use std::time::{Duration, Instant};
//!
//! fn main() -> Result<(), minihuey::Error> {
//!     monkey::patch_all()?;                                // first thing, as with gevent
//!     let huey = MiniHuey::new("sleepers");
//!     let nap = huey.task("nap", || std::thread::sleep(Duration::from_millis(50)));
//!     let start = Instant::now();
//!     nap.map((0..100).map(|_| ())).get()?;
//!     assert!(start.elapsed() < Duration::from_secs(5));   // not one after another
//!     Ok(())
//! }
//! ```
//!
//! With the Cargo feature `monkey` this crate has functions of the names of libc's blocking calls,
//! and the linker binds your program's calls, std's and those of all other Rust crates, to them.
//! Once [`patch_all`] was called, one that is made in a green thread, on a socket that is not
//! non-blocking, and that would block, parks the green thread until the hub sees the socket ready.
//! All others go straight to the kernel, which also decides every error. Without the feature not
//! one name is there.
//!
//! The repository's `realworld/examples` have programs with HTTP clients, databases, child
//! processes and peers that behave oddly.
//!
//! # What cooperates
//!
//! - TCP, UDP and Unix sockets: connecting (the queue of a listener is made 4,096 long), accepting,
//!   all that sends and receives, with the time-outs that `set_read_timeout` and
//!   `set_write_timeout` set. Two green threads may use one socket, in each direction or the same.
//! - `poll`, `ppoll`, `select` and `pselect`.
//! - All sleeps, and `yield_now`.
//! - Waiting for a child process, and reading and writing pipes.
//! - Looking up names: on an OS thread ([`offload`](crate::offload())), because it is glibc's own.
//! - Closing: whoever waits for the descriptor gets `EBADF`. (The kernel would leave it waiting.)
//!
//! When the task is cancelled or times out, such a call fails with `ECANCELED`, once and every time
//! from then on; in `std::thread::sleep`, which may not fail, it unwinds.
//!
//! # What does not
//!
//! - What waits for another thread: std's and parking_lot's locks, `mpsc`, `JoinHandle::join`,
//!   `thread::park`. Between tasks use [`sync`](crate::sync); a lock of std's that a task holds
//!   while it waits for a socket stops all of them for good, if another wants it. parking_lot's
//!   yield before they block, and a green thread then lets others run even while it has another
//!   such lock.
//! - Files, terminals, standard input and output, `flock`; `epoll_wait`, and with it whatever runs
//!   tokio inside (`reqwest::blocking`, `postgres`). Leave them to [`offload`](crate::offload()).
//! - Code in shared libraries, if they were not linked with the program; C code that was compiled
//!   with `_FORTIFY_SOURCE`, where it calls `recv` and `read` by other names; `splice`.
//! - A listener that OS threads accept from, too, or that came from another process, which may do
//!   so: an OS thread makes the green thread's `accept`, because that can't be told not to block.
//!   It ends when the task does. Only if somebody else has just taken the connection that it had
//!   seen, it stays, and so does the listener, until the next one comes; that is for whoever
//!   accepts next, and `poll` does not tell of it. If this process has *given* the listener to
//!   another one, `accept` may hold the worker.
//! - A named pipe, and before Linux 6.4 any pipe, that others read or write, too: who finds it
//!   ready is not alone in that, so that the call may block, as it would have.
//! - A stream socket is non-blocking for the moment in which it begins to connect, also for those
//!   who share it: copies of the descriptor, child processes.
//! - Signal handlers should not make blocking calls: they run on the stack of whom they interrupt.
//!
//! The [watchdog](crate#green-threads-and-what-holds-them-up) tells what holds the worker.

// SAFETY of every `#[unsafe(no_mangle)]` below: the name is libc's, and whoever calls it expects
// libc's function. Each is one: it takes the same arguments, and does what the kernel's own call
// does with them, but for who waits (`tests/monkey/faithful.rs` compares). As they are `unsafe`, a
// caller's promise in them is that of the C function: valid pointers, or what the kernel refuses.

mod accept;
mod children;
mod closing;
mod connect;
mod descriptors;
mod door;
mod elsewhere;
mod gate;
mod lazy;
mod listeners;
mod names;
mod parts;
mod polling;
mod raw;
mod receive;
mod send;
mod sleeping;

use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use crate::error::Error;
use crate::green::Mutex;

const CALLS: &[&str] = &[
    "accept",
    "accept4",
    "clock_nanosleep",
    "close",
    "connect",
    "dup2",
    "dup3",
    "getaddrinfo",
    "getnameinfo",
    "listen",
    "nanosleep",
    "poll",
    "ppoll",
    "pselect",
    "read",
    "readv",
    "recv",
    "recvfrom",
    "recvmmsg",
    "recvmsg",
    "sched_yield",
    "select",
    "send",
    "sendfile",
    "sendmmsg",
    "sendmsg",
    "sendto",
    "sleep",
    "socket",
    "socketpair",
    "usleep",
    "wait",
    "wait4",
    "waitid",
    "waitpid",
    "write",
    "writev",
];

/// What [`patch_all`] did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Patched(());

impl Patched {
    /// The C functions that cooperate from now on, in the order of their names.
    pub fn calls(&self) -> &'static [&'static str] {
        CALLS
    }
}

/// The list of calls.
impl fmt::Display for Patched {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&CALLS.join(" "))
    }
}

/// Calls that the self-check looks for, counted.
static COUNT: AtomicUsize = AtomicUsize::new(0);

fn count_a_call() {
    if !gate::is_patched() {
        // ORDERING: Relaxed, the self-check reads it in the thread that makes the calls.
        COUNT.fetch_add(1, Ordering::Relaxed);
    }
}

/// From now on blocking calls that are made in green threads wait without holding the worker.
///
/// Call it first thing in `main`, as with gevent: a descriptor that a green thread already uses
/// is not looked at again. A second call changes nothing. There is no way back.
///
/// # Errors
/// [`Error::NotPatched`] if the linker did not bind the program's calls to ours (in a cdylib, for
/// example, that is loaded by a program which is not Rust's).
pub fn patch_all() -> Result<Patched, Error> {
    static PATCHING: Mutex<()> = Mutex::new(());
    let _alone = PATCHING.lock();
    if gate::is_patched() {
        return Ok(Patched(()));
    }
    check_binding()?;
    extern "C" fn in_the_child() {
        // There are no workers in the child of a fork, and the epoll set is the parent's.
        gate::PATCHED.store(false, Ordering::Relaxed);
    }
    // SAFETY: the handler only stores a word.
    let refused = unsafe { libc::pthread_atfork(None, None, Some(in_the_child)) };
    if refused != 0 {
        let why = std::io::Error::from_raw_os_error(refused);
        return Err(Error::NotPatched(format!("no handler for forks can be set: {why}")));
    }
    // ORDERING: Relaxed, a flag that guards nothing.
    gate::PATCHED.store(true, Ordering::Relaxed);
    Ok(Patched(()))
}

/// Has std make two calls, and looks whether they came here.
fn check_binding() -> Result<(), Error> {
    let before = COUNT.load(Ordering::Relaxed);
    std::thread::sleep(Duration::from_nanos(1));
    let between = COUNT.load(Ordering::Relaxed);
    std::thread::yield_now();
    if between > before && COUNT.load(Ordering::Relaxed) > between {
        return Ok(());
    }
    Err(Error::NotPatched(
        "the calls of this program are bound to libc, not to minihuey: expected that minihuey is \
         linked into the executable itself, not into a shared library that it loads (a cdylib can \
         be linked with -Bsymbolic)"
            .to_owned(),
    ))
}

/// True once [`patch_all`] has succeeded. In the child of a fork it is false.
pub fn is_patched() -> bool {
    gate::is_patched()
}
