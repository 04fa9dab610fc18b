//! Waits for a descriptor, and who ends them.
//!
//! Seen to fail: in the mirror of `Poller`, the unpark before the state in `Wait::end`, and no arming
//! anew in `fired`: `a_wait_for_a_descriptor_ends_when_it_is_closed` and
//! `an_event_for_one_leaves_the_others_watched` deadlock; there, a `closed` that does nothing:
//! `a_wait_that_begins_while_its_descriptor_is_closed_ends` deadlocks.

use loom::sync::atomic::{AtomicUsize, Ordering, fence};
use loom::sync::{Arc, Condvar, Mutex};
use loom::thread;

use crate::bell::Bell;
use crate::preemptions::model_with_preemptions;

/// `Poller` of `src/green/poller.rs` for one descriptor, line by line, with a kernel that watches
/// it for one event at a time. The hub is a thread of its own, which can do more than the real one,
/// that shares a thread with those who wait.
struct Poller {
    watched: Mutex<Vec<Watch>>,
    kernel: Mutex<Kernel>,
    changed: Condvar,
    waits: AtomicUsize,
}

#[derive(Default)]
struct Kernel {
    /// What is asked for, once; zero if the descriptor is not watched.
    armed: u32,
    ready: u32,
    closed: bool,
    /// The model ends.
    over: bool,
}

struct Watch {
    events: u32,
    wait: Arc<Wait>,
}

struct Wait {
    state: loom::sync::atomic::AtomicU32,
    parking: Arc<Bell>,
}

const PENDING: u32 = 0;
const READY: u32 = 1;
const CLOSED: u32 = 2;
const STALE: u32 = 3;

impl Wait {
    fn new() -> Arc<Wait> {
        let state = loom::sync::atomic::AtomicU32::new(PENDING);
        Arc::new(Wait { state, parking: Bell::new() })
    }

    fn end(&self, state: u32) {
        let _ = self.state.compare_exchange(PENDING, state, Ordering::Relaxed, Ordering::Relaxed);
        self.parking.ring();
    }

    /// `wait_for` between `enter` and `leave`.
    fn park(&self) -> u32 {
        loop {
            let state = self.state.load(Ordering::Relaxed);
            if state != PENDING {
                return state;
            }
            self.parking.wait();
        }
    }
}

impl Poller {
    fn new() -> Arc<Poller> {
        Arc::new(Poller {
            watched: Mutex::new(Vec::new()),
            kernel: Mutex::new(Kernel::default()),
            changed: Condvar::new(),
            waits: AtomicUsize::new(0),
        })
    }

    fn with_kernel(&self, f: impl FnOnce(&mut Kernel)) {
        f(&mut self.kernel.lock().unwrap());
        self.changed.notify_one();
    }

    fn arm(&self, watches: &[Watch]) {
        let wanted = watches.iter().fold(0, |events, watch| events | watch.events);
        self.with_kernel(|kernel| kernel.armed = wanted);
    }

    fn enter(&self, events: u32, wait: &Arc<Wait>) {
        let mut watched = self.watched.lock().unwrap();
        watched.push(Watch { events, wait: wait.clone() });
        self.arm(&watched);
    }

    fn leave(&self, wait: &Arc<Wait>) {
        self.watched.lock().unwrap().retain(|watch| !Arc::ptr_eq(&watch.wait, wait));
    }

    fn fired(&self, events: u32) {
        let mut watched = self.watched.lock().unwrap();
        if watched.is_empty() {
            return;
        }
        let woken: Vec<Watch> =
            watched.extract_if(.., |watch| watch.events & events != 0).collect();
        if !watched.is_empty() {
            self.arm(&watched);
        }
        drop(watched);
        woken.iter().for_each(|watch| watch.wait.end(READY));
    }

    fn close(&self) {
        let watches = std::mem::take(&mut *self.watched.lock().unwrap());
        self.with_kernel(|kernel| kernel.armed = 0);
        watches.iter().for_each(|watch| watch.wait.end(CLOSED));
    }

