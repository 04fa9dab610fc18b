//! Those who wait for a notification, with a lock let go of meanwhile. Pure: to unlock, to block
//! and to lock again are the caller's.
//!
//! ```text
//!   listed ─▶ unlock ─▶ block until off the list ─▶ off the list ─▶ lock
//! ```
//! Whoever changes what is waited for does so with the lock, so after the list was entered: no
//! notification of it is missed.

use super::wait_list::WaitList;
use crate::primitives::Mutex;

pub(crate) struct Condition<W> {
    waiting: Mutex<WaitList<W>>,
}

impl<W> Condition<W> {
    /// The list comes from outside because loom's lock can't be made in a `const fn`.
    pub(crate) const fn of(waiting: Mutex<WaitList<W>>) -> Condition<W> {
        Condition { waiting }
    }

    /// Calls `wake`, without the list's lock, for who waits longest. Gives false if nobody waits.
    pub(crate) fn notify_one(&self, wake: impl FnOnce(W)) -> bool {
        let first = self.waiting.lock().pop();
        first.map(|(_, waiter)| wake(waiter)).is_some()
    }

    /// As `notify_one`, for all who wait now. Gives how many there were.
    pub(crate) fn notify_all(&self, wake: impl FnMut(W)) -> usize {
        let all = self.waiting.lock().drain();
        let count = all.len();
        all.into_iter().for_each(wake);
        count
    }

    /// Waits: `block` is to return when what it is given says so, or earlier; with an error, if the
    /// caller is not to go on. Then a notification that it got goes to the next, by `wake`. Gives
    /// what `block` gave, and whether there was a notification.
    pub(crate) fn wait<R, E>(
        &self,
        waiter: W,
        unlock: impl FnOnce(),
        block: impl FnOnce(&dyn Fn() -> bool) -> Result<R, E>,
        lock: impl FnOnce(),
        wake: impl FnOnce(W),
    ) -> (Result<R, E>, bool) {
        let ticket = self.waiting.lock().push(waiter);
        unlock();
        let ended = block(&|| !self.waiting.lock().contains(ticket));
        let was_notified = self.waiting.lock().remove(ticket).is_none();
        lock();
        if was_notified && ended.is_err() {
            self.notify_one(wake);
        }
        (ended, was_notified)
    }
}
