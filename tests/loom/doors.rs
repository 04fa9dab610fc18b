//! Listeners' doors: those who wait there for connections, the OS thread that accepts for them,
//! somebody else who accepts from the same listener, and who closes it.
//!
//! Seen to fail, in `Door`: `leave` that tells nobody to stop, `goes_on` that remembers a thread
//! which ends, or `take_kept` of what others wait for: a deadlock. In `Listeners`: who gives up and
//! does not ring, or a bell that is not hung:
//! `a_thread_that_nobody_needs_ends_and_who_comes_next_has_one` deadlocks; no look in `closed` for
//! those who began to wait in between, no fence there or in `wait`, no look in `wait` whether it
//! came too late: `who_waits_is_told_that_the_listener_is_closed_and_so_is_the_thread` deadlocks; a
//! connection that comes when the listener is closed and is kept: there, its door is left. Nobody
//! woken when there is no thread: `if_no_thread_can_be_had_all_who_rely_on_it_hear_so` deadlocks; a
//! failure that hides that the listener is closed:
//! `who_can_have_no_thread_hears_that_the_listener_is_closed`.

use std::collections::BTreeMap;

use loom::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use loom::sync::{Arc, Condvar, Mutex};
use loom::thread;

use crate::bell::Bell;
use crate::blocking::{Waited, block};
use crate::door::Outcome;
use crate::listeners::{Listeners, Street};
use crate::preemptions::model_with_preemptions;
use crate::primitives;

/// With one listener. A connection is its number.
struct Kernel {
    socket: Mutex<Socket>,
    changed: Condvar,
    /// The number is no listener's. Not under the lock: the kernel promises no order between that
    /// and anything else.
    is_closed: AtomicBool,
}

#[derive(Default)]
struct Socket {
    /// Those that nobody has accepted.
    connections: Vec<u32>,
    /// What an OS thread polls beside the listener.
    rung: bool,
}

/// The listener's number.
const FD: i32 = 3;
const COOKIE: u64 = 30;

impl Kernel {
    fn with_socket<R>(&self, f: impl FnOnce(&mut Socket) -> R) -> R {
        let given = f(&mut self.socket.lock().unwrap());
        self.changed.notify_all();
        given
    }

    fn connect(&self, number: u32) {
        self.with_socket(|socket| socket.connections.push(number));
    }

    /// Blocks until there is one.
    fn accept(&self) -> u32 {
        let mut socket = self.socket.lock().unwrap();
        while socket.connections.is_empty() {
            socket = self.changed.wait(socket).unwrap();
        }
        socket.connections.remove(0)
    }

    /// Gives true if there is one, or false if the bell was rung, which it forgets.
    fn poll(&self) -> bool {
        let mut socket = self.socket.lock().unwrap();
        while socket.connections.is_empty() && !socket.rung {
            socket = self.changed.wait(socket).unwrap();
        }
        !std::mem::take(&mut socket.rung)
    }
}

/// What is around the door of that listener. The kernel has the thread's bell, too.
struct Outside(Arc<Kernel>);

impl Street for Outside {
    type Connection = u32;
    type Waiter = Arc<Bell>;
    type Bell = ();

    fn cookie(&self, _: i32) -> Option<u64> {
        (!self.0.is_closed.load(Ordering::Relaxed)).then_some(COOKIE)
    }

    fn probe(&self) {}

    fn wake(&self, bell: &Arc<Bell>) {
        bell.ring();
    }

    fn ring(&self, (): &()) {
        self.0.with_socket(|socket| socket.rung = true);
    }
}

struct Listener {
    kernel: Arc<Kernel>,
    listeners: Listeners<Outside>,
    /// Those that accept for others.
    threads: std::sync::Mutex<Vec<thread::JoinHandle<()>>>,
}

impl Listener {
    fn new() -> Arc<Listener> {
        let kernel = Arc::new(Kernel {
            socket: Mutex::new(Socket::default()),
            changed: Condvar::new(),
            is_closed: AtomicBool::new(false),
        });
        let doors = primitives::Mutex::new(BTreeMap::new());
        let listeners = Listeners::of(Outside(kernel.clone()), doors, AtomicUsize::new(0));
        Arc::new(Listener { kernel, listeners, threads: Default::default() })
    }

    /// The OS thread's life.
    fn accept_for_others(&self) {
        self.listeners.serve(COOKIE, || {
            if self.kernel.poll() {
                self.listeners.lay_down(COOKIE, FD, Ok(self.kernel.accept()));
            }
        });
    }

    /// As the patched `accept` in a green thread. In haste, it gives up instead of waiting.
    fn accept(this: &Arc<Listener>, hasty: bool) -> Option<u32> {
        if let Some(kept) = this.listeners.left_over(FD) {
            return Some(kept);
        }
        let start = || {
            this.listeners.hang((), COOKIE);
            let thread = spawn(this, |listener| listener.accept_for_others());
            this.threads.lock().unwrap().push(thread);
            Ok(())
        };
        match this.wait(hasty, start) {
            Ok(Outcome::Accepted(connection)) => Some(connection),
            Ok(Outcome::Failed(_)) => panic!("nothing fails"),
            Ok(Outcome::Closed) | Err(()) => None,
        }
    }

