//! The lock that the library's own state is kept under. As parking_lot's, but a green thread that
//! waits for one, or hands one on, is never made to yield by that.
//!
//! parking_lot calls `sched_yield` before it blocks. With the feature `monkey` that is ours, and
//! lets other green threads of the worker run: in the middle of whatever the caller does, such as
//! taking a block from the arena, or with another lock held, for which they would then hold the
//! worker for good. So here that call is the kernel's.

use parking_lot::lock_api::{self, RawMutex, RawMutexTimed};

pub(crate) type Mutex<T> = lock_api::Mutex<Quiet, T>;
pub(crate) type MutexGuard<'a, T> = lock_api::MutexGuard<'a, Quiet, T>;

pub(crate) struct Quiet(parking_lot::RawMutex);

/// Runs `f`, in which no call yields.
#[inline]
fn quietly<R>(f: impl FnOnce() -> R) -> R {
    #[cfg(feature = "monkey")]
    return super::hub::at_work(f);
    #[cfg(not(feature = "monkey"))]
    f()
}

// SAFETY: parking_lot's own lock does the work.
unsafe impl RawMutex for Quiet {
    #[allow(clippy::declare_interior_mutable_const, reason = "the trait wants it")]
    const INIT: Quiet = Quiet(parking_lot::RawMutex::INIT);
    type GuardMarker = <parking_lot::RawMutex as RawMutex>::GuardMarker;

    #[inline]
    fn lock(&self) {
        if !self.0.try_lock() {
            quietly(|| self.0.lock());
        }
    }

    #[inline]
    fn try_lock(&self) -> bool {
        self.0.try_lock()
    }

    #[inline]
    unsafe fn unlock(&self) {
        // SAFETY: the caller's promise: it is locked by the caller.
        quietly(|| unsafe { self.0.unlock() });
    }
}

// SAFETY: as above.
unsafe impl RawMutexTimed for Quiet {
    type Duration = <parking_lot::RawMutex as RawMutexTimed>::Duration;
    type Instant = <parking_lot::RawMutex as RawMutexTimed>::Instant;

    fn try_lock_for(&self, timeout: Self::Duration) -> bool {
        quietly(|| self.0.try_lock_for(timeout))
    }

    fn try_lock_until(&self, timeout: Self::Instant) -> bool {
        quietly(|| self.0.try_lock_until(timeout))
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
