//! How many green threads there may be, and who waits for one that could not be had. Pure: whoever
//! is handed out here is to be told to ask again.

use crate::primitives::{AtomicBool, AtomicUsize, Mutex, Ordering, fence};

/// `P` is who wants green threads: a pool.
pub(crate) struct Quota<P> {
    /// How many there may be; above the lower mark only for jobs that are waited for, so that
    /// those who wait don't take the place of those that they wait for.
    most: usize,
    most_at_ease: usize,
    live: AtomicUsize,
    starved: Mutex<Starved<P>>,
    has_starved: AtomicBool,
    /// How many are short of one.
    short: AtomicUsize,
}

struct Starved<P> {
    /// Those who need a green thread and could not have one.
    list: Vec<P>,
    /// Somebody is to look at them after a while, whether one ends or not.
    is_looked_after: bool,
}

impl<P> Quota<P> {
    pub(crate) fn new(most: usize, most_at_ease: usize) -> Quota<P> {
        Quota {
            most,
            most_at_ease,
            live: AtomicUsize::new(0),
            starved: Mutex::new(Starved { list: Vec::new(), is_looked_after: false }),
            has_starved: AtomicBool::new(false),
            short: AtomicUsize::new(0),
        }
    }

    /// One is short of a green thread from now on, listed or not, until `end_shortage`.
    pub(crate) fn begin_shortage(&self) {
        // ORDERING: Relaxed, here and below: whoever looks must see its own shortages, and those of
        // others that it has heard of otherwise.
        self.short.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn end_shortage(&self) {
        self.short.fetch_sub(1, Ordering::Relaxed);
    }

    #[inline]
    pub(crate) fn is_short(&self) -> bool {
        self.short.load(Ordering::Relaxed) > 0
    }

    fn limit(&self, is_waited_for: bool) -> usize {
        if is_waited_for { self.most } else { self.most_at_ease }
    }

    /// Counts one green thread more, if there may be one.
    pub(crate) fn reserve(&self, is_waited_for: bool) -> bool {
        let limit = self.limit(is_waited_for);
        // ORDERING: Relaxed, a count that guards nothing else.
        self.live
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |live| {
                (live < limit).then_some(live + 1)
            })
            .is_ok()
    }

    /// Counts one more, whatever the limit.
    pub(crate) fn add(&self) {
        // ORDERING: Relaxed, as in `reserve`.
        self.live.fetch_add(1, Ordering::Relaxed);
    }

    /// What was reserved was not made. It frees nothing that others could not have had.
    pub(crate) fn undo(&self) {
        // ORDERING: Relaxed, as in `reserve`.
        self.live.fetch_sub(1, Ordering::Relaxed);
    }

    /// A green thread ended. Gives those who could not have one, and may now.
    #[must_use]
    pub(crate) fn release(&self) -> Vec<P> {
        // ORDERING: Relaxed and a fence, here and in `list`: either the starved one is listed
        // before this look, or it sees after it was listed that there is room.
        self.live.fetch_sub(1, Ordering::Relaxed);
        fence(Ordering::SeqCst);
        if self.has_starved.load(Ordering::Relaxed) { self.take_starved() } else { Vec::new() }
    }

    /// Lists `starved`, whom `reserve` refused one. Gives those who may have one after all, because
    /// one ended just now.
    #[must_use]
    pub(crate) fn list(&self, starved: P, is_waited_for: bool) -> Vec<P> {
        self.enter(&mut self.starved.lock(), starved);
        // ORDERING: see `release`.
        fence(Ordering::SeqCst);
        let has_room = self.live.load(Ordering::Relaxed) < self.limit(is_waited_for);
        if has_room { self.take_starved() } else { Vec::new() }
    }

    /// Lists one for whom there was room, but no memory: a second look would find as little. If
    /// that gives true, the caller is to see to it that somebody calls `look_after` after a while:
    /// nothing tells when there is memory again, and there may be no other green thread that ends.
    #[must_use]
    pub(crate) fn list_for_later(&self, starved: P) -> bool {
        let mut list = self.starved.lock();
        self.enter(&mut list, starved);
        !std::mem::replace(&mut list.is_looked_after, true)
    }

    /// Gives all who are listed, as `list_for_later` asked.
    #[must_use]
    pub(crate) fn look_after(&self) -> Vec<P> {
        let mut starved = self.starved.lock();
        starved.is_looked_after = false;
        self.take(&mut starved)
    }

    fn enter(&self, starved: &mut Starved<P>, one: P) {
        starved.list.push(one);
        self.has_starved.store(true, Ordering::Relaxed);
    }

    #[cold]
    fn take_starved(&self) -> Vec<P> {
        self.take(&mut self.starved.lock())
    }

    /// Under the lock, as where the hint is set: it is never false while somebody is listed.
    fn take(&self, starved: &mut Starved<P>) -> Vec<P> {
        self.has_starved.store(false, Ordering::Relaxed);
        std::mem::take(&mut starved.list)
    }
}