    fn wait(
        &self,
        hasty: bool,
        start: impl FnOnce() -> Result<(), i32>,
    ) -> Result<Outcome<u32>, ()> {
        let me = Bell::new();
        self.listeners.wait(me.clone(), COOKIE, FD, start, |done| {
            let is_done = if hasty { done() } else { block(&*me, done) == Waited::Ready };
            is_done.then_some(()).ok_or(())
        })
    }

    /// As an OS thread that accepts, if it need not wait.
    fn accept_outside(&self) -> Option<u32> {
        let kept = self.listeners.left_over(FD);
        kept.or_else(|| self.kernel.with_socket(|socket| socket.connections.pop()))
    }

    /// As the patched `close`, with what the kernel does in between.
    fn close(&self) {
        self.listeners.about_to_close(FD);
        self.kernel.is_closed.store(true, Ordering::Relaxed);
        self.listeners.closed(FD);
    }

    /// Everybody has gone, and nobody comes again. A thread that goes on is a deadlock.
    fn end(&self) {
        let threads = std::mem::take(&mut *self.threads.lock().unwrap());
        threads.into_iter().for_each(|thread| thread.join().unwrap());
        assert!(!self.listeners.have_door(COOKIE));
    }
}

fn spawn<R: 'static>(
    listener: &Arc<Listener>,
    f: impl FnOnce(Arc<Listener>) -> R + 'static,
) -> thread::JoinHandle<R> {
    let listener = listener.clone();
    thread::spawn(move || f(listener))
}

#[test]
fn a_thread_that_nobody_needs_ends_and_who_comes_next_has_one() {
    model_with_preemptions(2, || {
        let listener = Listener::new();
        let hasty = spawn(&listener, |listener| Listener::accept(&listener, true));
        let other = spawn(&listener, |listener| Listener::accept(&listener, true));
        // Nobody connects.
        assert_eq!((hasty.join().unwrap(), other.join().unwrap()), (None, None));
        listener.end();
    });
    model_with_preemptions(2, || {
        let listener = Listener::new();
        let hasty = spawn(&listener, |listener| Listener::accept(&listener, true));
        listener.kernel.connect(1);
        listener.kernel.connect(2);
        let mine = Listener::accept(&listener, false);
        assert!(mine.is_some());
        assert_ne!(hasty.join().unwrap(), mine);
    });
}

#[test]
fn what_is_laid_down_for_one_who_waits_is_not_taken_by_one_who_does_not() {
    model_with_preemptions(3, || {
        let listener = Listener::new();
        let outside = spawn(&listener, |listener| listener.listeners.left_over(FD));
        listener.kernel.connect(1);
        assert_eq!(Listener::accept(&listener, false), Some(1));
        assert_eq!(outside.join().unwrap(), None);
    });
}

#[test]
fn what_comes_for_one_who_gave_up_is_for_the_next() {
    model_with_preemptions(3, || {
        let listener = Listener::new();
        listener.kernel.connect(1);
        let hasty = spawn(&listener, |listener| Listener::accept(&listener, true));
        // The thread may have seen the one that goes here, and then it does not hear the bell.
        let first = listener.accept_outside();
        let first = [first, hasty.join().unwrap()];
        listener.kernel.connect(2);
        let next = Listener::accept(&listener, false);
        assert!(next.is_some() && !first.contains(&next));
    });
}

#[test]
fn who_waits_is_told_that_the_listener_is_closed_and_so_is_the_thread() {
    for connects in [false, true] {
        model_with_preemptions(2, move || {
            let listener = Listener::new();
            let accepts = spawn(&listener, |listener| Listener::accept(&listener, false));
            let connects =
                connects.then(|| spawn(&listener, |listener| listener.kernel.connect(1)));
            listener.close();
            let accepted = accepts.join().unwrap();
            assert!(accepted.is_none_or(|connection| connects.is_some() && connection == 1));
            connects.into_iter().for_each(|connects| connects.join().unwrap());
            listener.end();
        });
    }
}

/// No thread can be started, for this reason.
const NO_THREAD: i32 = 11;

#[test]
fn if_no_thread_can_be_had_all_who_rely_on_it_hear_so() {
    loom::model(|| {
        let listener = Listener::new();
        let wait = |listener: Arc<Listener>| listener.wait(false, || Err(NO_THREAD));
        let other = spawn(&listener, wait);
        for outcome in [wait(listener.clone()), other.join().unwrap()] {
            assert!(matches!(outcome, Ok(Outcome::Failed(NO_THREAD))));
        }
        listener.end();
    });
}

#[test]
fn who_can_have_no_thread_hears_that_the_listener_is_closed() {
    loom::model(|| {
        let listener = Listener::new();
        // Before it comes to the door.
        listener.close();
        let outcome = listener.wait(false, || Err(NO_THREAD));
        assert!(matches!(outcome, Ok(Outcome::Closed)));
        listener.end();
    });
}
