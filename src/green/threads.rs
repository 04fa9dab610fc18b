//! The process's OS threads for what must block or compute: at most `limit` run at a moment, and
//! those that have nothing to do end after a while. Knows of green threads only that no other one may
//! run while a bell is rung.
//!
//! All is decided under one lock, and whoever waits has a [`Bell`], which is a lock, a flag and a
//! condition variable: there is no hand-over here that would need more than that.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use std::{cell::RefCell, thread};

use parking_lot::Condvar;

use super::lock::Mutex;
use super::{hub, panics};

/// An idle thread ends after this long.
const PATIENCE: Duration = Duration::from_secs(10);

/// What a thread is to run. It must not unwind.
pub(crate) type Work = Box<dyn FnOnce() + Send>;

/// What one OS thread waits for. Each ring is waited for once.
#[derive(Default)]
pub(super) struct Bell {
    /// With a condition variable, and never locked together with anything.
    rung: parking_lot::Mutex<bool>,
    changed: Condvar,
}

impl Bell {
    pub(super) fn ring(&self) {
        hub::alone(|| {
            *self.rung.lock() = true;
            self.changed.notify_one();
        });
    }

    pub(super) fn wait(&self) {
        let mut rung = self.rung.lock();
        self.changed.wait_while(&mut rung, |rung| !*rung);
        *rung = false;
    }

    /// Gives false if it was not rung within `patience`.
    fn wait_for(&self, patience: Duration) -> bool {
        let mut rung = self.rung.lock();
        self.changed.wait_while_for(&mut rung, |rung| !*rung, patience);
        std::mem::take(&mut *rung)
    }
}

pub(crate) struct Threads {
    limit: usize,
    state: Mutex<State>,
}

struct State {
    /// First in, first out.
    queue: VecDeque<Work>,
    /// Threads that have run, or will look again before they end.
    live: usize,
    /// How many have a share of the limit: they run, or were given work to.
    running: usize,
    /// The last one is called first, so that those that are not needed come to their end.
    idle: Vec<Arc<Seat>>,
    /// Those who lent their share, are done waiting, and need one to go on.
    returning: VecDeque<Arc<Bell>>,
}

/// One thread, as others see it.
struct Seat {
    threads: &'static Threads,
    work: Mutex<Option<Work>>,
    /// Rung when there is work for a thread that is idle, or a share (or a place of what it runs)
    /// for one that returns: it never waits for two of them.
    bell: Arc<Bell>,
    /// Touched by the thread itself.
    has_share: AtomicBool,
}

thread_local! {
    static SEAT: RefCell<Option<Arc<Seat>>> = const { RefCell::new(None) };
}

/// What is left to do without the lock.
enum Chore {
    None,
    Ring(Arc<Bell>),
    Give(Arc<Seat>, Work),
    Spawn(Work),
}

impl Threads {
    pub(super) fn new(limit: usize) -> Threads {
        let state = State {
            queue: VecDeque::new(),
            live: 0,
            running: 0,
            idle: Vec::new(),
            returning: VecDeque::new(),
        };
        Threads { limit, state: Mutex::new(state) }
    }

    pub(super) fn limit(&self) -> usize {
        self.limit
    }

    /// Has `work` run as soon as a thread is free. Never blocks.
    ///
    /// # Errors
    /// Gives the work back if there is no thread at all and the system refuses one.
    pub(crate) fn submit(&'static self, work: Work) -> Result<(), Work> {
        let mut state = self.state.lock();
        state.queue.push_back(work);
        let chore = self.next(&mut state);
        drop(state);
        self.run(chore)
    }

    /// Gives a free share to whoever is next.
    fn next(&self, state: &mut State) -> Chore {
        if state.running >= self.limit {
            return Chore::None;
        }
        let chore = if let Some(returning) = state.returning.pop_front() {
            Chore::Ring(returning)
        } else if let Some(work) = state.queue.pop_front() {
            match state.idle.pop() {
                Some(seat) => Chore::Give(seat, work),
                None => Chore::Spawn(work),
            }
        } else {
            return Chore::None;
        };
        state.running += 1;
        chore
    }

