//! Who waits: an OS thread, a green thread, an async task or a callback; and how to block the
//! calling thread, whichever kind it is. Nothing else in the crate parks a thread.

use std::sync::Arc;
use std::task::Waker;
use std::thread::Thread;
use std::time::{Duration, Instant};

use super::blocking::{self, Waited, Waits};
use super::hub::{self, Timer};
use super::thread::{Green, sheltered};
use super::{overflow, panics};

/// Somebody to wake. Two words: the rare kinds are boxed.
pub(crate) enum Waiter {
    Thread(Thread),
    Green(Arc<Green>),
    Task(Box<Waker>),
    /// Runs in whichever thread wakes it, which may be the hub's: it must be short.
    Callback(Box<Box<dyn FnOnce() + Send>>),
}

const _: () = assert!(size_of::<Option<Waiter>>() == 16);

impl Waiter {
    /// The calling thread, green or not.
    pub(crate) fn current() -> Waiter {
        Waiter::of(Green::current().as_ref())
    }

    /// The calling thread, which is `me` if it is green.
    pub(crate) fn of(me: Option<&Arc<Green>>) -> Waiter {
        me.map_or_else(Waiter::this_os_thread, Green::waiter)
    }

    pub(crate) fn this_os_thread() -> Waiter {
        Waiter::Thread(std::thread::current())
    }

    /// To wake it runs what is not ours.
    pub(super) fn is_foreign(&self) -> bool {
        matches!(self, Waiter::Task(_) | Waiter::Callback(_))
    }

    pub(crate) fn wake(self) {
        match self {
            Waiter::Thread(thread) => thread.unpark(),
            Waiter::Green(green) => green.unpark(),
            // Foreign code, which must not end the thread that wakes it.
            Waiter::Task(waker) => panics::contain(|| waker.wake()),
            Waiter::Callback(callback) => panics::contain(callback),
        }
    }
}

/// How long a wait may hold a worker where it can't yield: while a panic unwinds, or after `may`
/// has cancelled the coroutine.
const HOLDING_WAIT: Duration = Duration::from_millis(10);

/// Blocks the calling thread, `me` if it is green, until `done` says so or `deadline` passes.
/// Whoever makes `done` true must wake the thread afterwards; being woken early does no harm.
///
/// If the thread's task has been ended by somebody else, or is while it waits, this unwinds. So
/// what was registered somewhere for the wait must be withdrawn by a guard; or use
/// [`block_or_interrupted`], and [`Waited::or_unwind`] afterwards.
pub(crate) fn block_until(
    me: Option<&Green>,
    deadline: Option<Instant>,
    done: impl FnMut() -> bool,
) -> Waited {
    block_or_interrupted(me, deadline, done).or_unwind()
}

/// As [`block_until`], but gives [`Waited::Interrupted`] instead of unwinding. It unwinds all the
/// same if `may` cancels the coroutine, as it can those that the program made by may's own means.
#[inline]
pub(crate) fn block_or_interrupted(
    me: Option<&Green>,
    deadline: Option<Instant>,
    done: impl FnMut() -> bool,
) -> Waited {
    let Some(green) = me else {
        return block_thread_until(deadline, done);
    };
    overflow::probe();
    if std::thread::panicking() {
        // A green thread that yields while it unwinds would leave the worker's panic count
        // raised for all others. So hold the worker, but shortly: what is waited for may come
        // from another thread.
        return hold_worker(deadline, done);
    }
    let timer = deadline.map(|deadline| hub::set_timer(deadline, green));
    blocking::block(&Waiting { green, timer }, done)
}

/// For waits that must end before anything else can: a task that has been ended waits on. Never
/// unwinds: where a green thread can't let others run it gives [`Waited::Impossible`] after a
/// moment.
pub(crate) fn block_uninterrupted(me: Option<&Green>, mut done: impl FnMut() -> bool) -> Waited {
    let Some(green) = me else {
        return block_thread_until(None, done);
    };
    overflow::probe();
    while !std::thread::panicking() {
        if done() {
            return Waited::Ready;
        }
        if sheltered(green, || green.park()).is_none() {
            // So would each other park of it: may's cancelling is for good.
            break;
        }
    }
    hold_worker(None, done)
}

/// Waits for a moment, without letting others run.
#[cold]
pub(crate) fn hold_worker(deadline: Option<Instant>, mut done: impl FnMut() -> bool) -> Waited {
    let short = Instant::now() + HOLDING_WAIT;
    let until = deadline.map_or(short, |deadline| deadline.min(short));
    while Instant::now() < until {
        if done() {
            return Waited::Ready;
        }
        std::thread::sleep(Duration::from_micros(100));
    }
    match deadline {
        Some(deadline) if deadline <= until => Waited::TimedOut,
        _ => Waited::Impossible,
    }
}

/// The calling green thread.
struct Waiting<'a> {
    green: &'a Green,
    timer: Option<Timer>,
}

impl Waits for Waiting<'_> {
    #[inline]
    fn is_interrupted(&self) -> bool {
        self.green.is_interrupted()
    }

    #[inline]
    fn is_time_over(&self) -> bool {
        self.timer.as_ref().is_some_and(Timer::is_over)
    }

    #[inline]
    fn yield_now(&self) {
        // The stack was probed when it began to wait.
        self.green.yield_probed();
    }

    #[inline]
    fn park(&self) {
        self.green.park();
    }
}

fn block_thread_until(deadline: Option<Instant>, mut done: impl FnMut() -> bool) -> Waited {
    while !done() {
        match deadline {
            None => std::thread::park(),
            Some(deadline) => {
                let left = deadline.saturating_duration_since(Instant::now());
                if left.is_zero() {
                    return Waited::TimedOut;
                }
                std::thread::park_timeout(left);
            }
        }
    }
    Waited::Ready
}
