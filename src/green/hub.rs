//! One hub a worker: a coroutine that wakes whoever's timer is due or was called from another
//! thread. Every unpark of a green thread goes through its own hub, so a green thread never
//! leaves its worker, and thread-locals stay what they seem.
//!
//! ```text
//!   other threads ──post──▶ inbox ┐
//!   epoll: timerfd, descriptors   ┴─▶ hub coroutine ──turn──▶ unpark ──▶ the worker's queue
//!   a busy green thread ──tick──▶ every TURN_EVERY ──turn──▶   (the same, without a switch)
//! ```
//! may's selector runs only when the worker's queue is empty. Green threads that keep each other
//! busy would starve it, and with it the hub coroutine: so whoever runs long takes a turn itself.
//! That serves all that is ours. For coroutines that may serves (the program may have some), the
//! hub has everybody *step aside* now and then: for a moment unparked green threads are held back,
//! the queue runs empty, the selector runs and resumes the hub, and the hub lets them go.

use std::cell::{Cell, RefCell};
use std::os::fd::{AsFd, AsRawFd, RawFd};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicI32, AtomicU32, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use may::coroutine::Coroutine;
use may::io::{CoIo, WaitIo, WaitIoWaker};
use nix::sys::timerfd::{self, Expiration, TimerFd, TimerFlags, TimerSetTimeFlags};
use nix::time::{ClockId, clock_gettime};

use super::active::Active;
use super::armed::Armed;
use super::inbox::Inbox;
use super::overflowed::Overflowed;
use super::poller::Poller;
use super::thread::Green;
use super::timers::{Key, Timers};
use super::watchdog;
use crate::clock::nanos;

/// A busy green thread takes a turn of the hub after this long.
const TURN_EVERY: Duration = Duration::from_micros(200);

/// A busy worker's selector gets a chance this often.
const SELECT_EVERY: Duration = Duration::from_millis(10);

/// Ticks are counted so that the clock, which costs some 25 ns, is looked at about this often …
const LOOK_EVERY: Duration = Duration::from_micros(50);

/// … but never with more ticks than this in between, for the next ones may take longer.
const MOST_TICKS: u32 = 64;

/// A worker that may not be needed is woken after this long: so that many small tasks that one
/// worker is quick to run don't each wake the next, which takes some microseconds.
const SOON: Duration = Duration::from_micros(100);

pub(crate) struct Hub {
    /// Which worker's.
    pub(crate) index: usize,
    inbox: Inbox<Letter>,
    /// Resumes the hub coroutine: on the calling worker, or, on another thread, on any worker. So
    /// only for its own worker, or where there is one alone.
    waker: OnceLock<WaitIoWaker>,
    is_alone: bool,
    /// Wakes the hub's own worker in may's selector, and the hub coroutine with it.
    timer: TimerFd,
    /// What may's selector watches for the hub: the timer, and the descriptors waited for.
    pub(super) poller: Poller,
    /// Green threads that overflowed their stack and were not buried yet. See `overflow`.
    pub(super) overflowed: Overflowed<Green>,
    /// The green thread that runs on the worker, if we made it. See `overflow`.
    pub(super) active: Active<Green>,
    /// Ticks left until the next look at the clock, and when the last one was. Written by the
    /// worker alone; the watchdog sees by them that it goes on.
    ticks: AtomicU32,
    last_look: AtomicU64,
    /// What the timerfd is armed for. As those.
    armed: Armed,
    /// The worker, as the kernel calls it; zero until it runs.
    thread: AtomicI32,
}

/// What changes whenever a green thread of the hub parks, yields or ends a task.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Progress {
    ticks: u32,
    last_look: u64,
}

enum Letter {
    Unpark(Coroutine),
    Run(Box<dyn FnOnce() + Send>),
}

/// What only the worker's own thread touches, but for the words below.
struct Local {
    timers: RefCell<Timers<Letter>>,
    /// How many ticks there were between the last two looks at the clock.
    stride: Cell<u32>,
    last_turn: Cell<u64>,
    /// When the selector was last seen to run.
    last_select: Cell<u64>,
    /// Who became ready while all step aside.
    held_back: RefCell<Vec<Coroutine>>,
}

// Touched by every task: words without a destructor, which cost one instruction to reach.
thread_local! {
    static HUB: Cell<Option<&'static Hub>> = const { Cell::new(None) };
    /// This is the thread on which may resumes coroutines after its own timed waits.
    static IS_MAYS_TIMER: Cell<bool> = const { Cell::new(false) };
    /// The hub's own code runs, which must not wait.
    static AT_WORK: Cell<bool> = const { Cell::new(false) };
    /// All step aside: who becomes ready is held back until the selector ran.
    static ASIDE: Cell<bool> = const { Cell::new(false) };
}

