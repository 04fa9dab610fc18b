//! As many green threads as there may be: what runs on another one's stack, and who makes room.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use minihuey::sync::channel::{self, Sender};
use minihuey::{Error, MiniHuey, Stage, Task, TaskError, TaskResult};

use crate::child;
use crate::support::{LIMIT, address_here, endless, is_on_stack_of, until, until_no_more_begin};

/// A quarter of them is kept for who is waited for.
const GREEN_THREADS: usize = 400;

/// More than there can be green threads.
const ASKS: usize = 500;

/// More than are kept for who is waited for.
const PLACES: usize = 200;

/// Of so many answers one overflows the stack.
const OVERFLOWS: usize = 10;

/// Asks and answers, each in a huey of its own. Each answer waits for `go`, and then for a task of
/// the huey that asks, which stands behind asks that can't begin.
struct Hueys {
    asking: MiniHuey,
    answering: MiniHuey,
    asks: Vec<TaskResult<Result<u32, TaskError>>>,
    /// The answers go on when this is dropped.
    go: Sender<()>,
}

impl Hueys {
    /// With as many answers as may have begun.
    fn full() -> Hueys {
        minihuey::runtime().green_threads(GREEN_THREADS).start().unwrap();
        // Both have places to lend, but never too few.
        let asking = MiniHuey::builder("asking").pool_size(2 * ASKS).build();
        let answering = MiniHuey::builder("answering").pool_size(PLACES).build();
        let (go, goes) = channel::unbounded::<()>();
        let on_top = Arc::new(AtomicUsize::new(0));
        let (leaf, counts, joined) = (asking.task("leaf", || 1), on_top.clone(), answering.clone());
        let answer = answering.task("answer", move |number: usize, asked_at: usize| {
            if is_on_stack_of(asked_at) {
                counts.fetch_add(1, Ordering::SeqCst);
            }
            let _ = goes.recv();
            assert!(matches!(joined.join(Some(Duration::ZERO)), Err(Error::InsideTask)));
            if number.is_multiple_of(OVERFLOWS) {
                endless(0);
            }
            leaf.call(()).get().unwrap()
        });
        let (ask, asks) = channel::unbounded::<()>();
        let asks_one = asking.task("ask", move |number: usize| {
            let _ = asks.recv();
            answer.call((number, address_here())).get()
        });
        let asks = (0..ASKS).map(|number| asks_one.call((number,))).collect();
        until_no_more_begin(&asking);
        // One after the other, so that each finds whether there is a green thread for its answer.
        for begun in 1..=PLACES {
            ask.send(()).unwrap();
            until("the answer has begun", || answering.stats().running == begun);
        }
        drop(ask);
        let on_top = on_top.load(Ordering::SeqCst);
        assert!(on_top > OVERFLOWS, "there are more green threads than expected");
        Hueys { asking, answering, asks, go }
    }
}

#[test]
fn a_task_that_another_huey_waits_for_begins_though_there_are_no_green_threads_left() {
    const NAME: &str = "shortage::\
        a_task_that_another_huey_waits_for_begins_though_there_are_no_green_threads_left";

    child::run(NAME, || {
        let Hueys { asking, answering, asks, go } = Hueys::full();
        drop(go);
        let (mut overflows, mut taken_along) = (0, 0);
        for ask in asks {
            match ask.get() {
                Ok(Ok(answer)) => assert_eq!(answer, 1),
                Ok(Err(TaskError::StackOverflow)) => overflows += 1,
                Err(TaskError::StackOverflow) => taken_along += 1,
                other => panic!("{other:?}"),
            }
        }
        assert_eq!(overflows + taken_along, ASKS / OVERFLOWS);
        assert!(taken_along > 0, "none of them overflowed on the stack of who asks");
        for (huey, failed) in [(&asking, taken_along), (&answering, ASKS / OVERFLOWS)] {
            huey.join(Some(LIMIT)).unwrap();
            let stats = huey.stats();
            assert_eq!(stats.failed, failed as u64);
            assert_eq!(stats.finished + stats.failed, stats.enqueued);
        }

        // No place was lost, and none too many given back.
        let (go, goes) = channel::unbounded::<()>();
        let waits = answering.task("waits", move || assert!(goes.recv().is_err()));
        let waiting: Vec<_> = (0..PLACES + 1).map(|_| waits.call(())).collect();
        until_no_more_begin(&answering);
        assert_eq!(answering.stats().running, PLACES);
        drop(go);
        waiting.into_iter().for_each(|result| result.get().unwrap());
    });
}

