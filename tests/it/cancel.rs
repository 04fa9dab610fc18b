//! Cancelling: what becomes of the result, of the task, and of the books.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};
use std::time::Duration;

use minihuey::{ManualClock, MiniHuey, Stats, TaskError, TaskResult, green, group};

use crate::support::{Gate, LIMIT, hold, next, until};

const FOR_EVER: Duration = Duration::from_secs(1_000_000);

/// Says so when it is dropped, and whether that was in a green thread that unwinds.
struct Tell(mpsc::Sender<bool>);

impl Drop for Tell {
    fn drop(&mut self) {
        let _ = self.0.send(green::is_green() && std::thread::panicking());
    }
}

#[track_caller]
fn assert_balanced(stats: &Stats) {
    let ended = stats.finished + stats.failed + stats.cancelled + stats.timed_out + stats.abandoned;
    let here = (stats.running + stats.backlog) as u64;
    assert_eq!(stats.enqueued, ended + here, "{stats:?}");
}

#[test]
fn a_cancelled_task_unwinds_at_its_wait_and_its_destructors_run() {
    let huey = MiniHuey::new("unwinds");
    let (sender, receiver) = mpsc::channel();
    let (begun, begins) = mpsc::channel();
    let task = huey.task("nap", move || {
        let _tell = Tell(sender.clone());
        begun.send(()).unwrap();
        green::sleep(FOR_EVER);
    });
    let mut result = task.call(());
    next(&begins);
    assert!(result.cancel());
    assert!(result.is_ready(), "the result resolves at once");
    assert!(!result.cancel());
    assert!(matches!(result.get_timeout(LIMIT), Err(TaskError::Cancelled)));
    assert!(next(&receiver), "the destructor runs in the green thread, while it unwinds");
    huey.join(LIMIT).unwrap();
    let stats = huey.stats();
    assert_eq!((stats.cancelled, stats.failed, stats.finished), (1, 0, 0));
    assert_balanced(&stats);
    // The runner is none the worse.
    assert!(!huey.task("panicking", std::thread::panicking).call(()).get().unwrap());
}

#[test]
fn a_result_resolves_at_once_while_the_task_computes() {
    let huey = MiniHuey::new("computes");
    let (begun, begins) = mpsc::channel();
    let stop = Arc::new(AtomicBool::new(false));
    let its_stop = stop.clone();
    let busy = huey.task("busy", move || {
        begun.send(()).unwrap();
        while !its_stop.load(Ordering::Acquire) {
            std::hint::spin_loop();
        }
        green::sleep(FOR_EVER);
    });
    let result = busy.call(());
    next(&begins);
    assert!(result.cancel());
    assert!(matches!(result.get(), Err(TaskError::Cancelled)));
    assert_eq!(huey.stats().running, 1, "it runs on");
    stop.store(true, Ordering::Release);
    huey.join(LIMIT).unwrap();
    assert_eq!(huey.stats().cancelled, 1);
}

#[test]
fn a_task_that_is_cancelled_before_it_begins_never_does() {
    let huey = MiniHuey::builder("early").pool_size(1).build();
    let (hold, gate, begun) = hold(&huey);
    let first = hold.call(());
    next(&begun);
    let (sender, receiver) = mpsc::channel();
    let never = huey.task("never", |tell: Tell| -> () {
        drop(tell);
        unreachable!("it was cancelled")
    });
    let second = never.call((Tell(sender),));
    assert_eq!(huey.stats().backlog, 1);
    assert!(second.cancel());
    assert!(!next(&receiver), "its argument is dropped by whoever cancels");
    let stats = huey.stats();
    assert_eq!((stats.backlog, stats.cancelled), (0, 1));
    assert_balanced(&stats);
    gate.open();
    first.get().unwrap();
    assert!(matches!(second.get(), Err(TaskError::Cancelled)));
    huey.join(LIMIT).unwrap();
    assert_balanced(&huey.stats());
}

#[test]
fn cancelling_what_waits_makes_room_and_ends_a_join() {
    let huey = MiniHuey::builder("room").pool_size(1).backlog(1).build();
    let (hold, gate, begun) = hold(&huey);
    let first = hold.call(());
    next(&begun);
    let second = hold.call(());
    assert!(matches!(hold.call(()).get(), Err(TaskError::Rejected(_))));
    assert!(second.cancel());
    let third = hold.call(());
    gate.open();
    first.get().unwrap();
    third.get().unwrap();
    huey.join(LIMIT).unwrap();
    assert_balanced(&huey.stats());
}

