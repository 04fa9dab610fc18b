//! Catches a task's panic, with the place where it happened.

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::io::Write;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::ptr;
use std::sync::{Arc, Once};

use super::interrupt::Interruption;
use super::overflow;
use super::thread::Green;
use crate::error::Panic;

thread_local! {
    /// Where the last panic of this thread happened.
    static PLACE: RefCell<Option<String>> = const { RefCell::new(None) };
    /// Whose that was, since a task began here: a green thread's, the OS thread's own (null), or
    /// nobody's. A panic may be resumed that began elsewhere, or was made without the hook: then
    /// this is another's. (A task that begins clears this and not the place: a plain word is
    /// cheaper.)
    static WHOSE: Cell<*const Green> = const { Cell::new(NOBODY) };
    /// The next panic, if it is this green thread's, is std's, in a sleep that was told to fail.
    static SLEEP_FAILS: Cell<*const Green> = const { Cell::new(ptr::null()) };
}

const NOBODY: *const Green = ptr::without_provenance(1);

fn caller() -> *const Green {
    Green::current().map_or(ptr::null(), |green| Arc::as_ptr(&green))
}

/// Has the place of every panic noted, and then whatever the program does about panics.
pub(crate) fn install_hook() {
    static INSTALLED: Once = Once::new();
    INSTALLED.call_once(|| {
        if std::thread::panicking() {
            // A thread that unwinds must not change the hook. If no thread can be had, panics have
            // no place.
            if let Ok(other) = std::thread::Builder::new().spawn(chain_hook) {
                let _ = other.join();
            }
        } else {
            chain_hook();
        }
    });
}

fn chain_hook() {
    let previous = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        // It may be gone, in a thread that ends.
        let _ = PLACE.try_with(|place| {
            if let Ok(mut place) = place.try_borrow_mut() {
                *place = info.location().map(ToString::to_string);
                WHOSE.set(caller());
            }
        });
        let in_std = info.location().is_some_and(|place| place.file().contains("library/std/"));
        if a_sleep_fails() && in_std {
            return;
        }
        if overflow::is_too_near_for_a_hook() {
            let note = "so near the end of its stack that the program's panic hook is not called";
            // Nobody is told if there is nobody to be told.
            let _ = writeln!(std::io::stderr(), "{info}\nminihuey: this was {note}");
            return;
        }
        previous(info);
    }));
}

/// A sleep is about to fail because its task was ended. `std::thread::sleep` can't fail, and
/// panics: which unwinds the task, as it should, but is no news to anybody.
#[cfg(feature = "monkey")]
pub(crate) fn sleep_fails(sleeper: &Green) {
    SLEEP_FAILS.set(sleeper);
}

/// The calling thread's last sleep was told to fail. (If C called it, no panic may have come of
/// it, and others may have run since.)
fn a_sleep_fails() -> bool {
    let sleeper = SLEEP_FAILS.replace(ptr::null());
    !sleeper.is_null() && Green::current().is_some_and(|green| Arc::as_ptr(&green) == sleeper)
}

/// Runs `f` for the task called `name`.
pub(crate) fn catch<R>(name: &'static str, f: impl FnOnce() -> R) -> Result<R, Panic> {
    // What slept here before was another task.
    #[cfg(feature = "monkey")]
    SLEEP_FAILS.set(ptr::null());
    WHOSE.set(NOBODY);
    // Whatever `f` may have left half done is the task's own: it is consumed here, and what it
    // shares with others it shares by types that know of panics (`Mutex`), as with std's threads.
    catch_unwind(AssertUnwindSafe(f)).map_err(|payload| {
        let place = take_place();
        if payload.is::<Interruption>() {
            return Panic::new(name, &"interrupted while it waited, for it had been ended", None);
        }
        let panic = Panic::new(name, &*payload, place);
        contain(|| drop(payload));
        panic
    })
}

fn take_place() -> Option<String> {
    if WHOSE.replace(NOBODY) != caller() {
        return None;
    }
    PLACE.try_with(|place| place.borrow_mut().take()).ok().flatten()
}

/// A panic on its way to another thread.
pub(crate) struct Carried {
    payload: Box<dyn Any + Send>,
    place: Option<String>,
}

/// Runs `f`, whose panic is to go on in another thread.
pub(crate) fn carry<R>(f: impl FnOnce() -> R) -> Result<R, Carried> {
    WHOSE.set(NOBODY);
    // What `f` left half done is seen by nobody before the panic goes on.
    catch_unwind(AssertUnwindSafe(f)).map_err(|payload| Carried { payload, place: take_place() })
}

impl Carried {
    /// Has the panic go on here, as one that happened where it did. The hook is not called again.
    pub(crate) fn resume(self) -> ! {
        WHOSE.set(if self.place.is_some() { caller() } else { NOBODY });
        let _ = PLACE.try_with(|place| *place.borrow_mut() = self.place);
        resume_unwind(self.payload)
    }
}

/// Runs foreign code, such as a destructor, a waker or a logger, that must not end the thread it
/// happens to run in.
pub(crate) fn contain(f: impl FnOnce()) {
    if let Err(payload) = catch_unwind(AssertUnwindSafe(f)) {
        if payload.is::<Interruption>() {
            return;
        }
        // Its own destructor might panic again, as might the logger.
        std::mem::forget(payload);
        let report =
            || log::error!("a destructor, waker, Display or logger panicked; it goes no further");
        if let Err(payload) = catch_unwind(report) {
            std::mem::forget(payload);
        }
    }
}