thread_local! {
    static LOCAL: Local = const {
        Local {
            timers: RefCell::new(Timers::new()),
            stride: Cell::new(1),
            last_turn: Cell::new(0),
            last_select: Cell::new(0),
            held_back: RefCell::new(Vec::new()),
        }
    };
}

/// The hub's own code runs on this thread.
#[cfg(feature = "monkey")]
pub(crate) fn is_at_work() -> bool {
    AT_WORK.get()
}

/// The hub of the calling thread, if it is a worker.
pub(crate) fn current() -> Option<&'static Hub> {
    HUB.get()
}

/// To be called in a coroutine, once: finds the thread of may's timers, and marks it.
pub(super) fn mark_mays_timer() {
    // may's sleep still writes to the coroutine after it has set its timer, which may have ended it
    // by then: this keeps for good what it writes to. (Seen by valgrind.)
    std::mem::forget(may::coroutine::current());
    may::coroutine::sleep(Duration::from_nanos(1));
    mark_this_thread();
}

// Not inlined, as what follows: the address of a thread-local must not be kept over a change of
// the thread.
#[inline(never)]
fn mark_this_thread() {
    if HUB.get().is_none() {
        IS_MAYS_TIMER.set(true);
    }
}

/// The calling thread is may's timer thread.
#[inline(never)]
pub(super) fn is_mays_timer() -> bool {
    IS_MAYS_TIMER.get()
}

/// As [`current`], where the thread may have changed since the last look.
#[inline(never)]
pub(super) fn current_afresh() -> Option<&'static Hub> {
    HUB.get()
}

/// Nanoseconds on the clock that timers go by. Not `Instant`'s, whose arithmetic takes longer than
/// the look at the clock itself.
pub(super) fn now() -> u64 {
    let now = clock_gettime(ClockId::CLOCK_MONOTONIC).expect("Linux has this clock");
    now.tv_sec() as u64 * 1_000_000_000 + now.tv_nsec() as u64
}

/// When `now` will give at least this, it is `instant` or later.
pub(super) fn to_nanos(instant: Instant) -> u64 {
    static START: OnceLock<(Instant, u64)> = OnceLock::new();
    // In this order: what `now` gives is not behind.
    let (start, at_start) = *START.get_or_init(|| (Instant::now(), now()));
    at_start.saturating_add(nanos(instant.saturating_duration_since(start)))
}

/// What `WaitIoWaker::wakeup` adds to the flags that `wait_io` gives.
const WAKER_FLAG: usize = 0x8000_0000;

/// Puts a green thread of this worker into its queue.
fn ready(coroutine: &Coroutine) {
    if ASIDE.get() {
        LOCAL.with(|local| local.held_back.borrow_mut().push(coroutine.clone()));
    } else {
        coroutine.unpark();
    }
}

/// Suspends the calling green thread until the selector has run.
#[cold]
fn hold_back_caller() {
    LOCAL.with(|local| local.held_back.borrow_mut().push(may::coroutine::current()));
    may::coroutine::park();
}

/// The selector ran: whoever was held back may go.
fn selected() {
    LOCAL.with(|local| local.last_select.set(now()));
    if ASIDE.replace(false) {
        LOCAL.with(|local| local.held_back.take()).iter().for_each(Coroutine::unpark);
    }
}

impl Hub {
    pub(super) fn new(index: usize, workers: usize) -> nix::Result<Hub> {
        let flags = TimerFlags::TFD_NONBLOCK | TimerFlags::TFD_CLOEXEC;
        let timer = TimerFd::new(timerfd::ClockId::CLOCK_MONOTONIC, flags)?;
        Ok(Hub {
            index,
            inbox: Inbox::new(),
            waker: OnceLock::new(),
            is_alone: workers == 1,
            poller: Poller::of_worker(index, workers, &timer)?,
            timer,
            overflowed: Overflowed::new(),
            active: Active::new(),
            ticks: AtomicU32::new(0),
            last_look: AtomicU64::new(0),
            armed: Armed::new(),
            thread: AtomicI32::new(0),
        })
    }

    // `tests/loom/hub.rs` has a model of how this, `post`, `arm` and `wake` go together.
    /// The body of the hub coroutine; runs for good. `ready` is called once it can be woken.
    pub(super) fn run(&'static self, ready: impl FnOnce(std::io::Result<()>)) {
        let poller = match CoIo::new(Fd(self.poller.fd())) {
            Ok(poller) => poller,
            Err(error) => return ready(Err(error.into())),
        };
        // `ready` may yield where it meets others, and the hub is no green thread that could.
        AT_WORK.set(true);
        HUB.set(Some(self));
        selected();
        // SAFETY: it has no precondition.
        self.thread.store(unsafe { libc::gettid() }, Ordering::Relaxed);
        if self.waker.set(poller.waker()).is_err() {
            unreachable!("a hub has one coroutine");
        }
        ready(Ok(()));
        loop {
            AT_WORK.set(true);
            let mut may_wait = self.inbox.round(|letters| self.turn(letters, now()), || self.arm());
            // One that ran on another thread, after a wait of may's own: as with a letter, to arm
            // may have undone the wake.
            may_wait &= self.overflowed.is_empty();
            AT_WORK.set(false);
            // The flags tell who resumed us: the waker's own bit may be set by a green thread on
            // this worker, any other comes from the selector.
            if may_wait && poller.wait_io() & !WAKER_FLAG != 0 {
                selected();
            }
        }
    }

