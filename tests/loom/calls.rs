//! A green thread that sleeps until it is called, or a proxy in its place.
//!
//! Seen to fail: in `Called`, `call`'s store(Release) or `take`'s load(Acquire) to Relaxed:
//! `who_is_called_sees_what_was_done_before` reports a race; `end_proxy` without clearing:
//! `a_call_to_a_proxy_is_spent_by_it` finds a call left over.

use loom::sync::{Arc, Condvar, Mutex};
use loom::thread;

use crate::bell::Bell;
use crate::called::Called;
use crate::preemptions::bounded_model;

/// A green thread as far as calls go: `Green::sleep_until_called` and `Green::call`, with a bell
/// for what parks and unparks it.
struct Sleeper {
    called: Called<Bell>,
    parking: Arc<Bell>,
    /// What a caller does before it calls.
    deed: loom::cell::UnsafeCell<u32>,
}

impl Sleeper {
    fn new() -> Arc<Sleeper> {
        Arc::new(Sleeper {
            called: Called::new(),
            parking: Bell::new(),
            deed: loom::cell::UnsafeCell::new(0),
        })
    }

    fn sleep_until_called(&self) {
        self.called.sleep(|| self.parking.wait());
    }

    fn call(&self) {
        if let Some(proxy) = self.called.call() {
            proxy.ring();
        }
        self.parking.ring();
    }
}

#[test]
fn who_is_called_sees_what_was_done_before() {
    bounded_model(|| {
        let sleeper = Sleeper::new();
        let caller = thread::spawn({
            let sleeper = sleeper.clone();
            move || {
                // SAFETY: the sleeper does not look before it is called; loom tells if it does.
                sleeper.deed.with_mut(|deed| unsafe { *deed = 1 });
                sleeper.call();
            }
        });
        // Somebody else unparks it, for a timer that it had once.
        let stray = thread::spawn({
            let sleeper = sleeper.clone();
            move || sleeper.parking.ring()
        });
        sleeper.sleep_until_called();
        // SAFETY: the caller is done with it; loom tells if it is not.
        assert_eq!(sleeper.deed.with(|deed| unsafe { *deed }), 1);
        caller.join().unwrap();
        stray.join().unwrap();
    });
}

#[test]
fn a_call_to_a_proxy_is_spent_by_it() {
    bounded_model(|| {
        let sleeper = Sleeper::new();
        // As `take_place` of the backlog, under the pool's lock: is it free, and who waits for it?
        let place = Arc::new(Mutex::new((false, false)));
        let caller = thread::spawn({
            let (sleeper, place) = (sleeper.clone(), place.clone());
            move || {
                let is_listed = {
                    let mut place = place.lock().unwrap();
                    place.0 = !place.1;
                    place.1
                };
                if is_listed {
                    sleeper.call();
                }
            }
        });
        let bell = std::sync::Arc::new(Bell { rung: Mutex::new(false), changed: Condvar::new() });
        sleeper.called.set_proxy(bell.clone());
        let has_place = {
            let mut place = place.lock().unwrap();
            place.1 = !place.0;
            place.0
        };
        if !has_place {
            bell.wait();
        }
        sleeper.called.end_proxy(!has_place);
        caller.join().unwrap();
        assert!(!sleeper.called.take(), "a call is left over");
    });
}
