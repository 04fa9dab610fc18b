//! Which of a scheduler's loops runs, for there is one after each start, and how that one is told
//! to look again. Pure: it is kept under the lock of what the loop looks at, and to wake whom it
//! gives is the caller's.

pub(crate) struct Loops<W> {
    /// The one that runs, if one does. One that still goes on, but is not this one, ends.
    running: Option<u64>,
    begun: u64,
    /// Something changed since the loop began to look.
    news: bool,
    sleeper: Option<W>,
}

/// What a loop that has looked does now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Then {
    Sleep,
    Look,
    End,
}

impl<W> Loops<W> {
    pub(crate) fn new() -> Loops<W> {
        Loops { running: None, begun: 0, news: false, sleeper: None }
    }

    /// Has another loop run; None if one does.
    pub(crate) fn start(&mut self) -> Option<u64> {
        if self.is_running() {
            return None;
        }
        self.begun += 1;
        self.running = Some(self.begun);
        self.running
    }

    /// Has the loop that runs end: gives whom to wake, if anybody. None if none runs.
    pub(crate) fn stop(&mut self) -> Option<Option<W>> {
        self.running.take()?;
        Some(self.tell())
    }

    pub(crate) fn is_running(&self) -> bool {
        self.running.is_some()
    }

    pub(crate) fn runs(&self, this: u64) -> bool {
        self.running == Some(this)
    }

    /// This loop begins to look.
    pub(crate) fn look(&mut self, this: u64) {
        // If it is to end, the news is for the next one, and so is the sleeper.
        if self.runs(this) {
            self.news = false;
            // It woke by itself. Or another thread, which is no more, was this loop before.
            self.sleeper = None;
        }
    }

    /// Something has changed: gives whom to wake, if anybody.
    pub(crate) fn tell(&mut self) -> Option<W> {
        self.news = true;
        self.sleeper.take()
    }

    /// This loop has looked. If it is to sleep, `waiter` is whom to wake.
    pub(crate) fn rest(&mut self, this: u64, waiter: impl FnOnce() -> W) -> Then {
        // If it ends, the sleeper may be the next loop's.
        if !self.runs(this) {
            return Then::End;
        }
        self.sleeper = if self.news { None } else { Some(waiter()) };
        if self.news { Then::Look } else { Then::Sleep }
    }
}
