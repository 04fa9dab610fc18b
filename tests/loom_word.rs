//! loom model of the library's own lock: every interleaving, and every value that a weak memory may
//! show, of the very source that the library is built from, on loom's atomics.
//!
//! Seen to fail: with `try_lock`'s Acquire, `wait`'s or `unlock`'s Release as Relaxed, a race on what
//! the lock protects; a wait for TAKEN instead of AWAITED, and no wake in `unlock`, deadlock.

mod primitives {
    pub use loom::sync::atomic::{AtomicU32, Ordering};

    /// In place of the kernel.
    pub mod futex {
        use loom::sync::atomic::{AtomicU32, Ordering};
        use loom::sync::{Condvar, Mutex};

        pub const LOOKS: u32 = 1;

        loom::lazy_static! {
            static ref QUEUE: (Mutex<()>, Condvar) = (Mutex::new(()), Condvar::new());
        }

        pub fn wait(word: &AtomicU32, expected: u32) {
            let queue = QUEUE.0.lock().unwrap();
            // As the kernel looks: under the lock that a wake takes, too, but ordering nothing else.
            if word.load(Ordering::Relaxed) == expected {
                drop(QUEUE.1.wait(queue).unwrap());
            }
        }

        pub fn wake_one(_: &AtomicU32) {
            let _queue = QUEUE.0.lock().unwrap();
            QUEUE.1.notify_one();
        }
    }
}

#[path = "../src/green/word.rs"]
mod word;

use loom::cell::UnsafeCell;
use loom::sync::Arc;
use loom::sync::atomic::AtomicU32;
use loom::thread;

use word::{FREE, Word};

struct Counted {
    lock: Word,
    count: UnsafeCell<usize>,
}

impl Counted {
    fn new() -> Arc<Counted> {
        Arc::new(Counted { lock: Word(AtomicU32::new(FREE)), count: UnsafeCell::new(0) })
    }

    /// With the lock held.
    fn count(&self) {
        // SAFETY: loom reports it if anybody else is here.
        self.count.with_mut(|count| unsafe { *count += 1 });
    }
}

#[test]
fn one_at_a_time_has_the_lock_and_sees_what_the_last_one_did() {
    // Three threads take too long without a bound; two of them alone need none (below).
    let mut model = loom::model::Builder::new();
    model.preemption_bound = Some(2);
    model.check(|| {
        let counted = Counted::new();
        let threads: Vec<_> = (0..2)
            .map(|_| {
                let counted = counted.clone();
                thread::spawn(move || {
                    counted.lock.lock();
                    counted.count();
                    counted.lock.unlock();
                })
            })
            .collect();
        counted.lock.lock();
        counted.count();
        counted.lock.unlock();
        threads.into_iter().for_each(|thread| thread.join().unwrap());
        counted.lock.lock();
        // SAFETY: the others have ended.
        assert_eq!(counted.count.with(|count| unsafe { *count }), 3);
    });
}

#[test]
fn who_only_tries_gets_the_lock_or_leaves_it_whole() {
    loom::model(|| {
        let counted = Counted::new();
        let other = counted.clone();
        let tries = thread::spawn(move || {
            let has_it = other.lock.try_lock();
            if has_it {
                other.count();
                other.lock.unlock();
            }
            usize::from(has_it)
        });
        counted.lock.lock();
        counted.count();
        counted.lock.unlock();
        let tried = tries.join().unwrap();
        counted.lock.lock();
        // SAFETY: the other one has ended.
        assert_eq!(counted.count.with(|count| unsafe { *count }), 1 + tried);
    });
}
