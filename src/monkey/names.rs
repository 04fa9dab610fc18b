//! Name resolution, which is glibc's own and talks to servers and files as it likes: in a green
//! thread it is left to an OS thread.

use std::ffi::{c_char, c_int, c_void};
use std::mem;
use std::sync::OnceLock;

use libc::{addrinfo, sockaddr, socklen_t};

use super::elsewhere::elsewhere;

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
fn next(name: &'static std::ffi::CStr, found: &'static OnceLock<usize>) -> Option<*mut c_void> {
    // SAFETY: the name ends with a zero; RTLD_NEXT is for just this.
    let find = || unsafe { libc::dlsym(libc::RTLD_NEXT, name.as_ptr()) } as usize;
    let found = *found.get_or_init(find);
    (found != 0).then_some(found as *mut c_void)
}

/// As `getaddrinfo` in C.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn getaddrinfo(
    node: *const c_char,
    service: *const c_char,
    hints: *const addrinfo,
    found: *mut *mut addrinfo,
) -> c_int {
    static NEXT: OnceLock<usize> = OnceLock::new();
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
    static NEXT: OnceLock<usize> = OnceLock::new();
    let Some(next) = next(c"getnameinfo", &NEXT) else { return libc::EAI_SYSTEM };
    // SAFETY: that is the type of the function of that name.
    let next: GetNameInfo = unsafe { mem::transmute(next) };
    // SAFETY: the caller's promise.
    elsewhere(libc::EAI_SYSTEM, || unsafe {
        next(address, address_len, host, host_len, service, service_len, flags)
    })
}
