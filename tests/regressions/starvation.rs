//! Those who wait for room, for a place or for a green thread, and get it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use minihuey::sync::channel;
use minihuey::{MiniHuey, WhenFull, green, offload};

use crate::child;
use crate::support::{LIMIT, moment, until, until_no_more_begin};

/// A task that runs until the gate is open.
fn gated(huey: &MiniHuey, poll: Duration) -> (Arc<AtomicBool>, minihuey::Task<(), ()>) {
    let gate = Arc::new(AtomicBool::new(false));
    let open = gate.clone();
    let task = huey.task("gated", move || {
        while !open.load(Ordering::SeqCst) {
            green::sleep(poll);
        }
    });
    (gate, task)
}

#[test]
fn a_huey_gets_green_threads_when_others_let_go_of_theirs() {
    // More than a process can have with the usual limit of its memory maps.
    const CALLS: usize = 50_000;

    child::run("starvation::a_huey_gets_green_threads_when_others_let_go_of_theirs", || {
        let greedy = MiniHuey::new("greedy");
        let (gate, task) = gated(&greedy, Duration::from_millis(200));
        let results: Vec<_> = (0..CALLS).map(|_| task.call(())).collect();
        // The other one takes what is left, until nothing is. Its first runner it gets all the
        // same.
        let modest = MiniHuey::new("modest");
        let (its_gate, held) = gated(&modest, Duration::from_millis(1));
        let (mut held_back, mut running, mut looks) = (Vec::new(), 0, 0);
        while looks < 6 {
            let now = greedy.stats().running + modest.stats().running;
            looks = if now == running { looks + 1 } else { 0 };
            running = now;
            if modest.stats().running == held_back.len() {
                held_back.push(held.call(()));
            }
            thread::sleep(Duration::from_millis(200));
        }
        let mut result = modest.task("task", || 1).call(());
        gate.store(true, Ordering::SeqCst);
        for result in results {
            result.get().unwrap();
        }
        assert_eq!(result.get_timeout(LIMIT).unwrap(), 1);
        its_gate.store(true, Ordering::SeqCst);
        for held in held_back {
            held.get().unwrap();
        }
    });
}

/// Its place is free, for what it was lent for can't begin, neither in a green thread, of which
/// there are no more, nor on the stack of who waits, which is an OS thread's.
#[test]
fn who_returns_goes_on_though_there_is_no_green_thread_for_what_goes_first() {
    // With a child each, more than a process can have with the usual limit of its memory maps.
    const PARENTS: usize = 40_000;
    const NAME: &str =
        "starvation::who_returns_goes_on_though_there_is_no_green_thread_for_what_goes_first";

    child::run(NAME, || {
        let narrow = MiniHuey::builder("narrow").pool_size(1).build();
        let other = MiniHuey::new("other");
        let (open, opens) = channel::unbounded::<()>();
        let opened = other.task("opened", move || opens.recv().unwrap());
        let returns = narrow.task("returns", move || opened.call(()).get().unwrap());
        let (go, goes) = channel::unbounded::<()>();
        let leaf = narrow.task("leaf", || 1);
        // Has the place when the other one wants it back, and gives it for the leaf.
        let parent = narrow.task("parent", move || {
            goes.recv().unwrap();
            offload(|| leaf.call(()).get().unwrap())
        });
        let mut returning = returns.call(());
        until("it waits", || other.stats().running == 1);
        let mut result = parent.call(());
        until("both run", || narrow.stats().running == 2);
        open.send(()).unwrap();
        other.join(LIMIT).unwrap();

        // All of them first, then their children: those may be some more, for they are waited for.
        let greedy = MiniHuey::new("greedy");
        let (gate, gated) = gated(&greedy, Duration::from_millis(500));
        let begin = Arc::new(AtomicBool::new(false));
        let begins = begin.clone();
        let waits = greedy.task("waits", move || {
            while !begins.load(Ordering::SeqCst) {
                green::sleep(Duration::from_millis(500));
            }
            gated.call(()).get().unwrap();
        });
        let results: Vec<_> = (0..PARENTS).map(|_| waits.call(())).collect();
        until_no_more_begin(&greedy);
        begin.store(true, Ordering::SeqCst);
        until_no_more_begin(&greedy);
        go.send(()).unwrap();
        returning.get_timeout(LIMIT / 2).unwrap();
        assert_eq!(result.get_timeout(LIMIT / 2).unwrap(), 1);
        gate.store(true, Ordering::SeqCst);
        for result in results {
            result.get().unwrap();
        }
    });
}

