//! Sleeps of all kinds, and yielding.

use std::time::{Duration, Instant};

use crate::support::{get, in_green, start};

/// A hundred at once, each `millis` long: one after another they would take a hundred times that,
/// however fast the machine is.
fn sleeps_together(millis: u64, sleep: fn()) {
    let begun = Instant::now();
    let naps: Vec<_> = (0..100)
        .map(|_| {
            start(move || {
                let begun = Instant::now();
                sleep();
                begun.elapsed()
            })
        })
        .collect();
    for nap in naps {
        assert!(get(nap) >= Duration::from_millis(millis));
    }
    assert!(begun.elapsed() < Duration::from_millis(millis * 100));
}

#[test]
fn stds_sleep_waits_while_others_run() {
    sleeps_together(100, || std::thread::sleep(Duration::from_millis(100)));
}

#[test]
fn the_sleeps_of_c_wait_while_others_run() {
    // SAFETY (of all): no memory but the structs on the stack is involved.
    sleeps_together(100, || assert_eq!(unsafe { libc::usleep(100_000) }, 0));
    sleeps_together(1000, || assert_eq!(unsafe { libc::sleep(1) }, 0));
    sleeps_together(100, || {
        let time = libc::timespec { tv_sec: 0, tv_nsec: 100_000_000 };
        assert_eq!(unsafe { libc::nanosleep(&time, std::ptr::null_mut()) }, 0);
    });
    for clock in [libc::CLOCK_MONOTONIC, libc::CLOCK_REALTIME, libc::CLOCK_BOOTTIME] {
        in_green(move || unsafe {
            let mut now = std::mem::zeroed();
            libc::clock_gettime(clock, &mut now);
            let begun = Instant::now();
            now.tv_sec += 1;
            let none = std::ptr::null_mut();
            assert_eq!(libc::clock_nanosleep(clock, libc::TIMER_ABSTIME, &now, none), 0);
            assert!(begun.elapsed() > Duration::from_millis(900));
            // In the past: at once.
            assert_eq!(libc::clock_nanosleep(clock, libc::TIMER_ABSTIME, &now, none), 0);
        });
    }
}

#[test]
fn stds_yield_lets_others_run() {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};
    let flag = Arc::new(AtomicBool::new(false));
    let seen = flag.clone();
    let waits = start(move || {
        while !seen.load(Ordering::SeqCst) {
            std::thread::yield_now();
        }
    });
    get(start(move || flag.store(true, Ordering::SeqCst)));
    get(waits);
}
