//! Time-outs: when they begin, what they end, and what they leave alone.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

use minihuey::{Error, MiniHuey, Reason, TaskError, green, task};
use once_cell::sync::Lazy;

use crate::support::{Gate, LIMIT, hold, next, until};

const FOR_EVER: Duration = Duration::from_secs(1_000_000);
const SHORT: Duration = Duration::from_millis(100);

/// Says so when it is dropped, and whether that was in a green thread that unwinds.
struct Tell(mpsc::Sender<bool>);

impl Drop for Tell {
    fn drop(&mut self) {
        let _ = self.0.send(green::is_green() && std::thread::panicking());
    }
}

#[test]
fn a_task_that_does_not_end_in_time_unwinds_and_its_result_says_so() {
    let huey = MiniHuey::new("unwinds");
    let (sender, receiver) = mpsc::channel();
    let nap = huey.task("nap", move || {
        let _tell = Tell(sender.clone());
        green::sleep(FOR_EVER);
    });
    let start = Instant::now();
    let mut result = nap.timeout(SHORT).call(());
    assert!(matches!(result.get_timeout(LIMIT), Err(TaskError::TimedOut)));
    assert!(start.elapsed() >= SHORT);
    assert!(next(&receiver));
    huey.join(LIMIT).unwrap();
    let stats = huey.stats();
    assert_eq!((stats.enqueued, stats.timed_out, stats.failed, stats.cancelled), (1, 1, 0, 0));
}

#[test]
fn the_result_resolves_at_the_deadline_while_the_task_holds_the_only_worker() {
    let huey = MiniHuey::new("busy");
    let stop = Arc::new(AtomicBool::new(false));
    let its_stop = stop.clone();
    let busy = huey.task("busy", move || {
        while !its_stop.load(Ordering::Acquire) {
            std::hint::spin_loop();
        }
    });
    let mut result = busy.timeout(SHORT).call(());
    assert!(matches!(result.get_timeout(LIMIT), Err(TaskError::TimedOut)));
    assert_eq!(huey.stats().running, 1, "it runs on");
    stop.store(true, Ordering::Release);
    huey.join(LIMIT).unwrap();
    assert_eq!((huey.stats().timed_out, huey.stats().finished), (1, 0));
}

#[test]
fn a_task_that_ends_in_time_is_left_alone_and_so_is_the_next_one() {
    let huey = MiniHuey::new("in time");
    let quick = huey.task("quick", |n: u32| n).timeout(SHORT);
    let slow = huey.task("slow", |long: Duration| green::sleep(long));
    let ended = quick.map((0..200).map(|n| (n,)));
    // Has the runners of those, and outlives their deadlines.
    let slow = slow.map([(2 * SHORT,), (3 * SHORT,)]);
    assert_eq!(ended.get().unwrap(), (0..200).collect::<Vec<_>>());
    slow.get().unwrap();
    huey.join(LIMIT).unwrap();
    assert_eq!((huey.stats().timed_out, huey.stats().finished), (0, 202));
}

#[test]
fn the_time_in_the_backlog_does_not_count() {
    let huey = MiniHuey::builder("waiting").pool_size(1).build();
    let (hold, gate, begun) = hold(&huey);
    let first = hold.call(());
    next(&begun);
    let mut five = huey.task("five", || 5).timeout(SHORT).call(());
    assert!(!five.wait_timeout(2 * SHORT));
    gate.open();
    first.get().unwrap();
    assert_eq!(five.get().unwrap(), 5);
}

#[test]
fn waiting_for_a_while_is_not_the_tasks_time_out() {
    let huey = MiniHuey::new("two kinds");
    let gate = Gate::default();
    let its_gate = gate.clone();
    let pass = huey.task("pass", move || its_gate.pass()).timeout(FOR_EVER);
    let mut result = pass.call(());
    assert!(matches!(result.get_timeout(SHORT), Err(TaskError::WaitTimedOut)));
    gate.open();
    result.get_timeout(LIMIT).unwrap();
    assert_eq!(huey.stats().timed_out, 0);
}