#[test]
fn a_spurious_wake_costs_no_producer_its_wake_up() {
    let huey = MiniHuey::builder("full").pool_size(1).backlog(1).when_full(WhenFull::Wait).build();
    let (gate, task) = gated(&huey, Duration::from_millis(1));
    let first = task.call(());
    until("the first runs", || huey.stats().running == 1);
    // Fills the backlog.
    let second = task.call(());

    let got_in = Arc::new(AtomicUsize::new(0));
    let produce = || {
        let (task, got_in) = (task.clone(), got_in.clone());
        thread::spawn(move || {
            drop(task.call(()));
            got_in.fetch_add(1, Ordering::SeqCst);
        })
    };
    let producer = produce();
    moment();
    for _ in 0..10 {
        // Anybody may do so at any time.
        producer.thread().unpark();
        thread::sleep(Duration::from_millis(2));
    }
    let other = produce();
    moment();
    assert_eq!(got_in.load(Ordering::SeqCst), 0);
    gate.store(true, Ordering::SeqCst);
    first.get().unwrap();
    second.get().unwrap();
    until("both producers got in", || got_in.load(Ordering::SeqCst) == 2);
    producer.join().unwrap();
    other.join().unwrap();
}

#[test]
fn room_that_a_task_can_use_only_later_is_somebody_elses_now() {
    let narrow = MiniHuey::builder("narrow").pool_size(1).build();
    let full = MiniHuey::builder("full").pool_size(1).backlog(1).when_full(WhenFull::Wait).build();
    let (go, goes) = channel::unbounded::<()>();
    let hold = full.task("hold", move || goes.recv().unwrap());
    let first = hold.call(());
    until("the first runs", || full.stats().running == 1);
    let second = hold.call(());

    // It lends its place, and has to wait for it when there is room.
    let its = hold.clone();
    let calls = narrow.task("calls", move || its.call(())).call(());
    until("it runs", || narrow.stats().running == 1);
    let (tell, told) = channel::unbounded::<()>();
    let has_the_place = narrow.task("has the place", move || told.recv().unwrap()).call(());
    until("its place is another's", || narrow.stats().running == 2);
    // Who has the place waits for one who waits for room.
    thread::spawn(move || {
        let result = hold.call(());
        tell.send(()).unwrap();
        result.get().unwrap();
    });
    moment();
    go.send(()).unwrap();
    first.get().unwrap();
    let mut has_the_place = has_the_place;
    has_the_place.get_timeout(LIMIT).unwrap();
    for _ in 0..3 {
        go.send(()).unwrap();
    }
    second.get().unwrap();
    calls.get().unwrap().get().unwrap();
}

#[test]
fn a_task_that_joins_another_huey_lends_its_place() {
    let narrow = MiniHuey::builder("narrow").pool_size(1).build();
    let wide = MiniHuey::new("wide");
    let leaf = narrow.task("leaf", || 1);
    let middle = wide.task("middle", move || leaf.call(()).get().unwrap());
    let joined = wide.clone();
    let top = narrow.task("top", move || {
        drop(middle.call(()));
        joined.join(None).unwrap();
    });
    top.call(()).get_timeout(LIMIT).unwrap();
    assert_eq!(wide.stats().finished, 1);
}
