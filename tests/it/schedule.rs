//! Tasks that are due later: delays, etas, and clocks that are turned by hand.

use std::sync::mpsc;
use std::time::{Duration, Instant, SystemTime};

use chrono::{DateTime, TimeDelta, Utc};
use minihuey::{ManualClock, MiniHuey, Task};

use crate::support::{LIMIT, hold, next, until};

fn noon() -> DateTime<Utc> {
    "2026-06-01T12:00:00Z".parse().unwrap()
}

/// A started huey on a clock turned by hand, and a task that reports its argument.
fn huey_on(clock: &ManualClock) -> (MiniHuey, Task<(u32,), ()>, mpsc::Receiver<u32>) {
    let huey = MiniHuey::builder("by hand").clock(clock).build();
    let (sender, receiver) = mpsc::channel();
    let note = huey.task("note", move |n: u32| sender.send(n).unwrap());
    huey.start().unwrap();
    (huey, note, receiver)
}

/// Nothing more is due: whatever was has been handed over when a task that is due comes back.
fn assert_nothing_came(
    clock: &ManualClock,
    note: &Task<(u32,), ()>,
    receiver: &mpsc::Receiver<u32>,
) {
    let marker = note.schedule((u32::MAX,), clock.now() + TimeDelta::nanoseconds(1));
    clock.suspend(Duration::from_nanos(1));
    let mut marker = marker;
    marker.get_timeout(LIMIT).unwrap();
    assert_eq!(next(receiver), u32::MAX);
}

#[test]
fn a_delay_of_zero_and_an_eta_in_the_past_run_at_once() {
    let huey = MiniHuey::new("at once");
    let five = huey.task("five", || 5);
    // Not even the scheduler is needed.
    assert_eq!(five.schedule((), Duration::ZERO).get().unwrap(), 5);
    assert_eq!(five.schedule((), TimeDelta::seconds(-5)).get().unwrap(), 5);
    assert_eq!(five.schedule((), Utc::now() - TimeDelta::days(1)).get().unwrap(), 5);
    assert_eq!(five.schedule((), SystemTime::UNIX_EPOCH).get().unwrap(), 5);
}

#[test]
fn a_due_task_starts_early_and_not_at_the_next_tick() {
    let huey = MiniHuey::builder("early").interval(Duration::from_secs(3600)).build();
    let started = huey.task("started", Instant::now);
    huey.start().unwrap();
    let lowest = (0..5)
        .map(|_| {
            let due = Instant::now() + Duration::from_millis(20);
            let mut result = started.schedule((), Duration::from_millis(20));
            let start = result.get_timeout(LIMIT).unwrap();
            assert!(start >= due, "it must not start too early");
            start - due
        })
        .min()
        .unwrap();
    assert!(lowest < Duration::from_millis(500), "{lowest:?}");
}

#[test]
fn a_task_that_is_scheduled_while_the_loop_sleeps_for_a_later_one_is_in_time() {
    let huey = MiniHuey::builder("earlier").interval(Duration::from_secs(3600)).build();
    let five = huey.task("five", || 5);
    huey.start().unwrap();
    let hour = Duration::from_secs(3600);
    let _later = [five.schedule((), hour), five.schedule((), Utc::now() + hour)];
    let mut soon = five.schedule((), Duration::from_millis(10));
    assert_eq!(soon.get_timeout(LIMIT).unwrap(), 5);
    let mut soon = five.schedule((), Utc::now() + Duration::from_millis(10));
    assert_eq!(soon.get_timeout(LIMIT).unwrap(), 5);
}

#[test]
fn equal_etas_are_first_in_first_out() {
    let clock = ManualClock::at(noon());
    let huey = MiniHuey::builder("fifo").clock(&clock).pool_size(1).build();
    let (sender, receiver) = mpsc::channel();
    let note = huey.task("note", move |n: u32| sender.send(n).unwrap());
    huey.start().unwrap();
    let eta = noon() + TimeDelta::minutes(1);
    for n in 0..1000 {
        drop(note.schedule((n,), eta));
    }
    clock.advance(Duration::from_secs(60));
    assert!((0..1000).all(|n| next(&receiver) == n));
}

