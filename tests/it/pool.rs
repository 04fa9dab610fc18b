//! How many run at a moment, who waits, and that waiting for each other never ends in a deadlock.

use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use minihuey::{MiniHuey, Reason, TaskError, WhenFull, green};

use crate::support::{Gate, Gauge, LIMIT, hold, next};

#[test]
fn pool_size_bounds_how_many_run_at_a_moment() {
    let huey = MiniHuey::builder("three").pool_size(3).build();
    let gauge = Gauge::default();
    let nap = huey.task("nap", {
        let gauge = gauge.clone();
        move || gauge.inside(|| green::sleep(Duration::from_millis(2)))
    });
    nap.map((0..60).map(|_| ())).get().unwrap();
    assert_eq!(gauge.most(), 3);
}

#[test]
fn without_pool_size_all_run_at_once() {
    let huey = MiniHuey::new("all");
    let gauge = Gauge::default();
    let gate = Gate::default();
    let hold = huey.task("hold", {
        let (gauge, gate) = (gauge.clone(), gate.clone());
        move || {
            gauge.inside(|| {
                if gauge.most() == 500 {
                    gate.open();
                }
                gate.pass();
            });
        }
    });
    hold.map((0..500).map(|_| ())).get_timeout(LIMIT).unwrap();
}

#[test]
fn a_task_that_waits_for_its_child_never_deadlocks_a_full_pool() {
    for pool_size in [1, 2, 3] {
        let huey = MiniHuey::builder("nested").pool_size(pool_size).build();
        let gauge = Gauge::default();
        let mut task = huey.task("level 0", |n: u64| n);
        for level in 1..=10 {
            let (inner, gauge) = (task, gauge.clone());
            task = huey.task(&format!("level {level}"), move |n: u64| {
                gauge.enter();
                // While it waits it does not count: it lent its place.
                gauge.leave();
                let value = inner.call((n,)).get().unwrap();
                gauge.inside(|| value + 1)
            });
        }
        let sums = task.map((0..20).map(|n| (n,))).get_timeout(LIMIT).unwrap();
        assert_eq!(sums, (10..30).collect::<Vec<_>>());
        assert!(gauge.most() <= pool_size, "{} of {pool_size}", gauge.most());
    }
}

#[test]
fn no_more_than_pool_size_run_even_while_places_are_lent_and_taken_back() {
    let huey = MiniHuey::builder("lending").pool_size(2).build();
    let gauge = Gauge::default();
    let child = huey.task("child", {
        let gauge = gauge.clone();
        move || gauge.inside(|| green::sleep(Duration::from_millis(1)))
    });
    let parent = huey.task("parent", {
        let gauge = gauge.clone();
        move || {
            for _ in 0..5 {
                gauge.inside(|| green::sleep(Duration::from_millis(1)));
                child.call(()).get().unwrap();
            }
        }
    });
    parent.map((0..20).map(|_| ())).get_timeout(LIMIT).unwrap();
    assert_eq!(gauge.most(), 2);
}

