//! Tasks that outgrow their stack, at places where that is hard to bear.

#[cfg(target_arch = "x86_64")]
use std::arch::asm;
use std::hint::black_box;
use std::os::unix::process::ExitStatusExt;
use std::panic;
use std::pin::Pin;
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};
use std::task::{Context, Wake};
use std::thread;
use std::time::Duration;

use minihuey::sync::channel::bounded;
use minihuey::sync::{Condvar, Mutex, Pool, Semaphore};
use minihuey::{ManualClock, MiniHuey, TaskError, TaskResult, crontab, green, group};

use crate::child;
use crate::support::{LIMIT, endless, moment, until, utc, within_limit};

/// Goes down in steps of some `N` words, with a call at each.
#[inline(never)]
#[allow(unconditional_recursion, reason = "until the stack ends")]
fn descend<const N: usize>(call: &dyn Fn()) -> u64 {
    let frame = black_box([1u64; N]);
    call();
    descend::<N>(call) + frame[N - 1]
}

/// Outgrows the stack in or near `call`, at another place for each step.
fn assert_sound(name: &str, call: impl Fn(&MiniHuey) + Send + Sync + Clone + 'static) {
    let steps =
        [descend::<1>, descend::<3>, descend::<7>, descend::<13>, descend::<29>, descend::<61>];
    for step in steps {
        let huey = MiniHuey::new(name);
        let (inner, called) = (huey.clone(), call.clone());
        let dive = huey.task("dive", move || step(&|| called(&inner)));
        let error = dive.call(()).get().unwrap_err();
        assert!(matches!(error, TaskError::StackOverflow), "{name}: {error}");
        // What the dive called works as before.
        huey.stats();
        drop(huey.task("later", || ()).schedule((), Duration::from_secs(100)));
        huey.task("small", || ()).call(()).get().unwrap();
        call(&huey);
    }
}

#[test]
fn an_overflow_inside_a_call_of_the_library_leaves_no_lock_held() {
    child::run("overflow::an_overflow_inside_a_call_of_the_library_leaves_no_lock_held", || {
        within_limit(|| {
            assert_sound("stats", |huey| _ = huey.stats());
            assert_sound("declare", |huey| drop(huey.task("again", || ())));
            let other = MiniHuey::new("other");
            let late = other.task("late", || ());
            assert_sound("schedule", move |_| {
                drop(late.schedule((), Duration::from_secs(1000)));
            });
            let quick = other.task("quick", || ());
            assert_sound("call", move |_| drop(quick.call(())));
            assert_sound("join", move |_| {
                let _ = other.join(Duration::from_secs(1));
                other.stats();
            });
            assert_sound("sleep", |_| green::sleep(Duration::from_nanos(1)));
            assert_sound("yield", |_| green::yield_now());
            assert_sound("start and stop", |huey| {
                let _ = huey.start();
                let _ = huey.stop();
            });
            let lock = Arc::new(Mutex::new(()));
            // With a limit, for an overflow with the lock leaves it locked.
            assert_sound("lock", move |_| drop(lock.try_lock_for(Duration::from_nanos(1))));
            let (none, condvar) = (Arc::new(Semaphore::new(0)), Arc::new(Condvar::new()));
            assert_sound("wait", move |_| {
                drop(none.try_acquire_for(Duration::from_nanos(1)));
                condvar.wait_for(&mut Mutex::new(()).lock(), Duration::from_nanos(1));
                condvar.notify_one();
            });
            let (sender, receiver) = bounded(1);
            assert_sound("channel", move |_| {
                let _ = receiver.recv_timeout(Duration::from_nanos(1));
                let _ = sender.try_send(());
                let _ = sender.send_timeout((), Duration::from_nanos(1));
                let _ = receiver.try_recv();
            });
            let (used, unused) = (MiniHuey::new("used"), MiniHuey::new("unused"));
            used.task("task", || ()).call(()).get().unwrap();
            for huey in [used, unused] {
                assert_sound("shut down", move |_| drop(huey.shutdown(Duration::ZERO)));
            }
            let immediate = MiniHuey::builder("immediate").immediate(true).build();
            let here = immediate.task("here", || ());
            assert_sound("immediate", move |_| {
                drop(here.call(()));
                immediate.stats();
            });
            assert_sound("spawn", |_| drop(green::spawn(|| ())));
            let connections: Pool<[u8; 64], &str> =
                Pool::builder(|| Ok([0; 64])).max_size(1_000_000).build();
            assert_sound("connections", move |_| drop(connections.try_get()));
            assert_sound("group", |_| {
                let task = MiniHuey::new("leaf").task("leaf", || ());
                group([task.call(())]).as_completed().for_each(drop);
            });
        });
    });
}