#[test]
fn a_scheduled_task_that_is_cancelled_never_begins() {
    let clock = ManualClock::at("2026-01-01T00:00:00Z".parse().unwrap());
    let huey = MiniHuey::builder("scheduled").clock(&clock).build();
    huey.start().unwrap();
    let (sender, receiver) = mpsc::channel();
    let (ran, runs) = mpsc::channel();
    let task = huey.task("tell", move |tell: Option<Tell>| ran.send(tell.is_some()).unwrap());
    let cancelled = task.schedule((Some(Tell(sender)),), Duration::from_secs(60));
    let other = task.schedule((None,), Duration::from_secs(61));
    assert!(cancelled.cancel());
    assert!(!next(&receiver), "its argument is dropped at once");
    assert!(matches!(cancelled.get(), Err(TaskError::Cancelled)));
    clock.advance(Duration::from_secs(120));
    other.get().unwrap();
    assert!(!next(&runs), "only the other one ran");
    assert_eq!((huey.stats().scheduled, huey.stats().enqueued), (0, 1));
}

#[test]
fn cancelled_entries_do_not_pile_up_in_the_timetable() {
    let huey = MiniHuey::new("heap");
    let task = huey.task("later", || ());
    for _ in 0..10_000 {
        assert!(task.schedule((), FOR_EVER).cancel());
    }
    assert!(huey.stats().scheduled < 3_000, "{}", huey.stats().scheduled);
}

#[test]
fn a_task_that_waits_for_a_scheduled_one_does_not_have_it_run_early() {
    let clock = ManualClock::at("2026-01-01T00:00:00Z".parse().unwrap());
    let huey = MiniHuey::builder("early").clock(&clock).pool_size(1).build();
    huey.start().unwrap();
    let (begun, begins) = mpsc::channel();
    let later = huey.task("later", || ());
    let wait = huey.task("wait", move || {
        let mut result = later.schedule((), Duration::from_secs(60));
        begun.send(()).unwrap();
        let early = result.wait_timeout(Duration::from_millis(20));
        begun.send(()).unwrap();
        (early, result.get().is_ok())
    });
    let mut waits = wait.call(());
    next(&begins);
    next(&begins);
    clock.advance(Duration::from_secs(120));
    assert_eq!(waits.get_timeout(LIMIT).unwrap(), (false, true));
    huey.join(LIMIT).unwrap();
    assert_balanced(&huey.stats());
}

#[test]
fn what_has_ended_can_not_be_cancelled() {
    let huey = MiniHuey::new("late");
    let mut five = huey.task("five", || 5).call(());
    five.wait();
    assert!(!five.cancel());
    assert_eq!(five.get().unwrap(), 5);
    let failed = huey.try_task("fail", || Err::<(), _>("no"));
    let mut result = failed.call(());
    result.wait();
    assert!(!result.cancel());
    assert!(matches!(result.get(), Err(TaskError::Failed(_))));
    huey.join(LIMIT).unwrap();
    assert_eq!(huey.stats().cancelled, 0);
}

#[test]
fn who_cancels_its_child_gets_the_error() {
    for pool_size in [2, 3] {
        let huey = MiniHuey::builder("child").pool_size(pool_size).build();
        let (sender, receiver) = mpsc::channel();
        let child = huey.task("child", move || {
            let _tell = Tell(sender.clone());
            green::sleep(FOR_EVER);
        });
        let parent = huey.task("parent", move || {
            let mut child = child.call(());
            let early = child.wait_timeout(Duration::from_millis(5));
            (early, child.cancel(), child.get())
        });
        let outcome = parent.call(()).get_timeout(LIMIT).unwrap();
        assert!(matches!(outcome, (false, true, Err(TaskError::Cancelled))), "{outcome:?}");
        assert!(next(&receiver));
        huey.join(LIMIT).unwrap();
        assert_eq!((huey.stats().cancelled, huey.stats().finished), (1, 1));
    }
}

