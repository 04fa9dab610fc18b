//! The doors of all listeners that OS threads accept from for green ones, and in what order those
//! who wait, the thread, and whoever closes the listener come to them. Pure: the kernel's sockets,
//! and what blocks and wakes somebody, are the caller's.
//!
//! Listeners go by their cookies: the kernel gives each socket one of its own, whatever its
//! descriptors are.
//!
//! ```text
//!   who waits                       who closes it
//!   ─────────                       ─────────────
//!                                   tells those at the door
//!   enters, counted       ╲ ╱      the kernel closes it
//!   has it that cookie?    ╳       is any door counted?
//!   waits, or leaves      ╱ ╲      tells those at the door
//! ```
//! One of the two sees the other.

use std::collections::BTreeMap;
use std::ffi::c_int;

use super::door::{Door, Outcome};
use crate::primitives::{AtomicUsize, Mutex, Ordering, fence};

/// What is around the doors.
pub(crate) trait Street {
    type Connection;
    /// Who waits.
    type Waiter: Clone;
    /// By which a thread that waits for its listener is stopped.
    type Bell: Clone;

    /// Of the socket that has this number now, if any has.
    fn cookie(&self, fd: c_int) -> Option<u64>;

    /// To be called before a lock is taken: the caller's stack will not overflow with it held.
    fn probe(&self);

    fn wake(&self, waiter: &Self::Waiter);

    fn ring(&self, bell: &Self::Bell);
}

pub(crate) struct Listeners<S: Street> {
    street: S,
    doors: Mutex<Doors<S>>,
    /// How many doors there are, so that with none the kernel need not be asked for a cookie.
    count: AtomicUsize,
}

/// By their listeners' cookies.
pub(crate) type Doors<S> = BTreeMap<u64, Entry<S>>;

pub(crate) struct Entry<S: Street> {
    door: Door<S::Connection, S::Waiter>,
    /// The thread's, as long as there is one.
    bell: Option<S::Bell>,
}

impl<S: Street> Entry<S> {
    fn is_unused(&self) -> bool {
        self.door.is_unused() && self.bell.is_none()
    }
}

impl<S: Street> Listeners<S> {
    /// The parts come from outside because loom's can't be made in a `const fn`.
    pub(crate) const fn of(street: S, doors: Mutex<Doors<S>>, count: AtomicUsize) -> Listeners<S> {
        Listeners { street, doors, count }
    }

    /// Gives `f` the door of the listener with this cookie, which goes when nobody uses it any
    /// more. No descriptor may be closed in `f`, because whoever closes one comes here.
    fn at_entry<R>(&self, cookie: u64, f: impl FnOnce(&mut Entry<S>) -> R) -> R {
        self.street.probe();
        let mut doors = self.doors.lock();
        let entry = doors.entry(cookie).or_insert_with(|| Entry { door: Door::new(), bell: None });
        let given = f(entry);
        if entry.is_unused() {
            doors.remove(&cookie);
        }
        // ORDERING: Relaxed, the lock orders it; whoever reads it without may come too early, or
        // late.
        self.count.store(doors.len(), Ordering::Relaxed);
        given
    }

    fn at_door<R>(
        &self,
        cookie: u64,
        f: impl FnOnce(&mut Door<S::Connection, S::Waiter>) -> R,
    ) -> R {
        self.at_entry(cookie, |entry| f(&mut entry.door))
    }

    /// None if no listener has a door, or this is none.
    fn cookie_if_any(&self, fd: c_int) -> Option<u64> {
        // ORDERING: Relaxed, as above.
        (self.count.load(Ordering::Relaxed) > 0).then(|| self.street.cookie(fd)).flatten()
    }

    fn wake_all(&self, woken: &[S::Waiter]) {
        woken.iter().for_each(|waiter| self.street.wake(waiter));
    }

    /// A connection that came too late for whoever had asked for it.
    pub(crate) fn left_over(&self, listener: c_int) -> Option<S::Connection> {
        self.at_door(self.cookie_if_any(listener)?, Door::take_kept)
    }

