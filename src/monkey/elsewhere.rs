//! Calls that can only block: in a green thread they are left to an OS thread.

use std::ffi::c_int;
use std::panic::{AssertUnwindSafe, catch_unwind};

use super::gate::{self, Caller};
use super::raw;
use crate::green;

/// A pointer that may go to the OS thread that works for its owner, who waits meanwhile.
#[derive(Clone, Copy)]
struct Lent<T>(T);

// SAFETY: the owner is suspended until the other thread is done: see `offload`.
unsafe impl<T> Send for Lent<T> {}

impl<T: Copy> Lent<T> {
    /// As a method, so that a closure takes the whole.
    fn get(&self) -> T {
        self.0
    }
}

/// Makes `call` on an OS thread if the caller is a green one, with its errno brought back. If `may`
/// cancels that meanwhile, which must not unwind through a C function, it gives `cancelled`.
pub fn elsewhere(cancelled: c_int, call: impl Fn() -> c_int) -> c_int {
    if gate::is_open()
        && let Caller::Green(_) = gate::caller()
    {
        let call = Lent(&call);
        let work = move || {
            let call = call.get();
            (call(), raw::errno())
        };
        // What C gives can't be half done.
        let (done, errno) = catch_unwind(AssertUnwindSafe(|| green::offload(work)))
            .unwrap_or((cancelled, libc::ECANCELED));
        raw::fail::<c_int>(errno);
        return done;
    }
    call()
}