#[test]
fn a_cancelled_parent_lets_its_child_run_on() {
    for pool_size in [1, 2] {
        let huey = MiniHuey::builder("parent").pool_size(pool_size).build();
        let (hold, gate, begun) = hold(&huey);
        let (sender, receiver) = mpsc::channel();
        let parent = huey.task("parent", move || {
            let _tell = Tell(sender.clone());
            hold.call(()).get()
        });
        let result = parent.call(());
        next(&begun);
        assert!(result.cancel());
        assert!(matches!(result.get(), Err(TaskError::Cancelled)));
        // With one place it must have its own back first, which the child has.
        if pool_size > 1 {
            assert!(next(&receiver));
            until("only the child runs", || huey.stats().running == 1);
        }
        gate.open();
        huey.join(LIMIT).unwrap();
        let stats = huey.stats();
        assert_eq!((stats.cancelled, stats.finished), (1, 1));
        assert_balanced(&stats);
    }
}

#[test]
fn a_marker_that_was_swallowed_comes_again_at_the_next_wait() {
    let huey = MiniHuey::new("swallow");
    let (sender, receiver) = mpsc::channel();
    let task = huey.task("stubborn", move || {
        for wait in 0.. {
            sender.send(wait).unwrap();
            let caught = catch_unwind(|| match wait % 3 {
                0 => green::sleep(FOR_EVER),
                1 => green::yield_now(),
                _ => green::sleep(Duration::ZERO),
            });
            assert!(caught.is_err(), "the wait did not unwind");
            if wait == 5 {
                break;
            }
        }
        5
    });
    let result = task.call(());
    next(&receiver);
    assert!(result.cancel());
    assert_eq!((1..=5).map(|_| next(&receiver)).collect::<Vec<_>>(), [1, 2, 3, 4, 5]);
    huey.join(LIMIT).unwrap();
    assert!(matches!(result.get(), Err(TaskError::Cancelled)), "its value came too late");
    let stats = huey.stats();
    assert_eq!((stats.cancelled, stats.finished, stats.failed), (1, 0, 0));
}

#[test]
fn no_panic_hook_hears_of_it() {
    static HEARD: AtomicUsize = AtomicUsize::new(0);
    let before = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        // Others panic on purpose meanwhile; the marker has no text.
        if info.payload_as_str().is_none() {
            HEARD.fetch_add(1, Ordering::SeqCst);
        }
        before(info);
    }));
    let huey = MiniHuey::new("silent");
    let (begun, begins) = mpsc::channel();
    let task = huey.task("nap", move || {
        begun.send(()).unwrap();
        green::sleep(FOR_EVER);
    });
    let result = task.call(());
    next(&begins);
    assert!(result.cancel());
    huey.join(LIMIT).unwrap();
    assert_eq!(HEARD.load(Ordering::SeqCst), 0);
}

#[test]
fn a_wait_in_a_destructor_does_not_yield_while_the_task_unwinds() {
    struct Waits(mpsc::Sender<bool>);
    impl Drop for Waits {
        fn drop(&mut self) {
            green::sleep(FOR_EVER);
            let _ = self.0.send(std::thread::panicking());
        }
    }
    let huey = MiniHuey::new("destructors");
    let (sender, receiver) = mpsc::channel();
    let (begun, begins) = mpsc::channel();
    let task = huey.task("nap", move || {
        let _waits = Waits(sender.clone());
        begun.send(()).unwrap();
        green::sleep(FOR_EVER);
    });
    let others_saw = Arc::new(AtomicBool::new(false));
    let saw = others_saw.clone();
    let other = huey.task("other", move || {
        for _ in 0..100 {
            saw.fetch_or(std::thread::panicking(), Ordering::SeqCst);
            green::yield_now();
        }
    });
    let result = task.call(());
    let other = other.call(());
    next(&begins);
    assert!(result.cancel());
    assert!(next(&receiver));
    other.get().unwrap();
    assert!(!others_saw.load(Ordering::SeqCst));
    huey.join(LIMIT).unwrap();
}

