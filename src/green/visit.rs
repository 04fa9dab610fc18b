//! Waiting for a pool's backlog to have room, or for the pool to run empty: in a lobby of the
//! pool's, which is left however the wait ends.

use std::time::Instant;

use super::lending::lend_to_any;
use super::lobby::{Guest, Lobby};
use super::pool::{Pool, State};
use super::thread::Green;
use super::{Waited, Waiter, block_or_interrupted};

/// One who waits in a lobby of the pool's, and leaves it if the wait ends otherwise than well: by
/// unwinding, too, as it does if `may` cancels the coroutine.
struct Visit<'a> {
    pool: &'a Pool,
    lobby: fn(&mut State) -> &mut Lobby<Waiter>,
    guest: Guest,
}

impl Visit<'_> {
    /// Whether the wait is over. If it is, and the guest then `lingers`, to take back a place that
    /// it lent, another one is called in its place: what it was called for must not go unused until
    /// it has that, for it may be another guest who is to give it.
    fn look(&mut self, is_over: impl Fn(&State) -> bool, lingers: bool) -> bool {
        let mut state = self.pool.state.lock();
        let is_over = is_over(&state);
        let lobby = (self.lobby)(&mut state);
        lobby.look(&mut self.guest, is_over, Waiter::current);
        let next = if is_over && lingers { lobby.call() } else { None };
        drop(state);
        if let Some(next) = next {
            next.wake();
        }
        is_over
    }
}

impl Drop for Visit<'_> {
    fn drop(&mut self) {
        let guest = std::mem::take(&mut self.guest);
        let next = (self.lobby)(&mut self.pool.state.lock()).leave(guest);
        if let Some(next) = next {
            next.wake();
        }
    }
}

impl Pool {
    /// Blocks until fewer than `limit` jobs wait, lending the caller's place, if it has one.
    pub(crate) fn wait_for_room(&self, limit: usize) -> Waited {
        let has_room = |state: &State| state.books.waiting < limit || state.closed;
        self.wait(|state| &mut state.for_room, None, has_room)
    }

    /// Blocks until nothing waits or runs. A caller who runs here would wait for itself: see
    /// [`Pool::runs_caller`].
    pub(crate) fn wait_idle(&self, deadline: Option<Instant>) -> Waited {
        self.wait(|state| &mut state.for_idle, deadline, State::is_idle)
    }

    fn wait(
        &self,
        lobby: fn(&mut State) -> &mut Lobby<Waiter>,
        deadline: Option<Instant>,
        is_over: impl Fn(&State) -> bool,
    ) -> Waited {
        let me = Green::current();
        let place = lend_to_any(me.as_ref());
        let mut visit = Visit { pool: self, lobby, guest: Guest::default() };
        let waited =
            block_or_interrupted(me.as_deref(), deadline, || visit.look(&is_over, place.is_some()));
        if waited == Waited::Ready {
            std::mem::forget(visit);
        } else {
            drop(visit);
        }
        if let Some(place) = place {
            place.reclaim();
        }
        waited.or_unwind()
    }
}
