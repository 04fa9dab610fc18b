//! A green thread's identity: how to find the calling one, park it, and wake it from anywhere.

use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicPtr};

use may::coroutine::Coroutine;

use super::bell::Bell;
use super::called::Called;
use super::hub::{self, Hub};
use super::lock::Mutex;
use super::overflowed::Linked;
use super::roster::Hint;
use super::runner::Member;
use super::runtime::Service;
use super::waiter::Waiter;
use super::{overflow, watchdog};

/// One green thread. Made with it, or, for a coroutine that `may` runs and we did not make, the
/// first time that it waits for something of ours.
pub(crate) struct Green {
    pub(super) coroutine: Coroutine,
    /// The hub on whose worker it runs, for all its life.
    pub(crate) hub: &'static Hub,
    /// If it runs tasks for a pool: which, and what it has there.
    pub(crate) member: Option<Member>,
    /// If it serves the library itself, for good or for a moment: what is to go on in another one
    /// if it overflows.
    /// It takes that out itself at its end, and lets go of it there: whoever has this one last must
    /// not, for that runs foreign destructors.
    pub(super) service: Mutex<Option<Service>>,
    /// What [`Green::sleep_until_called`] waits for, or an OS thread that runs a part of it.
    called: Called<Bell>,
    /// Somebody ended a job that it runs; see `interrupt`.
    pub(super) interrupted: Hint,
    /// It is in the registry of `overflow`, until its end.
    pub(super) registered: AtomicBool,
    /// The lowest address of its stack, and the size of it; zero if we did not make it.
    pub(super) stack_bottom: usize,
    pub(super) stack_size: usize,
    /// Links the green threads that overflowed, until the hub has seen to them.
    next_overflowed: AtomicPtr<Green>,
}

impl Linked for Green {
    fn next(&self) -> &AtomicPtr<Green> {
        &self.next_overflowed
    }
}

may::coroutine_local!(static CURRENT: RefCell<Option<Own>> = RefCell::new(None));

/// A coroutine's identity, and its entry in the registry, until it ends.
/// The entry goes first: see `overflow::active_of`.
type Own = (Option<overflow::Registered>, Arc<Green>);

/// Runs `f`, which lets others run, in the green thread `me`. None if `may` cancels that meanwhile,
/// as it can those that the program made by may's own means: it does so by a panic, which must not
/// go on through the C function that our caller is.
pub(super) fn sheltered<R>(me: &Green, f: impl FnOnce() -> R) -> Option<R> {
    // Nothing is left half done: `f` only waits.
    let done = catch_unwind(AssertUnwindSafe(f)).ok();
    if done.is_none() {
        overflow::enter(me);
    }
    done
}

impl Green {
    /// For the calling coroutine, which must not have one yet.
    pub(super) fn adopt(
        hub: &'static Hub,
        member: Option<Member>,
        service: Option<Service>,
        (stack_bottom, stack_size): (usize, usize),
    ) -> Arc<Green> {
        let green = Arc::new(Green {
            coroutine: may::coroutine::current(),
            hub,
            member,
            service: Mutex::new(service),
            called: Called::new(),
            interrupted: Hint::new(),
            registered: AtomicBool::new(false),
            stack_bottom,
            stack_size,
            next_overflowed: AtomicPtr::default(),
        });
        CURRENT.with(|current| {
            *current.borrow_mut() = Some((overflow::register(&green), green.clone()));
        });
        green
    }

    /// The calling green thread. None on an OS thread.
    pub(crate) fn current() -> Option<Arc<Green>> {
        // Asked first: on a thread that is not a worker, may's test would leak a context.
        match hub::current() {
            Some(hub) => match overflow::active() {
                Some(green) => Some(Arc::clone(&green)),
                None => Green::look_up(hub),
            },
            None if hub::is_mays_timer() => Green::come_home(),
            None => None,
        }
    }

