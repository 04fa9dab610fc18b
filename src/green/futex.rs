//! The kernel's waiting for a word to change. Not of std's: it keeps its own to itself.

use std::ptr;
use std::sync::atomic::AtomicU32;

/// Whoever has what is waited for goes on within that many looks, if it has a processor: longer than
/// that it does not pay to look before one waits.
pub(crate) const LOOKS: u32 = 10;

/// A pause between two looks, longer from one to the next: at first of the processor alone, then it
/// is left to others, one of whom may have what is waited for.
pub(crate) fn look_later(look: u32) {
    if look < 4 {
        (0..2 << look).for_each(|_| std::hint::spin_loop());
    } else {
        // SAFETY: the call takes nothing. (Not libc's: with the feature `monkey` that is ours.)
        unsafe { libc::syscall(libc::SYS_sched_yield) };
    }
}

/// Blocks while the word is `expected`, or returns early.
#[cold]
pub(crate) fn wait(word: &AtomicU32, expected: u32) {
    let how = libc::FUTEX_WAIT | libc::FUTEX_PRIVATE_FLAG;
    let forever = ptr::null::<libc::timespec>();
    // SAFETY: the word lives for as long as the call.
    unsafe { libc::syscall(libc::SYS_futex, word.as_ptr(), how, expected, forever) };
}

/// Wakes one who waits for the word, if there is one.
#[cold]
pub(crate) fn wake_one(word: &AtomicU32) {
    let how = libc::FUTEX_WAKE | libc::FUTEX_PRIVATE_FLAG;
    // SAFETY: the kernel takes the address for a name only: the word may be gone by now.
    unsafe { libc::syscall(libc::SYS_futex, word.as_ptr(), how, 1) };
}