#[test]
fn an_overflow_inside_a_manual_clock_leaves_no_lock_held() {
    child::run("overflow::an_overflow_inside_a_manual_clock_leaves_no_lock_held", || {
        within_limit(|| {
            let clock = ManualClock::at(utc("2024-01-01T00:00:30Z"));
            // One whom the clock tells that it was turned.
            let timed = MiniHuey::builder("timed").clock(&clock).build();
            timed.start().unwrap();
            let (read, turned) = (clock.clone(), clock);
            assert_sound("now", move |_| _ = read.now());
            assert_sound("advance", move |_| turned.advance(Duration::from_nanos(1)));
            timed.stats();
            let declared = Arc::new(AtomicUsize::new(0));
            assert_sound("declare periodic", move |_| {
                let name = declared.fetch_add(1, Ordering::Relaxed).to_string();
                timed.periodic_task(&name, crontab::hourly(), || ());
            });
        });
    });
}

/// An immediate huey runs the task on the stack of its caller.
#[test]
fn the_books_of_an_immediate_huey_balance_after_an_overflow() {
    let huey = MiniHuey::builder("immediate").immediate(true).build();
    let deep = huey.task("deep", || endless(0));
    let outer = MiniHuey::new("outer").task("outer", move || drop(deep.call(())));
    let error = outer.call(()).get().unwrap_err();
    assert!(matches!(error, TaskError::StackOverflow), "{error}");
    let stats = huey.stats();
    assert_eq!(stats.enqueued, stats.failed + stats.running as u64, "{stats:?}");
}

#[test]
fn an_overflow_while_results_are_let_go_leaves_no_lock_held() {
    child::run("overflow::an_overflow_while_results_are_let_go_leaves_no_lock_held", || {
        within_limit(|| {
            minihuey::runtime().stack_size(128 * 1024).start().unwrap();
            let other = MiniHuey::new("other");
            let quick = other.task("quick", || ());
            // Each behind a lock of its own: the dive ends while it has one.
            let results: Arc<[_]> =
                (0..200_000).map(|_| Mutex::new(Some(quick.call(())))).collect();
            other.join(LIMIT).unwrap();
            let next = Arc::new(AtomicUsize::new(0));
            // As many as make the thread's store of free memory overflow at every step.
            assert_sound("let go", move |_| {
                let first = next.fetch_add(64, Ordering::Relaxed);
                for result in results.iter().skip(first).take(64) {
                    drop(result.lock().take());
                }
            });
        });
    });
}

#[test]
fn work_larger_than_the_stack_runs_or_fails_alone() {
    child::run("overflow::work_larger_than_the_stack_runs_or_fails_alone", || {
        const SIZE: usize = 1 << 20;
        let body = || {
            let huey = MiniHuey::new("large");
            let small = huey.task("small", || 1);
            small.call(()).get().unwrap();
            let large = huey.task("large", |bytes: [u8; SIZE]| {
                bytes.iter().map(|byte| u64::from(*byte)).sum::<u64>()
            });
            match large.call(([1; SIZE],)).get_timeout(LIMIT) {
                Ok(sum) => assert_eq!(sum, SIZE as u64),
                Err(error) => assert!(matches!(error, TaskError::StackOverflow), "{error}"),
            }
            assert_eq!(small.call(()).get_timeout(LIMIT).unwrap(), 1);
        };
        // The caller has to hold the bytes, too.
        std::thread::Builder::new().stack_size(64 << 20).spawn(body).unwrap().join().unwrap();
    });
}

#[test]
fn a_callback_that_sleeps_after_an_overflow_does_not_hold_the_hub() {
    child::run("overflow::a_callback_that_sleeps_after_an_overflow_does_not_hold_the_hub", || {
        let huey = MiniHuey::new("callback");
        let quick = huey.task("quick", || 1);
        let nap = huey.task("nap", || green::sleep(Duration::from_millis(5)));
        let (sender, receiver) = mpsc::channel();
        huey.task("dive", || endless(0)).call(()).on_ready({
            let nap = nap.clone();
            move |result| {
                assert!(matches!(result, Err(TaskError::StackOverflow)));
                assert_eq!(quick.call(()).get().unwrap(), 1);
                nap.call(()).get().unwrap();
                green::sleep(Duration::from_millis(5));
                sender.send(()).unwrap();
            }
        });
        receiver.recv_timeout(LIMIT).unwrap();
        nap.call(()).get_timeout(LIMIT).unwrap();
    });
}

