//! How a green thread waits, and how that may end. Pure: what parks it, and what ends its wait, are
//! the caller's.

/// How a wait ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Waited {
    Ready,
    TimedOut,
    /// In a destructor while a panic unwinds a green thread, which must not yield then.
    Impossible,
    /// The task that waits was ended by somebody else.
    Interrupted,
}

/// A green thread that waits, and what it heeds.
pub(crate) trait Waits {
    /// Its task was ended by somebody else, who unparks it afterwards.
    fn is_interrupted(&self) -> bool;

    /// So it is before it is unparked for that.
    fn is_time_over(&self) -> bool;

    /// Lets others run.
    fn yield_now(&self);

    /// Until it is unparked, for whatever reason; at once, if it was since the last time.
    fn park(&self);
}

/// Has `who` wait until `done` says so, or for what it heeds. Whoever makes `done` true unparks it
/// afterwards.
#[inline]
pub(crate) fn block(who: &impl Waits, mut done: impl FnMut() -> bool) -> Waited {
    let mut others_ran = false;
    loop {
        // Looked at first: a task whose waits are all over at once ends, too.
        if who.is_interrupted() {
            return Waited::Interrupted;
        }
        if done() {
            return Waited::Ready;
        }
        if who.is_time_over() {
            if others_ran {
                return Waited::TimedOut;
            }
            // A loop of short waits must not keep the worker from whoever ends it.
            who.yield_now();
        } else {
            who.park();
        }
        others_ran = true;
    }
}
