//! What runs on OS threads: parts of a task, and whole tasks.

use std::collections::HashSet;
use std::panic::catch_unwind;
use std::sync::mpsc;
use std::sync::{Arc, Barrier, Mutex};
use std::thread;
use std::time::Duration;

use minihuey::{
    Error, ManualClock, MiniHuey, Reason, Stage, TaskError, WhenFull, green, offload, task,
};
use once_cell::sync::Lazy;

use crate::support::{Gauge, LIMIT, next, until};

/// A gate that holds the OS thread, as what is offloaded does.
#[derive(Clone, Default)]
struct HardGate(Arc<(Mutex<bool>, std::sync::Condvar)>);

impl HardGate {
    fn open(&self) {
        *self.0.0.lock().unwrap() = true;
        self.0.1.notify_all();
    }

    fn pass(&self) {
        let mut open = self.0.0.lock().unwrap();
        while !*open {
            open = self.0.1.wait(open).unwrap();
        }
    }
}

#[test]
fn other_tasks_go_on_while_one_is_offloaded() {
    let huey = MiniHuey::new("offload");
    let (began, has_begun) = mpsc::channel();
    let gate = HardGate::default();
    let its_gate = gate.clone();
    let read = huey.task("read", move || {
        let mut lines = vec![green::is_green()];
        let name = offload(|| {
            began.send(()).unwrap();
            its_gate.pass();
            // It borrows from the task's stack.
            lines.push(green::is_green());
            thread::current().name().map(str::to_owned)
        });
        lines.push(green::is_green());
        (lines, name)
    });
    let result = read.call(());
    next(&has_begun);
    // The worker is free.
    huey.task("other", || green::sleep(Duration::from_millis(1))).call(()).get().unwrap();
    gate.open();
    let (lines, name) = result.get().unwrap();
    assert_eq!(lines, [true, false, true]);
    assert_eq!(name.as_deref(), Some("minihuey-offload"));
}

#[test]
fn on_an_os_thread_it_runs_right_there() {
    let here = thread::current().id();
    assert_eq!(offload(|| thread::current().id()), here);
    let huey = MiniHuey::new("twice");
    let nested = huey.task("nested", || {
        offload(|| (thread::current().id(), offload(|| thread::current().id())))
    });
    let (outer, inner) = nested.call(()).get().unwrap();
    assert_eq!(outer, inner);
}

#[test]
fn many_offloads_at_once_give_each_its_own_value() {
    let huey = MiniHuey::new("many");
    let double = huey.task("double", |n: u64| {
        let text = n.to_string();
        offload(|| 2 * text.parse::<u64>().unwrap())
    });
    let values = double.map((0..2_000).map(|n| (n,))).get_timeout(LIMIT).unwrap();
    assert_eq!(values, (0..2_000).map(|n| 2 * n).collect::<Vec<_>>());
}

#[test]
fn a_panic_comes_back_with_payload_message_and_place() {
    let huey = MiniHuey::new("panics");
    let line = line!() + 1;
    let boom = huey.task("boom", || offload(|| panic!("no such disk")));
    let TaskError::Panicked(panic) = boom.call(()).get().unwrap_err() else {
        panic!("not a panic")
    };
    assert_eq!((panic.task(), panic.message()), ("boom", "no such disk"));
    assert!(panic.place().unwrap().contains(&format!("offload.rs:{line}:")), "{panic}");
    // It can be caught as if it had happened here.
    let caught = huey.task("caught", || {
        let payload = catch_unwind(|| offload(|| std::panic::panic_any(42))).unwrap_err();
        *payload.downcast::<i32>().unwrap()
    });
    assert_eq!(caught.call(()).get().unwrap(), 42);
}

