//! An object with several owners.
//!
//! Seen to fail: in `Shared::drop`, load(Acquire) to Relaxed, and fetch_sub(AcqRel) to Acquire or
//! to Release: `an_objects_last_owner_sees_what_the_others_did` reports a race, as it does if an
//! only owner is taken for the last one after it looked twice; the same in `into_last`:
//! `who_is_given_the_last_owner_back_sees_what_the_others_did` does.

use loom::sync::Arc;
use loom::sync::atomic::{AtomicUsize, Ordering};
use loom::thread;

use crate::preemptions::bounded_model;
use crate::shared::Shared;

/// What each owner touched before it let go.
struct Touched {
    by: [loom::cell::UnsafeCell<u32>; 3],
    dropped: Arc<AtomicUsize>,
}

impl Touched {
    fn touch(&self, owner: usize) {
        // SAFETY: each owner has a cell of its own; loom tells if that is not so.
        self.by[owner].with_mut(|cell| unsafe { *cell += 1 });
    }
}

impl Drop for Touched {
    fn drop(&mut self) {
        // SAFETY: nobody else is left; loom tells if that is not so.
        let touches: u32 = self.by.iter().map(|cell| cell.with(|cell| unsafe { *cell })).sum();
        assert_eq!(touches, 3);
        self.dropped.fetch_add(1, Ordering::Relaxed);
    }
}

#[test]
fn an_objects_last_owner_sees_what_the_others_did() {
    bounded_model(|| {
        let dropped = Arc::new(AtomicUsize::new(0));
        let by = std::array::from_fn(|_| loom::cell::UnsafeCell::new(0));
        let (first, second) = Shared::pair(Touched { by, dropped: dropped.clone() });
        let other = thread::spawn(move || {
            // It makes one owner more, and hands that on.
            let third = second.clone();
            let another = thread::spawn(move || third.touch(2));
            second.touch(1);
            drop(second);
            another.join().unwrap();
        });
        first.touch(0);
        drop(first);
        other.join().unwrap();
        assert_eq!(dropped.load(Ordering::Relaxed), 1);
    });
}

#[test]
fn who_is_given_the_last_owner_back_sees_what_the_others_did() {
    bounded_model(|| {
        let dropped = Arc::new(AtomicUsize::new(0));
        let by = std::array::from_fn(|_| loom::cell::UnsafeCell::new(0));
        let (first, second) = Shared::pair(Touched { by, dropped: dropped.clone() });
        // Orders nothing.
        let gone = Arc::new(AtomicUsize::new(0));
        let other = thread::spawn({
            let gone = gone.clone();
            move || {
                second.touch(1);
                drop(second);
                gone.store(1, Ordering::Relaxed);
            }
        });
        first.touch(0);
        first.touch(2);
        while gone.load(Ordering::Relaxed) == 0 {
            thread::yield_now();
        }
        let last = Shared::into_last(first).expect("the other has let go");
        // SAFETY: the other does not touch it any more; loom tells if that is not seen.
        last.by[1].with(|cell| assert_eq!(unsafe { *cell }, 1));
        drop(last);
        assert_eq!(dropped.load(Ordering::Relaxed), 1);
        other.join().unwrap();
    });
}

#[test]
fn one_is_given_the_last_owner_back() {
    bounded_model(|| {
        let dropped = Arc::new(AtomicUsize::new(0));
        let by = std::array::from_fn(|_| loom::cell::UnsafeCell::new(1));
        let (first, second) = Shared::pair(Touched { by, dropped: dropped.clone() });
        let other = thread::spawn(move || Shared::into_last(second));
        let last = Shared::into_last(first);
        let others = other.join().unwrap();
        assert!(last.is_some() ^ others.is_some());
        drop((last, others));
        assert_eq!(dropped.load(Ordering::Relaxed), 1);
    });
}
