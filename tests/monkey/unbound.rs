//! Where the linker did not bind the program's calls to ours.

use std::ffi::{CStr, CString, c_char};
use std::os::unix::ffi::OsStrExt;

#[test]
fn a_library_whose_calls_are_bound_to_libc_says_that_it_is_not_patched() {
    let here = std::env::current_exe().unwrap();
    let library = here.parent().unwrap().with_file_name("examples").join("libunbound.so");
    if !library.exists() {
        assert!(std::env::var_os("CI").is_none(), "{} is not there", library.display());
        println!("skipped: {} is not built; `cargo test` builds it", library.display());
        return;
    }
    let path = CString::new(library.as_os_str().as_bytes()).unwrap();
    // SAFETY: the library is ours, its function has this type, and the text that it gives lives as
    // long as the library, which is never unloaded.
    let text = unsafe {
        let library = libc::dlopen(path.as_ptr(), libc::RTLD_NOW | libc::RTLD_LOCAL);
        assert!(!library.is_null());
        let function = libc::dlsym(library, c"try_to_patch".as_ptr());
        assert!(!function.is_null());
        let try_to_patch: extern "C" fn() -> *const c_char = std::mem::transmute(function);
        let text = try_to_patch();
        assert!(!text.is_null(), "it believes to be patched");
        CStr::from_ptr(text).to_str().unwrap()
    };
    assert!(text.contains("bound to libc") && text.contains("expected"), "{text}");
}
