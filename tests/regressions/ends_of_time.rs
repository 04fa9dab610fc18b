//! Clocks at the first and the last moments that can be told.

use std::time::Duration;

use chrono::{DateTime, Local, TimeDelta, Utc};
use minihuey::{ManualClock, MiniHuey, Overlap, Period, crontab};

use crate::support::{LIMIT, utc, within_limit};

/// The scheduler lives through turns of the clock from `start` on, to both ends and back.
fn assert_lives_through(start: DateTime<Utc>) {
    let clock = ManualClock::at(start);
    let huey = MiniHuey::builder("ends of time").clock(&clock).build();
    huey.periodic_task("each minute", crontab!(minute = "*"), || ());
    let at_three = Period::from(crontab!(minute = "*", hour = "3")).overlap(Overlap::Queue);
    huey.periodic_task("at three", at_three, || ());
    huey.periodic_task("always", |_: &DateTime<Local>| true, || ());
    let task = huey.task("task", || 1);
    let run_at = |eta: DateTime<Utc>| {
        assert_eq!(task.schedule((), eta).get_timeout(LIMIT).unwrap(), 1, "{eta}");
    };
    huey.start().unwrap();
    for by in [30, 60, 61, 3600, 86_400, 40 * 86_400] {
        clock.advance(Duration::from_secs(by));
        run_at(clock.now());
    }
    clock.advance(Duration::MAX);
    run_at(clock.now());
    clock.set_wall(DateTime::<Utc>::MIN_UTC);
    run_at(clock.now());
    clock.set_wall(start);
    run_at(clock.now());
    assert!(huey.is_started());

    huey.stop().unwrap();
    huey.start().unwrap();
    run_at(start);
    clock.set_wall(utc("2024-05-05T00:00:30Z"));
    let mut result = task.schedule((), clock.now() + TimeDelta::seconds(1));
    clock.suspend(Duration::from_secs(2));
    assert_eq!(result.get_timeout(LIMIT).unwrap(), 1);
}

#[test]
fn a_scheduler_lives_at_the_last_moment() {
    within_limit(|| assert_lives_through(DateTime::<Utc>::MAX_UTC));
}

#[test]
fn a_scheduler_lives_shortly_before_the_last_moment() {
    within_limit(|| assert_lives_through(DateTime::<Utc>::MAX_UTC - TimeDelta::days(2)));
}

#[test]
fn a_scheduler_lives_at_the_first_moment() {
    within_limit(|| assert_lives_through(DateTime::<Utc>::MIN_UTC));
}

#[test]
fn a_scheduler_lives_when_the_nanoseconds_of_an_i64_end() {
    within_limit(|| assert_lives_through(utc("2262-04-11T23:40:00Z")));
}
