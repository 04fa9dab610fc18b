//! The lock that the library's own state is kept under: a [`Word`], with the guards of lock_api.
//!
//! Not parking_lot's, which calls `sched_yield` before it blocks. With the feature `monkey` that is
//! ours, and lets other green threads of the worker run: in the middle of whatever the caller does,
//! such as taking a block from the arena, or with another lock held, for which they would then hold
//! the worker for good. Nor std's, which looks twice whether a panic unwinds, for a poison that is
//! not wanted here: that is felt in what a task costs.
//!
//! Nobody waits for anything else while holding one, so whoever finds it taken is let in soon.

use lock_api::{GuardSend, RawMutex};

use super::word::{FREE, Word};
use crate::primitives::AtomicU32;

pub(crate) type Mutex<T> = lock_api::Mutex<Word, T>;
pub(crate) type MutexGuard<'a, T> = lock_api::MutexGuard<'a, Word, T>;

// SAFETY: of those that `try_lock` lets in and `lock` lets return, each has to `unlock` before the
// next one comes in.
unsafe impl RawMutex for Word {
    #[allow(clippy::declare_interior_mutable_const, reason = "the trait wants it")]
    const INIT: Word = Word(AtomicU32::new(FREE));
    type GuardMarker = GuardSend;

    #[inline]
    fn lock(&self) {
        self.lock();
    }

    #[inline]
    fn try_lock(&self) -> bool {
        self.try_lock()
    }

    #[inline]
    unsafe fn unlock(&self) {
        self.unlock();
    }
}

#[cfg(all(test, feature = "monkey"))]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
    use std::time::Duration;

    use super::Mutex;
    use crate::{MiniHuey, monkey};

    #[test]
    fn no_other_green_thread_runs_while_one_waits_for_a_lock_of_the_library() {
        monkey::patch_all().unwrap();
        let huey = MiniHuey::new("locks");
        let rounds = Arc::new(AtomicUsize::new(0));
        let over = Arc::new(AtomicBool::new(false));
        let (counted, ends) = (rounds.clone(), over.clone());
        let counts = huey.task("count", move || {
            while !ends.load(Ordering::Relaxed) {
                counted.fetch_add(1, Ordering::Relaxed);
                std::thread::yield_now();
            }
        });
        let counting = counts.call(());
        let lock = Arc::new(Mutex::new(()));
        let waits = huey.task("wait", move || {
            let (held, holder) = (Arc::new(AtomicBool::new(false)), lock.clone());
            let holds = held.clone();
            let holder = std::thread::spawn(move || {
                let _guard = holder.lock();
                holds.store(true, Ordering::SeqCst);
                std::thread::sleep(Duration::from_millis(50));
            });
            while !held.load(Ordering::SeqCst) {
                std::hint::spin_loop();
            }
            let before = rounds.load(Ordering::Relaxed);
            drop(lock.lock());
            let between = rounds.load(Ordering::Relaxed) - before;
            holder.join().unwrap();
            between
        });
        assert_eq!(waits.call(()).get().unwrap(), 0);
        over.store(true, Ordering::Relaxed);
        counting.get().unwrap();
    }
}
