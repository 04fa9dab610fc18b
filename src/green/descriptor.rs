//! Waiting for a descriptor, for programs that read and write without blocking themselves.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout};

use super::interrupt;
use super::poller::wait_for;
use super::thread::Green;
use super::watches::Polled;

/// Waits until something can be read from a descriptor, for at most `timeout` if one is given, and
/// gives true if it can. Other green threads run meanwhile.
///
/// For descriptors that the program reads by itself, without blocking. (gevent's `wait_read`.)
///
/// ```
/// use std::io::{Read, Write};
/// use std::os::unix::net::UnixStream;
/// use std::time::Duration;
/// let (mut here, mut there) = UnixStream::pair()?;
/// assert!(!minihuey::green::wait_readable(&here, Some(Duration::from_millis(1)))?);
/// there.write_all(b"news")?;
/// assert!(minihuey::green::wait_readable(&here, None)?);
/// # assert_eq!(here.read(&mut [0; 10])?, 4);
/// # Ok::<(), std::io::Error>(())
/// ```
///
/// # Errors
/// What the system says of a descriptor that can't be waited for, such as a directory; `EBADF` if
/// it was closed meanwhile; [`WouldBlock`](std::io::ErrorKind::WouldBlock) in a destructor while a
/// panic unwinds in a green thread, which can't wait then.
pub fn wait_readable(descriptor: &impl AsFd, timeout: Option<Duration>) -> io::Result<bool> {
    wait_descriptor(descriptor.as_fd(), (libc::EPOLLIN | libc::EPOLLRDHUP) as u32, timeout)
}

/// As [`wait_readable`], until something can be written.
///
/// # Errors
/// As [`wait_readable`].
pub fn wait_writable(descriptor: &impl AsFd, timeout: Option<Duration>) -> io::Result<bool> {
    wait_descriptor(descriptor.as_fd(), libc::EPOLLOUT as u32, timeout)
}

fn wait_descriptor(
    descriptor: BorrowedFd<'_>,
    events: u32,
    timeout: Option<Duration>,
) -> io::Result<bool> {
    let deadline = timeout.and_then(|timeout| Instant::now().checked_add(timeout));
    if let Some(green) = Green::current() {
        let polled = wait_for(&green, &[(descriptor.as_raw_fd(), events)], deadline);
        return match polled {
            Ok(Polled::Ready) => Ok(true),
            Ok(Polled::TimedOut) => Ok(false),
            Ok(Polled::Closed) => Err(io::Error::from_raw_os_error(libc::EBADF)),
            Ok(Polled::Interrupted) => interrupt::unwind(),
            Ok(Polled::Impossible) => Err(io::ErrorKind::WouldBlock.into()),
            // A file is always ready.
            Err(error) if error.raw_os_error() == Some(libc::EPERM) => Ok(true),
            Err(error) => Err(error),
        };
    }
    // What poll(2) and epoll ask for has the same numbers.
    let mut asked = [PollFd::new(descriptor, PollFlags::from_bits_truncate(events as i16))];
    loop {
        let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
        // In whole milliseconds, rounded up; a longer time-out than poll(2) has is taken in parts.
        let part = left.map_or(PollTimeout::NONE, |left| {
            let millis = left.as_nanos().div_ceil(1_000_000);
            PollTimeout::try_from(millis).unwrap_or(PollTimeout::MAX)
        });
        match nix::poll::poll(&mut asked, part) {
            Ok(0) if left.is_some_and(|left| left.is_zero()) => return Ok(false),
            Ok(0) | Err(Errno::EINTR) => {}
            Ok(_)
                if asked[0].revents().is_some_and(|found| found.contains(PollFlags::POLLNVAL)) =>
            {
                return Err(io::Error::from_raw_os_error(libc::EBADF));
            }
            Ok(_) => return Ok(true),
            Err(errno) => return Err(errno.into()),
        }
    }
}
