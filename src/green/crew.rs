//! The crew that runs what is offloaded: the queue, the shares of the limit, and a seat for each
//! thread. Pure: to spawn a thread, to run a work and to tell the time are the caller's.
//!
//! ```text
//!   submit ──▶ queue ──▶ a seat that is idle, or a new one ──▶ runs ──▶ idle ──▶ ends
//!                                                          ▲    │
//!                                            take_share ───┴────┴──▶ lend
//! ```
//! A *share* is had by whoever runs a work, or was given one. All is decided under one lock, and
//! done after it is let go of. Only a first thread is spawned under the lock, and the last one does
//! not end while another is spawned: so if the system refuses that one, somebody is there to do its
//! work, or nothing else waits.

use std::collections::VecDeque;
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
    /// Threads that have begun, and will look at the queue before they end.
    live: usize,
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
    /// There is none that could do it: the work is given back.
    Work(W),
    /// The others, of whom there are some, will do it.
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
    /// Tells whoever it is, not under the lock. Gives the work that needs a new thread.
    fn tell(self) -> Option<W> {
        match self {
            Next::Nobody => {}
            Next::Returning(bell) => bell.ring(),
            Next::Idle(seat, work) => {
                *seat.work.lock() = Some(work);
                seat.bell.ring();
            }
            Next::New(work) => return Some(work),
        }
        None
    }
}

impl<W> Crew<W> {
    pub(crate) fn new(limit: usize) -> Crew<W> {
        let state = State {
            queue: VecDeque::new(),
            live: 0,
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
        self.change(|state| state.queue.push_back(work), spawn)
    }

    /// Makes a change by which somebody may be next, and sees to it.
    fn change<E>(
        &self,
        change: impl FnOnce(&mut State<W>),
        spawn: impl FnOnce(Arc<Seat<W>>) -> Result<(), E>,
    ) -> Result<(), Refused<W, E>> {
        let mut state = self.state.lock();
        change(&mut state);
        let next = state.next(self.limit);
        if state.live == 0
            && let Next::New(work) = next
        {
            let seat = Seat::new(work);
            if spawn(seat.clone()).is_ok() {
                return Ok(());
            }
            state.running -= 1;
            drop(state);
            return Err(Refused::Work(seat.take_work()));
        }
        drop(state);
        let Some(work) = next.tell() else { return Ok(()) };
        let seat = Seat::new(work);
        spawn(seat.clone()).map_err(|error| {
            self.leave_to_others(seat.take_work());
            Refused::Thread(error)
        })
    }

    /// Takes back a share, and the work that it was given to.
    fn leave_to_others(&self, work: W) {
        let mut state = self.state.lock();
        state.running -= 1;
        state.queue.push_front(work);
        // Those at work look at the queue when they are done. But nobody else tells those who have
        // become idle since, or have come for a share.
        let can_go_on = !state.idle.is_empty() || !state.returning.is_empty();
        let next = if can_go_on { state.next(self.limit) } else { Next::Nobody };
        drop(state);
        let _ = next.tell();
    }

    /// The life of a thread: has `run`, which must not unwind, do one work after another, until
    /// none came before what `patience` gives, when it is called, as the time to end.
    pub(crate) fn serve(
        &self,
        seat: &Arc<Seat<W>>,
        mut run: impl FnMut(W),
        patience: impl Fn() -> u64,
    ) {
        self.state.lock().live += 1;
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
        let _ = next.tell();
        work
    }

    /// Waits for work. Gives None if the thread is to end.
    fn rest(&self, seat: &Arc<Seat<W>>, patience: impl Fn() -> u64) -> Option<W> {
        while !seat.bell.wait_until(patience()) {
            let mut state = self.state.lock();
            let Some(index) = state.idle.iter().position(|idle| Arc::ptr_eq(idle, seat)) else {
                // Called this moment.
                drop(state);
                seat.bell.wait();
                break;
            };
            // If it is the last one, who has a share is about to be spawned.
            if state.live > 1 || state.running == 0 {
                state.idle.remove(index);
                state.live -= 1;
                return None;
            }
        }
        Some(seat.take_work())
    }

    /// The seat's thread is about to wait for others: it does not count until it has called
    /// [`take_share`](Crew::take_share).
    pub(crate) fn lend<E>(
        &self,
        seat: &Seat<W>,
        spawn: impl FnOnce(Arc<Seat<W>>) -> Result<(), E>,
    ) -> Result<(), Refused<W, E>> {
        if !seat.has_share.swap(false, Ordering::Relaxed) {
            return Ok(());
        }
        self.change(|state| state.running -= 1, spawn)
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
