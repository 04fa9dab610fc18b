//! Closing, reuse of descriptors, dup and fork.

use std::io::{Read, Write};
use std::os::fd::{AsRawFd, FromRawFd, IntoRawFd};
use std::os::unix::net::UnixStream;

use crate::support::{get, in_green, start, while_others_run};

fn read_raw(fd: i32) -> (isize, i32) {
    let mut bytes = [0_u8; 10];
    // SAFETY: the buffer is as long as it says.
    let got = unsafe { libc::recv(fd, bytes.as_mut_ptr().cast(), bytes.len(), 0) };
    (got, std::io::Error::last_os_error().raw_os_error().unwrap())
}

#[test]
fn closing_wakes_who_waits() {
    let (here, there) = UnixStream::pair().unwrap();
    let fd = there.into_raw_fd();
    // SAFETY: it is closed here and nowhere else.
    let close = move || assert_eq!(unsafe { libc::close(fd) }, 0);
    assert_eq!(while_others_run(move || read_raw(fd), close), (-1, libc::EBADF));
    drop(here);
}

#[test]
fn replacing_a_descriptor_by_dup2_wakes_who_waits() {
    let (here, there) = UnixStream::pair().unwrap();
    let (other, another) = UnixStream::pair().unwrap();
    let fd = there.as_raw_fd();
    let replace = move || {
        // SAFETY: no memory is involved.
        assert_eq!(unsafe { libc::dup2(another.as_raw_fd(), fd) }, fd);
    };
    assert_eq!(while_others_run(move || read_raw(fd), replace), (-1, libc::EBADF));
    drop((here, there, other));
}

#[test]
fn a_descriptors_number_may_be_another_sockets_or_files_at_once() {
    let reused = in_green(|| {
        let mut reused = 0;
        for round in 0..10_000 {
            let (mut here, mut there) = UnixStream::pair().unwrap();
            let numbers = [here.as_raw_fd(), there.as_raw_fd()];
            let reader = (round % 100 == 0).then(|| {
                let mut clone = there.try_clone().unwrap();
                start(move || clone.read(&mut [0; 3]).unwrap())
            });
            minihuey::green::yield_now();
            here.write_all(b"abc").unwrap();
            match reader {
                Some(reader) => assert_eq!(get(reader), 3),
                None => assert_eq!(there.read(&mut [0; 3]).unwrap(), 3),
            }
            drop((here, there));
            // The same number, as a file.
            let file = std::fs::File::open("/dev/zero").unwrap();
            let mut byte = [1];
            (&file).read_exact(&mut byte).unwrap();
            assert_eq!(byte, [0]);
            reused += usize::from(numbers.contains(&file.as_raw_fd()));
        }
        reused
    });
    assert!(reused > 0, "numbers were to be reused");
}

#[test]
fn a_copy_of_a_descriptor_outlives_the_original() {
    let (mut here, there) = UnixStream::pair().unwrap();
    // SAFETY: no memory is involved; the new descriptor has one owner.
    let mut copy = unsafe { UnixStream::from_raw_fd(libc::dup(there.as_raw_fd())) };
    let read = while_others_run(
        move || copy.read(&mut [0; 10]).unwrap(),
        move || {
            drop(there);
            here.write_all(b"still there").unwrap();
            drop(here);
        },
    );
    assert_eq!(read, 10);
}

#[test]
fn the_child_of_a_fork_closes_without_harm_to_its_parent() {
    let (mut here, mut there) = UnixStream::pair().unwrap();
    let fd = there.as_raw_fd();
    let read = while_others_run(
        move || there.read(&mut [0; 10]).unwrap(),
        move || {
            // SAFETY: the child makes calls only that are allowed after a fork, and ends.
            unsafe {
                let child = libc::fork();
                if child == 0 {
                    libc::close(fd);
                    libc::_exit(i32::from(minihuey::monkey::is_patched()));
                }
                let mut status = -1;
                assert_eq!(libc::waitpid(child, &mut status, 0), child);
                assert_eq!(status, 0, "the child is not patched");
            }
            here.write_all(b"to the parent").unwrap();
        },
    );
    assert_eq!(read, 10);
}
