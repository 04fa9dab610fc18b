//! Who calls: whether an interposed call may wait in our way, and how it waits.

use std::cell::Cell;
use std::ffi::c_int;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use super::polling::is_ready;
use super::raw;
use crate::clock::earlier;
use crate::green::{self, Green, Polled};

/// Set by `patch_all`, cleared in the child of a fork, which has no worker.
pub static PATCHED: AtomicBool = AtomicBool::new(false);

/// How long a call may hold the worker where it can't wait: while a panic unwinds.
pub const UNWINDING_WAIT: Duration = Duration::from_millis(100);

#[inline]
pub fn is_patched() -> bool {
    // ORDERING: Relaxed, a flag that guards nothing.
    PATCHED.load(Ordering::Relaxed)
}

/// The caller might be a green thread; anything else is the kernel's alone. Costs a few
/// nanoseconds, and is true for the hub itself, too: see [`caller`].
#[inline]
pub fn is_open() -> bool {
    is_patched() && green::is_on_worker()
}

/// How long one waits for room in a Unix socket without trying again. If its own side ends the
/// stream meanwhile, by whatever copy of the descriptor, the kernel tells those who are in its
/// `send`, and not those who watch the socket.
const UNIX_SLICE: Duration = Duration::from_millis(500);

/// Who waits.
pub enum Caller {
    Green(Arc<Green>),
    /// A green thread that unwinds, and must not yield.
    Unwinding,
    /// Not a green thread.
    Other,
}

/// Who calls, if [`is_open`].
pub fn caller() -> Caller {
    match Green::current() {
        Some(_) if std::thread::panicking() => Caller::Unwinding,
        Some(green) => Caller::Green(green),
        None => Caller::Other,
    }
}

/// What came of waiting for a socket.
pub enum Waited {
    /// Make the call again, without blocking.
    Again,
    /// Make the call as it was made: not ours to wait.
    AsItWas,
    /// The call fails so.
    Failed(c_int),
}

/// How long one call has waited and may wait: its time-out is looked up when it waits first.
pub struct Patience {
    fd: c_int,
    events: u32,
    option: c_int,
    deadline: Option<Option<Instant>>,
    /// The program left the descriptor blocking. As the kernel does, we ask once a call: what is
    /// set while it waits is for the next one.
    is_blocking: bool,
    /// Others were let run first, to see whether that is enough.
    yielded: bool,
    /// The last wait ended because the descriptor was ready.
    woken: bool,
    pauses: Pauses,
}

thread_local! {
    /// How often it was enough lately to let others run, on this worker.
    static TRUST: Cell<i8> = const { Cell::new(0) };
}

/// Without trust it is tried once in so many waits.
const LEAST_TRUST: i8 = -16;
const MOST_TRUST: i8 = 8;

/// What is paid back if it was enough. Two that talk to each other wait in turn: while one's yield
/// is not decided the other one is refused, and that costs, too. So it must be worth more than
/// both, or they stay at every second one for good.
const REWARD: i8 = 3;

/// Green threads that talk to each other run on one worker: there one round of all others brings
/// what is missing, and saves the way through the kernel's poller and the hub. Gives true if it
/// is worth a try.
fn is_worth_a_yield() -> bool {
    TRUST.with(|trust| {
        let now = trust.get();
        // `Patience::drop` pays back if it was.
        trust.set(if now == LEAST_TRUST { 0 } else { now - 1 });
        now >= 0
    })
}

impl Patience {
    /// To receive: the time-out is what `set_read_timeout` set.
    pub fn to_receive(fd: c_int) -> Patience {
        Patience::new(fd, libc::EPOLLIN | libc::EPOLLRDHUP, libc::SO_RCVTIMEO)
    }

    /// To send: the time-out is what `set_write_timeout` set.
    pub fn to_send(fd: c_int) -> Patience {
        Patience::new(fd, libc::EPOLLOUT, libc::SO_SNDTIMEO)
    }

    fn new(fd: c_int, events: c_int, option: c_int) -> Patience {
        Patience {
            fd,
            events: events as u32,
            option,
            deadline: None,
            is_blocking: false,
            yielded: false,
            woken: false,
            pauses: Pauses::new(),
        }
    }

    /// Of a descriptor that was asked already whether it blocks.
    pub fn of_blocking(mut self) -> Patience {
        self.is_blocking = true;
        self
    }

    /// When this call times out. Not remembered from call to call: the option is the socket's, and
    /// may be set through any copy of the descriptor, also by a child or another process.
    pub fn deadline(&mut self) -> Option<Instant> {
        *self.deadline.get_or_insert_with(|| {
            let timeout: Pair = raw::socket_option(self.fd, self.option)?;
            let timeout = timeout.duration();
            (!timeout.is_zero()).then(|| Instant::now().checked_add(timeout)).flatten()
        })
    }