    fn run(&'static self, chore: Chore) -> Result<(), Work> {
        match chore {
            Chore::None => Ok(()),
            Chore::Ring(bell) => {
                bell.ring();
                Ok(())
            }
            Chore::Give(seat, work) => {
                *seat.work.lock() = Some(work);
                seat.bell.ring();
                Ok(())
            }
            Chore::Spawn(work) => self.spawn(work),
        }
    }

    #[cold]
    fn spawn(&'static self, work: Work) -> Result<(), Work> {
        let seat = Arc::new(Seat {
            threads: self,
            work: Mutex::new(Some(work)),
            bell: Arc::default(),
            has_share: AtomicBool::new(true),
        });
        let its_seat = seat.clone();
        let name = "minihuey-offload".to_owned();
        let spawned = thread::Builder::new().name(name).spawn(move || self.serve(its_seat));
        let Err(error) = spawned else { return Ok(()) };
        let Some(work) = seat.work.lock().take() else { return Ok(()) };
        let mut state = self.state.lock();
        state.running -= 1;
        if state.live == 0 {
            return Err(work);
        }
        // Whoever ends its work looks at the queue.
        state.queue.push_front(work);
        drop(state);
        panics::contain(|| {
            log::warn!("the system refuses a thread ({error}): what is offloaded waits for others");
        });
        Ok(())
    }

    /// The life of a thread.
    fn serve(&'static self, seat: Arc<Seat>) {
        SEAT.with(|own| *own.borrow_mut() = Some(seat.clone()));
        self.state.lock().live += 1;
        loop {
            if let Some(work) = seat.work.lock().take() {
                panics::contain(work);
            }
            let mut state = self.state.lock();
            // ORDERING: Relaxed, here and below: only this thread touches it.
            if seat.has_share.load(Ordering::Relaxed) {
                state.running -= 1;
            }
            let mut chore = Chore::None;
            if !state.returning.is_empty() {
                chore = self.next(&mut state);
            }
            let more = state.running < self.limit && !state.queue.is_empty();
            seat.has_share.store(true, Ordering::Relaxed);
            if more {
                state.running += 1;
                *seat.work.lock() = state.queue.pop_front();
            } else {
                state.idle.push(seat.clone());
            }
            drop(state);
            // Nothing is spawned here, so nothing can be refused.
            let _ = self.run(chore);
            if !more && !self.rest(&seat) {
                return;
            }
        }
    }

    /// Waits for work. Gives false if the thread is to end.
    fn rest(&self, seat: &Arc<Seat>) -> bool {
        if seat.bell.wait_for(PATIENCE) {
            return true;
        }
        let mut state = self.state.lock();
        let Some(index) = state.idle.iter().position(|idle| Arc::ptr_eq(idle, seat)) else {
            // Called this moment.
            drop(state);
            seat.bell.wait();
            return true;
        };
        state.idle.remove(index);
        state.live -= 1;
        false
    }
}

/// The bell of the calling thread, if it is one of these.
pub(super) fn own_bell() -> Option<Arc<Bell>> {
    own_seat().map(|seat| seat.bell.clone())
}

fn own_seat() -> Option<Arc<Seat>> {
    // It may be gone, in a thread that ends.
    SEAT.try_with(|seat| seat.borrow().clone()).ok().flatten()
}

/// The calling thread is about to wait for others: if it is one of these, it does not count until
/// [`take_share`].
pub(super) fn lend_share() {
    let Some(seat) = own_seat() else { return };
    if seat.has_share.swap(false, Ordering::Relaxed) {
        let mut state = seat.threads.state.lock();
        state.running -= 1;
        let chore = seat.threads.next(&mut state);
        drop(state);
        // Not refused: this thread is one.
        let _ = seat.threads.run(chore);
    }
}

/// Waits until the calling thread may go on.
pub(super) fn take_share() {
    let Some(seat) = own_seat() else { return };
    if seat.has_share.swap(true, Ordering::Relaxed) {
        return;
    }
    let threads = seat.threads;
    let mut state = threads.state.lock();
    if state.running < threads.limit && state.returning.is_empty() {
        state.running += 1;
    } else {
        state.returning.push_back(seat.bell.clone());
        drop(state);
        seat.bell.wait();
    }
}
