//! `poll` and `select`.

use std::io::Write;
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use crate::support::{in_green, next, start, while_others_run};

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

#[test]
fn select_takes_sets_for_more_than_1024_descriptors() {
    const WORDS: usize = 2_048 / 64;
    let (here, mut there) = UnixStream::pair().unwrap();
    // SAFETY: the struct is valid; the limit may be raised that far; the copy has one owner.
    let fd = unsafe {
        let mut limit: libc::rlimit = std::mem::zeroed();
        assert_eq!(libc::getrlimit(libc::RLIMIT_NOFILE, &mut limit), 0);
        limit.rlim_cur = limit.rlim_max;
        assert_eq!(libc::setrlimit(libc::RLIMIT_NOFILE, &limit), 0);
        libc::fcntl(here.as_raw_fd(), libc::F_DUPFD_CLOEXEC, 1_500)
    };
    assert!(fd >= 1_500, "{}", std::io::Error::last_os_error());
    let (found, set) = while_others_run(
        move || {
            let mut set = [0_u64; WORDS];
            set[fd as usize / 64] |= 1 << (fd % 64);
            let none = std::ptr::null_mut();
            // SAFETY: the set has as many bits as it says.
            let found =
                unsafe { libc::select(2_048, set.as_mut_ptr().cast(), none, none, none.cast()) };
            (found, set)
        },
        move || there.write_all(b"x").unwrap(),
    );
    assert_eq!(found, 1);
    assert_eq!(set[fd as usize / 64], 1 << (fd % 64));
    // SAFETY: it was made above.
    unsafe { libc::close(fd) };
}

#[test]
fn select_reads_no_more_of_its_sets_than_the_kernel_does() {
    // The kernel looks at no more bits than its table of descriptors has, which is shorter than
    // this, at the least by half.
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let size = status.lines().find_map(|line| line.strip_prefix("FDSize:")).unwrap();
    let page = 4_096;
    // A page is enough for a table of 32,768, and what comes after it can't be read.
    assert!(size.trim().parse::<usize>().unwrap() <= page * 8);
    // SAFETY: the pages are new, and only the first is used.
    let found = unsafe {
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
        let pages = libc::mmap(std::ptr::null_mut(), 2 * page, libc::PROT_NONE, flags, -1, 0);
        assert_ne!(pages, libc::MAP_FAILED);
        assert_eq!(libc::mprotect(pages, page, libc::PROT_READ | libc::PROT_WRITE), 0);
        let set = pages as usize;
        in_green(move || {
            let none = std::ptr::null_mut();
            let mut limit = libc::timeval { tv_sec: 0, tv_usec: 1_000 };
            libc::select(1_000_000, set as *mut libc::fd_set, none, none, &mut limit)
        })
    };
    assert_eq!(found, 0);
}

#[test]
fn a_cancelled_select_leaves_its_sets_as_they_were() {
    let (here, there) = UnixStream::pair().unwrap();
    let (sends, received) = std::sync::mpsc::channel();
    let selects = start(move || {
        let fd = here.as_raw_fd();
        // SAFETY: the set is valid.
        unsafe {
            let mut readable: libc::fd_set = std::mem::zeroed();
            libc::FD_SET(fd, &mut readable);
            let none = std::ptr::null_mut();
            sends.send((0, None, true)).unwrap();
            let found = libc::select(fd + 1, &mut readable, none, none, none.cast());
            let errno = std::io::Error::last_os_error().raw_os_error();
            sends.send((found, errno, libc::FD_ISSET(fd, &readable))).unwrap();
        }
    });
    next(&received);
    // It waits.
    in_green(|| (0..10).for_each(|_| minihuey::green::sleep(Duration::from_millis(1))));
    assert!(selects.cancel());
    assert_eq!(next(&received), (-1, Some(libc::ECANCELED), true));
    drop(there);
}
