//! Who runs on a worker, as the watchdog sees it.
//!
//! Seen to fail: in `Active`, `retire` that leaves it there, and in the mirror of the registry, to
//! retire without the lock: the watchdog looks at what is being freed.

use loom::sync::{Arc, Mutex};
use loom::thread;

use crate::active::Active;
use crate::preemptions::bounded_model;
use crate::primitives::UnsafeCell;

/// A green thread: whether it was freed.
struct Green(UnsafeCell<bool>);

struct Worker {
    active: Active<Green>,
    /// The registry's.
    lock: Mutex<()>,
}

impl Worker {
    /// The life of a green thread that waits once.
    fn run(&self) {
        // In place of its memory, which loom does not watch.
        let green: &'static Green = Box::leak(Box::new(Green(UnsafeCell::new(false))));
        drop(self.lock.lock().unwrap());
        self.active.set(green);
        self.active.clear();
        self.active.set(green);
        let lock = self.lock.lock().unwrap();
        self.active.retire(green);
        drop(lock);
        // SAFETY: nobody looks at it any more; loom finds out whether that is so.
        green.0.with_mut(|freed| unsafe { *freed = true });
    }

    fn watch(&self) {
        let _lock = self.lock.lock().unwrap();
        // SAFETY: with the lock; all that run retire.
        if let Some(green) = unsafe { self.active.look() } {
            // SAFETY: it is not freed while the lock is held; loom finds out whether that is so.
            assert!(!green.0.with(|freed| unsafe { *freed }));
        }
    }
}

#[test]
fn who_is_looked_at_is_alive() {
    bounded_model(|| {
        let worker = Arc::new(Worker { active: Active::new(), lock: Mutex::new(()) });
        let watch = thread::spawn({
            let worker = worker.clone();
            move || (0..2).for_each(|_| worker.watch())
        });
        worker.run();
        worker.run();
        watch.join().unwrap();
    });
}