/// A waker that outgrows the stack of whoever wakes it.
struct DeepWaker;

impl Wake for DeepWaker {
    fn wake(self: Arc<DeepWaker>) {
        black_box(endless(0));
    }
}

#[test]
fn tasks_that_are_cancelled_unwind_though_a_waker_ends_their_canceller() {
    let huey = MiniHuey::new("cancelled");
    let nap = huey.task("nap", || green::sleep(10 * LIMIT));
    let mut naps: Vec<_> = (0..3).map(|_| nap.call(())).collect();
    until("they sleep", || huey.stats().running == naps.len());
    let waker = Arc::new(DeepWaker).into();
    assert!(Pin::new(&mut naps[0]).poll(&mut Context::from_waker(&waker)).is_pending());
    let naps = std::sync::Mutex::new(Some(group(naps)));
    let cancels = MiniHuey::new("cancels").task("cancels", move || {
        let naps = naps.lock().unwrap().take().unwrap();
        naps.cancel();
    });
    let error = cancels.call(()).get_timeout(LIMIT).unwrap_err();
    assert!(matches!(error, TaskError::StackOverflow), "{error}");
    huey.join(LIMIT).unwrap();
    assert_eq!(huey.stats().cancelled, 3);
}

/// Has a task shut `huey` down, with callbacks on `results` of which some outgrow its stack, and
/// expects all of them to be called.
fn shut_down_amid_overflows(huey: &MiniHuey, results: Vec<TaskResult<()>>) {
    let (tell, told) = mpsc::channel();
    let count = results.len();
    for (n, result) in results.into_iter().enumerate() {
        let tell = tell.clone();
        result.on_ready(move |result| {
            assert!(matches!(result, Err(TaskError::ShutDown)));
            tell.send(()).unwrap();
            // Two of them in a row.
            if n % 4 < 2 {
                black_box(endless(0));
            }
        });
    }
    let shut = huey.clone();
    let shuts = MiniHuey::new("shuts").task("shuts", move || drop(shut.shutdown(Duration::ZERO)));
    let error = shuts.call(()).get_timeout(LIMIT).unwrap_err();
    assert!(matches!(error, TaskError::StackOverflow), "{error}");
    for _ in 0..count {
        told.recv_timeout(LIMIT).unwrap();
    }
}

#[test]
fn all_that_a_shutdown_abandons_is_told_though_a_callback_ends_its_caller() {
    let huey = MiniHuey::builder("abandoned").pool_size(4).build();
    let nap = huey.task("nap", || green::sleep(10 * LIMIT));
    let results: Vec<_> = (0..8).map(|_| nap.call(())).collect();
    until("they sleep", || huey.stats().running == 4);
    // One for whom a thread waits, behind all others.
    let mut last = nap.call(());
    let waits = thread::spawn(move || last.get_timeout(LIMIT));
    shut_down_amid_overflows(&huey, results);
    assert!(matches!(waits.join().unwrap(), Err(TaskError::ShutDown)));
    huey.join(LIMIT).unwrap();
    let stats = huey.stats();
    assert_eq!((stats.running, stats.backlog, stats.abandoned), (0, 0, 9));

    let huey = MiniHuey::new("scheduled");
    let nap = huey.task("nap", || green::sleep(10 * LIMIT));
    shut_down_amid_overflows(&huey, (0..8).map(|_| nap.schedule((), 10 * LIMIT)).collect());
    assert_eq!(huey.stats().scheduled, 0);
}

#[test]
fn an_overflow_after_a_wait_of_mays_own_is_noticed() {
    child::run("overflow::an_overflow_after_a_wait_of_mays_own_is_noticed", || {
        let huey = MiniHuey::builder("may").pool_size(2).build();
        let (sender, receiver) = may::sync::mpsc::channel::<()>();
        let receiver = Arc::new(receiver);
        let dive = huey.task("dive", move || {
            receiver.recv().unwrap();
            endless(0)
        });
        let mut result = dive.call(());
        moment();
        // Another one runs between.
        huey.task("other", || green::sleep(Duration::from_millis(1))).call(()).get().unwrap();
        sender.send(()).unwrap();
        assert!(matches!(result.get_timeout(LIMIT), Err(TaskError::StackOverflow)));

        // This one goes on in the thread of may's timers.
        let late = huey.task("dive later", || {
            may::coroutine::sleep(Duration::from_millis(5));
            endless(0)
        });
        let error = late.call(()).get_timeout(LIMIT).unwrap_err();
        assert!(matches!(error, TaskError::StackOverflow), "{error}");
        assert_eq!(huey.task("after", || 1).call(()).get_timeout(LIMIT).unwrap(), 1);
    });
}

