//! Waking several at once, for who ends jobs from outside: callbacks and wakers among them. Those
//! are foreign, and may outgrow the stack of the green thread that calls them: then another one
//! goes on with the rest.

use std::collections::VecDeque;
use std::sync::Arc;

use super::lock::Mutex;
use super::overflow;
use super::runtime::Service;
use super::thread::Green;
use super::waiter::Waiter;

/// Wakes all of them: those first that are threads, for whom nothing foreign runs.
pub(crate) fn wake_all(waiters: Vec<Waiter>) {
    let (foreign, threads): (Vec<_>, Vec<_>) =
        waiters.into_iter().partition(|waiter| waiter.is_foreign());
    threads.into_iter().for_each(Waiter::wake);
    if foreign.is_empty() {
        return;
    }
    // If there is but one, nothing is left after it.
    match Green::current().filter(|_| foreign.len() > 1) {
        Some(green) => wake_or_bequeath(&green, foreign),
        None => foreign.into_iter().for_each(Waiter::wake),
    }
}

/// Wakes them from `green`, the calling green thread. What it would leave undone is, meanwhile, a
/// service of its own: that goes on in another one if it overflows.
#[cold]
fn wake_or_bequeath(green: &Green, waiters: Vec<Waiter>) {
    let left = Mutex::new(VecDeque::from(waiters));
    let wake: Service = Arc::new(move || {
        loop {
            overflow::probe();
            let next = left.lock().pop_front();
            let Some(waiter) = next else { return };
            waiter.wake();
        }
    });
    overflow::probe();
    // It may be a service already, or be waking others further up in its stack.
    let before = green.service.lock().clone();
    let both: Service = match before.clone() {
        None => wake.clone(),
        Some(before) => {
            let wake = wake.clone();
            Arc::new(move || {
                wake();
                before();
            })
        }
    };
    *green.service.lock() = Some(both);
    wake();
    let both = std::mem::replace(&mut *green.service.lock(), before);
    drop(both);
}
