//! The crew that runs what is offloaded: the queue, the shares of the limit, and a seat for each
//! thread. Pure: to spawn a thread, to run a work and to tell the time are the caller's.
//!
//! ```text
//!   submit ──▶ queue ──▶ a seat that is idle, or a new one ──▶ runs ──▶ idle ──▶ ends
//!                                                          ▲    │
//!                                            take_share ───┴────┴──▶ lend
//! ```
//! A *share* is had by whoever runs a work, or was given one. All is decided under one lock, and
//! done after it is let go of; but a thread is spawned under it, so that nobody becomes idle, or
//! comes back, until it is known whether the system refuses it. If it does, those who have a share
//! look at the queue before they rest; and if nobody has, nothing waits there, and the work is
//! given back.

use std::collections::VecDeque;
use std::ops::DerefMut;
use std::sync::Arc;

use super::bell::Bell;
use crate::primitives::{AtomicBool, Mutex, Ordering};

pub(crate) struct Crew<W> {
    limit: usize,
    state: Mutex<State<W>>,
}

struct State<W> {
    /// First in, first out.
    queue: VecDeque<W>,
    /// How many have a share.
    running: usize,
    /// The last one is called first, so that those that are not needed come to their end.
    idle: Vec<Arc<Seat<W>>>,
    /// Those who lent their share, are done waiting, and need one to go on.
    returning: VecDeque<Arc<Bell>>,
}

/// One thread, as others see it.
pub(crate) struct Seat<W> {
    work: Mutex<Option<W>>,
    /// Rung when there is work for a thread that is idle, or a share (or a place of what it runs)
    /// for one that returns: it never waits for two of them.
    bell: Arc<Bell>,
    /// Touched by the thread itself.
    has_share: AtomicBool,
}

/// The system refuses a thread.
pub(crate) enum Refused<W, E> {
    /// Nobody else is at work who could do it: it is given back.
    Work(W, E),
    /// Those at work will do it.
    Thread(E),
}

/// Who has the share that was free.
enum Next<W> {
    Nobody,
    Returning(Arc<Bell>),
    Idle(Arc<Seat<W>>, W),
    New(W),
}

impl<W> Seat<W> {
    fn new(work: W) -> Arc<Seat<W>> {
        Arc::new(Seat {
            work: Mutex::new(Some(work)),
            bell: Arc::default(),
            has_share: AtomicBool::new(true),
        })
    }

    fn take_work(&self) -> W {
        let work = self.work.lock().take();
        work.unwrap_or_else(|| unreachable!("whoever calls a thread has put its work there"))
    }

    pub(crate) fn bell(&self) -> &Arc<Bell> {
        &self.bell
    }
}

impl<W> State<W> {
    /// Gives a free share to whoever is next.
    fn next(&mut self, limit: usize) -> Next<W> {
        if self.running >= limit {
            return Next::Nobody;
        }
        let next = if let Some(returning) = self.returning.pop_front() {
            Next::Returning(returning)
        } else if let Some(work) = self.queue.pop_front() {
            match self.idle.pop() {
                Some(seat) => Next::Idle(seat, work),
                None => Next::New(work),
            }
        } else {
            return Next::Nobody;
        };
        self.running += 1;
        next
    }
}

impl<W> Next<W> {
    /// Tells whoever is there already, not under the lock.
    fn tell(self) {
        match self {
            Next::Returning(bell) => bell.ring(),
            Next::Idle(seat, work) => {
                *seat.work.lock() = Some(work);
                seat.bell.ring();
            }
            Next::Nobody | Next::New(_) => {}
        }
    }
}

impl<W> Crew<W> {
    pub(crate) fn new(limit: usize) -> Crew<W> {
        let state = State {
            queue: VecDeque::new(),
            running: 0,
            idle: Vec::new(),
            returning: VecDeque::new(),
        };
        Crew { limit, state: Mutex::new(state) }
    }

    pub(crate) fn limit(&self) -> usize {
        self.limit
    }

