//! Calls that can only block: in a green thread they are left to an OS thread.

use std::ffi::c_int;

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

/// Makes `call` on an OS thread if the caller is a green one, with its errno brought back.
pub fn elsewhere(call: impl Fn() -> c_int) -> c_int {
    if gate::is_open()
        && let Caller::Green(_) = gate::caller()
    {
        let call = Lent(&call);
        let (done, errno) = green::offload(move || {
            let call = call.get();
            (call(), raw::errno())
        });
        raw::fail::<c_int>(errno);
        return done;
    }
    call()
}
