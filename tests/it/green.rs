//! Green threads: sleeping, yielding, and how they share their worker.

use std::cell::Cell;
use std::io::Write;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use minihuey::{MiniHuey, TaskError, green};

use crate::support::{Gate, LIMIT, next, until};

#[test]
fn sleep_lasts_at_least_as_long_as_it_was_told_in_both_kinds_of_threads() {
    let huey = MiniHuey::new("sleep");
    let nap = huey.task("nap", |millis: u64| {
        let start = Instant::now();
        green::sleep(Duration::from_millis(millis));
        start.elapsed()
    });
    for millis in [0, 1, 5, 20] {
        assert!(nap.call((millis,)).get().unwrap() >= Duration::from_millis(millis));
        assert!(nap.call_local((millis,)).unwrap() >= Duration::from_millis(millis));
    }
}

#[test]
fn all_green_threads_run_on_one_worker_and_never_leave_it() {
    thread_local!(static VISITS: Cell<u64> = const { Cell::new(0) });
    let huey = MiniHuey::new("one worker");
    let visit = huey.task("visit", || {
        let thread = std::thread::current().id();
        for _ in 0..20 {
            VISITS.set(VISITS.get() + 1);
            green::sleep(Duration::from_micros(100));
            green::yield_now();
            assert_eq!(std::thread::current().id(), thread);
        }
        thread
    });
    let mut threads = visit.map((0..50).map(|_| ())).get().unwrap();
    threads.dedup();
    assert_eq!(threads.len(), 1);
    let visits = huey.task("visits", || VISITS.get());
    assert_eq!(visits.call(()).get().unwrap(), 1000);
}

#[test]
fn a_task_that_only_yields_lets_others_sleep_and_wake() {
    let huey = MiniHuey::new("polite");
    let done = Arc::new(AtomicBool::new(false));
    let spin = huey.task("spin", {
        let done = done.clone();
        move || {
            while !done.load(Ordering::Relaxed) {
                green::yield_now();
            }
        }
    });
    let spinners = [spin.call(()), spin.call(())];
    let nap = huey.task("nap", || green::sleep(Duration::from_millis(5)));
    for _ in 0..10 {
        nap.call(()).get_timeout(LIMIT).unwrap();
    }
    done.store(true, Ordering::Relaxed);
    for spinner in spinners {
        spinner.get().unwrap();
    }
}

/// Nobody who waits beside a load is starved if half of the waits are shorter than this: the hub
/// and may's selector have their turns within 10 ms, unless the machine is busy with something
/// else.
const STARVED: Duration = Duration::from_millis(100);

#[track_caller]
fn assert_not_starved(mut waits: Vec<Duration>) {
    waits.sort();
    let median = waits[waits.len() / 2];
    assert!(median < STARVED, "half of them waited for {median:?} or longer");
}

#[test]
fn tasks_that_keep_each_other_busy_starve_nobody() {
    let huey = MiniHuey::new("busy");
    let done = Arc::new(AtomicBool::new(false));
    let leaf = huey.task("leaf", || ());
    let busy = huey.task("busy", {
        let done = done.clone();
        move || {
            while !done.load(Ordering::Relaxed) {
                leaf.call(()).get().unwrap();
            }
        }
    });
    let busy = busy.call(());
    let nap = huey.task("nap", || green::sleep(Duration::from_millis(1)));
    let (sender, receiver) = mpsc::channel();
    let (mut naps, mut mays_own) = (Vec::new(), Vec::new());
    for _ in 0..20 {
        let start = Instant::now();
        nap.call(()).get_timeout(LIMIT).unwrap();
        naps.push(start.elapsed());
        // Not only ours: also what may itself serves.
        let sender = sender.clone();
        let start = Instant::now();
        may::go!(move || sender.send(()).unwrap());
        next(&receiver);
        mays_own.push(start.elapsed());
    }
    done.store(true, Ordering::Relaxed);
    busy.get().unwrap();
    assert_not_starved(naps);
    assert_not_starved(mays_own);
}

#[test]
fn a_thread_that_saturates_the_pool_does_not_starve_sleepers() {
    let huey = MiniHuey::builder("saturated").backlog(10_000).build();
    let count = Arc::new(AtomicU64::new(0));
    let work = huey.task("work", {
        let count = count.clone();
        move || {
            count.fetch_add(1, Ordering::Relaxed);
            // Longer than a call takes: else the worker idles while the next one is made.
            let start = Instant::now();
            while start.elapsed() < Duration::from_micros(20) {}
        }
    });
    let done = Arc::new(AtomicBool::new(false));
    let producer = std::thread::spawn({
        let done = done.clone();
        move || {
            while !done.load(Ordering::Relaxed) {
                drop(work.call(()));
            }
        }
    });
    // Of its own huey: the other's backlog is full.
    let calm = MiniHuey::new("calm");
    let leaf = calm.task("leaf", || ());
    let both = calm.task("both", move || {
        green::sleep(Duration::from_millis(1));
        leaf.call(()).get().unwrap();
    });
    let waits = (0..20).map(|_| {
        let start = Instant::now();
        both.call(()).get_timeout(LIMIT).unwrap();
        start.elapsed()
    });
    let waits = waits.collect();
    done.store(true, Ordering::Relaxed);
    producer.join().unwrap();
    assert_not_starved(waits);
    assert!(count.load(Ordering::Relaxed) > 0);
}