    /// As `closed`, once the kernel has closed it.
    fn closed(&self) {
        fence(Ordering::SeqCst);
        if self.waits.load(Ordering::Relaxed) > 0 {
            let watches = std::mem::take(&mut *self.watched.lock().unwrap());
            watches.iter().for_each(|watch| watch.wait.end(STALE));
        }
    }

    /// As `wait_for`. Gives None if the kernel says that it is closed.
    fn wait_for(&self, events: u32) -> Option<u32> {
        loop {
            let wait = Wait::new();
            self.waits.fetch_add(1, Ordering::Relaxed);
            fence(Ordering::SeqCst);
            self.enter(events, &wait);
            let is_closed = self.kernel.lock().unwrap().closed;
            let ended = (!is_closed).then(|| wait.park());
            self.leave(&wait);
            self.waits.fetch_sub(1, Ordering::Relaxed);
            if ended != Some(STALE) {
                return ended;
            }
        }
    }

    /// The hub: takes events until the model is over.
    fn turn(&self) {
        loop {
            let mut kernel = self.kernel.lock().unwrap();
            let events = loop {
                let events = kernel.armed & kernel.ready;
                if events != 0 {
                    break events;
                }
                if kernel.over {
                    return;
                }
                kernel = self.changed.wait(kernel).unwrap();
            };
            kernel.armed = 0;
            drop(kernel);
            self.fired(events);
        }
    }
}

#[test]
fn a_wait_for_a_descriptor_ends_when_it_is_closed() {
    for ready in [0, 1] {
        model_with_preemptions(2, move || {
            let poller = Poller::new();
            poller.with_kernel(|kernel| kernel.ready = ready);
            let hub = thread::spawn({
                let poller = poller.clone();
                move || poller.turn()
            });
            let wait = Wait::new();
            poller.enter(1, &wait);
            let closer = thread::spawn({
                let poller = poller.clone();
                move || poller.close()
            });
            let ended = wait.park();
            poller.leave(&wait);
            assert!(ended == CLOSED || (ended == READY && ready == 1));
            closer.join().unwrap();
            assert!(poller.watched.lock().unwrap().is_empty());
            poller.with_kernel(|kernel| kernel.over = true);
            hub.join().unwrap();
        });
    }
}

#[test]
fn a_wait_that_begins_while_its_descriptor_is_closed_ends() {
    loom::model(|| {
        let poller = Poller::new();
        let closer = thread::spawn({
            let poller = poller.clone();
            move || {
                poller.close();
                poller.with_kernel(|kernel| (kernel.closed, kernel.armed) = (true, 0));
                poller.closed();
            }
        });
        assert!(matches!(poller.wait_for(1), None | Some(CLOSED)));
        closer.join().unwrap();
        assert!(poller.watched.lock().unwrap().is_empty());
    });
}

#[test]
fn an_event_for_one_leaves_the_others_watched() {
    for reader_gives_up in [false, true] {
        model_with_preemptions(2, move || {
            let poller = Poller::new();
            let hub = thread::spawn({
                let poller = poller.clone();
                move || poller.turn()
            });
            let writer = thread::spawn({
                let poller = poller.clone();
                move || {
                    let wait = Wait::new();
                    poller.enter(2, &wait);
                    assert_eq!(wait.park(), READY);
                    poller.leave(&wait);
                }
            });
            let wait = Wait::new();
            poller.enter(1, &wait);
            poller.with_kernel(|kernel| kernel.ready = 1);
            if !reader_gives_up {
                assert_eq!(wait.park(), READY);
            }
            poller.leave(&wait);
            poller.with_kernel(|kernel| kernel.ready = 3);
            writer.join().unwrap();
            poller.with_kernel(|kernel| kernel.over = true);
            hub.join().unwrap();
        });
    }
}