#[test]
fn what_a_shutdown_ends_unwinds_on_the_stack_of_another_hueys_task_too() {
    child::run(
        "shortage::what_a_shutdown_ends_unwinds_on_the_stack_of_another_hueys_task_too",
        || {
            let Hueys { asking, answering, asks, go } = Hueys::full();
            let abandoned = answering.shutdown(Duration::ZERO).unwrap();
            let running = abandoned.iter().filter(|task| task.stage == Stage::Running).count();
            assert_eq!(running, PLACES);
            for ask in asks {
                assert!(matches!(ask.get().unwrap(), Err(TaskError::ShutDown)));
            }
            answering.join(Some(LIMIT)).unwrap();
            asking.join(Some(LIMIT)).unwrap();
            assert_eq!(asking.stats().finished, ASKS as u64);
            drop(go);
        },
    );
}

/// A huey with a task that runs until the gate is opened, which is when the sender is dropped.
fn gated(name: &str) -> (MiniHuey, Task<(), ()>, Sender<()>) {
    let (gate, gates) = channel::unbounded::<()>();
    let huey = MiniHuey::new(name);
    let task = huey.task("gated", move || assert!(gates.recv().is_err()));
    (huey, task, gate)
}

#[test]
fn green_threads_that_do_nothing_in_one_huey_make_room_for_anothers() {
    const NAME: &str = "shortage::green_threads_that_do_nothing_in_one_huey_make_room_for_anothers";
    // A huey keeps those of more when they have ended.
    const AT_ONCE: usize = GREEN_THREADS / 2;

    child::run(NAME, || {
        minihuey::runtime().green_threads(GREEN_THREADS).start().unwrap();
        let mut hueys = Vec::new();
        for number in 0..4 {
            let (huey, task, gate) = gated(&format!("number {number}"));
            let results: Vec<_> = (0..AT_ONCE).map(|_| task.call(())).collect();
            until("all of them run", || huey.stats().running == AT_ONCE);
            drop(gate);
            results.into_iter().for_each(|result| result.get().unwrap());
            hueys.push(huey);
        }
    });
}

/// For what one worker has nobody, another one may have somebody who does nothing.
#[test]
fn with_two_workers_who_does_nothing_on_one_is_called_though_the_other_one_is_asked() {
    const NAME: &str = "shortage::\
        with_two_workers_who_does_nothing_on_one_is_called_though_the_other_one_is_asked";

    child::run(NAME, || {
        minihuey::runtime().workers(2).green_threads(GREEN_THREADS).start().unwrap();
        let modest = MiniHuey::new("modest").task("modest", || ());
        let greedy = MiniHuey::new("greedy");
        let (ask, asks) = channel::unbounded::<()>();
        let (tell, told) = channel::unbounded();
        let called = modest.clone();
        let calls = greedy.task("calls", move || {
            if asks.recv().is_ok() {
                tell.send((thread::current().id(), called.call(()))).unwrap();
            }
        });
        let results: Vec<_> = (0..ASKS).map(|_| calls.call(())).collect();
        until_no_more_begin(&greedy);
        // It has one green thread, on one worker, and is called from both.
        modest.call(()).get_timeout(LIMIT).unwrap();
        let mut workers = HashSet::new();
        for _ in 0..GREEN_THREADS / 2 {
            ask.send(()).unwrap();
            let (worker, mut result) = told.recv_timeout(LIMIT).unwrap();
            result.get_timeout(LIMIT).unwrap();
            workers.insert(worker);
        }
        assert_eq!(workers.len(), 2);
        drop(ask);
        results.into_iter().for_each(|result| result.get().unwrap());
    });
}
