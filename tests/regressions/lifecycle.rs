//! Starts, stops, joins and shutdowns that cross each other.

use std::cell::Cell;
use std::sync::{LazyLock, mpsc};
use std::thread;
use std::time::Duration;

use chrono::{DateTime, Local};
use minihuey::{Error, HueyRef, ManualClock, MiniHuey, TaskError, green, task};

use crate::child;
use crate::support::{LIMIT, moment, until, utc, within_limit};

#[test]
fn join_returns_after_a_shutdown_that_drained() {
    child::run("lifecycle::join_returns_after_a_shutdown_that_drained", || {
        // Holds the worker, so that the other's task can't begin.
        let (held, holds) = mpsc::channel();
        let (release, released) = mpsc::channel::<()>();
        let hog = MiniHuey::new("hog");
        hog.task("hog", move |released: mpsc::Receiver<()>| {
            held.send(()).unwrap();
            released.recv().unwrap();
        })
        .call((released,))
        .on_ready(drop);
        holds.recv_timeout(LIMIT).unwrap();

        let huey = MiniHuey::new("drained");
        let result = huey.task("never", || ()).call(());
        let (sender, joined) = mpsc::channel();
        let inner = huey.clone();
        thread::spawn(move || {
            let _ = inner.join(None);
            sender.send(()).unwrap();
        });
        moment();
        let _ = huey.shutdown(Duration::ZERO);
        release.send(()).unwrap();
        let _ = result.get();
        joined.recv_timeout(LIMIT).expect("join hangs");
    });
}

#[test]
fn a_loop_that_ends_leaves_the_next_ones_sleeper_alone() {
    let clock = ManualClock::at(utc("2024-01-01T00:00:30Z"));
    let huey = MiniHuey::builder("restarted").clock(&clock).build();
    let (asked, asks) = mpsc::channel();
    let (answer, answers) = may::sync::mpsc::channel::<()>();
    let answers = std::sync::Mutex::new(answers);
    let matches = move |_: &DateTime<Local>| {
        let _ = asked.send(());
        let _ = answers.lock().unwrap().recv();
        false
    };
    huey.periodic_task("slow to tell", matches, || ());
    huey.start().unwrap();
    clock.advance(Duration::from_secs(60));
    // The loop is inside the predicate when its huey is stopped and started.
    asks.recv_timeout(LIMIT).unwrap();
    huey.stop().unwrap();
    huey.start().unwrap();
    moment();
    // Now it ends, and from here on the predicate answers at once.
    drop(answer);
    moment();
    let mut result = huey.task("due", || 1).schedule((), Duration::from_secs(10));
    clock.advance(Duration::from_secs(20));
    assert_eq!(result.get_timeout(LIMIT).unwrap(), 1);
}

#[test]
fn a_restart_amid_much_due_work_loses_no_wake_up() {
    // Its own process: what is late here would be late because of others.
    child::run("lifecycle::a_restart_amid_much_due_work_loses_no_wake_up", || {
        let huey = MiniHuey::builder("busy").interval(Duration::from_secs(3600)).build();
        let task = huey.task("task", || ());
        for _ in 0..20 {
            for _ in 0..600 {
                drop(task.schedule((), Duration::from_micros(1)));
            }
            huey.start().unwrap();
            huey.stop().unwrap();
            huey.start().unwrap();
            thread::sleep(Duration::from_millis(3));
            task.schedule((), Duration::from_millis(2)).get_timeout(LIMIT).unwrap();
            huey.stop().unwrap();
        }
    });
}

#[test]
fn starts_stops_and_shutdowns_at_once_leave_no_result_unresolved() {
    within_limit(|| {
        for round in 0..10 {
            let huey = MiniHuey::builder("storm").pool_size(1 + round % 3).build();
            let task = huey.task("task", green::yield_now);
            let work = |thread: u64| {
                let (huey, task) = (huey.clone(), task.clone());
                move || {
                    for n in 0..30 {
                        match (thread + n) % 4 {
                            0 => drop(huey.start()),
                            1 => drop(huey.stop()),
                            _ => {}
                        }
                        let result = task.call(());
                        drop(task.schedule((), Duration::from_micros(n)));
                        if n == 25 && thread == 2 {
                            let _ = huey.shutdown(Duration::from_millis(1));
                        }
                        // A value or an error: it resolves.
                        let _ = result.get();
                    }
                }
            };
            let threads: Vec<_> = (0..4).map(|n| thread::spawn(work(n))).collect();
            threads.into_iter().for_each(|thread| thread.join().unwrap());
            assert_eq!(huey.stats().scheduled, 0);
        }
    });
}