    /// Has `work` run as soon as a thread is free. `spawn` has a new one [`serve`](Crew::serve) a
    /// seat.
    pub(crate) fn submit<E>(
        &self,
        work: W,
        spawn: impl FnOnce(Arc<Seat<W>>) -> Result<(), E>,
    ) -> Result<(), Refused<W, E>> {
        let mut state = self.state.lock();
        state.queue.push_back(work);
        self.go_on(state, None, spawn)
    }

    /// Sees to whoever is next, after this seat, if one is given, has lent its share.
    fn go_on<E>(
        &self,
        mut state: impl DerefMut<Target = State<W>>,
        lender: Option<&Seat<W>>,
        spawn: impl FnOnce(Arc<Seat<W>>) -> Result<(), E>,
    ) -> Result<(), Refused<W, E>> {
        let work = match state.next(self.limit) {
            Next::New(work) => work,
            next => {
                drop(state);
                next.tell();
                return Ok(());
            }
        };
        let seat = Seat::new(work);
        let Err(error) = spawn(seat.clone()) else { return Ok(()) };
        let work = seat.take_work();
        state.running -= 1;
        if state.running == 0 {
            if let Some(lender) = lender {
                state.running += 1;
                lender.has_share.store(true, Ordering::Relaxed);
            }
            return Err(Refused::Work(work, error));
        }
        state.queue.push_front(work);
        Err(Refused::Thread(error))
    }

    /// The life of a thread: has `run`, which must not unwind, do one work after another, until
    /// none came before what `patience` gives, when it is called, as the time to end.
    pub(crate) fn serve(
        &self,
        seat: &Arc<Seat<W>>,
        mut run: impl FnMut(W),
        patience: impl Fn() -> u64,
    ) {
        let mut work = seat.take_work();
        loop {
            run(work);
            let next = self.next_work(seat).or_else(|| self.rest(seat, &patience));
            let Some(next) = next else { return };
            work = next;
        }
    }

    /// The thread has done its work: gives the next one, or has it idle.
    fn next_work(&self, seat: &Arc<Seat<W>>) -> Option<W> {
        let mut state = self.state.lock();
        // ORDERING: Relaxed, here and below: only this thread touches it.
        if seat.has_share.swap(true, Ordering::Relaxed) {
            state.running -= 1;
        }
        // Who is in the middle of a work goes first.
        let next = if state.returning.is_empty() { Next::Nobody } else { state.next(self.limit) };
        let work = if state.running < self.limit { state.queue.pop_front() } else { None };
        if work.is_some() {
            state.running += 1;
        } else {
            state.idle.push(seat.clone());
        }
        drop(state);
        next.tell();
        work
    }

    /// Waits for work. Gives None if the thread is to end.
    fn rest(&self, seat: &Arc<Seat<W>>, patience: impl Fn() -> u64) -> Option<W> {
        if !seat.bell.wait_until(patience()) {
            let mut state = self.state.lock();
            if let Some(index) = state.idle.iter().position(|idle| Arc::ptr_eq(idle, seat)) {
                state.idle.remove(index);
                return None;
            }
            // Called this moment.
            drop(state);
            seat.bell.wait();
        }
        Some(seat.take_work())
    }

    /// The seat's thread is about to wait for others: it does not count until it has called
    /// [`take_share`](Crew::take_share). If a work is given back, it counts still, and has to do
    /// that first: those whom it waits for may need it.
    pub(crate) fn lend<E>(
        &self,
        seat: &Seat<W>,
        spawn: impl FnOnce(Arc<Seat<W>>) -> Result<(), E>,
    ) -> Result<(), Refused<W, E>> {
        if !seat.has_share.load(Ordering::Relaxed) {
            return Ok(());
        }
        let mut state = self.state.lock();
        state.running -= 1;
        seat.has_share.store(false, Ordering::Relaxed);
        self.go_on(state, Some(seat), spawn)
    }

    /// Waits until the seat's thread may go on.
    pub(crate) fn take_share(&self, seat: &Seat<W>) {
        if seat.has_share.swap(true, Ordering::Relaxed) {
            return;
        }
        let mut state = self.state.lock();
        if state.running < self.limit && state.returning.is_empty() {
            state.running += 1;
        } else {
            state.returning.push_back(seat.bell.clone());
            drop(state);
            seat.bell.wait();
        }
    }
}
