//! `accept`, which can't be told not to block.
//!
//! A connection that a listener has ready may be taken by somebody else before our call comes to
//! it, and that would block. Green threads take turns, so they don't do it to each other. Where an
//! OS thread accepts from the same listener, green threads leave the call to an OS thread, too:
//!
//! ```text
//!   green thread        the listener's door             OS thread
//!   ────────────        ───────────────────             ─────────
//!   waits there    ─▶   who waits; how many threads ─▶  accept, on a copy of the descriptor
//!   takes it       ◀─   connections                ◀─   lays down what it has got
//! ```
//! Whoever waits may give up, and the thread goes on: the connection that it gets in the end is for
//! whoever accepts next. If the listener was closed by then, it is closed, as the kernel does with
//! connections that nobody has accepted.

use std::collections::{BTreeMap, VecDeque};
use std::ffi::c_int;
use std::os::fd::{AsRawFd, FromRawFd, IntoRawFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::{mem, ptr};

use libc::{sockaddr, sockaddr_storage, socklen_t};

use super::connect::noted;
use super::descriptors::{self, Kind};
use super::elsewhere::elsewhere;
use super::gate::{self, Caller, Patience, Waited};
use super::polling::is_ready;
use super::raw;
use crate::green::{self, Green, Mutex};

/// Held while a green thread looks whether there is a connection, and takes it.
static TURN: Mutex<()> = Mutex::new(());

/// Listeners from which OS threads accept for green ones, by their cookies: the kernel gives each
/// socket one of its own, whatever its descriptors are.
static DOORS: Mutex<BTreeMap<u64, Door>> = Mutex::new(BTreeMap::new());

/// How many there are, so that with none the kernel need not be asked for a cookie.
static COUNT: AtomicUsize = AtomicUsize::new(0);

#[derive(Default)]
struct Door {
    /// Not yet taken by anybody.
    connections: VecDeque<Connection>,
    /// What threads failed with, for as many of those who wait.
    failures: VecDeque<c_int>,
    waiting: Vec<Waiting>,
    /// Threads that accept.
    threads: usize,
}

struct Connection {
    fd: OwnedFd,
    address: sockaddr_storage,
    len: socklen_t,
    /// The listener's number when it came in.
    listener: c_int,
}

struct Waiting {
    green: Arc<Green>,
    listener: c_int,
    is_closed: bool,
}

impl Door {
    fn is_unused(&self) -> bool {
        self.connections.is_empty() && self.waiting.is_empty() && self.threads == 0
    }

    fn place_of(&self, me: &Arc<Green>) -> Option<usize> {
        self.waiting.iter().position(|waiting| Arc::ptr_eq(&waiting.green, me))
    }
}

/// Gives `f` the door of the listener with this cookie, which goes when nobody uses it any more. No
/// descriptor may be closed in `f`, because whoever closes one comes here.
fn at_door<R>(cookie: u64, f: impl FnOnce(&mut Door) -> R) -> R {
    green::probe();
    let mut doors = DOORS.lock();
    let door = doors.entry(cookie).or_default();
    let given = f(door);
    if door.is_unused() {
        doors.remove(&cookie);
    }
    // ORDERING: Relaxed, the lock orders it; whoever reads it without may come too early, or late.
    COUNT.store(doors.len(), Ordering::Relaxed);
    given
}

/// None if no listener has a door, or this is none.
fn cookie_if_any(fd: c_int) -> Option<u64> {
    // ORDERING: Relaxed, as above.
    (COUNT.load(Ordering::Relaxed) > 0).then(|| cookie(fd)).flatten()
}

fn cookie(fd: c_int) -> Option<u64> {
    raw::socket_option(fd, libc::SO_COOKIE)
}

/// A connection that came too late for whoever had asked for it.
fn left_over(listener: c_int) -> Option<Connection> {
    at_door(cookie_if_any(listener)?, |door| door.connections.pop_front())
}

fn has_threads(listener: c_int) -> bool {
    cookie_if_any(listener).is_some_and(|cookie| at_door(cookie, |door| door.threads > 0))
}

/// Where the caller of the C function wants the peer's address, and his flags.
#[derive(Clone, Copy)]
struct Wanted {
    address: *mut sockaddr,
    len: *mut socklen_t,
    flags: c_int,
}

impl Wanted {
    /// Gives the caller a connection that an OS thread has accepted for him.
    fn give(self, connection: Connection) -> c_int {
        let fd = connection.fd.into_raw_fd();
        // SAFETY: no memory is involved.
        unsafe {
            if self.flags & libc::SOCK_CLOEXEC == 0 {
                libc::fcntl(fd, libc::F_SETFD, 0);
            }
            if self.flags & libc::SOCK_NONBLOCK != 0 {
                libc::fcntl(fd, libc::F_SETFL, libc::O_RDWR | libc::O_NONBLOCK);
            }
        }
        if !self.address.is_null() && !self.len.is_null() {
            // SAFETY: the promise of the caller of the C function: there is room for `len` bytes.
            unsafe {
                let from = (&raw const connection.address).cast::<u8>();
                let count = connection.len.min(*self.len) as usize;
                ptr::copy_nonoverlapping(from, self.address.cast(), count);
                *self.len = connection.len;
            }
        }
        noted(fd)
    }
}

/// What the OS thread does. `copy` is a descriptor of its own of what `listener` was.
fn accept_for_others(cookie: u64, listener: c_int, copy: OwnedFd) {
    // SAFETY: all zero is a valid address.
    let mut address: sockaddr_storage = unsafe { mem::zeroed() };
    let mut len = size_of_val(&address) as socklen_t;
    // SAFETY: the address has that length.
    let fd = unsafe {
        let address = (&raw mut address).cast();
        raw::accept4(copy.as_raw_fd(), address, &raw mut len, libc::SOCK_CLOEXEC)
    };
    let errno = raw::errno();
    // SAFETY: it was given by `accept_elsewhere`, and nobody else has it.
    unsafe { raw::close(copy.into_raw_fd()) };
    let mut refused = None;
    let woken: Vec<Arc<Green>> = at_door(cookie, |door| {
        door.threads -= 1;
        if fd < 0 {
            if door.failures.len() < door.waiting.len() {
                door.failures.push_back(errno);
            }
        } else {
            // SAFETY: the kernel has just made it.
            let fd = unsafe { OwnedFd::from_raw_fd(fd) };
            let connection = Connection { fd, address, len, listener };
            if door.waiting.is_empty() && self::cookie(listener) != Some(cookie) {
                refused = Some(connection);
            } else {
                door.connections.push_back(connection);
            }
        }
        door.waiting.iter().map(|waiting| waiting.green.clone()).collect()
    });
    drop(refused);
    if woken.is_empty() {
        // For those who wait for the listener itself.
        green::rouse(listener);
    }
    woken.iter().for_each(|green| green.unpark());
}

/// Accepts by an OS thread. None: look again whether there is a connection.
fn accept_elsewhere(
    me: &Arc<Green>,
    listener: c_int,
    wanted: Wanted,
    patience: &mut Patience,
) -> Option<c_int> {
    let Some(cookie) = cookie(listener) else {
        // Closed, or a kernel before 4.12.
        return Some(elsewhere(-1, || wanted.call(listener)));
    };
    // SAFETY: no memory is involved.
    let copy = unsafe { libc::fcntl(listener, libc::F_DUPFD_CLOEXEC, 3) };
    if copy < 0 {
        return Some(-1);
    }
    // SAFETY: the kernel has just made it.
    let copy = unsafe { OwnedFd::from_raw_fd(copy) };
    let needs_thread = at_door(cookie, |door| {
        door.waiting.push(Waiting { green: me.clone(), listener, is_closed: false });
        let needs = door.threads < door.waiting.len();
        door.threads += usize::from(needs);
        needs
    });
    if needs_thread {
        let work = Box::new(move || accept_for_others(cookie, listener, copy));
        if green::leave_to_a_thread(me, work).is_err() {
            // The system refuses even one thread: as if it had failed.
            at_door(cookie, |door| {
                door.threads -= 1;
                door.failures.push_back(libc::EAGAIN);
            });
        }
    }
    let taken = || {
        at_door(cookie, |door| {
            let is_closed = door.place_of(me).is_some_and(|at| door.waiting[at].is_closed);
            if is_closed {
                return Some(Err(libc::EBADF));
            }
            let connection = door.connections.pop_front().map(Ok);
            connection.or_else(|| door.failures.pop_front().map(Err))
        })
    };
    let mut found = None;
    let waited = green::block_sheltered(me, patience.deadline(), || {
        found = taken();
        found.is_some()
    });
    let found = found.or_else(|| {
        // It may have come as the wait ended.
        let found = taken();
        found.filter(Result::is_ok)
    });
    at_door(cookie, |door| {
        if let Some(at) = door.place_of(me) {
            door.waiting.swap_remove(at);
        }
        // One that was meant for who goes now.
        door.failures.truncate(door.waiting.len());
    });
    Some(match (found, waited) {
        (Some(Ok(connection)), _) => wanted.give(connection),
        // The thread's time-out is not its own.
        (Some(Err(libc::EAGAIN)), _) => return None,
        (Some(Err(errno)), _) => raw::fail(errno),
        (None, green::Waited::TimedOut) => raw::fail(libc::EAGAIN),
        (None, _) => raw::fail(libc::ECANCELED),
    })
}

/// The descriptor is about to be closed: whoever waits at its door gets EBADF, and what nobody
/// has taken goes.
pub fn about_to_close(fd: c_int) {
    let Some(cookie) = cookie_if_any(fd) else { return };
    let (woken, refused) = at_door(cookie, |door| {
        let mut woken = Vec::new();
        for waiting in door.waiting.iter_mut().filter(|waiting| waiting.listener == fd) {
            waiting.is_closed = true;
            woken.push(waiting.green.clone());
        }
        let refused: VecDeque<Connection> = if door.waiting.len() == woken.len() {
            let theirs = mem::take(&mut door.connections);
            let (refused, kept) = theirs.into_iter().partition(|one| one.listener == fd);
            door.connections = kept;
            refused
        } else {
            VecDeque::new()
        };
        (woken, refused)
    });
    drop(refused);
    woken.iter().for_each(|green| green.unpark());
}

/// The descriptor was closed: what a thread has laid down in between goes, too.
pub fn closed(fd: c_int) {
    // ORDERING: Relaxed, see `at_door`.
    if COUNT.load(Ordering::Relaxed) == 0 {
        return;
    }
    green::probe();
    let now = cookie(fd);
    let mut refused = Vec::new();
    for (cookie, door) in DOORS.lock().iter_mut() {
        if now != Some(*cookie) && door.waiting.is_empty() {
            let theirs = mem::take(&mut door.connections);
            let (its, kept): (VecDeque<_>, _) =
                theirs.into_iter().partition(|one| one.listener == fd);
            door.connections = kept;
            refused.extend(its);
        }
    }
    drop(refused);
}

impl Wanted {
    fn call(self, fd: c_int) -> c_int {
        // SAFETY: the promise of the caller of the C function.
        noted(unsafe { raw::accept4(fd, self.address, self.len, self.flags) })
    }
}

/// As `accept` in C.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn accept(fd: c_int, address: *mut sockaddr, len: *mut socklen_t) -> c_int {
    // SAFETY: the caller's promise.
    unsafe { accept4(fd, address, len, 0) }
}