#[test]
fn a_child_that_is_waited_for_goes_before_all_that_wait() {
    let huey = MiniHuey::builder("urgent").pool_size(1).build();
    let (sender, receiver) = mpsc::channel();
    let note = huey.task("note", move |what: &'static str| sender.send(what).unwrap());
    let gate = Gate::default();
    let parent = huey.task("parent", {
        let (note, gate) = (note.clone(), gate.clone());
        move || {
            gate.pass();
            note.call(("child",)).get().unwrap();
        }
    });
    let parent = parent.call(());
    let others = note.map((0..100).map(|_| ("other",)));
    gate.open();
    parent.get().unwrap();
    others.get().unwrap();
    assert_eq!(next(&receiver), "child");
    assert_eq!(receiver.iter().take(100).filter(|what| *what == "other").count(), 100);
}

#[test]
fn tasks_of_two_hueys_that_wait_for_each_other_do_not_deadlock() {
    let left = MiniHuey::builder("left").pool_size(1).build();
    let right = MiniHuey::builder("right").pool_size(1).build();
    let leaf = left.task("leaf", |n: u32| n + 1);
    let middle = right.task("middle", move |n: u32| leaf.call((n,)).get().unwrap() + 1);
    let root = left.task("root", move |n: u32| middle.call((n,)).get().unwrap() + 1);
    let sums = root.map((0..50).map(|n| (n,))).get_timeout(LIMIT).unwrap();
    assert_eq!(sums, (3..53).collect::<Vec<_>>());
}

#[test]
fn a_full_backlog_rejects() {
    let huey = MiniHuey::builder("reject").pool_size(1).backlog(2).build();
    let (hold, gate, receiver) = hold(&huey);
    let running = hold.call(());
    next(&receiver);
    let waiting = [hold.call(()), hold.call(())];
    let error = hold.call(()).get().unwrap_err();
    let TaskError::Rejected(why) = &error else { panic!("{error}") };
    assert_eq!(*why.reason(), Reason::BacklogFull { limit: 2 });
    assert_eq!(
        error.to_string(),
        "the task was not taken on: the backlog is full (2 tasks are waiting)"
    );
    assert_eq!((huey.stats().rejected, huey.stats().enqueued), (1, 3));
    gate.open();
    running.get().unwrap();
    for waiting in waiting {
        waiting.get().unwrap();
    }
    hold.call(()).get().unwrap();
}

#[test]
fn a_full_backlog_makes_callers_wait_if_so_chosen() {
    let huey = MiniHuey::builder("wait").pool_size(1).backlog(3).when_full(WhenFull::Wait).build();
    let double = huey.task("double", |n: u64| {
        green::yield_now();
        2 * n
    });
    let threads: Vec<_> = (0..4)
        .map(|_| {
            let double = double.clone();
            thread::spawn(move || {
                let results: Vec<_> = (0..200).map(|n| double.call((n,))).collect();
                results.into_iter().map(|result| result.get().unwrap()).sum::<u64>()
            })
        })
        .collect();
    // A task that fills its own backlog lends its place while it waits for room.
    let inner = double.clone();
    let fill = huey.task("fill", move || inner.map((0..50).map(|n| (n,))).get().unwrap().len());
    assert_eq!(fill.call(()).get_timeout(LIMIT).unwrap(), 50);
    for thread in threads {
        assert_eq!(thread.join().unwrap(), 39_800);
    }
}

#[test]
fn a_million_calls_at_once_finish() {
    let huey = MiniHuey::new("million");
    let (hold, gate, _) = hold(&huey);
    let held = hold.call(());
    let noop = huey.task("noop", || ());
    for _ in 0..1_000_000 {
        drop(noop.call(()));
    }
    gate.open();
    held.get().unwrap();
    huey.join(LIMIT).unwrap();
    assert_eq!(huey.stats().finished, 1_000_001);
}

#[test]
fn a_hundred_thousand_sleeping_tasks_finish() {
    let huey = MiniHuey::new("sleepers");
    let nap = huey.task("nap", || green::sleep(Duration::from_millis(100)));
    for _ in 0..100_000 {
        drop(nap.call(()));
    }
    huey.join(LIMIT).unwrap();
    assert_eq!(huey.stats().finished, 100_000);
}

#[test]
fn more_parents_than_there_can_be_green_threads_all_get_their_children() {
    let huey = MiniHuey::new("parents");
    let leaf = huey.task("leaf", |n: u64| n);
    let middle = huey.task("middle", {
        let leaf = leaf.clone();
        move |n: u64| leaf.call((n,)).get().unwrap() + 1
    });
    let all_wait = Gate::default();
    let parent = huey.task("parent", {
        let all_wait = all_wait.clone();
        move |n: u64| {
            all_wait.pass();
            middle.call((n,)).get().unwrap() + 1
        }
    });
    let parents = parent.map((0..40_000).map(|n| (n,)));
    all_wait.open();
    let sums = { parents }.get_timeout(LIMIT).unwrap();
    assert_eq!(sums, (2..40_002).collect::<Vec<_>>());
}
