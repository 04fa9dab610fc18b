//! A shared library with minihuey in it, loaded by a program whose calls are bound to libc.

use std::ffi::CString;
use std::sync::OnceLock;

/// Tries to patch; gives the error as text, or null if there is none.
// SAFETY: no other function of the program has this name.
#[unsafe(no_mangle)]
pub extern "C" fn try_to_patch() -> *const std::ffi::c_char {
    static TEXT: OnceLock<CString> = OnceLock::new();
    match minihuey::monkey::patch_all() {
        Ok(_) => std::ptr::null(),
        Err(error) => {
            TEXT.get_or_init(|| CString::new(error.to_string()).unwrap_or_default()).as_ptr()
        }
    }
}
