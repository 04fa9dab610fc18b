//! The lock of one word that the library's own state is kept under.
//!
//! Weakened: `try_lock`'s and `wait`'s Acquire and `unlock`'s Release to Relaxed is a race on what
//! the lock protects; a wait for TAKEN instead of AWAITED, and no wake in `unlock`, deadlock.

use loom::cell::UnsafeCell;
use loom::sync::Arc;
use loom::sync::atomic::AtomicU32;
use loom::thread;

use crate::preemptions::model_with_preemptions;
use crate::word::{FREE, Word};

struct Protected {
    lock: Word,
    count: UnsafeCell<usize>,
}

impl Protected {
    fn new() -> Arc<Protected> {
        Arc::new(Protected { lock: Word(AtomicU32::new(FREE)), count: UnsafeCell::new(0) })
    }

    /// With the lock held.
    fn count(&self) {
        // SAFETY: loom reports it if anybody else is here.
        self.count.with_mut(|count| unsafe { *count += 1 });
    }
}

#[test]
fn one_at_a_time_has_the_lock_and_sees_what_the_last_one_did() {
    model_with_preemptions(2, || {
        let protected = Protected::new();
        let threads: Vec<_> = (0..2)
            .map(|_| {
                let protected = protected.clone();
                thread::spawn(move || {
                    protected.lock.lock();
                    protected.count();
                    protected.lock.unlock();
                })
            })
            .collect();
        protected.lock.lock();
        protected.count();
        protected.lock.unlock();
        threads.into_iter().for_each(|thread| thread.join().unwrap());
        protected.lock.lock();
        // SAFETY: the others have ended.
        assert_eq!(protected.count.with(|count| unsafe { *count }), 3);
    });
}

#[test]
fn who_only_tries_gets_the_lock_or_leaves_it_whole() {
    loom::model(|| {
        let protected = Protected::new();
        let other = protected.clone();
        let tries = thread::spawn(move || {
            let has_it = other.lock.try_lock();
            if has_it {
                other.count();
                other.lock.unlock();
            }
            usize::from(has_it)
        });
        protected.lock.lock();
        protected.count();
        protected.lock.unlock();
        let tried = tries.join().unwrap();
        protected.lock.lock();
        // SAFETY: the other one has ended.
        assert_eq!(protected.count.with(|count| unsafe { *count }), 1 + tried);
    });
}