#[test]
fn after_a_suspend_an_eta_follows_the_wall_clock_and_a_delay_does_not() {
    let clock = ManualClock::at(noon());
    let (_huey, note, receiver) = huey_on(&clock);
    drop(note.schedule((1,), Duration::from_secs(600)));
    drop(note.schedule((2,), noon() + TimeDelta::minutes(10)));
    clock.suspend(Duration::from_secs(3600));
    assert_eq!(next(&receiver), 2);
    assert_nothing_came(&clock, &note, &receiver);
    clock.advance(Duration::from_secs(600));
    assert_eq!(next(&receiver), 1);
}

#[test]
fn a_wall_clock_set_forward_makes_etas_due_and_not_delays() {
    let clock = ManualClock::at(noon());
    let (_huey, note, receiver) = huey_on(&clock);
    drop(note.schedule((1,), Duration::from_secs(600)));
    drop(note.schedule((2,), noon() + TimeDelta::hours(5)));
    clock.set_wall(noon() + TimeDelta::hours(6));
    assert_eq!(next(&receiver), 2);
    assert_nothing_came(&clock, &note, &receiver);
}

#[test]
fn a_wall_clock_set_backward_holds_etas_and_not_delays() {
    let clock = ManualClock::at(noon());
    let (_huey, note, receiver) = huey_on(&clock);
    drop(note.schedule((1,), Duration::from_secs(600)));
    drop(note.schedule((2,), noon() + TimeDelta::minutes(5)));
    clock.set_wall(noon() - TimeDelta::hours(1));
    clock.advance(Duration::from_secs(600));
    assert_eq!(next(&receiver), 1);
    assert_nothing_came(&clock, &note, &receiver);
    clock.advance(Duration::from_secs(3600));
    assert_eq!(next(&receiver), 2);
}

#[test]
fn after_a_stall_of_many_minutes_everything_due_runs_once() {
    let clock = ManualClock::at(noon());
    let (huey, note, receiver) = huey_on(&clock);
    for n in 0..100 {
        drop(note.schedule((n,), Duration::from_secs(u64::from(n) * 10 + 1)));
    }
    clock.advance(Duration::from_secs(7200));
    let mut seen: Vec<_> = (0..100).map(|_| next(&receiver)).collect();
    seen.sort();
    assert_eq!(seen, (0..100).collect::<Vec<_>>());
    assert_eq!(huey.stats().scheduled, 0);
    assert_eq!(huey.stats().worst_lateness, Duration::from_secs(7199));
}

#[test]
fn times_beyond_all_measure_never_come_and_do_no_harm() {
    let huey = MiniHuey::new("far");
    let five = huey.task("five", || 5);
    huey.start().unwrap();
    let never = [
        five.schedule((), Duration::MAX),
        five.schedule((), DateTime::<Utc>::MAX_UTC),
        five.schedule((), TimeDelta::MAX),
    ];
    assert_eq!(five.schedule((), Duration::from_millis(1)).get().unwrap(), 5);
    assert!(never.iter().all(|result| !result.is_ready()));
    assert_eq!(huey.stats().scheduled, 3);
}

#[test]
fn in_immediate_mode_what_is_scheduled_still_waits_for_its_time() {
    let clock = ManualClock::at(noon());
    let huey = MiniHuey::builder("immediate").immediate(true).clock(&clock).build();
    let five = huey.task("five", || 5);
    huey.start().unwrap();
    let mut later = five.schedule((), Duration::from_secs(60));
    assert!(!later.is_ready());
    clock.advance(Duration::from_secs(60));
    assert_eq!(later.get_timeout(LIMIT).unwrap(), 5);
}

#[test]
fn due_tasks_get_into_a_full_backlog_and_never_hold_the_scheduler() {
    let clock = ManualClock::at(noon());
    let huey = MiniHuey::builder("due and full").clock(&clock).pool_size(1).backlog(1).build();
    let (hold, gate, _) = hold(&huey);
    huey.start().unwrap();
    let due: Vec<_> = (0..10).map(|_| hold.schedule((), Duration::from_secs(1))).collect();
    clock.advance(Duration::from_secs(1));
    until("all are handed over", || huey.stats().scheduled == 0);
    gate.open();
    for result in due {
        result.get().unwrap();
    }
}