    /// Wakes everybody who is due or was called. On the worker only.
    fn turn(&self, letters: Vec<Letter>, now: u64) {
        for letter in letters {
            match letter {
                Letter::Unpark(coroutine) => ready(&coroutine),
                Letter::Run(action) => action(),
            }
        }
        super::overflow::bury(self);
        if self.poller.is_needed() {
            self.poller.turn();
        }
        let mut actions = Vec::new();
        LOCAL.with(|local| {
            local.last_turn.set(now);
            let mut timers = local.timers.borrow_mut();
            while let Some(due) = timers.pop_due(now) {
                match due {
                    Letter::Unpark(coroutine) => ready(&coroutine),
                    // They may set timers themselves.
                    Letter::Run(action) => actions.push(action),
                }
            }
        });
        actions.into_iter().for_each(|action| action());
    }

    /// Wakes whose descriptors are ready. In a green thread of this hub only.
    #[cfg(feature = "monkey")]
    pub(super) fn look(&self) {
        if self.poller.is_needed() {
            AT_WORK.set(true);
            self.poller.turn();
            AT_WORK.set(false);
        }
    }

    /// Sets the timerfd to the earliest deadline.
    fn arm(&self) {
        LOCAL.with(|local| {
            if ASIDE.get() {
                return self.set_timer_fd(0);
            }
            if let Some(next) = self.armed.arm(local.timers.borrow().next()) {
                self.set_timer_fd(next);
            }
        });
    }

    /// `at` is on the clock of [`now`]; what is past fires at once.
    fn set_timer_fd(&self, at: u64) {
        // Zero would disarm it.
        let expiration = Expiration::OneShot(Duration::from_nanos(at.max(1)).into());
        if let Err(error) = self.timer.set(expiration, TimerSetTimeFlags::TFD_TIMER_ABSTIME) {
            log::error!("the timer of the hub can't be set: {error}");
        }
    }

    /// Has the hub coroutine run soon. From any thread.
    fn wake(&self) {
        if self.is_alone || self.is_here() {
            if let Some(waker) = self.waker.get() {
                waker.wakeup();
            }
        } else {
            self.set_timer_fd(0);
        }
    }

    /// Called by whoever keeps the worker busy, between two pieces of work. Gives true if it took
    /// a turn of the hub: then others may be ready, and the caller should let them run.
    #[inline]
    pub(crate) fn tick(&self) -> bool {
        // ORDERING: Relaxed, here and below: the worker alone writes them, and who else reads them
        // only wants to know whether they change.
        let ticks = self.ticks.load(Ordering::Relaxed);
        if ticks > 0 {
            self.ticks.store(ticks - 1, Ordering::Relaxed);
            return false;
        }
        LOCAL.with(|local| self.look_at_clock(local))
    }

    #[cold]
    fn look_at_clock(&self, local: &Local) -> bool {
        const LOOK_NANOS: u64 = LOOK_EVERY.as_nanos() as u64;
        let now = now();
        let since = now.saturating_sub(self.last_look.load(Ordering::Relaxed));
        self.last_look.store(now, Ordering::Relaxed);
        let stride = local.stride.get();
        if since < LOOK_NANOS / 2 {
            local.stride.set((stride * 2).min(MOST_TICKS));
        } else if since > LOOK_NANOS * 2 {
            let times_too_long = u32::try_from(since / LOOK_NANOS).unwrap_or(u32::MAX);
            local.stride.set((stride / times_too_long).max(1));
        }
        self.ticks.store(local.stride.get(), Ordering::Relaxed);
        let due = now.saturating_sub(local.last_turn.get()) >= TURN_EVERY.as_nanos() as u64;
        if due {
            AT_WORK.set(true);
            self.turn(self.inbox.take(), now);
            AT_WORK.set(false);
            let select_due = now.saturating_sub(local.last_select.get());
            if select_due >= SELECT_EVERY.as_nanos() as u64 && !ASIDE.replace(true) {
                self.set_timer_fd(0);
            }
        }
        due
    }

