//! Waits for a descriptor, and who ends them.
//!
//! Seen to fail, in `Watches`: the unpark before the state in `Wait::end`, no arming anew in
//! `fired`, or a wait that leaves and takes the others with it:
//! `an_event_for_one_leaves_the_others_watched` deadlocks. No look for those who began to wait in
//! between in `closed`, or no fence there, or in `wait_once`:
//! `a_wait_that_begins_while_its_descriptor_is_closed_ends` deadlocks. A wait that is not begun
//! anew: `who_waits_while_the_number_becomes_anothers_waits_for_that` finds the wrong end.

use std::os::fd::RawFd;

use loom::sync::atomic::{AtomicBool, Ordering};
use loom::sync::{Arc, Condvar, Mutex};
use loom::thread;

use crate::bell::Bell;
use crate::blocking::{Waited, block};
use crate::preemptions::model_with_preemptions;
use crate::watches::{Polled, Set, Watches};

/// The kernel's set, with one descriptor, which it watches for one event at a time.
struct Kernel {
    file: Mutex<File>,
    changed: Condvar,
    /// The number is no descriptor's. Not under the lock: the kernel promises no order between that
    /// and anything else.
    is_closed: AtomicBool,
}

#[derive(Default)]
struct File {
    /// What is asked for, once; zero if the descriptor is not watched.
    armed: u32,
    ready: u32,
    /// The model ends.
    over: bool,
}

/// The kernel says EBADF.
#[derive(Debug, PartialEq, Eq)]
struct NoDescriptor;

/// The descriptor's number.
const FD: RawFd = 3;

impl Kernel {
    fn with_file(&self, f: impl FnOnce(&mut File)) {
        f(&mut self.file.lock().unwrap());
        self.changed.notify_one();
    }
}

impl Set for Kernel {
    type Known = ();
    type Refusal = NoDescriptor;

    fn arm(&self, (): &mut (), _: RawFd, events: u32) -> Result<(), NoDescriptor> {
        if self.is_closed.load(Ordering::Relaxed) {
            return Err(NoDescriptor);
        }
        self.with_file(|file| file.armed = events);
        Ok(())
    }

    fn forget((): &mut (), _: RawFd) {}

    fn disarm(&self, _: RawFd) {
        self.with_file(|file| file.armed = 0);
    }
}

/// A worker's. The hub is a thread of its own, which can do more than the real one, that shares a
/// thread with those who wait.
struct Poller(Watches<Kernel, Arc<Bell>>);

impl Poller {
    fn new(ready: u32) -> Arc<Poller> {
        Arc::new(Poller(Watches::new(Kernel {
            file: Mutex::new(File { ready, ..File::default() }),
            changed: Condvar::new(),
            is_closed: AtomicBool::new(false),
        })))
    }

    fn kernel(&self) -> &Kernel {
        &self.0.set
    }

    /// As `wait_for`; `meanwhile` comes when it has begun to wait, and gives false if it gives up.
    fn wait_for(&self, events: u32, meanwhile: impl Fn() -> bool) -> Result<Polled, NoDescriptor> {
        let me = Bell::new();
        self.0.wait_for(&me, &[(FD, events)], |wait| match meanwhile() {
            true => block(&*me, || wait.is_over()),
            false => Waited::TimedOut,
        })
    }

    /// As the patched `close`, with what the kernel does in between.
    fn close(&self) {
        self.0.about_to_close(FD, |bell| bell.ring());
        self.kernel().is_closed.store(true, Ordering::Relaxed);
        self.kernel().disarm(FD);
        self.0.closed(FD, |bell| bell.ring());
    }

    /// The hub: takes events until the model is over.
    fn turn(&self) {
        loop {
            let kernel = self.kernel();
            let mut file = kernel.file.lock().unwrap();
            let events = loop {
                let events = file.armed & file.ready;
                if events != 0 {
                    break events;
                }
                if file.over {
                    return;
                }
                file = kernel.changed.wait(file).unwrap();
            };
            file.armed = 0;
            drop(file);
            // If it is closed now, its waiters were unparked for that.
            let _: Result<(), NoDescriptor> = self.0.fired(FD, events, |bell| bell.ring());
        }
    }

    fn end(&self, hub: thread::JoinHandle<()>) {
        self.kernel().with_file(|file| file.over = true);
        hub.join().unwrap();
        assert!(!self.0.has_waiters(FD) && !self.0.is_needed());
    }
}

fn spawn<R: 'static>(
    poller: &Arc<Poller>,
    f: impl FnOnce(&Poller) -> R + 'static,
) -> thread::JoinHandle<R> {
    let poller = poller.clone();
    thread::spawn(move || f(&poller))
}

#[test]
fn a_wait_for_a_descriptor_ends_when_it_is_closed() {
    for ready in [0, 1] {
        model_with_preemptions(2, move || {
            let poller = Poller::new(ready);
            let hub = spawn(&poller, Poller::turn);
            let closer = spawn(&poller, Poller::close);
            match poller.wait_for(1, || true) {
                Ok(Polled::Closed) | Err(NoDescriptor) => {}
                ended => assert!(ended == Ok(Polled::Ready) && ready == 1),
            }
            closer.join().unwrap();
            poller.end(hub);
        });
    }
}

#[test]
fn a_wait_that_begins_while_its_descriptor_is_closed_ends() {
    loom::model(|| {
        let poller = Poller::new(0);
        let closer = spawn(&poller, Poller::close);
        assert!(matches!(poller.wait_for(1, || true), Ok(Polled::Closed) | Err(NoDescriptor)));
        closer.join().unwrap();
        assert!(!poller.0.has_waiters(FD));
    });
}

#[test]
fn who_waits_while_the_number_becomes_anothers_waits_for_that() {
    model_with_preemptions(2, || {
        let poller = Poller::new(0);
        let hub = spawn(&poller, Poller::turn);
        let waits = spawn(&poller, |poller| match poller.wait_for(1, || true) {
            Ok(Polled::Closed) => {}
            ended => {
                assert_eq!(ended, Ok(Polled::Ready));
                assert_eq!(poller.kernel().file.lock().unwrap().ready, 1);
            }
        });
        // As the patched `dup2`, with what the kernel does in between.
        poller.0.about_to_close(FD, |bell| bell.ring());
        poller.kernel().disarm(FD);
        poller.0.closed(FD, |bell| bell.ring());
        poller.kernel().with_file(|file| file.ready = 1);
        waits.join().unwrap();
        poller.end(hub);
    });
}

#[test]
fn an_event_for_one_leaves_the_others_watched() {
    for reader_gives_up in [false, true] {
        model_with_preemptions(2, move || {
            let poller = Poller::new(0);
            let hub = spawn(&poller, Poller::turn);
            let writer = spawn(&poller, |poller| {
                assert_eq!(poller.wait_for(2, || true), Ok(Polled::Ready));
            });
            let ended = poller.wait_for(1, || {
                poller.kernel().with_file(|file| file.ready = 1);
                !reader_gives_up
            });
            assert_eq!(ended, Ok(if reader_gives_up { Polled::TimedOut } else { Polled::Ready }));
            poller.kernel().with_file(|file| file.ready = 3);
            writer.join().unwrap();
            poller.end(hub);
        });
    }
}