    /// Waits until the socket may be ready. To be called after an attempt that would have blocked.
    pub fn wait(&mut self) -> Waited {
        if !self.is_blocking {
            match raw::status(self.fd) {
                // Closed since the attempt; errno says so.
                ..0 => return Waited::Failed(raw::errno()),
                status if status & libc::O_NONBLOCK != 0 => return Waited::Failed(libc::EAGAIN),
                _ => self.is_blocking = true,
            }
        }
        match caller() {
            Caller::Other => Waited::AsItWas,
            Caller::Unwinding => self.wait_shortly(),
            Caller::Green(me) => {
                if self.deadline.is_none() && !self.yielded && is_worth_a_yield() {
                    self.yielded = true;
                    green::look_and_yield(&me);
                    return Waited::Again;
                }
                self.yielded = false;
                let deadline = self.deadline();
                if std::mem::take(&mut self.woken) && is_ready(self.fd, self.events as i16) {
                    return self.pause(&me);
                }
                let until = earlier(deadline, self.slice());
                match green::wait_for(&me, &[(self.fd, self.events)], until) {
                    Ok(Polled::TimedOut) if until != deadline => Waited::Again,
                    Ok(Polled::Ready) => {
                        self.woken = true;
                        Waited::Again
                    }
                    Ok(Polled::TimedOut) => Waited::Failed(libc::EAGAIN),
                    Ok(Polled::Closed) => Waited::Failed(libc::EBADF),
                    Ok(Polled::Interrupted) => Waited::Failed(libc::ECANCELED),
                    Ok(Polled::Impossible) => self.wait_shortly(),
                    // It can't be watched; the kernel will say why.
                    Err(_) => Waited::AsItWas,
                }
            }
        }
    }

    /// When to try again though nothing has told of the socket.
    fn slice(&self) -> Option<Instant> {
        let is_unix = self.option == libc::SO_SNDTIMEO
            && raw::socket_option(self.fd, libc::SO_DOMAIN) == Some(libc::AF_UNIX);
        is_unix.then(|| Instant::now() + UNIX_SLICE)
    }

    /// An attempt after the last wait did a part of the call: that it is ready soon again is no
    /// reason to pause.
    pub fn note_progress(&mut self) {
        self.woken = false;
        self.pauses = Pauses::new();
    }

    /// The descriptor is ready, and the call would block all the same: there may be news in its
    /// error queue, or the queue that is full is another socket's. Nothing tells when it is not.
    pub fn pause(&mut self, me: &Arc<Green>) -> Waited {
        let deadline = self.deadline();
        if deadline.is_some_and(|deadline| deadline <= Instant::now()) {
            return Waited::Failed(libc::EAGAIN);
        }
        match self.pauses.pause(me, deadline) {
            Ok(()) => Waited::Again,
            Err(errno) => Waited::Failed(errno),
        }
    }

    /// Holds the worker, but not for long.
    fn wait_shortly(&mut self) -> Waited {
        let short = Instant::now() + UNWINDING_WAIT;
        let until = self.deadline().map_or(short, |deadline| deadline.min(short));
        let left = until.saturating_duration_since(Instant::now());
        let mut timeout = timespec(left);
        let mut asked = libc::pollfd { fd: self.fd, events: self.events as i16, revents: 0 };
        // SAFETY: both structs are valid, and there is one descriptor.
        match unsafe { raw::ppoll(&raw mut asked, 1, &raw mut timeout, std::ptr::null()) } {
            1.. => Waited::Again,
            _ => Waited::Failed(libc::EAGAIN),
        }
    }
}

impl Drop for Patience {
    fn drop(&mut self) {
        if self.yielded {
            TRUST.with(|trust| trust.set((trust.get() + REWARD).min(MOST_TRUST)));
        }
    }
}

/// A `timeval`, as socket options have it.
#[derive(Default)]
#[repr(C)]
struct Pair {
    seconds: libc::time_t,
    micros: libc::suseconds_t,
}

impl Pair {
    fn duration(&self) -> Duration {
        let seconds = u64::try_from(self.seconds).unwrap_or(0);
        Duration::from_secs(seconds)
            + Duration::from_micros(u64::try_from(self.micros).unwrap_or(0))
    }
}

/// A duration as the kernel takes it; the longest it can tell, if it is longer.
pub fn timespec(duration: Duration) -> libc::timespec {
    libc::timespec {
        tv_sec: libc::time_t::try_from(duration.as_secs()).unwrap_or(libc::time_t::MAX),
        tv_nsec: duration.subsec_nanos().into(),
    }
}

/// Lets others run until `deadline`, in a green thread. Gives what the call fails with if it ends
/// early.
pub fn pause(me: &Arc<Green>, deadline: Option<Instant>) -> Result<(), c_int> {
    match green::wait_for(me, &[], deadline) {
        Ok(Polled::Interrupted) => Err(libc::ECANCELED),
        _ => Ok(()),
    }
}

/// Pauses between looks at what can only be looked at: short ones first.
pub struct Pauses(Duration);

impl Pauses {
    pub fn new() -> Pauses {
        Pauses(Duration::from_micros(500))
    }

    /// The next one, which ends at `deadline` at the latest.
    pub fn pause(&mut self, me: &Arc<Green>, deadline: Option<Instant>) -> Result<(), c_int> {
        let until = Instant::now() + self.0;
        self.0 = (self.0 * 2).min(Duration::from_millis(20));
        pause(me, Some(deadline.map_or(until, |deadline| deadline.min(until))))
    }
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsRawFd;
    use std::os::unix::net::UnixStream;

    use super::*;
    use crate::MiniHuey;

    #[test]
    fn who_goes_on_sending_as_soon_as_there_is_room_never_pauses() {
        crate::monkey::patch_all().unwrap();
        let huey = MiniHuey::new("sends");
        let send = huey.task("send", || {
            let (here, _there) = UnixStream::pair().unwrap();
            let mut patience = Patience::to_send(here.as_raw_fd());
            // There is room again each time that it looks.
            for _ in 0..10 {
                assert!(matches!(patience.wait(), Waited::Again));
                patience.note_progress();
            }
            patience.pauses.0
        });
        assert_eq!(send.call(()).get().unwrap(), Pauses::new().0);
    }
}
