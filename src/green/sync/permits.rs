//! Permits, handed out first come, first served: all that a mutex (one permit), a read-write lock
//! (a reader takes one, a writer all) and a semaphore are. Pure: it lists who waits and says whom
//! to wake, and blocks nobody.
//!
//! ```text
//!   word:   free permits × 2 + QUEUED
//!
//!   try_acquire   word ─CAS─▶ word - n      only while nobody waits
//!   try_release   word ─CAS─▶ word + n      only while nobody waits; else …
//!   hand_over     … under the list's lock, to the first who wait, and not back for whoever comes by
//! ```
//! While QUEUED is set the word changes under the lock alone, so that whoever lists itself, having
//! set it, misses no release: a `try_release` that has not seen the bit fails its exchange.
//!
//! Why handed over: a green thread that lets go and takes again before it next waits would,
//! otherwise, keep all others of its worker out for good, for they can't run in between.

use super::wait_list::{Ticket, WaitList};
use crate::primitives::{AtomicUsize, Mutex, Ordering};

/// Somebody is on the list.
const QUEUED: usize = 1;

/// One permit, in the word.
const ONE: usize = 2;

/// As many as there can be.
pub(crate) const MAX_PERMITS: usize = usize::MAX >> 3;

pub(crate) struct Permits<W> {
    word: AtomicUsize,
    waiting: Mutex<WaitList<Request<W>>>,
}

pub(crate) struct Request<W> {
    permits: usize,
    waiter: W,
}

impl<W> Permits<W> {
    /// The parts come from outside because loom's can't be made in a `const fn`.
    pub(crate) const fn of(
        free_times_two: AtomicUsize,
        waiting: Mutex<WaitList<Request<W>>>,
    ) -> Permits<W> {
        Permits { word: free_times_two, waiting }
    }

    /// How many are free at this moment.
    pub(crate) fn free(&self) -> usize {
        // ORDERING: Relaxed, a hint.
        self.word.load(Ordering::Relaxed) / ONE
    }

    /// Takes `permits`, if they are free and nobody waits for any.
    #[inline]
    pub(crate) fn try_acquire(&self, permits: usize) -> bool {
        let mut word = self.word.load(Ordering::Relaxed);
        while word & QUEUED == 0 && word / ONE >= permits {
            let less = word - permits * ONE;
            // ORDERING: Acquire, pairs with the Release in `release`: what was done under a permit
            // is seen by who has it next.
            match self.word.compare_exchange_weak(word, less, Ordering::Acquire, Ordering::Relaxed)
            {
                Ok(_) => return true,
                Err(now) => word = now,
            }
        }
        false
    }

    /// Takes `permits`, or lists `waiter`, who is to be woken when it has got them.
    pub(crate) fn acquire_or_list(&self, permits: usize, waiter: W) -> Option<Ticket> {
        let mut waiting = self.waiting.lock();
        loop {
            if self.try_acquire(permits) {
                return None;
            }
            let word = self.word.load(Ordering::Relaxed);
            // ORDERING: Relaxed: the list is ordered by its lock, and a releaser that has not seen
            // the bit fails its exchange, and looks again.
            let (order, queued) = (Ordering::Relaxed, word | QUEUED);
            if word & QUEUED != 0
                || (word / ONE < permits
                    && self.word.compare_exchange(word, queued, order, order).is_ok())
            {
                return Some(waiting.push(Request { permits, waiter }));
            }
        }
    }

    /// The wait with this ticket is over: the permits are there. (If it was not withdrawn.)
    pub(crate) fn is_granted(&self, ticket: Ticket) -> bool {
        !self.waiting.lock().contains(ticket)
    }

    /// Gives up waiting. False if it is too late: the permits are there, and the caller's.
    pub(crate) fn withdraw(&self, ticket: Ticket, wake: impl FnMut(W)) -> bool {
        {
            let mut waiting = self.waiting.lock();
            if waiting.remove(ticket).is_none() {
                return false;
            }
            self.note_empty(&waiting);
        }
        // It may have stood in front of others, who need less.
        self.grant(wake);
        true
    }

    /// Gives `permits` back, if nobody waits for any; else they are to be handed over.
    #[inline]
    pub(crate) fn try_release(&self, permits: usize) -> bool {
        let mut word = self.word.load(Ordering::Relaxed);
        while word & QUEUED == 0 {
            // ORDERING: Release, pairs with the Acquire in `try_acquire` and in `grant`.
            match self.word.compare_exchange_weak(
                word,
                more(word, permits),
                Ordering::Release,
                Ordering::Relaxed,
            ) {
                Ok(_) => return true,
                Err(now) => word = now,
            }
        }
        false
    }

    /// Gives `permits` to those who wait, and back what is left: `wake` is called for each, not
    /// under the lock.
    #[cold]
    pub(crate) fn hand_over(&self, permits: usize, wake: impl FnMut(W)) {
        {
            let _waiting = self.waiting.lock();
            let mut word = self.word.load(Ordering::Relaxed);
            // ORDERING: Release, as in `try_release`. It fails if who waited was gone before.
            while let Err(now) = self.word.compare_exchange(
                word,
                more(word, permits),
                Ordering::Release,
                Ordering::Relaxed,
            ) {
                word = now;
            }
        }
        self.grant(wake);
    }

    /// Serves those who wait, in their order, as far as the permits go.
    fn grant(&self, mut wake: impl FnMut(W)) {
        loop {
            let word = self.word.load(Ordering::Relaxed);
            // Whoever lists itself later finds these permits by itself, and whoever releases later
            // grants them.
            if word & QUEUED == 0 || word / ONE == 0 {
                return;
            }
            let request = {
                let mut waiting = self.waiting.lock();
                // ORDERING: Relaxed: while somebody is listed the word changes under this lock.
                let free = self.word.load(Ordering::Relaxed) / ONE;
                let Some(request) = waiting.pop_if(|request| request.permits <= free) else {
                    return;
                };
                // ORDERING: Acquire: what was done under these permits, by whomever they come
                // from, is seen here, and by whom they go to through the lock.
                self.word.fetch_sub(request.permits * ONE, Ordering::Acquire);
                self.note_empty(&waiting);
                request
            };
            wake(request.waiter);
        }
    }

    fn note_empty(&self, waiting: &WaitList<Request<W>>) {
        if waiting.is_empty() {
            // ORDERING: Relaxed: the bit guards nothing. The permits' own exchanges order.
            self.word.fetch_and(!QUEUED, Ordering::Relaxed);
        }
    }
}

fn more(word: usize, permits: usize) -> usize {
    let free = (word / ONE).saturating_add(permits).min(MAX_PERMITS);
    (free * ONE) | (word & QUEUED)
}
