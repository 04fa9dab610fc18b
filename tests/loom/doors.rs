//! A listener's door: those who wait there for connections, the OS thread that accepts for them, and
//! somebody else who accepts from the same listener.
//!
//! Seen to fail, in `Door`: `leave` that tells nobody to stop, `goes_on` that remembers a thread which
//! ends, or `take_kept` of what others wait for: a deadlock.

use loom::sync::{Arc, Condvar, Mutex};
use loom::thread;

use crate::bell::Bell;
use crate::door::{Door, Outcome};
use crate::preemptions::model_with_preemptions;
use crate::primitives;

/// As `src/monkey/accept.rs`, with one listener. A connection is its number.
struct Listener {
    door: primitives::Mutex<Door<u32, Arc<Bell>>>,
    kernel: Mutex<Kernel>,
    changed: Condvar,
}

#[derive(Default)]
struct Kernel {
    /// Those that nobody has accepted.
    connections: Vec<u32>,
    /// What an OS thread polls beside the listener.
    rung: bool,
    closed: bool,
}

/// The listener's number.
const FD: i32 = 3;

impl Listener {
    fn new() -> Arc<Listener> {
        Arc::new(Listener {
            door: primitives::Mutex::new(Door::new()),
            kernel: Mutex::new(Kernel::default()),
            changed: Condvar::new(),
        })
    }

    fn with_kernel<R>(&self, f: impl FnOnce(&mut Kernel) -> R) -> R {
        let given = f(&mut self.kernel.lock().unwrap());
        self.changed.notify_all();
        given
    }

    fn connect(&self, number: u32) {
        self.with_kernel(|kernel| kernel.connections.push(number));
    }

    /// In the kernel: blocks until there is one.
    fn accept_really(&self) -> u32 {
        let mut kernel = self.kernel.lock().unwrap();
        while kernel.connections.is_empty() {
            kernel = self.changed.wait(kernel).unwrap();
        }
        kernel.connections.remove(0)
    }

    /// As `Bell::wait_with`.
    fn poll(&self) -> bool {
        let mut kernel = self.kernel.lock().unwrap();
        while kernel.connections.is_empty() && !kernel.rung {
            kernel = self.changed.wait(kernel).unwrap();
        }
        !std::mem::take(&mut kernel.rung)
    }

    fn ring(&self, stops: bool) {
        if stops {
            self.with_kernel(|kernel| kernel.rung = true);
        }
    }

    /// As `accept_for_others`.
    fn accept_for_others(&self) {
        while self.door.lock().goes_on() {
            if self.poll() {
                self.accept_one();
            }
        }
    }

    fn accept_one(&self) {
        let connection = self.accept_really();
        let mut door = self.door.lock();
        let woken = door.lay_down(Ok(connection), FD);
        // What is given back is closed.
        if !door.is_waited_at() && self.kernel.lock().unwrap().closed {
            drop(door.refuse(FD));
        }
        drop(door);
        woken.iter().for_each(|bell| bell.ring());
    }

    /// As `accept_elsewhere`. In haste, it gives up instead of waiting.
    fn accept(this: &Arc<Listener>, hasty: bool) -> Option<u32> {
        if let Some(kept) = this.door.lock().take_kept() {
            return Some(kept);
        }
        let bell = Bell::new();
        let (ticket, starts) = this.door.lock().enter(bell.clone(), FD);
        if starts {
            let listener = this.clone();
            thread::spawn(move || listener.accept_for_others());
        }
        // Before it was listed: then whoever closed it did not see it.
        let is_open = !this.kernel.lock().unwrap().closed;
        loop {
            let outcome = this.door.lock().take(ticket);
            match outcome {
                Some(Outcome::Accepted(connection)) => return Some(connection),
                Some(Outcome::Closed) => return None,
                Some(Outcome::Failed(_)) => panic!("nothing fails"),
                None if hasty || !is_open => break,
                None => bell.wait(),
            }
        }
        let (connection, stops) = this.door.lock().leave(ticket);
        this.ring(stops);
        connection
    }

    /// As an OS thread that accepts, if it need not wait.
    fn accept_outside(&self) -> Option<u32> {
        let kept = self.door.lock().take_kept();
        kept.or_else(|| self.with_kernel(|kernel| kernel.connections.pop()))
    }

    fn close(&self) {
        self.tell_those_who_wait();
        self.with_kernel(|kernel| kernel.closed = true);
        // Some may have come in between.
        self.tell_those_who_wait();
    }

    /// As `about_to_close`, and as `closed`.
    fn tell_those_who_wait(&self) {
        let (woken, refused, stops) = self.door.lock().close(FD);
        drop(refused);
        self.ring(stops);
        woken.iter().for_each(|bell| bell.ring());
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
        // Nobody connects: a thread that goes on is a deadlock.
        assert_eq!((hasty.join().unwrap(), other.join().unwrap()), (None, None));
    });
    model_with_preemptions(2, || {
        let listener = Listener::new();
        let hasty = spawn(&listener, |listener| Listener::accept(&listener, true));
        listener.connect(1);
        listener.connect(2);
        let mine = Listener::accept(&listener, false);
        assert!(mine.is_some());
        assert_ne!(hasty.join().unwrap(), mine);
    });
}

#[test]
fn what_is_laid_down_for_one_who_waits_is_not_taken_by_one_who_does_not() {
    model_with_preemptions(3, || {
        let listener = Listener::new();
        let outside = spawn(&listener, |listener| listener.door.lock().take_kept());
        listener.connect(1);
        assert_eq!(Listener::accept(&listener, false), Some(1));
        assert_eq!(outside.join().unwrap(), None);
    });
}

#[test]
fn what_comes_for_one_who_gave_up_is_for_the_next() {
    model_with_preemptions(3, || {
        let listener = Listener::new();
        listener.connect(1);
        let hasty = spawn(&listener, |listener| Listener::accept(&listener, true));
        // The thread may have seen the one that goes here, and then it does not hear the bell.
        let first = listener.accept_outside();
        let first = [first, hasty.join().unwrap()];
        listener.connect(2);
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
            let connects = connects.then(|| spawn(&listener, |listener| listener.connect(1)));
            listener.close();
            // A thread that goes on is a deadlock.
            let accepted = accepts.join().unwrap();
            assert!(accepted.is_none_or(|connection| connects.is_some() && connection == 1));
            connects.into_iter().for_each(|connects| connects.join().unwrap());
        });
    }
}
