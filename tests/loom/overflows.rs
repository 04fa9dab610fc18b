//! Those who overflowed their stack, from the signal handler to the hub.
//!
//! Seen to fail: in `Overflowed`, `push`'s Release or `take`'s Acquire to Relaxed: a race; a link
//! that is not stored anew after another came first: one is never buried.

use loom::sync::Arc;
use loom::sync::atomic::AtomicPtr;
use loom::thread;

use crate::hub::Timer;
use crate::overflowed::{Linked, Overflowed};
use crate::preemptions::bounded_model;
use crate::primitives::UnsafeCell;

struct Dead {
    next: AtomicPtr<Dead>,
    /// What it did before it overflowed.
    deed: UnsafeCell<u32>,
}

impl Linked for Dead {
    fn next(&self) -> &AtomicPtr<Dead> {
        &self.next
    }
}

struct Hub {
    overflowed: Overflowed<Dead>,
    timer: Timer,
}

impl Hub {
    /// The handler. What overflows is never freed.
    fn overflow(&self, deed: u32) {
        let dead: &'static Dead = Box::leak(Box::new(Dead {
            next: AtomicPtr::new(std::ptr::null_mut()),
            deed: UnsafeCell::new(0),
        }));
        // SAFETY: nobody else has it yet; loom finds out whether somebody reads it unordered.
        dead.deed.with_mut(|mine| unsafe { *mine = deed });
        self.overflowed.push(dead);
        self.timer.set(true);
    }

    /// Buries until all is done that there is to be; gives the sum of it.
    fn bury(&self, all: u32) -> u32 {
        let mut sum = 0;
        loop {
            // SAFETY: whoever did it does nothing more; loom finds out whether that is seen.
            sum += self
                .overflowed
                .take()
                .map(|dead| dead.deed.with(|deed| unsafe { *deed }))
                .sum::<u32>();
            if sum == all {
                return sum;
            }
            // Armed for some green thread that sleeps for long.
            self.timer.set(false);
            if self.overflowed.is_empty() {
                self.timer.wait();
            }
        }
    }
}

#[test]
fn all_who_overflow_are_buried() {
    bounded_model(|| {
        let hub = Arc::new(Hub { overflowed: Overflowed::new(), timer: Timer::new() });
        // On the worker, and on the thread of may's timers.
        let others = [1, 2].map(|deed| {
            let hub = hub.clone();
            thread::spawn(move || hub.overflow(deed))
        });
        assert_eq!(hub.bury(3), 3);
        others.into_iter().for_each(|other| other.join().unwrap());
        assert!(hub.overflowed.is_empty());
    });
}