    /// Lets the other green threads of this worker run. In a green thread of this hub only.
    #[inline]
    pub(crate) fn yield_now(&self) {
        super::overflow::pause(self);
        if ASIDE.get() {
            hold_back_caller();
        } else {
            may::coroutine::yield_now();
        }
    }

    /// Puts a parked green thread of this hub into the worker's queue. From any thread.
    pub(super) fn unpark(&self, coroutine: &Coroutine) {
        if self.is_here() {
            ready(coroutine);
        } else {
            self.post(Letter::Unpark(coroutine.clone()));
        }
    }

    /// As `unpark`, but wakes another worker, if it is idle, only after [`SOON`].
    pub(super) fn unpark_soon(&self, coroutine: &Coroutine) {
        if self.is_here() {
            ready(coroutine);
        } else if self.inbox.post_for_later(Letter::Unpark(coroutine.clone())) {
            watchdog::note_work();
            // A timer that was to fire before that, for a sleeper or for an urgent letter that came
            // this moment, now fires with this one.
            self.set_timer_fd(now() + SOON.as_nanos() as u64);
        }
    }

    /// The calling thread is this hub's worker.
    pub(super) fn is_here(&self) -> bool {
        current().is_some_and(|hub| std::ptr::eq(hub, self))
    }

    /// Brings the calling green thread, which is of this hub, back to its worker, if a timed wait
    /// of may's took it away.
    #[inline]
    pub(super) fn come_home(&self, coroutine: &Coroutine) {
        if !self.is_here_afresh() {
            self.come_from_afar(coroutine);
        }
    }

    #[cold]
    fn come_from_afar(&self, coroutine: &Coroutine) {
        while !self.is_here_afresh() {
            self.post(Letter::Unpark(coroutine.clone()));
            may::coroutine::park();
        }
    }

    /// As `is_here`, where the thread may have changed since the last look.
    #[inline(never)]
    fn is_here_afresh(&self) -> bool {
        self.is_here()
    }

    /// Runs `action` on the worker: at once if this is its thread, else when the hub comes to it.
    pub(super) fn run_here(&self, action: impl FnOnce() + Send + 'static) {
        if self.is_here() {
            action();
        } else {
            self.post(Letter::Run(Box::new(action)));
        }
    }

    /// Runs `action` on the worker when the hub comes to it.
    pub(super) fn run_later(&self, action: impl FnOnce() + Send + 'static) {
        self.post(Letter::Run(Box::new(action)));
    }

    /// Runs `action` on the worker, which the caller runs on, `after` that time.
    pub(super) fn run_after(&self, after: Duration, action: impl FnOnce() + Send + 'static) {
        self.enter_timer(now().saturating_add(nanos(after)), Letter::Run(Box::new(action)));
    }

    /// On the worker only.
    fn enter_timer(&self, deadline: u64, letter: Letter) -> Key {
        let key = LOCAL.with(|local| local.timers.borrow_mut().insert(deadline, letter));
        if self.armed.comes_too_late(deadline) {
            self.wake();
        }
        key
    }

    fn post(&self, letter: Letter) {
        if self.inbox.post(letter) {
            watchdog::note_work();
            self.wake();
        }
    }

    /// For the watchdog.
    pub(super) fn progress(&self) -> Progress {
        Progress {
            ticks: self.ticks.load(Ordering::Relaxed),
            last_look: self.last_look.load(Ordering::Relaxed),
        }
    }

    /// Somebody of ours waits since `then` for a worker that does not come. For the watchdog.
    pub(super) fn is_wanted(&self, then: u64) -> bool {
        self.inbox.has_mail() || self.armed.is_before(then)
    }

    pub(super) fn thread(&self) -> libc::pid_t {
        self.thread.load(Ordering::Relaxed)
    }

    /// The descriptor that a signal handler may arm to have the hub run.
    pub(super) fn timer_fd(&self) -> RawFd {
        self.timer.as_fd().as_raw_fd()
    }
}

/// The epoll set as may wants it: it lives as long as the hub, which is for good.
struct Fd(RawFd);

impl AsRawFd for Fd {
    fn as_raw_fd(&self) -> RawFd {
        self.0
    }
}

/// Has `green`, which must be the calling green thread, unparked at `deadline`. Dropping it
/// withdraws that.
pub(crate) fn set_timer(deadline: Instant, green: &Green) -> Timer {
    let deadline = to_nanos(deadline);
    let key = green.hub.enter_timer(deadline, Letter::Unpark(green.coroutine.clone()));
    Timer { deadline, key }
}

pub(crate) struct Timer {
    deadline: u64,
    key: Key,
}

impl Timer {
    pub(crate) fn is_over(&self) -> bool {
        self.deadline <= now()
    }
}

impl Drop for Timer {
    fn drop(&mut self) {
        LOCAL.with(|local| local.timers.borrow_mut().remove(self.key));
    }
}
