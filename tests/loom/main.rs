//! loom models of the hand-made hand-overs: every interleaving, and every value that a weak
//! memory may show, of the very sources that the library is built from, on loom's atomics. A file
//! for each hand-over; here is what they compile.
//!
//! Each ordering that a file's first lines name was weakened once to see its model fail
//! (`tests/mutations.sh` does it again for most of them).

mod bell;
mod calls;
mod channels;
mod counted;
mod descriptors;
mod doors;
mod dozes;
mod green;
mod hub;
mod locks;
mod meetings;
mod offloaded;
mod owners;
mod pool;
mod preemptions;
mod selects;
mod starved;
mod values;
mod word_lock;

#[allow(dead_code)]
mod primitives {
    pub use loom::cell::UnsafeCell;
    pub use loom::sync::MutexGuard;
    pub use loom::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicUsize, Ordering, fence};

    /// As ours: it knows no poison.
    pub struct Mutex<T>(loom::sync::Mutex<T>);

    impl<T> Mutex<T> {
        pub fn new(value: T) -> Mutex<T> {
            Mutex(loom::sync::Mutex::new(value))
        }

        pub fn lock(&self) -> MutexGuard<'_, T> {
            self.0.lock().unwrap()
        }
    }

    /// In place of the kernel.
    pub mod futex {
        use loom::sync::atomic::{AtomicU32, Ordering};
        use loom::sync::{Condvar, Mutex};

        pub const LOOKS: u32 = 1;

        pub fn look_later(_: u32) {}

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

#[allow(dead_code)]
#[path = "../../src/slot/cell.rs"]
mod cell;
#[allow(dead_code)]
#[path = "../../src/slot/states.rs"]
mod states;

#[allow(dead_code)]
#[path = "../../src/green/backlog.rs"]
mod backlog;
#[path = "../../src/green/called.rs"]
mod called;
#[allow(dead_code)]
#[path = "../../src/monkey/door.rs"]
mod door;
#[path = "../../src/green/doze.rs"]
mod doze;
#[path = "../../src/green/inbox.rs"]
mod inbox;
#[allow(dead_code)]
#[path = "../../src/green/lane.rs"]
mod lane;
#[allow(dead_code)]
#[path = "../../src/green/quota.rs"]
mod quota;

#[allow(dead_code)]
#[path = "../../src/green/shared.rs"]
mod shared;

/// In place of the real one, whose hand-overs are all under a lock.
mod arena {
    use std::alloc::{Layout, alloc, dealloc};
    use std::ptr::NonNull;

    #[derive(Clone, Copy)]
    pub struct Place;

    pub fn allocate(layout: Layout) -> (NonNull<u8>, Place) {
        // SAFETY: the header alone has a size.
        (NonNull::new(unsafe { alloc(layout) }).expect("some memory"), Place)
    }

    /// # Safety
    /// It came from `allocate`, for this layout.
    pub unsafe fn free(memory: NonNull<u8>, _: Place, layout: impl FnOnce() -> Layout) {
        // SAFETY: the caller's promise.
        unsafe { dealloc(memory.as_ptr(), layout()) };
    }
}

#[allow(dead_code)]
#[path = "../../src/green/sync/alarm.rs"]
mod alarm;
#[allow(dead_code, unused_imports)]
#[path = "../../src/green/sync/channel.rs"]
mod channel;
#[allow(dead_code)]
#[path = "../../src/clock.rs"]
mod clock;
#[path = "../../src/green/sync/ends.rs"]
mod ends;
#[allow(dead_code)]
#[path = "../../src/green/sync/exchange.rs"]
mod exchange;
#[allow(dead_code)]
#[path = "../../src/green/sync/meeting.rs"]
mod meeting;
#[allow(dead_code)]
#[path = "../../src/green/sync/permits.rs"]
mod permits;
#[allow(dead_code)]
#[path = "../../src/green/sync/select.rs"]
mod select;
// For its name, which `channel` shows, too.
#[path = "../../src/green/sync/select_macro.rs"]
mod select_macro;
#[path = "../../src/green/sync/selection.rs"]
mod selection;
#[allow(dead_code)]
#[path = "../../src/green/sync/wait_list.rs"]
mod wait_list;
#[path = "../../src/green/word.rs"]
mod word;
