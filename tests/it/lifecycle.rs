//! start, stop, join, shutdown.

use std::time::Duration;

use minihuey::{Error, ManualClock, MiniHuey, Stage, TaskError, green};

use crate::support::{LIMIT, hold, next};

#[test]
fn start_twice_and_stop_when_not_started_are_errors() {
    let huey = MiniHuey::new("twice");
    let error = huey.stop().unwrap_err();
    assert!(matches!(&error, Error::NotStarted { huey } if huey == "twice"), "{error}");
    huey.start().unwrap();
    assert!(huey.is_started());
    let error = huey.start().unwrap_err();
    assert!(matches!(&error, Error::AlreadyStarted { huey } if huey == "twice"), "{error}");
    huey.stop().unwrap();
    assert!(matches!(huey.stop(), Err(Error::NotStarted { .. })));
    huey.start().unwrap();
}

#[test]
fn stop_leaves_what_is_scheduled_and_start_takes_it_up_again() {
    let clock = ManualClock::at("2026-01-01T00:00:00Z".parse().unwrap());
    let huey = MiniHuey::builder("pause").clock(&clock).build();
    let five = huey.task("five", || 5);
    huey.start().unwrap();
    let result = five.schedule((), Duration::from_secs(60));
    huey.stop().unwrap();
    clock.advance(Duration::from_secs(120));
    assert_eq!(huey.stats().scheduled, 1);
    // Tasks run all the same.
    assert_eq!(five.call(()).get().unwrap(), 5);
    assert!(!result.is_ready());
    huey.start().unwrap();
    assert_eq!(result.get().unwrap(), 5);
}

#[test]
fn join_waits_until_nothing_runs_or_waits() {
    let huey = MiniHuey::builder("join").pool_size(1).build();
    huey.join(Duration::ZERO).unwrap();
    let (hold, gate, receiver) = hold(&huey);
    let results = [hold.call(()), hold.call(())];
    next(&receiver);
    let error = huey.join(Duration::from_millis(20)).unwrap_err();
    assert!(matches!(error, Error::JoinTimedOut { running: 1, backlog: 1 }), "{error}");
    gate.open();
    huey.join(None).unwrap();
    assert!(results.iter().all(minihuey::TaskResult::is_ready));
}

#[test]
fn join_and_shutdown_in_a_task_of_the_same_huey_are_errors() {
    let huey = MiniHuey::new("self");
    let inner = huey.clone();
    let wait = huey.task("wait", move || {
        let join = inner.join(LIMIT).unwrap_err().to_string();
        let shutdown = inner.shutdown(LIMIT).unwrap_err().to_string();
        (join, shutdown)
    });
    let (join, shutdown) = wait.call(()).get().unwrap();
    assert!(join.contains("wait for themselves"), "{join}");
    assert!(shutdown.contains("wait for themselves"), "{shutdown}");
}

#[test]
fn a_task_may_join_another_huey() {
    let (outer, inner) = (MiniHuey::new("outer"), MiniHuey::new("inner"));
    let nap = inner.task("nap", || green::sleep(Duration::from_millis(5)));
    let join = outer.task("join", move || {
        let nap = nap.call(());
        inner.join(LIMIT).unwrap();
        nap.is_ready()
    });
    assert!(join.call(()).get_timeout(LIMIT).unwrap());
}

#[test]
fn shutdown_lets_everything_end_that_ends_in_time() {
    let huey = MiniHuey::builder("drain").pool_size(2).build();
    let nap = huey.task("nap", |n: u32| {
        green::sleep(Duration::from_millis(2));
        n
    });
    let naps = nap.map((0..20).map(|n| (n,)));
    assert_eq!(huey.shutdown(LIMIT).unwrap(), []);
    assert_eq!(naps.get().unwrap(), (0..20).collect::<Vec<_>>());
}

#[test]
fn shutdown_resolves_and_names_what_it_abandons() {
    let huey = MiniHuey::builder("abandon").pool_size(1).build();
    huey.start().unwrap();
    let (hold, gate, receiver) = hold(&huey);
    let running = hold.call(());
    next(&receiver);
    let queued = hold.call(());
    let scheduled = hold.schedule((), Duration::from_secs(3600));
    let mut abandoned = huey.shutdown(Duration::from_millis(20)).unwrap();
    abandoned.sort_by_key(|abandoned| abandoned.id);
    let seen: Vec<_> = abandoned.iter().map(|a| (a.id, a.name, a.stage)).collect();
    assert_eq!(
        seen,
        [
            (running.id(), "hold", Stage::Running),
            (queued.id(), "hold", Stage::Queued),
            (scheduled.id(), "hold", Stage::Scheduled),
        ]
    );
    for result in [running, queued, scheduled] {
        assert!(matches!(result.get(), Err(TaskError::ShutDown)));
    }
    // What comes after it resolves, too.
    assert!(matches!(hold.call(()).get(), Err(TaskError::ShutDown)));
    let late = hold.schedule((), Duration::from_secs(1));
    assert!(matches!(late.get(), Err(TaskError::ShutDown)));
    assert!(matches!(huey.shutdown(LIMIT), Err(Error::ShutDown { .. })));
    assert!(matches!(huey.start(), Err(Error::ShutDown { .. })));
    gate.open();
    huey.join(LIMIT).unwrap();
}

#[test]
fn what_is_scheduled_resolves_when_the_last_handle_goes() {
    let huey = MiniHuey::new("gone");
    let five = huey.task("five", || 5);
    let scheduled = five.schedule((), Duration::from_secs(3600));
    let called = five.call(());
    drop(huey);
    // The task is a handle, too.
    assert!(!scheduled.is_ready());
    drop(five);
    assert!(matches!(scheduled.get(), Err(TaskError::ShutDown)));
    assert_eq!(called.get().unwrap(), 5);
}

#[test]
fn stats_tell_how_many_are_where() {
    let huey = MiniHuey::builder("stats").pool_size(1).build();
    let (hold, gate, receiver) = hold(&huey);
    let fail = huey.try_task("fail", || Err::<(), _>("no"));
    let results = [hold.call(()), fail.call(()), hold.schedule((), Duration::from_secs(3600))];
    next(&receiver);
    let stats = huey.stats();
    let seen = (stats.enqueued, stats.running, stats.backlog, stats.scheduled, stats.finished);
    assert_eq!(seen, (2, 1, 1, 1, 0));
    gate.open();
    huey.join(LIMIT).unwrap();
    let stats = huey.stats();
    let seen = (stats.running, stats.backlog, stats.scheduled, stats.finished, stats.failed);
    assert_eq!(seen, (0, 0, 1, 1, 1));
    drop(results);
}

#[test]
fn a_shutdown_before_the_first_call_takes_no_more_calls() {
    let huey = MiniHuey::new("never used");
    let task = huey.task("task", || 1);
    assert!(huey.shutdown(Duration::ZERO).unwrap().is_empty());
    for mut result in [task.call(()), task.schedule((), Duration::from_secs(1))] {
        assert!(matches!(result.get_timeout(LIMIT), Err(TaskError::ShutDown)));
    }
    assert!(matches!(huey.start(), Err(Error::ShutDown { .. })));
}