#[test]
fn in_a_destructor_while_a_panic_unwinds_it_runs_right_there() {
    struct Offloads(mpsc::Sender<bool>);
    impl Drop for Offloads {
        fn drop(&mut self) {
            let here = thread::current().id();
            self.0.send(offload(|| thread::current().id()) == here).unwrap();
        }
    }
    let huey = MiniHuey::new("unwinding");
    let (sender, receiver) = mpsc::channel();
    let boom = huey.task("boom", move || {
        let _offloads = Offloads(sender.clone());
        panic!("with a destructor that offloads");
    });
    boom.call(()).get().unwrap_err();
    assert!(next(&receiver));
}

#[test]
fn a_coroutine_of_mays_own_may_offload() {
    MiniHuey::new("start").task("start", || ()).call(()).get().unwrap();
    let (sender, receiver) = mpsc::channel();
    // SAFETY: it fits its stack, and uses no thread-locals.
    let coroutine = unsafe {
        may::coroutine::Builder::new().stack_size(0x20000).spawn(move || {
            let mut here = [1, 2];
            offload(|| here[1] = 3);
            sender.send(here).unwrap();
        })
    };
    assert_eq!(next(&receiver), [1, 3]);
    coroutine.unwrap().join().unwrap();
}

#[test]
fn a_coroutine_that_may_cancels_does_not_unwind_while_others_use_its_stack() {
    MiniHuey::new("start").task("start", || ()).call(()).get().unwrap();
    let (sender, receiver) = mpsc::channel();
    let gate = HardGate::default();
    let (its_gate, ended) = (gate.clone(), sender.clone());
    struct Ends(mpsc::Sender<&'static str>);
    impl Drop for Ends {
        fn drop(&mut self) {
            self.0.send("unwound").unwrap();
        }
    }
    // SAFETY: it fits its stack, and uses no thread-locals.
    let coroutine = unsafe {
        may::coroutine::Builder::new().stack_size(0x20000).spawn(move || {
            let _ends = Ends(ended);
            offload(|| {
                sender.send("began").unwrap();
                its_gate.pass();
                sender.send("ended").unwrap();
            });
        })
    };
    let coroutine = coroutine.unwrap();
    assert_eq!(next(&receiver), "began");
    // SAFETY: what it holds is the channel alone.
    unsafe { coroutine.coroutine().cancel() };
    // Time to do wrong.
    assert!(receiver.recv_timeout(Duration::from_millis(50)).is_err());
    gate.open();
    assert_eq!(next(&receiver), "ended");
    assert_eq!(next(&receiver), "unwound");
    assert!(coroutine.join().is_err());
}

#[test]
fn what_is_offloaded_lends_its_tasks_place_while_it_waits() {
    let huey = MiniHuey::builder("place").pool_size(1).build();
    let gauge = Gauge::default();
    let inside = gauge.clone();
    let leaf = huey.task("leaf", move |n: u64| inside.inside(|| n));
    let joined = huey.clone();
    let top = huey.task("top", move |n: u64| {
        offload(|| {
            assert!(matches!(joined.join(None), Err(Error::InsideTask)));
            let sum = leaf.call((n,)).get().unwrap() + leaf.call((n,)).get().unwrap();
            gauge.inside(|| sum)
        })
    });
    let sums = top.map((0..20).map(|n| (n,))).get_timeout(LIMIT).unwrap();
    assert_eq!(sums, (0..20).map(|n| 2 * n).collect::<Vec<_>>());
}

#[test]
fn offloaded_tasks_run_beside_the_worker_even_while_it_is_held() {
    let huey = MiniHuey::builder("beside").pool_size(1).build();
    let (began, has_begun) = mpsc::channel();
    let gate = HardGate::default();
    let its_gate = gate.clone();
    let hold = huey.task("hold the worker", move || {
        began.send(()).unwrap();
        its_gate.pass();
    });
    let held = hold.call(());
    next(&has_begun);
    let work = huey.task("work", |n: u32| (n + 1, green::is_green())).offload();
    let values = work.map((0..10).map(|n| (n,))).get_timeout(LIMIT).unwrap();
    assert_eq!(values, (1..11).map(|n| (n, false)).collect::<Vec<_>>());
    // A result is there a moment before its task has ended.
    until("only the one that holds runs", || huey.stats().running == 1);
    let stats = huey.stats();
    gate.open();
    held.get().unwrap();
    assert_eq!((stats.backlog, stats.enqueued, stats.finished), (0, 11, 10));
}

#[test]
fn offload_size_bounds_them_and_pool_size_does_not() {
    let huey = MiniHuey::builder("limits").pool_size(1).offload_size(3).build();
    let gauge = Gauge::default();
    let all_three = Arc::new(Barrier::new(3));
    let inside = gauge.clone();
    // Three at a time, else it would never end.
    let work = huey.task("work", move || {
        inside.inside(|| {
            all_three.wait();
            thread::sleep(Duration::from_millis(1));
        });
    });
    work.offload().map((0..60).map(|_| ())).get_timeout(LIMIT).unwrap();
    assert_eq!(gauge.most(), 3);
}

#[test]
fn they_begin_in_the_order_of_their_calls() {
    let huey = MiniHuey::builder("order").offload_size(1).build();
    let (sender, receiver) = mpsc::channel();
    let note = huey.task("note", move |n: u32| sender.send(n).unwrap()).offload();
    note.map((0..100).map(|n| (n,))).get_timeout(LIMIT).unwrap();
    assert_eq!(receiver.try_iter().collect::<Vec<_>>(), (0..100).collect::<Vec<_>>());
}

#[test]
fn every_fate_comes_back_as_from_a_green_thread() {
    let huey = MiniHuey::builder("fates").offload_size(1).build();
    let fail = huey.try_task("fail", |path: String| std::fs::read_to_string(path)).offload();
    let error = fail.call(("/no/such/file".into(),)).get().unwrap_err();
    assert_eq!(error.downcast::<std::io::Error>().unwrap().kind(), std::io::ErrorKind::NotFound);
    let line = line!() + 1;
    let boom = huey.task("boom", || panic!("boom")).offload();
    let TaskError::Panicked(panic) = boom.call(()).get().unwrap_err() else {
        panic!("not a panic")
    };
    assert!(panic.place().unwrap().contains(&format!("offload.rs:{line}:")), "{panic}");
    huey.join(LIMIT).unwrap();
    let stats = huey.stats();
    assert_eq!((stats.finished, stats.failed, stats.running), (0, 2, 0));
}

#[test]
fn offloaded_tasks_that_wait_for_each_other_never_deadlock() {
    for offload_size in [1, 2] {
        let huey = MiniHuey::builder("nested").offload_size(offload_size).build();
        let gauge = Gauge::default();
        let mut task = huey.task("level 0", |n: u64| n).offload();
        for level in 1..=10 {
            let (inner, gauge) = (task, gauge.clone());
            task = huey
                .task(&format!("level {level}"), move |n: u64| {
                    gauge.enter();
                    // While it waits it does not count: it lent its place.
                    gauge.leave();
                    let value = inner.call((n,)).get().unwrap();
                    gauge.inside(|| value + 1)
                })
                .offload();
        }
        let sums = task.map((0..20).map(|n| (n,))).get_timeout(LIMIT).unwrap();
        assert_eq!(sums, (10..30).collect::<Vec<_>>());
        assert!(gauge.most() <= offload_size, "{} of {offload_size}", gauge.most());
    }
}

#[test]
fn offloaded_and_green_tasks_that_wait_for_each_other_never_deadlock() {
    let huey = MiniHuey::builder("mixed").pool_size(1).offload_size(1).build();
    let (greens, offloads) = (Gauge::default(), Gauge::default());
    let mut task = huey.task("level 0", |n: u64| n);
    for level in 1..=10 {
        let inner = task;
        let is_green = level % 2 == 0;
        let gauge = if is_green { greens.clone() } else { offloads.clone() };
        task = huey.task(&format!("level {level}"), move |n: u64| {
            assert_eq!(green::is_green(), is_green);
            let mut group = inner.map([(n,), (n,)]).as_completed();
            let (first, second) = (group.next().unwrap().1, group.next().unwrap().1);
            assert_eq!(first.unwrap(), second.unwrap());
            gauge.inside(|| n + 1)
        });
        if !is_green {
            task = task.offload();
        }
    }
    let values = task.map((0..3).map(|n| (n,))).get_timeout(LIMIT).unwrap();
    assert_eq!(values, [1, 2, 3]);
    assert_eq!((greens.most(), offloads.most()), (1, 1));
}

#[test]
fn a_child_that_is_waited_for_goes_before_all_that_wait() {
    let huey = MiniHuey::builder("urgent").offload_size(1).build();
    let (sender, receiver) = mpsc::channel();
    let note = huey.task("note", move |what: &'static str| sender.send(what).unwrap()).offload();
    for parent_is_green in [false, true] {
        let (gate, (began, has_begun)) = (HardGate::default(), mpsc::channel());
        let (child, its_gate) = (note.clone(), gate.clone());
        let parent = huey.task(&format!("parent {parent_is_green}"), move || {
            began.send(()).unwrap();
            offload(|| its_gate.pass());
            child.call(("child",)).get().unwrap();
        });
        let parent = if parent_is_green { parent } else { parent.offload() };
        let parent = parent.call(());
        next(&has_begun);
        // Held back, in the green case, by one that has the lane's only place.
        let (hold, (held, is_held)) = (HardGate::default(), mpsc::channel());
        let its_hold = hold.clone();
        let holder = huey.task(&format!("holder {parent_is_green}"), move || {
            held.send(()).unwrap();
            its_hold.pass();
        });
        let holder = parent_is_green.then(|| {
            let holder = holder.offload().call(());
            next(&is_held);
            holder
        });
        let others = note.map((0..50).map(|_| ("other",)));
        gate.open();
        if holder.is_some() {
            until("the child is called", || huey.stats().backlog == 51);
            // And is waited for, most likely: give the green thread the time for it.
            huey.task(&format!("turn {parent_is_green}"), || ()).call(()).get().unwrap();
            hold.open();
        }
        parent.get().unwrap();
        others.get().unwrap();
        let order: Vec<_> = receiver.try_iter().collect();
        assert_eq!(order.len(), 51);
        assert_eq!(order[0], "child", "the parent is green: {parent_is_green}");
    }
}

#[test]
fn join_and_shutdown_inside_an_offloaded_task_say_so() {
    let huey = MiniHuey::new("inside");
    let inner = huey.clone();
    let task = huey
        .task("task", move || {
            (
                matches!(inner.join(None), Err(Error::InsideTask)),
                matches!(inner.shutdown(Duration::ZERO), Err(Error::InsideTask)),
            )
        })
        .offload();
    assert_eq!(task.call(()).get().unwrap(), (true, true));
}

#[test]
fn a_backlog_counts_them_too() {
    let huey = MiniHuey::builder("backlog").offload_size(1).backlog(2).build();
    let (began, has_begun) = mpsc::channel();
    let gate = HardGate::default();
    let its_gate = gate.clone();
    let hold = huey
        .task("hold", move || {
            began.send(()).unwrap();
            its_gate.pass();
        })
        .offload();
    let held = hold.call(());
    next(&has_begun);
    let waiting = [hold.call(()), hold.call(())];
    let error = hold.call(()).get().unwrap_err();
    let TaskError::Rejected(why) = &error else { panic!("{error}") };
    assert_eq!(*why.reason(), Reason::BacklogFull { limit: 2 });
    gate.open();
    held.get().unwrap();
    for waiting in waiting {
        waiting.get().unwrap();
    }

    let huey =
        MiniHuey::builder("patient").offload_size(1).backlog(2).when_full(WhenFull::Wait).build();
    let double = huey.task("double", |n: u64| 2 * n).offload();
    // One that fills its own backlog lends its place while it waits for room.
    let inner = double.clone();
    let fill = huey.task("fill", move || inner.map((0..50).map(|n| (n,))).get().unwrap().len());
    assert_eq!(fill.offload().call(()).get_timeout(LIMIT).unwrap(), 50);
}

#[test]
fn a_shutdown_gives_up_what_waits_and_resolves_what_runs() {
    let huey = MiniHuey::builder("leaving").offload_size(1).build();
    let (began, has_begun) = mpsc::channel();
    let gate = HardGate::default();
    let its_gate = gate.clone();
    let hold = huey
        .task("hold", move || {
            began.send(()).unwrap();
            its_gate.pass();
        })
        .offload();
    let results = [hold.call(()), hold.call(())];
    next(&has_begun);
    let abandoned = huey.shutdown(Duration::ZERO).unwrap();
    let mut stages: Vec<_> = abandoned.iter().map(|abandoned| abandoned.stage).collect();
    stages.sort_by_key(|stage| *stage == Stage::Running);
    assert_eq!(stages, [Stage::Queued, Stage::Running]);
    for result in results {
        assert!(matches!(result.get(), Err(TaskError::ShutDown)));
    }
    gate.open();
    until("the one that ran is done", || huey.stats().running == 0);
}

#[test]
fn in_immediate_mode_they_run_in_their_caller() {
    let huey = MiniHuey::builder("immediate").immediate(true).build();
    let here = huey.task("here", || thread::current().id()).offload();
    assert_eq!(here.call(()).get().unwrap(), thread::current().id());
}

#[test]
fn an_offload_size_of_zero_is_an_error() {
    let huey = MiniHuey::builder("zero").offload_size(0).try_build();
    let error = huey.unwrap_err().to_string();
    assert_eq!(
        error,
        "\"zero\": offload_size is 0: no offloaded task could ever run; expected at least 1"
    );
}

#[test]
fn threads_are_used_again() {
    let huey = MiniHuey::builder("again").offload_size(1).build();
    let which = huey.task("which", || thread::current().id()).offload();
    let threads: HashSet<_> = (0..50).map(|_| which.call(()).get().unwrap()).collect();
    // One was likely; those of other tests may have taken turns.
    assert!(threads.len() < 50, "{}", threads.len());
}

static CLOCK: Lazy<ManualClock> = Lazy::new(|| ManualClock::at(chrono::DateTime::UNIX_EPOCH));
static HUEY: Lazy<MiniHuey> =
    Lazy::new(|| MiniHuey::builder("declared").offload_size(2).clock(&*CLOCK).build());
static TICKS: Mutex<Vec<bool>> = Mutex::new(Vec::new());

#[task(HUEY, offload)]
fn sum(numbers: Vec<u64>) -> u64 {
    assert!(!green::is_green());
    numbers.iter().sum()
}

#[task(HUEY, offload, crontab(minute = "*"))]
fn tick() {
    TICKS.lock().unwrap().push(green::is_green());
}

#[test]
fn declared_scheduled_and_periodic_tasks_are_offloaded() {
    assert_eq!(sum(vec![1, 2, 3]).get().unwrap(), 6);
    HUEY.start().unwrap();
    let later = sum::schedule((vec![4, 5],), Duration::from_secs(30));
    CLOCK.advance(Duration::from_secs(30));
    assert_eq!(later.get().unwrap(), 9);
    CLOCK.advance(Duration::from_secs(60));
    until("it ticked", || !TICKS.lock().unwrap().is_empty());
    assert_eq!(*TICKS.lock().unwrap(), [false]);
    HUEY.stop().unwrap();
}
