//! The guard: memory below a green thread's stack that can't be touched, so that what overflows
//! the stack gets a signal, and not the memory of somebody else.
//!
//! generator puts one page there, which is enough for Rust: a function with a large frame touches
//! it page by page from the top. What a C compiler makes of a large local variable does not, nor
//! does Rust with a sanitizer or `-C profile-generate`: its frame may begin on the other side of
//! the page. So the guard is made larger here. It costs addresses, but no memory; it even gives
//! back the page that generator has written its mark to.
//!
//! Since 6.13 Linux can guard a part of a mapping. Then generator's page, which is a mapping of its
//! own, is made one with its stack and guarded so, too:
//!
//! ```text
//!   generator's     │ ---- │ rw                │ ---- │ rw                │      four mappings
//!   with ours       │ ---- rw                  : ---- rw                  │      one: neighbours
//!                     guard   stack              guard   stack                   are alike, and join
//! ```
//! The kernel allows a process 65,530 mappings, so how many green threads there may be depends on
//! it.

use std::ffi::c_void;
use std::sync::atomic::{AtomicBool, Ordering};

/// How many bytes it has besides generator's page: whole pages. As large as buffers on the stack
/// of a C function sensibly are.
pub(super) const SIZE: usize = 64 * 1024;

/// What generator fills the bottom of a new stack with, and looks for when it frees it.
const MARK: usize = usize::from_ne_bytes([0xEE; size_of::<usize>()]);

/// Linux's `MADV_GUARD_INSTALL` and `MADV_GUARD_REMOVE`, which libc does not have yet.
const INSTALL: libc::c_int = 102;
const REMOVE: libc::c_int = 103;

/// Some guard was made by `protect`. Written before any such guard is there to be lifted.
static SOME_ARE_MAPPINGS: AtomicBool = AtomicBool::new(false);

/// The guard of the calling green thread; lifted when this is dropped.
pub(super) struct Guard(usize);

impl Guard {
    /// Guards what is below `stack_bottom`.
    ///
    /// # Safety
    /// There are `SIZE` bytes that generator has allocated with the stack that the caller runs on,
    /// and that nobody uses; and below them its own page.
    pub(super) unsafe fn below(stack_bottom: usize) -> Guard {
        let page = super::page_size();
        let start = stack_bottom - SIZE;
        // SAFETY: nobody uses these bytes, says our caller. generator's page is never without a
        // guard: the second call changes what its mapping allows, not what the first one did.
        unsafe {
            let all = (start - page) as *mut c_void;
            if libc::madvise(all, page + SIZE, INSTALL) == 0 {
                libc::mprotect(all, page, libc::PROT_READ | libc::PROT_WRITE);
            } else {
                protect(start);
            }
        }
        Guard(stack_bottom)
    }
}

/// How many mappings a green thread's stack with its guard may take.
pub(super) fn mappings_of_one() -> usize {
    let page = super::page_size();
    let kind = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
    let access = libc::PROT_READ | libc::PROT_WRITE;
    // SAFETY: the page is new, so nobody else uses it.
    let is_in_the_same = unsafe {
        let probe = libc::mmap(std::ptr::null_mut(), page, access, kind, -1, 0);
        let is_guarded = libc::madvise(probe, page, INSTALL) == 0;
        libc::munmap(probe, page);
        is_guarded
    };
    if is_in_the_same { 1 } else { 2 }
}

/// For Linux before 6.13.
///
/// # Safety
/// As for [`Guard::below`].
#[cold]
unsafe fn protect(start: usize) {
    let page = super::page_size();
    // ORDERING: Relaxed: a guard is lifted on the worker that made it.
    SOME_ARE_MAPPINGS.store(true, Ordering::Relaxed);
    // SAFETY: nobody uses these bytes, says our caller.
    unsafe {
        libc::madvise(start as *mut c_void, page, libc::MADV_DONTNEED);
        // generator's page was protected before it was ever touched: to the kernel it is of another
        // kind then, and would stay a mapping of its own. So it joins the stack first.
        let all = (start - page) as *mut c_void;
        libc::mprotect(all, page, libc::PROT_READ | libc::PROT_WRITE);
        libc::mprotect(all, page + SIZE, libc::PROT_NONE);
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        // SAFETY: it was made for the stack that the caller still runs on.
        unsafe { lift(self.0) };
    }
}

/// Lifts the guard below `stack_bottom` where generator looks for its mark, and restores that: it
/// frees all of it next. Async-signal-safe: system calls, no lock.
///
/// # Safety
/// There was a [`Guard::below`] it, and generator has not freed the stack yet.
pub(super) unsafe fn lift(stack_bottom: usize) {
    let start = stack_bottom - SIZE;
    // SAFETY: these bytes are generator's still, and nobody uses them.
    unsafe {
        // The one of the two that was not used to guard them does nothing.
        libc::madvise(start as *mut c_void, super::page_size(), REMOVE);
        if SOME_ARE_MAPPINGS.load(Ordering::Relaxed) {
            libc::mprotect(start as *mut c_void, SIZE, libc::PROT_READ | libc::PROT_WRITE);
        }
        *(start as *mut usize) = MARK;
    }
}