#[test]
fn a_cancelled_waiter_for_a_result_a_group_or_a_join_unwinds() {
    let huey = MiniHuey::new("waits");
    let other = MiniHuey::new("others");
    let (hold, gate, begun) = hold(&other);
    let held = hold.call(());
    next(&begun);
    let (sender, receiver) = mpsc::channel();
    let waits: [Arc<dyn Fn() + Send + Sync>; 4] = [
        Arc::new({
            let hold = hold.clone();
            move || drop(hold.call(()).get())
        }),
        Arc::new({
            let hold = hold.clone();
            move || drop(hold.map([(), ()]).get())
        }),
        Arc::new({
            let hold = hold.clone();
            move || drop(hold.map([(), ()]).as_completed().next())
        }),
        Arc::new({
            let other = other.clone();
            move || drop(other.join(None))
        }),
    ];
    let (begins, has_begun) = mpsc::channel();
    let wait = huey.task("wait", move |index: usize| {
        let _tell = Tell(sender.clone());
        // One that is cancelled before it begins would not.
        begins.send(()).unwrap();
        waits[index]();
    });
    for index in 0..4 {
        let result = wait.call((index,));
        next(&has_begun);
        assert!(result.cancel());
        assert!(next(&receiver), "wait {index} unwinds");
        huey.join(LIMIT).unwrap();
    }
    gate.open();
    held.get().unwrap();
    other.join(LIMIT).unwrap();
}

#[test]
fn a_group_cancels_all_that_have_not_ended() {
    let huey = MiniHuey::builder("group").pool_size(3).build();
    let (hold, gate, begun) = hold(&huey);
    let five = huey.task("five", || ());
    let ended = five.call(());
    huey.join(LIMIT).unwrap();
    let members = [ended].into_iter().chain((0..10).map(|_| hold.call(())));
    let group = group(members);
    (0..3).for_each(|_| next(&begun));
    assert_eq!(group.cancel(), 10);
    assert_eq!(group.cancel(), 0);
    assert!(group.is_ready());
    // Nobody opens the gate: they unwind.
    huey.join(LIMIT).unwrap();
    let stats = huey.stats();
    assert_eq!((stats.cancelled, stats.finished), (10, 1));
    assert_balanced(&stats);
    drop(gate);
}

#[test]
fn shutdown_interrupts_what_it_abandons() {
    let huey = MiniHuey::new("leaving");
    let (sender, receiver) = mpsc::channel();
    let (begun, begins) = mpsc::channel();
    let task = huey.task("nap", move || {
        let _tell = Tell(sender.clone());
        begun.send(()).unwrap();
        green::sleep(FOR_EVER);
    });
    let result = task.call(());
    next(&begins);
    assert_eq!(huey.shutdown(Duration::from_millis(1)).unwrap().len(), 1);
    assert!(matches!(result.get(), Err(TaskError::ShutDown)));
    assert!(next(&receiver));
    huey.join(LIMIT).unwrap();
    let stats = huey.stats();
    assert_eq!((stats.abandoned, stats.failed), (1, 0));
    assert_balanced(&stats);
}

#[test]
fn a_task_may_cancel_another_one_and_itself() {
    let huey = MiniHuey::new("friends");
    let (begun, begins) = mpsc::channel();
    let nap = huey.task("nap", move || {
        begun.send(()).unwrap();
        green::sleep(FOR_EVER);
    });
    let target = nap.call(());
    next(&begins);
    let cancel = huey.task("cancel", |result: TaskResult<()>| {
        (result.cancel(), matches!(result.get(), Err(TaskError::Cancelled)))
    });
    assert_eq!(cancel.call((target,)).get().unwrap(), (true, true));
    // Itself: by a result that it is handed while it runs.
    let (give, given) = mpsc::channel::<TaskResult<()>>();
    let given = std::sync::Mutex::new(given);
    let gate = Gate::default();
    let its_gate = gate.clone();
    let (sender, receiver) = mpsc::channel();
    let suicide = huey.task("suicide", move || {
        its_gate.pass();
        let _tell = Tell(sender.clone());
        assert!(given.lock().unwrap().recv().unwrap().cancel());
        green::yield_now();
        unreachable!("it is cancelled");
    });
    give.send(suicide.call(())).unwrap();
    gate.open();
    assert!(next(&receiver));
    huey.join(LIMIT).unwrap();
    assert_eq!(huey.stats().cancelled, 2);
}

/// Counts how many there are.
struct Counted(Arc<AtomicUsize>);

