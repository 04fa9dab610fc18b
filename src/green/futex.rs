//! The kernel's waiting for a word to change. Not of std's: it keeps its own to itself.

use std::io;
use std::ptr;
use std::sync::atomic::AtomicU32;

/// Whoever has what is waited for goes on within that many looks, if it has a processor: longer
/// than that it does not pay to look before one waits.
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

/// A deadline that does not come: some 584 years are as good as that.
pub(crate) const NEVER: u64 = u64::MAX;

/// As [`wait`], but not beyond `deadline`, in nanoseconds of the monotonic clock. Gives false if
/// that is over.
#[cold]
pub(crate) fn wait_until(word: &AtomicU32, expected: u32, deadline: u64) -> bool {
    // Unlike FUTEX_WAIT it takes a point in time.
    let how = libc::FUTEX_WAIT_BITSET | libc::FUTEX_PRIVATE_FLAG;
    let until = libc::timespec {
        tv_sec: (deadline / 1_000_000_000) as _,
        tv_nsec: (deadline % 1_000_000_000) as _,
    };
    let until: *const libc::timespec = &until;
    let (no_word, whoever_wakes) = (ptr::null::<u32>(), libc::FUTEX_BITSET_MATCH_ANY);
    // SAFETY: the word and the time live for as long as the call.
    let given = unsafe {
        let word = word.as_ptr();
        libc::syscall(libc::SYS_futex, word, how, expected, until, no_word, whoever_wakes)
    };
    given == 0 || io::Error::last_os_error().raw_os_error() != Some(libc::ETIMEDOUT)
}

/// Wakes one who waits for the word, if there is one.
#[cold]
pub(crate) fn wake_one(word: &AtomicU32) {
    let how = libc::FUTEX_WAKE | libc::FUTEX_PRIVATE_FLAG;
    // SAFETY: the kernel takes the address for a name only: the word may be gone by now.
    unsafe { libc::syscall(libc::SYS_futex, word.as_ptr(), how, 1) };
}