#[test]
fn a_coroutine_that_may_runs_can_call_and_wait() {
    let huey = MiniHuey::new("guests");
    let nap = huey.task("nap", |n: u32| {
        green::sleep(Duration::from_millis(2));
        n
    });
    nap.call((0,)).get().unwrap();
    let (sender, receiver) = mpsc::channel();
    for n in 0..10 {
        let (nap, sender) = (nap.clone(), sender.clone());
        may::go!(move || {
            assert!(green::is_green());
            green::sleep(Duration::from_millis(1));
            sender.send(nap.call((n,)).get().unwrap()).unwrap();
        });
    }
    let mut seen: Vec<_> = (0..10).map(|_| next(&receiver)).collect();
    seen.sort();
    assert_eq!(seen, (0..10).collect::<Vec<_>>());
}

#[test]
fn a_task_that_waits_by_mays_own_means_is_still_itself() {
    let huey = MiniHuey::builder("mixed").pool_size(1).build();
    let leaf = huey.task("leaf", |n: u32| n);
    let mixed = huey.task("mixed", move |n: u32| {
        may::coroutine::sleep(Duration::from_millis(2));
        leaf.call((n,)).get().unwrap()
    });
    let values = mixed.map((0..10).map(|n| (n,))).get_timeout(LIMIT).unwrap();
    assert_eq!(values, (0..10).collect::<Vec<_>>());
}

#[test]
fn green_threads_wait_for_descriptors_while_others_run() {
    let huey = MiniHuey::new("descriptors");
    let (mut here, there) = UnixStream::pair().unwrap();
    let (waits, waiting) = mpsc::channel();
    let wait = huey.try_task("wait", move || {
        waits.send(()).unwrap();
        green::wait_readable(&there, None)
    });
    let waits = wait.call(());
    next(&waiting);
    let others = huey.task("other", || 7).map((0..10).map(|_| ()));
    assert_eq!(others.get().unwrap(), [7; 10]);
    here.write_all(b"now").unwrap();
    assert!(waits.get().unwrap());
}

#[test]
fn a_wait_for_a_descriptor_ends_with_its_time_out() {
    let nothing = || {
        let (here, _there) = UnixStream::pair()?;
        green::wait_readable(&here, Some(Duration::from_millis(1)))
    };
    assert!(!nothing().unwrap());
    let huey = MiniHuey::new("descriptors");
    assert!(!huey.try_task("nothing", nothing).call(()).get().unwrap());
}

#[test]
fn what_is_spawned_runs_in_a_green_thread_wherever_it_is_spawned() {
    let inside = || green::spawn(|| (green::is_green(), std::thread::current().id()));
    let (is_green, worker) = inside().join().unwrap();
    assert!(is_green);
    let nested = green::spawn(move || inside().join().unwrap()).join().unwrap();
    assert_eq!(nested, (true, worker));
    let huey = MiniHuey::builder("spawns").pool_size(1).build();
    let leaf = huey.task("leaf", || 5);
    // The task's place is lent while it waits for the green thread, so the leaf can run.
    let task = huey.task("task", move || {
        let leaf = leaf.clone();
        green::spawn(move || leaf.call(()).get().unwrap()).join().unwrap()
    });
    assert_eq!(task.call(()).get_timeout(LIMIT).unwrap(), 5);
    assert_eq!(pollster::block_on(async { green::spawn(|| 7).await }).unwrap(), 7);
    let (sender, receiver) = mpsc::channel();
    may::go!(move || sender.send(green::spawn(|| 8).join().unwrap()).unwrap());
    assert_eq!(next(&receiver), 8);
}

#[test]
fn a_handle_tells_what_became_of_its_green_thread() {
    let gate = Gate::default();
    let its = gate.clone();
    let mut waits = green::spawn(move || its.pass());
    assert!(!waits.is_finished());
    let timed_out = waits.join_timeout(Duration::from_millis(1)).unwrap_err();
    assert!(matches!(timed_out, TaskError::WaitTimedOut));
    gate.open();
    until("it ends", || waits.is_finished());
    waits.join_timeout(LIMIT).unwrap();
    assert!(matches!(waits.join(), Err(TaskError::AlreadyTaken)));

    match green::spawn(|| panic!("no luck")).join() {
        Err(TaskError::Panicked(panic)) => {
            assert_eq!((panic.message(), panic.task()), ("no luck", "green::spawn"));
            assert!(panic.place().unwrap().contains("green.rs"));
        }
        other => panic!("{other:?}"),
    }
    #[allow(unconditional_recursion, reason = "that is the point")]
    fn endless(n: u64) -> u64 {
        let frame = std::hint::black_box([n; 64]);
        endless(n + 1) + frame[3]
    }
    let overflows = green::spawn(|| endless(0));
    assert!(matches!(overflows.join(), Err(TaskError::StackOverflow)));
    assert_eq!(green::spawn(|| 1).join().unwrap(), 1, "everything else goes on");
}

#[test]
fn a_green_thread_runs_on_when_its_handle_is_dropped() {
    let (sender, receiver) = mpsc::channel();
    for n in 0..1000 {
        let sender = sender.clone();
        drop(green::spawn(move || {
            green::sleep(Duration::from_millis(1));
            sender.send(n).unwrap();
        }));
    }
    let mut seen: Vec<_> = (0..1000).map(|_| next(&receiver)).collect();
    seen.sort();
    assert_eq!(seen, (0..1000).collect::<Vec<_>>());
}

#[test]
fn a_descriptor_that_is_not_open_is_an_error_for_both_kinds_of_threads() {
    struct Closed;
    impl std::os::fd::AsFd for Closed {
        fn as_fd(&self) -> std::os::fd::BorrowedFd<'_> {
            // Nobody has so many.
            unsafe { std::os::fd::BorrowedFd::borrow_raw(1 << 30) }
        }
    }
    let wait = || green::wait_readable(&Closed, None).map_err(|error| error.raw_os_error());
    let expected = Err(Some(libc::EBADF));
    assert_eq!(wait(), expected);
    assert_eq!(MiniHuey::new("closed").task("wait", wait).call(()).get().unwrap(), expected);
}
