//! What others want of a hub: letters under a lock, and a flag that tells whether there are any, so
//! that a hub that looks often need not lock. Who wakes the hub, and how, is the hub's business.

use crate::primitives::{AtomicBool, Mutex, Ordering};

pub(crate) struct Inbox<L> {
    letters: Mutex<Vec<L>>,
    /// There are letters. Written under their lock; a hint where it is read.
    mail: AtomicBool,
}

impl<L> Inbox<L> {
    pub(crate) fn new() -> Inbox<L> {
        Inbox { letters: Mutex::new(Vec::new()), mail: AtomicBool::new(false) }
    }

    /// Adds a letter. Gives true if the hub must be woken for it; else it was woken for an earlier
    /// one, and has not come yet. From any thread.
    #[must_use]
    pub(crate) fn post(&self, letter: L) -> bool {
        let mut letters = self.letters.lock();
        letters.push(letter);
        // ORDERING: Release, see `has_mail`.
        !self.mail.swap(true, Ordering::Release)
    }

    /// Takes all letters out. By the hub only.
    pub(crate) fn take(&self) -> Vec<L> {
        // ORDERING: Relaxed, a hint: whoever posts wakes the hub afterwards, and what is in the
        // letters is ordered by their lock.
        if !self.mail.load(Ordering::Relaxed) {
            return Vec::new();
        }
        let mut letters = self.letters.lock();
        // Under the lock: a letter that comes after these must find that it is the first.
        self.mail.store(false, Ordering::Relaxed);
        std::mem::take(&mut *letters)
    }

    /// To be asked before the hub waits, after it has done what may undo a wake.
    pub(crate) fn has_mail(&self) -> bool {
        // ORDERING: Acquire, pairs with the Release in `post`: that store comes before the wake,
        // and what is stored later is woken for after the question.
        self.mail.load(Ordering::Acquire)
    }
}
