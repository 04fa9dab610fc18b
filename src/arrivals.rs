//! Which members of a group have ended, in that order, and who waits for the next one. Pure: it is
//! kept under a lock, and to wake whom it gives is the caller's.

use std::collections::VecDeque;

pub(crate) struct Arrivals<W> {
    ended: VecDeque<usize>,
    waiter: Option<W>,
}

impl<W> Arrivals<W> {
    pub(crate) const fn new() -> Arrivals<W> {
        Arrivals { ended: VecDeque::new(), waiter: None }
    }

    /// This member has ended: gives whom to wake, if anybody.
    pub(crate) fn arrive(&mut self, index: usize) -> Option<W> {
        self.ended.push_back(index);
        self.waiter.take()
    }

    /// Who ended first of those that were not taken yet.
    pub(crate) fn take(&mut self) -> Option<usize> {
        self.ended.pop_front()
    }

    /// As `take`; if there is none, `waiter` is whom to wake.
    pub(crate) fn next(&mut self, waiter: impl FnOnce() -> W) -> Option<usize> {
        let next = self.take();
        self.waiter = if next.is_none() { Some(waiter()) } else { None };
        next
    }
}