impl Counted {
    fn new(count: &Arc<AtomicUsize>) -> Counted {
        count.fetch_add(1, Ordering::SeqCst);
        Counted(count.clone())
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

#[test]
fn cancels_that_race_with_every_end_lose_nothing() {
    let seed = std::env::var("SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(4711_u64);
    println!("SEED={seed}");
    for pool_size in [None, Some(3)] {
        let mut random = seed;
        let mut random = move |below: u64| {
            random = random.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            (random >> 33) % below
        };
        let mut builder = MiniHuey::builder("race");
        if let Some(pool_size) = pool_size {
            builder = builder.pool_size(pool_size);
        }
        let huey = builder.build();
        huey.start().unwrap();
        let alive = Arc::new(AtomicUsize::new(0));
        let leaf = huey.task("leaf", {
            let alive = alive.clone();
            move |_argument: Counted| {
                green::yield_now();
                Counted::new(&alive)
            }
        });
        let task = huey.try_task("task", {
            let alive = alive.clone();
            move |kind: u64, _argument: Counted| {
                let local = Counted::new(&alive);
                match kind {
                    0 => green::sleep(Duration::from_micros(50)),
                    1 => green::yield_now(),
                    2 => drop(leaf.call((Counted::new(&alive),)).get()),
                    3 => return Err("failed on purpose"),
                    4 => drop(catch_unwind(AssertUnwindSafe(|| {
                        green::sleep(Duration::from_micros(30));
                    }))),
                    _ => {}
                }
                Ok(local)
            }
        });
        let (mut cancelled, mut not) = (0, 0);
        let mut end = |ours: bool, mut result: TaskResult<Counted>| {
            match result.get_timeout(LIMIT) {
                Err(TaskError::Cancelled) => assert!(ours),
                Ok(_) | Err(TaskError::Failed(_)) => assert!(!ours),
                Err(other) => panic!("{other}"),
            }
            if ours { cancelled += 1 } else { not += 1 }
        };
        let mut calls = VecDeque::new();
        for _ in 0..2_000 {
            let argument = Counted::new(&alive);
            calls.push_back(if random(10) == 0 {
                task.schedule((1, argument), Duration::from_micros(random(200)))
            } else {
                task.call((random(6), argument))
            });
            if calls.len() as u64 > random(20) {
                let which = random(calls.len() as u64) as usize;
                let result = calls.remove(which).unwrap();
                end(random(2) == 0 && result.cancel(), result);
            }
        }
        calls.into_iter().for_each(|result| end(false, result));
        huey.stop().unwrap();
        huey.join(LIMIT).unwrap();
        let stats = huey.stats();
        assert_balanced(&stats);
        assert!(cancelled > 50 && not > 50, "{cancelled} {not}");
        assert!(stats.cancelled <= cancelled, "{stats:?}");
        huey.shutdown(LIMIT).unwrap();
        until("all are dropped", || alive.load(Ordering::SeqCst) == 0);
    }
}

#[test]
fn a_spawned_green_thread_is_cancelled_as_a_task_is() {
    let (begins, begun) = mpsc::channel();
    let sleeps = green::spawn(move || {
        begins.send(()).unwrap();
        green::sleep(Duration::from_secs(3600));
    });
    next(&begun);
    assert!(sleeps.cancel());
    assert!(!sleeps.cancel());
    assert!(matches!(sleeps.join(), Err(TaskError::Cancelled)));
}

#[test]
fn a_cancelled_wait_for_a_lock_or_a_message_unwinds_and_leaves_nothing_behind() {
    use minihuey::sync::{Condvar, Mutex, channel};
    let shared = Arc::new((Mutex::new(0), Condvar::new()));
    let held = shared.0.lock();
    let (begins, begun) = mpsc::channel();
    let its = (shared.clone(), begins.clone());
    let locks = green::spawn(move || {
        its.1.send(()).unwrap();
        // (A plain `lock` sees its wait through.)
        *its.0.0.try_lock_for(LIMIT).expect("a turn") += 1;
    });
    let (_sender, receiver) = channel::bounded::<()>(0);
    let its = begins.clone();
    let receives = green::spawn(move || {
        its.send(()).unwrap();
        receiver.recv()
    });
    next(&begun);
    next(&begun);
    assert!(locks.cancel() && receives.cancel());
    assert!(matches!(locks.join(), Err(TaskError::Cancelled)));
    assert!(matches!(receives.join(), Err(TaskError::Cancelled)));
    drop(held);
    // Its mutex is its own again before it unwinds, and free afterwards.
    let its = shared.clone();
    let waits = green::spawn(move || {
        let mut guard = its.0.lock();
        begins.send(()).unwrap();
        its.1.wait(&mut guard);
    });
    next(&begun);
    assert!(waits.cancel());
    let mut guard = shared.0.try_lock_for(LIMIT).expect("nobody has it");
    *guard += 1;
    assert_eq!(*guard, 1);
}
