//! Name resolution, which is glibc's own and talks to servers and files as it likes: in a green
//! thread it is left to an OS thread.

use std::ffi::{CStr, c_char, c_int, c_void};
use std::sync::atomic::{AtomicPtr, Ordering};
use std::{mem, ptr};

use libc::{addrinfo, sockaddr, socklen_t};

use super::elsewhere::elsewhere;
use crate::green;

type GetAddrInfo = unsafe extern "C" fn(
    *const c_char,
    *const c_char,
    *const addrinfo,
    *mut *mut addrinfo,
) -> c_int;

type GetNameInfo = unsafe extern "C" fn(
    *const sockaddr,
    socklen_t,
    *mut c_char,
    socklen_t,
    *mut c_char,
    socklen_t,
    c_int,
) -> c_int;

/// The function of this name that would be called if ours were not there.
fn next(name: &'static CStr, found: &'static AtomicPtr<c_void>) -> Option<*mut c_void> {
    // ORDERING: Relaxed, here and below: an address that is the same for good, whoever finds it.
    let mut next = found.load(Ordering::Relaxed);
    if next.is_null() {
        // The linker has a lock, which a stack that overflows would leave locked.
        green::probe();
        // SAFETY: the name ends with a zero; RTLD_NEXT is for just this.
        next = unsafe { libc::dlsym(libc::RTLD_NEXT, name.as_ptr()) };
        found.store(next, Ordering::Relaxed);
    }
    (!next.is_null()).then_some(next)
}

/// As `getaddrinfo` in C.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn getaddrinfo(
    node: *const c_char,
    service: *const c_char,
    hints: *const addrinfo,
    found: *mut *mut addrinfo,
) -> c_int {
    static NEXT: AtomicPtr<c_void> = AtomicPtr::new(ptr::null_mut());
    let Some(next) = next(c"getaddrinfo", &NEXT) else { return libc::EAI_SYSTEM };
    // SAFETY: that is the type of the function of that name.
    let next: GetAddrInfo = unsafe { mem::transmute(next) };
    // SAFETY: the caller's promise.
    elsewhere(libc::EAI_SYSTEM, || unsafe { next(node, service, hints, found) })
}

/// As `getnameinfo` in C.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn getnameinfo(
    address: *const sockaddr,
    address_len: socklen_t,
    host: *mut c_char,
    host_len: socklen_t,
    service: *mut c_char,
    service_len: socklen_t,
    flags: c_int,
) -> c_int {
    static NEXT: AtomicPtr<c_void> = AtomicPtr::new(ptr::null_mut());
    let Some(next) = next(c"getnameinfo", &NEXT) else { return libc::EAI_SYSTEM };
    // SAFETY: that is the type of the function of that name.
    let next: GetNameInfo = unsafe { mem::transmute(next) };
    // SAFETY: the caller's promise.
    elsewhere(libc::EAI_SYSTEM, || unsafe {
        next(address, address_len, host, host_len, service, service_len, flags)
    })
}