#[test]
fn what_ends_an_overflowing_task_first_is_what_result_and_books_say() {
    const TIMES: u32 = 300;
    child::run(
        "overflow::what_ends_an_overflowing_task_first_is_what_result_and_books_say",
        || {
            let huey = MiniHuey::new("race");
            let (begins, begun) = mpsc::channel();
            let dive = huey.task("dive", move || {
                begins.send(()).unwrap();
                endless(0)
            });
            let mut overflowed = 0;
            for turn in 0..TIMES {
                let mut result = dive.call(());
                begun.recv_timeout(LIMIT).unwrap();
                // From the moment it begins to some time after it was buried.
                (0..turn * 50).for_each(|_| std::hint::spin_loop());
                let cancelled = result.cancel();
                match result.get_timeout(LIMIT) {
                    Err(TaskError::Cancelled) if cancelled => {}
                    Err(TaskError::StackOverflow) if !cancelled => overflowed += 1,
                    other => panic!("{cancelled}: {other:?}"),
                }
            }
            huey.join(LIMIT).unwrap();
            let stats = huey.stats();
            assert_eq!(
                (stats.failed, stats.cancelled),
                (overflowed, u64::from(TIMES) - overflowed)
            );
            println!("{overflowed} of {TIMES} were not cancelled");
        },
    );
}

#[test]
fn a_thousand_overflows_one_after_another_are_all_told() {
    child::run("overflow::a_thousand_overflows_one_after_another_are_all_told", || {
        let huey = MiniHuey::new("often");
        let dive = huey.task("dive", || endless(0));
        for turn in 0..1_000 {
            let result = dive.call(()).get_timeout(LIMIT);
            assert!(matches!(result, Err(TaskError::StackOverflow)), "{turn}: {result:?}");
        }
    });
}

/// Goes down until no more than `left` bytes are left of a stack of `size`, whose top is near
/// `top`.
#[inline(never)]
fn descend_until(left: usize, size: usize, top: usize, then: &dyn Fn()) -> u64 {
    let frame = black_box([1u64; 16]);
    if top - (&raw const frame as usize) > size - left {
        then();
        return 0;
    }
    descend_until(left, size, top, then) + frame[15]
}

#[test]
fn a_panic_near_the_end_of_a_stack_fails_its_task_alone() {
    const SIZE: usize = 256 * 1024;
    child::run("overflow::a_panic_near_the_end_of_a_stack_fails_its_task_alone", || {
        // One that needs some stack itself; before the library puts its own in front of it.
        panic::set_hook(Box::new(|_| _ = black_box([1u8; 40 * 1024])));
        minihuey::runtime().stack_size(SIZE).start().unwrap();
        let huey = MiniHuey::new("near");
        let dive = || {
            let top = 0u8;
            let fails = || panic!("near the end");
            descend_until(30 * 1024, SIZE, &raw const top as usize, &fails)
        };
        match huey.task("dive", dive).call(()).get_timeout(LIMIT) {
            Err(TaskError::Panicked(panic)) => assert_eq!(panic.message(), "near the end"),
            other => panic!("{other:?}"),
        }
        let after = huey.task("after", || {
            green::yield_now();
            std::thread::panicking()
        });
        assert!(!after.call(()).get_timeout(LIMIT).unwrap());
    });
}

#[test]
fn the_first_spawn_of_all_may_overflow() {
    const SIZE: usize = 256 * 1024;
    // Enough to begin, too little to take a lock.
    const LEFT: usize = if cfg!(debug_assertions) { 24 * 1024 } else { 12 * 1024 };
    child::run("overflow::the_first_spawn_of_all_may_overflow", || {
        minihuey::runtime().stack_size(SIZE).start().unwrap();
        let dive = || {
            let top = 0u8;
            descend_until(LEFT, SIZE, &raw const top as usize, &|| drop(green::spawn(|| ())))
        };
        let error = MiniHuey::new("first").task("dive", dive).call(()).get().unwrap_err();
        assert!(matches!(error, TaskError::StackOverflow), "{error}");
        assert_eq!(within_limit(|| green::spawn(|| 5).join().unwrap()), 5);
    });
}

/// Outgrows the stack when it is dropped.
struct Deep;

impl Drop for Deep {
    fn drop(&mut self) {
        endless(0);
    }
}

