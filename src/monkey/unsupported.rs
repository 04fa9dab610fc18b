//! Makes ordinary blocking calls cooperate: on Linux with glibc only, which this is not.

use std::fmt;

use crate::error::Error;

/// What [`patch_all`] did: here, nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Patched(());

impl Patched {
    /// No call cooperates.
    pub fn calls(&self) -> &'static [&'static str] {
        &[]
    }
}

impl fmt::Display for Patched {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("nothing")
    }
}

/// Always fails.
///
/// # Errors
/// [`Error::NotPatched`].
pub fn patch_all() -> Result<Patched, Error> {
    let here = match std::env::consts::OS {
        "linux" => "Linux with another libc",
        other => other,
    };
    Err(Error::NotPatched(format!("expected Linux with glibc, this is {here}")))
}

/// False.
pub fn is_patched() -> bool {
    false
}
