//! A value that is made when it is first needed.
//!
//! Seen to fail, in `Lazy`: the Release of who makes it, the Acquire of who finds it there, or of
//! who comes second, to Relaxed: a race.

use loom::sync::Arc;
use loom::sync::atomic::AtomicPtr;
use loom::thread;

use crate::lazy::Lazy;
use crate::primitives::UnsafeCell;

#[test]
fn all_see_the_one_that_was_made() {
    loom::model(|| {
        let lazy = Arc::new(Lazy::of(AtomicPtr::new(std::ptr::null_mut())));
        let look = |lazy: &Lazy<UnsafeCell<u32>>| {
            let value = lazy.get_or_make(|| {
                let value = UnsafeCell::new(0);
                // SAFETY: nobody else has it yet.
                value.with_mut(|value| unsafe { *value = 7 });
                value
            });
            // SAFETY: nobody writes to it any more; loom finds out whether that is seen.
            assert_eq!(value.with(|value| unsafe { *value }), 7);
            std::ptr::from_ref(value).addr()
        };
        let other = thread::spawn({
            let lazy = lazy.clone();
            move || look(&lazy)
        });
        assert_eq!(look(&lazy), other.join().unwrap());
    });
}
