//! What others want of a hub: letters under a lock, and a flag that tells whether there are any, so
//! that a hub that looks often need not lock. Who wakes the hub, and how, is the hub's business.

use crate::primitives::{AtomicU8, Mutex, Ordering};

pub(crate) struct Inbox<L> {
    letters: Mutex<Vec<L>>,
    /// What the hub was woken for. Written under the letters' lock; a hint where it is read.
    mail: AtomicU8,
}

/// There are no letters.
const NONE: u8 = 0;
/// All of them have time.
const FOR_LATER: u8 = 1;
const FOR_NOW: u8 = 2;

impl<L> Inbox<L> {
    pub(crate) fn new() -> Inbox<L> {
        Inbox { letters: Mutex::new(Vec::new()), mail: AtomicU8::new(NONE) }
    }

    /// Adds a letter. Gives true if the hub must be woken for it; else it was woken for an earlier
    /// one, and has not come yet. From any thread.
    #[must_use]
    pub(crate) fn post(&self, letter: L) -> bool {
        let mut letters = self.letters.lock();
        letters.push(letter);
        // ORDERING: Release, see `has_mail`.
        self.mail.swap(FOR_NOW, Ordering::Release) != FOR_NOW
    }

    /// As `post`, if the letter has time: gives true if the hub must be woken for it before long.
    #[must_use]
    pub(crate) fn post_for_later(&self, letter: L) -> bool {
        let mut letters = self.letters.lock();
        letters.push(letter);
        // ORDERING: Relaxed, the lock orders it.
        if self.mail.load(Ordering::Relaxed) != NONE {
            return false;
        }
        // ORDERING: Release, see `has_mail`.
        self.mail.store(FOR_LATER, Ordering::Release);
        true
    }

    /// Takes all letters out. By the hub only.
    pub(crate) fn take(&self) -> Vec<L> {
        // ORDERING: Relaxed, a hint: whoever posts wakes the hub afterwards, and what is in the
        // letters is ordered by their lock.
        if self.mail.load(Ordering::Relaxed) == NONE {
            return Vec::new();
        }
        let mut letters = self.letters.lock();
        // Under the lock: a letter that comes after these must find that it is the first.
        self.mail.store(NONE, Ordering::Relaxed);
        std::mem::take(&mut *letters)
    }

    /// What the hub does between two waits: a `turn` with its letters, and then to `arm` its timer,
    /// which may undo the wake of a letter that has come meanwhile. Gives true if it may wait now.
    pub(crate) fn round(&self, turn: impl FnOnce(Vec<L>), arm: impl FnOnce()) -> bool {
        turn(self.take());
        arm();
        !self.has_mail()
    }

    /// Letters wait for the hub.
    pub(crate) fn has_mail(&self) -> bool {
        // ORDERING: Acquire, pairs with the Release in `post`: that store comes before the wake,
        // and what is stored later is woken for after the question.
        self.mail.load(Ordering::Acquire) != NONE
    }
}