/// Shuts its huey down in the middle of the cancelling of the task that it is the argument of.
struct Last(MiniHuey);

impl Drop for Last {
    fn drop(&mut self) {
        let abandoned = self.0.shutdown(Duration::ZERO).unwrap();
        assert_eq!(abandoned.len(), 1, "the one that runs: {abandoned:?}");
    }
}

#[test]
fn a_shutdown_amid_a_cancel_enters_the_task_in_the_books_as_its_result_says() {
    let huey = MiniHuey::builder("amid").pool_size(1).build();
    let (sender, runs) = mpsc::channel();
    let hold = huey.task("hold", move |sender: mpsc::Sender<()>| {
        sender.send(()).unwrap();
        green::sleep(10 * LIMIT);
    });
    let held = hold.call((sender,));
    runs.recv_timeout(LIMIT).unwrap();
    let waits = huey.task("waits", drop::<Last>).call((Last(huey.clone()),));
    assert!(waits.cancel());
    assert!(matches!(waits.get(), Err(TaskError::Cancelled)));
    assert!(matches!(held.get(), Err(TaskError::ShutDown)));
    until("all is settled", || huey.stats().running == 0);
    let stats = huey.stats();
    assert_eq!((stats.enqueued, stats.cancelled, stats.abandoned), (2, 1, 1), "{stats:?}");
    huey.join(LIMIT).unwrap();
}

#[test]
fn a_shutdown_whose_caller_is_cancelled_or_times_out_abandons_all_the_same() {
    let long = 10 * LIMIT;
    for timeout in [long, Duration::from_millis(30)] {
        let huey = MiniHuey::builder("victim").pool_size(1).build();
        let (sender, runs) = mpsc::channel();
        let nap = huey.task("nap", move || {
            sender.send(()).unwrap();
            green::sleep(long);
        });
        let naps = [nap.call(()), nap.call(())];
        runs.recv_timeout(LIMIT).unwrap();

        let other = MiniHuey::new("other");
        let (sender, shuts_down) = mpsc::channel();
        let inner = huey.clone();
        let shut = other.task("shut", move || {
            sender.send(()).unwrap();
            drop(inner.shutdown(long));
        });
        let shutting = shut.timeout(timeout).call(());
        shuts_down.recv_timeout(LIMIT).unwrap();
        if timeout == long {
            moment();
            assert!(shutting.cancel());
        }
        for mut nap in naps {
            let error = nap.get_timeout(LIMIT).unwrap_err();
            assert!(matches!(error, TaskError::ShutDown), "{error}");
        }
        until("the one that ran is interrupted", || huey.stats().running == 0);
        assert_eq!(huey.stats().abandoned, 2);
        let expected = if timeout == long { TaskError::Cancelled } else { TaskError::TimedOut };
        let error = shutting.get().unwrap_err();
        assert_eq!(error.to_string(), expected.to_string());
    }
}

/// Where a declaration finds its huey, of a type of the program's own.
struct Place;

static PLACE: Place = Place;
static AT_PLACE: LazyLock<MiniHuey> = LazyLock::new(|| MiniHuey::new("at a place"));

thread_local! {
    /// The place has it looked for in another thread, too, when it is asked in this one.
    static ASKS_ELSEWHERE: Cell<bool> = const { Cell::new(false) };
}

impl HueyRef for Place {
    fn huey(&self) -> &MiniHuey {
        &AT_PLACE
    }

    fn peek(&self) -> Option<&MiniHuey> {
        if ASKS_ELSEWHERE.take() {
            within_limit(|| AT_PLACE.start()).unwrap();
        }
        LazyLock::get(&AT_PLACE)
    }
}

#[task(PLACE, crontab("0 * * * *"))]
fn at_a_place() {}

#[test]
fn a_place_of_the_programs_own_may_wait_for_another_start_when_it_is_asked_for_its_huey() {
    LazyLock::force(&AT_PLACE);
    ASKS_ELSEWHERE.set(true);
    // The other one found the declaration, and this one finds it no second time.
    let error = AT_PLACE.start().unwrap_err();
    assert!(matches!(error, Error::AlreadyStarted { .. }), "{error}");
    AT_PLACE.stop().unwrap();
    AT_PLACE.start().unwrap();
    AT_PLACE.stop().unwrap();
}
