//! `accept`, which can't be told not to block.
//!
//! A connection that a listener has ready may be taken by somebody else before our call comes to
//! it, and that would block. Green threads take turns, so they don't do it to each other. Where an
//! OS thread accepts from the same listener, or another process may, green threads leave the call
//! to an OS thread, too:
//!
//! ```text
//!   green thread        the listener's door       OS thread, with a copy of the descriptor
//!   ────────────        ───────────────────       ────────────────────────────────────────
//!   waits there    ─▶   who waits            ─▶   polls the listener, and a bell
//!   takes it       ◀─   connections          ◀─   accepts, and lays down what it has got
//!   or gives up    ─────────────────────────▶   rings the bell: the thread ends
//! ```
//! If somebody else takes the connection that the thread has seen, the thread is in the kernel's
//! `accept`, where no bell is heard, until the next one comes. If whoever waited has given up by
//! then, that one is for whoever accepts next. If the listener was closed by then, it is closed, as
//! the kernel does with connections that nobody has accepted.

use std::collections::{BTreeMap, VecDeque};
use std::ffi::c_int;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, IntoRawFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::{mem, ptr};

use libc::{sockaddr, sockaddr_storage, socklen_t};

use super::connect::noted;
use super::descriptors::{self, Kind};
use super::door::Outcome;
use super::elsewhere::elsewhere;
use super::gate::{self, Caller, Patience, Waited};
use super::listeners::{Listeners, Street};
use super::polling::is_ready;
use super::raw;
use crate::green::{self, Green, Mutex};

/// Held while a green thread looks whether there is a connection, and takes it.
static TURN: Mutex<()> = Mutex::new(());

/// Listeners from which OS threads accept for green ones.
static LISTENERS: Listeners<Kernel> =
    Listeners::of(Kernel, Mutex::new(BTreeMap::new()), AtomicUsize::new(0));

/// Listeners that this process made, the latest last. Of any other, another process may have a copy
/// that was inherited by both.
static MADE_HERE: Mutex<VecDeque<Made>> = Mutex::new(VecDeque::new());

struct Made {
    cookie: u64,
    /// An OS thread accepts from it, by whatever descriptor.
    is_contested: bool,
}

/// How many are remembered. One that is not is taken for another's, which only costs time.
const MOST_REMEMBERED: usize = 1024;

struct Kernel;

impl Street for Kernel {
    type Connection = Connection;
    type Waiter = Arc<Green>;
    type Bell = Arc<Bell>;

    fn cookie(&self, fd: c_int) -> Option<u64> {
        cookie(fd)
    }

    fn probe(&self) {
        green::probe();
    }

    fn wake(&self, waiter: &Arc<Green>) {
        waiter.unpark();
    }

    fn ring(&self, bell: &Arc<Bell>) {
        bell.ring();
    }
}

struct Connection {
    fd: OwnedFd,
    address: sockaddr_storage,
    len: socklen_t,
}

/// The descriptor listens from now on.
pub fn made_here(fd: c_int) {
    let Some(cookie) = cookie(fd) else { return };
    green::probe();
    let mut made = MADE_HERE.lock();
    if !made.iter().any(|made| made.cookie == cookie) {
        if made.len() == MOST_REMEMBERED {
            made.pop_front();
        }
        made.push_back(Made { cookie, is_contested: false });
    }
}

/// An OS thread is about to accept from it.
fn contest(fd: c_int) {
    // Not between the two steps of one who has his turn.
    let _turn = TURN.lock();
    descriptors::note_contested(fd);
    let Some(cookie) = cookie(fd) else { return };
    let mut made = MADE_HERE.lock();
    if let Some(made) = made.iter_mut().rfind(|made| made.cookie == cookie) {
        made.is_contested = true;
    }
}

/// OS threads accept from it, too, or other processes may.
fn is_contested(fd: c_int) -> bool {
    if descriptors::is_contested(fd) {
        return true;
    }
    // (A kernel before 4.12 has no cookies.)
    let is_contested = cookie(fd).is_some_and(|cookie| {
        let made = MADE_HERE.lock();
        let made = made.iter().rfind(|made| made.cookie == cookie);
        made.is_none_or(|made| made.is_contested)
    });
    if is_contested {
        descriptors::note_contested(fd);
    }
    is_contested
}

fn cookie(fd: c_int) -> Option<u64> {
    raw::socket_option(fd, libc::SO_COOKIE)
}

/// What an OS thread looks at beside its listener.
struct Bell(OwnedFd);

impl Bell {
    fn new() -> io::Result<Bell> {
        // SAFETY: no memory is involved.
        let fd = unsafe { libc::eventfd(0, libc::EFD_CLOEXEC | libc::EFD_NONBLOCK) };
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the kernel has just made it.
        Ok(Bell(unsafe { OwnedFd::from_raw_fd(fd) }))
    }