/// As `accept4` in C.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn accept4(
    fd: c_int,
    address: *mut sockaddr,
    len: *mut socklen_t,
    flags: c_int,
) -> c_int {
    let wanted = Wanted { address, len, flags };
    if !gate::is_patched() || flags & !(libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK) != 0 {
        return wanted.call(fd);
    }
    if let Some(connection) = left_over(fd) {
        return wanted.give(connection);
    }
    if !gate::is_open() {
        if !descriptors::is_contested(fd) {
            // Not between the two steps of one who has his turn.
            let _turn = TURN.lock();
            descriptors::note_contested(fd);
        }
        return wanted.call(fd);
    }
    if descriptors::kind(fd) != Kind::Socket || raw::is_nonblocking(fd) {
        return wanted.call(fd);
    }
    let mut patience = Patience::to_receive(fd).of_blocking();
    loop {
        let is_contested = {
            let _turn = TURN.lock();
            let is_contested = descriptors::is_contested(fd);
            let is_ready = is_ready(fd, libc::POLLIN);
            if is_ready && !is_contested {
                return wanted.call(fd);
            }
            // A thread that is there already may take the next one: then it is waited for.
            is_contested && (is_ready || has_threads(fd))
        };
        if is_contested {
            let Caller::Green(me) = gate::caller() else { return wanted.call(fd) };
            if let Some(done) = accept_elsewhere(&me, fd, wanted, &mut patience) {
                return done;
            }
        } else if raw::socket_option::<c_int>(fd, libc::SO_ACCEPTCONN) != Some(1) {
            // It does not listen, and the kernel says so.
            return wanted.call(fd);
        } else {
            match patience.wait() {
                Waited::Again => {}
                Waited::AsItWas => return wanted.call(fd),
                Waited::Failed(errno) => return raw::fail(errno),
            }
        }
        if let Some(connection) = left_over(fd) {
            return wanted.give(connection);
        }
    }
}
