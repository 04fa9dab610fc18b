//! What each descriptor is, as far as `read` and `write` need to know: a byte for each, looked up
//! once and forgotten when the descriptor is closed.

use std::ffi::c_int;
use std::ptr;
use std::sync::atomic::{AtomicPtr, AtomicU8, Ordering};

use super::lazy::Lazy;
use super::raw;

const UNKNOWN: u8 = 0;
const SOCKET: u8 = 1;
const PIPE: u8 = 2;
const OTHER: u8 = 3;

/// Beside [`SOCKET`].
const CONTESTED: u8 = 1 << 7;

/// What a descriptor is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Socket,
    Pipe,
    /// A file, a terminal, an eventfd …: left to the kernel.
    Other,
}

const CHUNK: usize = 4096;

/// Bytes for 4,096 descriptors each, made when the first of them is looked up.
static CHUNKS: [Lazy<[AtomicU8; CHUNK]>; 256] =
    [const { Lazy::of(AtomicPtr::new(ptr::null_mut())) }; 256];

fn entry(fd: c_int) -> Option<&'static AtomicU8> {
    let fd = usize::try_from(fd).ok()?;
    let chunk = CHUNKS.get(fd / CHUNK)?.get_or_make(|| [const { AtomicU8::new(UNKNOWN) }; CHUNK]);
    Some(&chunk[fd % CHUNK])
}

// ORDERING (of all below): Relaxed. A byte says what its own descriptor is and guards nothing;
// whoever uses a descriptor while another thread closes it has that race with the kernel, too.

/// What the descriptor is. Standard input, output and error are always [`Kind::Other`].
#[inline]
pub fn kind(fd: c_int) -> Kind {
    if fd <= libc::STDERR_FILENO {
        return Kind::Other;
    }
    let Some(entry) = entry(fd) else { return of_file_type(raw::file_type(fd)) };
    let was = entry.load(Ordering::Relaxed);
    match was & !CONTESTED {
        SOCKET => Kind::Socket,
        PIPE => Kind::Pipe,
        OTHER => Kind::Other,
        _ => {
            let found = raw::file_type(fd);
            let kind = of_file_type(found);
            // One that is not open is none for good.
            if found.is_some() {
                // Unless somebody has noted something meanwhile.
                let byte = was | byte_of(kind);
                let _ = entry.compare_exchange(was, byte, Ordering::Relaxed, Ordering::Relaxed);
            }
            kind
        }
    }
}

fn of_file_type(found: Option<libc::mode_t>) -> Kind {
    match found {
        Some(libc::S_IFSOCK) => Kind::Socket,
        Some(libc::S_IFIFO) => Kind::Pipe,
        _ => Kind::Other,
    }
}

/// The descriptor is this from now on.
pub fn note(fd: c_int, kind: Kind) {
    if let Some(entry) = entry(fd) {
        entry.store(byte_of(kind), Ordering::Relaxed);
    }
}

fn byte_of(kind: Kind) -> u8 {
    match kind {
        Kind::Socket => SOCKET,
        Kind::Pipe => PIPE,
        Kind::Other => OTHER,
    }
}

/// Others than green threads accept connections from it, or may.
pub fn note_contested(fd: c_int) {
    if let Some(entry) = entry(fd)
        && kind(fd) == Kind::Socket
    {
        entry.fetch_or(CONTESTED, Ordering::Relaxed);
    }
}

/// [`note_contested`] was called since it was opened.
pub fn is_contested(fd: c_int) -> bool {
    entry(fd).is_some_and(|entry| entry.load(Ordering::Relaxed) & CONTESTED != 0)
}

/// The descriptor is about to be closed.
pub fn forget(fd: c_int) {
    if let Some(entry) = entry(fd) {
        entry.store(UNKNOWN, Ordering::Relaxed);
    }
}