    /// Has `me` wait at the door. `start` starts the thread that it needs, or gives the errno for
    /// those who rely on that; `block` waits until what it is given says so, once, or gives why it
    /// does so no longer.
    ///
    /// # Errors
    /// What `block` gives, if nothing came of it till then.
    pub(crate) fn wait<T>(
        &self,
        me: S::Waiter,
        cookie: u64,
        listener: c_int,
        start: impl FnOnce() -> Result<(), c_int>,
        block: impl FnOnce(&mut dyn FnMut() -> bool) -> Result<(), T>,
    ) -> Result<Outcome<S::Connection>, T> {
        let (ticket, needs_thread) = self.at_door(cookie, |door| door.enter(me, listener));
        if needs_thread && let Err(errno) = start() {
            let (woken, bell) =
                self.at_entry(cookie, |entry| (entry.door.lose_thread(errno), entry.bell.take()));
            drop(bell);
            self.wake_all(&woken);
        }
        // If it was closed before this one entered, whoever closed it did not see it.
        // ORDERING: with the fence in `closed`: it sees this one counted, or this one sees it
        // closed.
        fence(Ordering::SeqCst);
        let is_closed = self.street.cookie(listener) != Some(cookie);
        let mut outcome = None;
        let waited = block(&mut || {
            outcome = self.at_door(cookie, |door| door.take(ticket));
            outcome.is_some() || is_closed
        });
        let outcome = outcome.or_else(|| {
            let (connection, bell) = self.at_entry(cookie, |entry| {
                let (connection, stops) = entry.door.leave(ticket);
                (connection, entry.bell.clone().filter(|_| stops))
            });
            bell.inspect(|bell| self.street.ring(bell));
            connection.map(Outcome::Accepted)
        });
        match outcome {
            Some(Outcome::Failed(_)) if is_closed => Ok(Outcome::Closed),
            Some(outcome) => Ok(outcome),
            None => waited.map(|()| Outcome::Closed),
        }
    }

    /// The thread that was just asked for will heed this. Who would have rung it before need not:
    /// the thread first asks whether it is wanted.
    pub(crate) fn hang(&self, bell: S::Bell, cookie: u64) {
        self.at_entry(cookie, |entry| entry.bell = Some(bell));
    }

    /// The thread's life: it accepts, or finds its bell rung, as long as it is wanted.
    pub(crate) fn serve(&self, cookie: u64, mut accept: impl FnMut()) {
        loop {
            // (What is closed is not closed there.)
            let its_end = self.at_entry(cookie, |entry| match entry.door.goes_on() {
                true => None,
                false => Some(entry.bell.take()),
            });
            if its_end.is_some() {
                return;
            }
            accept();
        }
    }

    /// The thread, which was started for this listener, has got this. Gives true if it was for
    /// somebody.
    pub(crate) fn lay_down(
        &self,
        cookie: u64,
        listener: c_int,
        got: Result<S::Connection, c_int>,
    ) -> bool {
        let (woken, refused) = self.at_door(cookie, |door| {
            let woken = door.lay_down(got, listener);
            let is_kept = door.is_waited_at() || self.street.cookie(listener) == Some(cookie);
            (woken, if is_kept { Vec::new() } else { door.refuse(listener) })
        });
        drop(refused);
        self.wake_all(&woken);
        !woken.is_empty()
    }

    /// The descriptor is about to be closed: whoever waits at its door is told, and what nobody has
    /// taken goes.
    pub(crate) fn about_to_close(&self, fd: c_int) {
        let Some(cookie) = self.cookie_if_any(fd) else { return };
        let (woken, refused, bell) = self.at_entry(cookie, |entry| {
            let (woken, refused, stops) = entry.door.close(fd);
            (woken, refused, entry.bell.clone().filter(|_| stops))
        });
        drop(refused);
        bell.inspect(|bell| self.street.ring(bell));
        self.wake_all(&woken);
    }

    /// The descriptor was closed: as above, for those who began to wait in between, and what a
    /// thread has laid down.
    pub(crate) fn closed(&self, fd: c_int) {
        // ORDERING: with the fence in `wait`.
        fence(Ordering::SeqCst);
        if self.count.load(Ordering::Relaxed) == 0 {
            return;
        }
        self.street.probe();
        let now = self.street.cookie(fd);
        let (mut woken, mut refused, mut bells) = (Vec::new(), Vec::new(), Vec::new());
        let mut doors = self.doors.lock();
        for (_, entry) in doors.iter_mut().filter(|(cookie, _)| now != Some(**cookie)) {
            let (its_woken, its_refused, stops) = entry.door.close(fd);
            woken.extend(its_woken);
            refused.extend(its_refused);
            bells.extend(entry.bell.clone().filter(|_| stops));
        }
        doors.retain(|_, entry| !entry.is_unused());
        self.count.store(doors.len(), Ordering::Relaxed);
        drop(doors);
        drop(refused);
        bells.iter().for_each(|bell| self.street.ring(bell));
        self.wake_all(&woken);
    }

    #[cfg(test)]
    pub(crate) fn have_door(&self, cookie: u64) -> bool {
        self.doors.lock().contains_key(&cookie)
    }
}
