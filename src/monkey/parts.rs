//! The buffers of a scattered call, and how far they have been filled or sent.

use std::ptr;

use libc::{iovec, msghdr};

/// Buffers of which a part may be done.
pub struct Parts<'a>(&'a mut [iovec]);

impl<'a> Parts<'a> {
    pub fn new(parts: &'a mut [iovec]) -> Parts<'a> {
        let mut parts = Parts(parts);
        parts.advance(0);
        parts
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// A message of what is left.
    pub fn message(&mut self) -> msghdr {
        message(self.0.as_mut_ptr(), self.0.len())
    }

    /// So many bytes more are done.
    pub fn advance(&mut self, mut bytes: usize) {
        while let Some(first) = self.0.first_mut() {
            if bytes < first.iov_len {
                first.iov_base = first.iov_base.wrapping_byte_add(bytes);
                first.iov_len -= bytes;
                return;
            }
            bytes -= first.iov_len;
            let rest = std::mem::take(&mut self.0);
            self.0 = &mut rest[1..];
        }
    }
}

/// A message without address and control data.
pub fn message(parts: *mut iovec, count: usize) -> msghdr {
    // SAFETY: all zero is a valid msghdr: no address, no parts, no control data.
    let mut message: msghdr = unsafe { std::mem::zeroed() };
    (message.msg_name, message.msg_control) = (ptr::null_mut(), ptr::null_mut());
    message.msg_iov = parts;
    message.msg_iovlen = count;
    message
}

/// How many bytes they have together.
///
/// # Safety
/// As `copy`.
pub unsafe fn total(parts: *const iovec, count: usize) -> usize {
    if count == 0 {
        return 0;
    }
    // SAFETY: the caller's promise.
    let parts = unsafe { std::slice::from_raw_parts(parts, count) };
    parts.iter().fold(0, |sum, part| sum.saturating_add(part.iov_len))
}

/// A copy of the list of buffers, not of the buffers.
///
/// # Safety
/// `parts` points to `count` of them, or `count` is 0.
pub unsafe fn copy(parts: *const iovec, count: usize) -> Vec<iovec> {
    if count == 0 {
        return Vec::new();
    }
    // SAFETY: the caller's promise.
    unsafe { std::slice::from_raw_parts(parts, count) }.to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_that_are_done_are_left_behind() {
        let mut bytes = [0_u8; 9];
        let base = bytes.as_mut_ptr();
        let part = |at: usize, len| iovec { iov_base: base.wrapping_add(at).cast(), iov_len: len };
        let mut list = [part(0, 0), part(0, 4), part(4, 0), part(4, 5)];
        let mut parts = Parts::new(&mut list);
        assert_eq!(parts.0.len(), 3);
        parts.advance(3);
        assert_eq!((parts.0[0].iov_base, parts.0[0].iov_len), (base.wrapping_add(3).cast(), 1));
        parts.advance(2);
        assert_eq!((parts.0[0].iov_base, parts.0[0].iov_len), (base.wrapping_add(5).cast(), 4));
        parts.advance(4);
        assert!(parts.is_empty());
    }
}