#[test]
fn an_overflow_amid_a_panic_ends_the_process_and_says_why() {
    const NAME: &str = "overflow::an_overflow_amid_a_panic_ends_the_process_and_says_why";
    const VARIABLE: &str = "MINIHUEY_OVERFLOWS_AMID_A_PANIC";
    if std::env::var_os(VARIABLE).is_some() {
        let dive = || {
            let _deep = Deep;
            panic!("on purpose");
        };
        let _: Result<(), _> = MiniHuey::new("amid").task("dive", dive).call(()).get();
        return;
    }
    let output = within_limit(|| {
        let program = std::env::current_exe().unwrap();
        let mut again = Command::new(program);
        again.args(["--exact", NAME, "--nocapture"]).env(VARIABLE, "1").output().unwrap()
    });
    let text = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.signal(), Some(libc::SIGABRT), "{text}");
    assert!(text.contains("in the middle of a panic"), "{text}");
}

/// A frame as C has it for a local variable of `SIZE` bytes: nothing touches it page by page. Its
/// lowest byte is written to.
#[cfg(target_arch = "x86_64")]
#[inline(never)]
fn call_c<const SIZE: usize>() {
    // SAFETY: below the stack's pointer is nobody's, as far as there is stack. If there is none,
    // this is what the test is about.
    unsafe { asm!("sub rsp, {0}", "mov byte ptr [rsp], 1", "add rsp, {0}", const SIZE) };
}

#[test]
#[cfg(target_arch = "x86_64")]
fn an_overflow_by_a_large_frame_of_c_ends_its_task_alone() {
    const STACK: usize = 1 << 20;
    /// Calls where less than 24 KiB are left, and more than half of that.
    #[inline(never)]
    fn call_at_the_bottom(top: usize, call: fn()) -> u64 {
        let frame = black_box([1u64; 64]);
        if top - (&raw const frame as usize) < STACK - (24 << 10) {
            call_at_the_bottom(top, call) + frame[0]
        } else {
            call();
            frame[0]
        }
    }
    child::run("overflow::an_overflow_by_a_large_frame_of_c_ends_its_task_alone", || {
        let huey = MiniHuey::new("c");
        let dive = huey
            .task("dive", |call: fn()| {
                let here = 0u8;
                call_at_the_bottom(&raw const here as usize, call);
            })
            .stack_size(STACK);
        dive.call((call_c::<1_024>,)).get().unwrap();
        for call in [call_c::<32_000>, call_c::<48_000>, call_c::<64_000>] {
            let result = dive.call((call,)).get_timeout(LIMIT);
            assert!(matches!(result, Err(TaskError::StackOverflow)), "{result:?}");
            dive.call((call_c::<1_024>,)).get().unwrap();
        }
    });
}

/// The kernel has `MADV_GUARD_INSTALL`: Linux since 6.13.
fn can_guard_a_part_of_a_mapping() -> bool {
    const MADV_GUARD_INSTALL: libc::c_int = 102;
    const PAGE: usize = 4096;
    let (kind, access) =
        (libc::MAP_PRIVATE | libc::MAP_ANONYMOUS, libc::PROT_READ | libc::PROT_WRITE);
    // SAFETY: the page is new, and nobody else's.
    unsafe {
        let page = libc::mmap(std::ptr::null_mut(), PAGE, access, kind, -1, 0);
        assert_ne!(page, libc::MAP_FAILED);
        let can = libc::madvise(page, PAGE, MADV_GUARD_INSTALL) == 0;
        libc::munmap(page, PAGE);
        can
    }
}

#[test]
fn green_threads_share_a_mapping_where_the_kernel_can_guard_a_part_of_one() {
    const NAME: &str =
        "overflow::green_threads_share_a_mapping_where_the_kernel_can_guard_a_part_of_one";
    child::run(NAME, || {
        const THREADS: usize = 1_000;
        let mappings = || std::fs::read_to_string("/proc/self/maps").unwrap().lines().count();
        let (gate, told) = (Arc::new(Semaphore::new(0)), Arc::new(Semaphore::new(0)));
        let park = || {
            let (gate, told) = (gate.clone(), told.clone());
            green::spawn(move || {
                told.add_permits(1);
                gate.acquire().forget();
            })
        };
        let wait_for = |count| (0..count).for_each(|_| told.acquire().forget());
        let first = park();
        wait_for(1);
        let before = mappings();
        let others: Vec<_> = (0..THREADS).map(|_| park()).collect();
        wait_for(THREADS);
        let taken = mappings() - before;
        let most = if can_guard_a_part_of_a_mapping() { 100 } else { 2 * THREADS + 100 };
        assert!(taken <= most, "{taken}");
        gate.add_permits(THREADS + 1);
        [first].into_iter().chain(others).for_each(|parked| parked.join().unwrap());
    });
}