#[test]
fn a_parent_gets_the_time_out_of_its_child_whatever_the_pool_size() {
    for pool_size in [1, 2] {
        let huey = MiniHuey::builder("child").pool_size(pool_size).build();
        let child = huey.task("child", || green::sleep(FOR_EVER)).timeout(SHORT);
        let parent = huey.task("parent", move || child.call(()).get());
        let outcome = parent.call(()).get_timeout(LIMIT).unwrap();
        assert!(matches!(outcome, Err(TaskError::TimedOut)), "{outcome:?}");
        huey.join(LIMIT).unwrap();
        assert_eq!((huey.stats().timed_out, huey.stats().finished), (1, 1));
    }
}

#[test]
fn a_scheduled_task_has_its_time_from_when_it_begins() {
    let huey = MiniHuey::new("scheduled");
    huey.start().unwrap();
    let nap = huey.task("nap", |long: Duration| green::sleep(long)).timeout(SHORT);
    let quick = nap.schedule((Duration::ZERO,), 2 * SHORT);
    let mut slow = nap.schedule((FOR_EVER,), 2 * SHORT);
    quick.get().unwrap();
    assert!(matches!(slow.get_timeout(LIMIT), Err(TaskError::TimedOut)));
}

static PERIODIC: Lazy<MiniHuey> = Lazy::new(|| MiniHuey::new("periodic-timeouts"));
static UNWOUND: AtomicUsize = AtomicUsize::new(0);

#[task(PERIODIC, cron("* * * * * *"), timeout = "20ms", overlap = "skip")]
fn every_second_for_ever() {
    struct Count;
    impl Drop for Count {
        fn drop(&mut self) {
            UNWOUND.fetch_add(1, Ordering::SeqCst);
        }
    }
    let _count = Count;
    green::sleep(FOR_EVER);
}

#[task(PERIODIC, timeout = "20ms")]
fn declared() {
    green::sleep(FOR_EVER);
}

#[test]
fn declared_and_periodic_tasks_time_out() {
    assert!(matches!(declared().get(), Err(TaskError::TimedOut)));
    PERIODIC.start().unwrap();
    until("two runs have timed out", || UNWOUND.load(Ordering::SeqCst) == 2);
    PERIODIC.stop().unwrap();
    PERIODIC.join(LIMIT).unwrap();
    assert!(PERIODIC.stats().timed_out >= 3);
}

#[test]
fn no_time_at_all_is_refused() {
    let huey = MiniHuey::new("zero");
    let never = huey.task("never", || unreachable!("it has no time")).timeout(Duration::ZERO);
    match never.call(()).get() {
        Err(TaskError::Rejected(why)) => {
            assert!(matches!(why.reason(), Reason::Misconfigured(text) if text.contains("never")));
        }
        other => panic!("{other:?}"),
    }
    assert!(matches!(huey.start(), Err(Error::Misconfigured(_))));
}

#[test]
fn no_deadline_is_too_far_away() {
    let huey = MiniHuey::new("far");
    for timeout in [Duration::MAX, Duration::from_secs(u64::MAX / 1_000_000_000)] {
        let five = huey.task(&format!("{timeout:?}"), || 5).timeout(timeout);
        assert_eq!(five.call(()).get().unwrap(), 5);
    }
}

#[test]
fn in_immediate_mode_nothing_times_out() {
    let huey = MiniHuey::builder("immediate").immediate(true).build();
    let nap = huey.task("nap", || green::sleep(2 * SHORT)).timeout(SHORT);
    nap.call(()).get().unwrap();
}

#[test]
fn many_deadlines_each_end_their_own() {
    let huey = MiniHuey::new("many");
    let nap = huey.task("nap", |long: Duration| green::sleep(long)).timeout(2 * SHORT);
    let naps = nap.map((0..500_u32).map(|n| (if n % 2 == 0 { FOR_EVER } else { Duration::ZERO },)));
    for (n, nap) in naps.into_iter().enumerate() {
        match nap.get() {
            Ok(()) => assert_eq!(n % 2, 1),
            // On a slow machine one of the others might be late, too.
            Err(TaskError::TimedOut) => {}
            other => panic!("{other:?}"),
        }
    }
    huey.join(LIMIT).unwrap();
    let stats = huey.stats();
    assert_eq!(stats.timed_out + stats.finished, 500);
    assert!(stats.timed_out >= 250);
}