    fn ring(&self) {
        let one = 1_u64;
        // SAFETY: it has that many bytes. (It can't fail: that many rings don't happen.)
        unsafe { raw::write(self.0.as_raw_fd(), (&raw const one).cast(), size_of_val(&one)) };
    }

    fn silence(&self) {
        let mut rings = 0_u64;
        // SAFETY: there is room for that many bytes.
        unsafe { raw::read(self.0.as_raw_fd(), (&raw mut rings).cast(), size_of_val(&rings)) };
    }

    /// Waits until the listener has something, or the bell is rung, which it forgets. Gives false
    /// in the latter case, and when it can't tell.
    fn wait_with(&self, listener: &OwnedFd) -> bool {
        let asked =
            |fd: &OwnedFd| libc::pollfd { fd: fd.as_raw_fd(), events: libc::POLLIN, revents: 0 };
        let mut both = [asked(listener), asked(&self.0)];
        // SAFETY: there are two; no time-out and no mask is given.
        let found = unsafe { raw::ppoll(both.as_mut_ptr(), 2, ptr::null_mut(), ptr::null()) };
        if found > 0 && both[1].revents != 0 {
            self.silence();
            return false;
        }
        found > 0
    }
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
fn accept_for_others(cookie: u64, listener: c_int, copy: OwnedFd, bell: &Bell) {
    LISTENERS.serve(cookie, || {
        // After the bell, and after a signal, it is asked whether it is wanted still.
        if bell.wait_with(&copy) {
            accept_one(cookie, listener, &copy);
        }
    });
    // SAFETY: it was given to this thread alone.
    unsafe { raw::close(copy.into_raw_fd()) };
}

/// Accepts, which may block, and lays down what came of it.
fn accept_one(cookie: u64, listener: c_int, copy: &OwnedFd) {
    // SAFETY: all zero is a valid address.
    let mut address: sockaddr_storage = unsafe { mem::zeroed() };
    let mut len = size_of_val(&address) as socklen_t;
    // SAFETY: the address has that length.
    let fd = unsafe {
        let address = (&raw mut address).cast();
        raw::accept4(copy.as_raw_fd(), address, &raw mut len, libc::SOCK_CLOEXEC)
    };
    let got = if fd < 0 {
        match raw::errno() {
            // The listener's time-out and this thread's signals are not for those who wait.
            libc::EAGAIN | libc::EINTR => return,
            errno => Err(errno),
        }
    } else {
        // SAFETY: the kernel has just made it.
        Ok(Connection { fd: unsafe { OwnedFd::from_raw_fd(fd) }, address, len })
    };
    if !LISTENERS.lay_down(cookie, listener, got) {
        // For one who began to wait for the listener itself before anybody accepted elsewhere.
        green::rouse(listener);
    }
}

/// Starts the thread that the door is to have.
fn start_thread(me: &Green, cookie: u64, listener: c_int) -> io::Result<()> {
    let bell = Arc::new(Bell::new()?);
    // SAFETY: no memory is involved.
    let copy = unsafe { libc::fcntl(listener, libc::F_DUPFD_CLOEXEC, 3) };
    if copy < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the kernel has just made it.
    let copy = unsafe { OwnedFd::from_raw_fd(copy) };
    if self::cookie(copy.as_raw_fd()) != Some(cookie) {
        // The number was closed, and is another's.
        return Err(io::Error::from_raw_os_error(libc::EBADF));
    }
    LISTENERS.hang(bell.clone(), cookie);
    let work = Box::new(move || accept_for_others(cookie, listener, copy, &bell));
    let started = green::leave_to_a_thread(me, work);
    started.map_err(|_| io::Error::from_raw_os_error(libc::EAGAIN))
}

/// Accepts by an OS thread. None: look again whether there is a connection.
fn accept_elsewhere(
    me: &Arc<Green>,
    cookie: u64,
    listener: c_int,
    wanted: Wanted,
    patience: &mut Patience,
) -> Option<c_int> {
    // So that the stack does not overflow while it is listed.
    green::probe_to_wait(0);
    let start = || {
        start_thread(me, cookie, listener).map_err(|error| match error.raw_os_error() {
            Some(errno) if errno != libc::EBADF => errno,
            // So it is for this one; others may know the listener by another number.
            _ => libc::EAGAIN,
        })
    };
    let deadline = patience.deadline();
    let block = |done: &mut dyn FnMut() -> bool| match green::block_sheltered(me, deadline, done) {
        green::Waited::Ready => Ok(()),
        ended => Err(ended),
    };
    Some(match LISTENERS.wait(me.clone(), cookie, listener, start, block) {
        Ok(Outcome::Accepted(connection)) => wanted.give(connection),
        // The system refuses even one thread. It may not in a while.
        Ok(Outcome::Failed(libc::EAGAIN)) => match patience.pause(me) {
            Waited::Failed(errno) => raw::fail(errno),
            _ => return None,
        },
        Ok(Outcome::Failed(errno)) => raw::fail(errno),
        Ok(Outcome::Closed) => raw::fail(libc::EBADF),
        Err(green::Waited::TimedOut) => raw::fail(libc::EAGAIN),
        Err(_) => raw::fail(libc::ECANCELED),
    })
}

/// The descriptor is about to be closed: whoever waits at its door gets EBADF, and what nobody
/// has taken goes.
pub fn about_to_close(fd: c_int) {
    LISTENERS.about_to_close(fd);
}

/// The descriptor was closed: as above, for those who began to wait in between, and what a thread
/// has laid down.
pub fn closed(fd: c_int) {
    LISTENERS.closed(fd);
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
    if let Some(connection) = LISTENERS.left_over(fd) {
        return wanted.give(connection);
    }
    if !gate::is_open() {
        if !descriptors::is_contested(fd) {
            contest(fd);
        }
        return wanted.call(fd);
    }
    if descriptors::kind(fd) != Kind::Socket || raw::is_nonblocking(fd) {
        return wanted.call(fd);
    }
    let mut patience = Patience::to_receive(fd).of_blocking();
    // So that the stack does not overflow with a lock held.
    green::probe();
    loop {
        let (is_contested, is_ready) = {
            let _turn = TURN.lock();
            let is_contested = is_contested(fd);
            let is_ready = is_ready(fd, libc::POLLIN);
            if is_ready && !is_contested {
                return wanted.call(fd);
            }
            (is_contested, is_ready)
        };
        if raw::socket_option::<c_int>(fd, libc::SO_ACCEPTCONN) != Some(1) {
            // It does not listen, and the kernel says so.
            return wanted.call(fd);
        }
        let waited = match (gate::caller(), cookie(fd)) {
            (Caller::Green(me), Some(cookie)) if is_contested => {
                match accept_elsewhere(&me, cookie, fd, wanted, &mut patience) {
                    Some(done) => return done,
                    None => Waited::Again,
                }
            }
            // A kernel before 4.12; or a panic unwinds, and there is no other way.
            _ if is_ready => return elsewhere(-1, || wanted.call(fd)),
            _ => patience.wait(),
        };
        match waited {
            Waited::Again => {}
            Waited::AsItWas => return wanted.call(fd),
            Waited::Failed(errno) => return raw::fail(errno),
        }
        if let Some(connection) = LISTENERS.left_over(fd) {
            return wanted.give(connection);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::{self, Read};
    use std::net::{TcpListener, TcpStream};
    use std::sync::mpsc;
    use std::time::Duration;

    use super::*;
    use crate::{MiniHuey, monkey};

    const LIMIT: Duration = Duration::from_secs(60);

    /// A listener that a connection was left over of: its thread had seen one that somebody else
    /// took, so that it was in the kernel's `accept` when whoever waited gave up.
    fn with_one_left_over() -> (TcpListener, TcpStream) {
        monkey::patch_all().unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let stream = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let copy = listener.try_clone().unwrap().into();
        accept_one(cookie(listener.as_raw_fd()).unwrap(), listener.as_raw_fd(), &copy);
        (listener, stream)
    }

    #[test]
    fn a_connection_that_is_left_over_is_for_whichever_task_accepts_next() {
        let (listener, stream) = with_one_left_over();
        let huey = MiniHuey::new("next");
        let accept = huey.try_task("accept", move || listener.accept().map(|(_, peer)| peer));
        let peer = accept.call(()).get_timeout(LIMIT).unwrap();
        assert_eq!(peer, stream.local_addr().unwrap());
    }

    #[test]
    fn a_connection_that_is_left_over_is_an_os_threads_if_it_accepts_next() {
        let (listener, stream) = with_one_left_over();
        let (sender, accepted) = mpsc::channel();
        std::thread::spawn(move || sender.send(listener.accept().unwrap().1).unwrap());
        assert_eq!(accepted.recv_timeout(LIMIT).unwrap(), stream.local_addr().unwrap());
    }

    #[track_caller]
    fn assert_over(mut stream: TcpStream) {
        stream.set_read_timeout(Some(LIMIT)).unwrap();
        let read = stream.read(&mut [0]);
        let is_over = match &read {
            Ok(count) => *count == 0,
            Err(error) => error.kind() == io::ErrorKind::ConnectionReset,
        };
        assert!(is_over, "{read:?}");
    }

    #[test]
    fn a_connection_that_is_left_over_goes_with_its_listener() {
        let (listener, stream) = with_one_left_over();
        drop(listener);
        assert_over(stream);
    }

    #[test]
    fn a_connection_that_comes_when_its_listener_is_gone_goes_too() {
        monkey::patch_all().unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let (number, cookie) = (listener.as_raw_fd(), cookie(listener.as_raw_fd()).unwrap());
        let copy = listener.try_clone().unwrap().into();
        let stream = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        drop(listener);
        accept_one(cookie, number, &copy);
        assert!(!LISTENERS.have_door(cookie));
        assert_over(stream);
    }
}
