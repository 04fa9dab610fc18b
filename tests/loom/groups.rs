//! The members of a group, as they end: whoever asks for the next one hears of each.
//!
//! Seen to fail: in `Arrivals`, `arrive` that gives nobody to wake, or `next` that lists nobody: a
//! deadlock.

use loom::sync::Arc;
use loom::thread;

use crate::arrivals::Arrivals;
use crate::bell::Bell;
use crate::preemptions::bounded_model;
use crate::primitives::Mutex;

/// As `AsCompleted::next`, with a bell in place of what blocks.
fn next(arrivals: &Mutex<Arrivals<Arc<Bell>>>) -> usize {
    let bell = Bell::new();
    loop {
        if let Some(next) = arrivals.lock().next(|| bell.clone()) {
            return next;
        }
        bell.wait();
    }
}

#[test]
fn every_member_that_ends_is_heard_of() {
    bounded_model(|| {
        let arrivals = Arc::new(Mutex::new(Arrivals::new()));
        let members = [0, 1].map(|index| {
            let arrivals = arrivals.clone();
            thread::spawn(move || {
                let waiter: Option<Arc<Bell>> = arrivals.lock().arrive(index);
                waiter.iter().for_each(|bell| bell.ring());
            })
        });
        let mut heard = [next(&arrivals), next(&arrivals)];
        heard.sort_unstable();
        assert_eq!(heard, [0, 1]);
        members.into_iter().for_each(|member| member.join().unwrap());
    });
}
