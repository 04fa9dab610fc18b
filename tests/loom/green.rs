//! In place of green threads: how those who use the library's channels wait here, each time by a
//! bell of its own.

use std::cell::Cell;
use std::sync::Arc;
use std::time::Instant;

use crate::bell::Bell;

loom::thread_local! {
    static IS_HINDERED: Cell<bool> = Cell::new(false);
}

/// As in a destructor while a panic unwinds: the calling thread can't wait in `f`, and gives up
/// even what another relies on. (So does a task that is cancelled.)
pub fn hindered<R>(f: impl FnOnce() -> R) -> R {
    IS_HINDERED.with(|is| is.set(true));
    let given = f();
    IS_HINDERED.with(|is| is.set(false));
    given
}

pub struct Green {
    bell: loom::sync::Arc<Bell>,
    is_hindered: bool,
}

impl Green {
    /// The calling thread, for one wait: what wakes it late, from an earlier one, is of no use.
    pub fn current() -> Option<Arc<Green>> {
        let is_hindered = IS_HINDERED.with(Cell::get);
        Some(Arc::new(Green { bell: Bell::new(), is_hindered }))
    }
}

pub struct Waiter(loom::sync::Arc<Bell>);

impl Waiter {
    pub fn of(me: Option<&Arc<Green>>) -> Waiter {
        Waiter(me.expect("all are green").bell.clone())
    }

    pub fn wake(self) {
        self.0.ring();
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Waited {
    Ready,
    TimedOut,
    Impossible,
}

/// Whatever deadline there is, it has passed.
pub fn block_until(
    me: Option<&Green>,
    deadline: Option<Instant>,
    done: impl Fn() -> bool,
) -> Waited {
    let me = me.expect("all are green");
    loop {
        if done() {
            return Waited::Ready;
        }
        if me.is_hindered {
            return Waited::Impossible;
        }
        if deadline.is_some() {
            return Waited::TimedOut;
        }
        me.bell.wait();
    }
}

pub use overflow::{probe, probe_for_inner_lock};

/// Stacks are deep enough.
pub mod overflow {
    pub fn probe() {}
    pub fn probe_for_inner_lock() {}
    pub fn probe_to_wait(_: usize) {}
}
