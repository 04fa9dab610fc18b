//! `poll` and `select`.

use std::io::Write;
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use crate::support::{in_green, while_others_run};

fn poll(fds: &[(i32, i16)], timeout: i32) -> (i32, Vec<i16>) {
    let mut asked: Vec<_> = fds
        .iter()
        .map(|(fd, events)| libc::pollfd { fd: *fd, events: *events, revents: 0 })
        .collect();
    // SAFETY: the list is as long as it says.
    let found = unsafe { libc::poll(asked.as_mut_ptr(), asked.len() as libc::nfds_t, timeout) };
    (found, asked.iter().map(|asked| asked.revents).collect())
}

#[test]
fn poll_waits_for_the_first_of_several() {
    let pairs: Vec<_> = (0..10).map(|_| UnixStream::pair().unwrap()).collect();
    let fds: Vec<_> = pairs.iter().map(|(here, _)| (here.as_raw_fd(), libc::POLLIN)).collect();
    let mut writer = pairs[7].1.try_clone().unwrap();
    let (found, revents) =
        while_others_run(move || poll(&fds, -1), move || writer.write_all(b"x").unwrap());
    assert_eq!(found, 1);
    assert_eq!(revents, [0, 0, 0, 0, 0, 0, 0, libc::POLLIN, 0, 0]);
}

#[test]
fn poll_ends_with_its_time_out() {
    let (elapsed, found) = in_green(|| {
        let (here, _there) = UnixStream::pair().unwrap();
        let start = Instant::now();
        let found = poll(&[(here.as_raw_fd(), libc::POLLIN), (-1, 0)], 30);
        (start.elapsed(), found)
    });
    assert!(elapsed >= Duration::from_millis(30));
    assert_eq!(found, (0, vec![0, 0]));
}

#[test]
fn select_waits_and_tells_what_is_left_of_its_time() {
    let (here, mut there) = UnixStream::pair().unwrap();
    let (found, is_set, left) = while_others_run(
        move || {
            let fd = here.as_raw_fd();
            // SAFETY: the sets and the time are valid.
            unsafe {
                let mut readable: libc::fd_set = std::mem::zeroed();
                libc::FD_SET(fd, &mut readable);
                let mut limit = libc::timeval { tv_sec: 50, tv_usec: 0 };
                let none = std::ptr::null_mut();
                let found = libc::select(fd + 1, &mut readable, none, none, &mut limit);
                (found, libc::FD_ISSET(fd, &readable), limit.tv_sec)
            }
        },
        move || there.write_all(b"x").unwrap(),
    );
    assert_eq!((found, is_set), (1, true));
    assert!((1..50).contains(&left));
}

#[test]
fn select_with_no_sets_is_a_sleep() {
    while_others_run(
        || {
            let start = Instant::now();
            let mut limit = libc::timeval { tv_sec: 0, tv_usec: 300_000 };
            let none = std::ptr::null_mut();
            // SAFETY: the time is valid.
            assert_eq!(unsafe { libc::select(0, none, none, none, &mut limit) }, 0);
            assert!(start.elapsed() >= Duration::from_millis(300));
        },
        || {},
    );
}