    /// Calls `f` with what `current` gives, but without a clone where it can be told at a glance;
    /// and probes the stack.
    #[inline]
    pub(crate) fn with_current<R>(f: impl FnOnce(Option<&Arc<Green>>) -> R) -> R {
        let (active, current);
        f(match overflow::probe_active() {
            Some(green) => {
                active = green;
                Some(&*active)
            }
            None => {
                overflow::probe();
                current = Green::current();
                current.as_ref()
            }
        })
    }

    /// After a timed wait of may's, which ends on the thread of its timers: blocking that would
    /// hold all of them.
    #[cold]
    fn come_home() -> Option<Arc<Green>> {
        if std::thread::panicking() || !may::coroutine::is_coroutine() {
            return None;
        }
        let known =
            CURRENT.with(|current| current.borrow().as_ref().map(|(_, green)| green.clone()));
        if let Some(green) = known {
            green.hub.come_home(&green.coroutine);
            return Some(green);
        }
        // Not being a worker, this thread hands it to one.
        may::coroutine::yield_now();
        hub::current_afresh().and_then(Green::look_up)
    }

    /// For coroutines that we did not make, and after waits of may's own.
    #[cold]
    fn look_up(hub: &'static Hub) -> Option<Arc<Green>> {
        if !may::coroutine::is_coroutine() {
            return None;
        }
        let known =
            CURRENT.with(|current| current.borrow().as_ref().map(|(_, green)| green.clone()));
        let green = known.unwrap_or_else(|| Green::adopt(hub, None, None, (0, 0)));
        // Whoever woke it by may's own means may have taken it to another worker.
        if !std::ptr::eq(green.hub, hub) && !std::thread::panicking() {
            green.hub.come_home(&green.coroutine);
        }
        overflow::enter(&green);
        Some(green)
    }

    /// Suspends the calling green thread, which must be this one, until somebody unparks it.
    /// May return early.
    pub(crate) fn park(&self) {
        debug_assert!(!std::thread::panicking(), "a green thread must not yield while it unwinds");
        self.hub.tick();
        overflow::pause(self.hub);
        may::coroutine::park();
        overflow::enter(self);
        if self.member.is_some() {
            watchdog::note_work();
        }
    }

    /// Lets others run, unless a panic unwinds.
    pub(crate) fn yield_now(&self) {
        overflow::probe();
        self.yield_probed();
    }

    /// As `yield_now`, where the stack was probed a moment ago.
    pub(crate) fn yield_probed(&self) {
        if !std::thread::panicking() {
            self.hub.tick();
            self.hub.yield_now();
            overflow::enter(self);
        }
    }

    pub(crate) fn waiter(self: &Arc<Green>) -> Waiter {
        Waiter::Green(self.clone())
    }

    /// Ends a [`Green::park`], or lets the next one return at once. From any thread.
    pub(crate) fn unpark(&self) {
        self.hub.unpark(&self.coroutine);
    }

    /// Parks until somebody else's [`Green::call`], which may have come before.
    pub(super) fn sleep_until_called(&self) {
        self.called.sleep(|| self.park());
    }

    pub(super) fn call(&self) {
        if let Some(proxy) = self.called.call() {
            proxy.ring();
        }
        self.unpark();
    }

    /// As `call`, but its worker, if that is idle, comes to it only after a moment.
    pub(super) fn call_soon(&self) {
        if let Some(proxy) = self.called.call() {
            proxy.ring();
        }
        self.hub.unpark_soon(&self.coroutine);
    }

    /// An OS thread that runs a part of this green thread, which is parked, is to be called in
    /// its place. To be told before the green thread is listed anywhere.
    pub(super) fn set_proxy(&self, bell: Arc<Bell>) {
        self.called.set_proxy(bell);
    }

    /// Takes back what `set_proxy` said, unless it was called: then that call is spent here.
    /// Blocks the OS thread until it is called, if `wait`s.
    pub(super) fn end_proxy(&self, bell: &Bell, wait: bool) {
        if wait {
            bell.wait();
        }
        self.called.end_proxy(wait);
    }
}
