//! loom models of the hand-made hand-overs: every interleaving, and every value that a weak
//! memory may show, of the very sources that the library is built from, on loom's atomics. A file
//! for each hand-over; here is what they compile.
//!
//! Each ordering that a file's first lines name was weakened once to see its model fail
//! (`tests/mutations.sh` does it again for most of them).

mod bell;
mod bells;
mod calls;
mod channels;
mod conditions;
mod counted;
mod crews;
mod descriptors;
mod desks;
mod doors;
mod dozes;
mod followers;
mod green;
mod groups;
mod hub;
mod interruptions;
mod lobbies;
mod locks;
mod made_once;
mod meetings;
mod offloaded;
mod overflows;
mod owners;
mod pool;
mod preemptions;
mod restarts;
mod selects;
mod starved;
mod timers;
mod values;
mod watched;
mod word_lock;

#[allow(dead_code)]
mod primitives {
    pub use loom::cell::UnsafeCell;
    pub use loom::sync::MutexGuard;
    pub use loom::sync::atomic::{
        AtomicBool, AtomicPtr, AtomicU8, AtomicU32, AtomicU64, AtomicUsize, Ordering, fence,
    };

    pub fn contain(destructor: impl FnOnce()) {
        destructor();
    }

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
        use std::ptr;
        use std::sync::Arc;

        pub const LOOKS: u32 = 1;

        pub fn look_later(_: u32) {}

        #[derive(Default)]
        struct Kernel {
            now: u64,
            sleepers: Vec<Sleeper>,
        }

        struct Sleeper {
            /// Its address.
            word: usize,
            until: u64,
            awake: Arc<Condvar>,
        }

        loom::lazy_static! {
            static ref KERNEL: Mutex<Kernel> = Mutex::default();
        }

        pub fn wait(word: &AtomicU32, expected: u32) {
            wait_until(word, expected, NEVER);
        }

        pub const NEVER: u64 = u64::MAX;

        /// By a clock that `tick` turns. One who is woken as its time is over hears of the latter,
        /// and so must look.
        pub fn wait_until(word: &AtomicU32, expected: u32, until: u64) -> bool {
            let mut kernel = KERNEL.lock().unwrap();
            // As the kernel looks: under the lock that a wake takes, too, but ordering nothing
            // else.
            if word.load(Ordering::Relaxed) == expected && kernel.now < until {
                let awake = Arc::new(Condvar::new());
                let word = ptr::from_ref(word).addr();
                kernel.sleepers.push(Sleeper { word, until, awake: awake.clone() });
                kernel = awake.wait(kernel).unwrap();
            }
            kernel.now < until
        }

        pub fn wake_one(word: &AtomicU32) {
            let mut kernel = KERNEL.lock().unwrap();
            let word = ptr::from_ref(word).addr();
            let first = kernel.sleepers.iter().position(|sleeper| sleeper.word == word);
            if let Some(first) = first {
                kernel.sleepers.remove(first).awake.notify_one();
            }
        }

        pub fn now() -> u64 {
            KERNEL.lock().unwrap().now
        }

        /// Time passes.
        pub fn tick() {
            let mut kernel = KERNEL.lock().unwrap();
            kernel.now += 1;
            let now = kernel.now;
            for over in kernel.sleepers.extract_if(.., |sleeper| sleeper.until <= now) {
                over.awake.notify_one();
            }
        }

        /// How many wait.
        pub fn sleepers() -> usize {
            KERNEL.lock().unwrap().sleepers.len()
        }
    }
}

#[allow(dead_code)]
#[path = "../../src/slot/cell.rs"]
mod cell;
#[allow(dead_code)]
#[path = "../../src/slot/states.rs"]
mod states;

#[path = "../../src/green/active.rs"]
mod active;
#[allow(dead_code)]
#[path = "../../src/green/armed.rs"]
mod armed;
#[allow(dead_code)]
#[path = "../../src/arrivals.rs"]
mod arrivals;
#[allow(dead_code)]
#[path = "../../src/green/backlog.rs"]
mod backlog;
#[allow(dead_code)]
#[path = "../../src/green/blocking.rs"]
mod blocking;
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
#[path = "../../src/monkey/lazy.rs"]
mod lazy;
#[path = "../../src/monkey/listeners.rs"]
mod listeners;
#[allow(dead_code)]
#[path = "../../src/green/lobby.rs"]
mod lobby;
#[allow(dead_code)]
#[path = "../../src/loops.rs"]
mod loops;
#[path = "../../src/green/overflowed.rs"]
mod overflowed;
#[allow(dead_code)]
#[path = "../../src/green/quota.rs"]
mod quota;

#[allow(dead_code)]
#[path = "../../src/green/roster.rs"]
mod roster;
#[path = "../../src/runs.rs"]
mod runs;
#[allow(dead_code)]
#[path = "../../src/green/shared.rs"]
mod shared;
#[allow(dead_code)]
#[path = "../../src/green/watches.rs"]
mod watches;

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
#[allow(dead_code)]
#[path = "../../src/green/sync/condition.rs"]
mod condition;
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
#[path = "../../src/green/timers.rs"]
mod sleepers;
/// In a module of their own, for what they call a bell is the library's.
#[allow(dead_code)]
#[path = "../../src/green"]
mod with_bells {
    pub mod bell;
    pub mod crew;
    pub mod desk;
    use crate::sleepers as timers;
}
#[allow(dead_code)]
#[path = "../../src/green/wait_list.rs"]
mod wait_list;
#[path = "../../src/green/word.rs"]
mod word;
