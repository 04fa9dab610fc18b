//! Tasks that run again and again, on a clock that is turned by hand.

use std::sync::mpsc::{self, Receiver};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use chrono::{
    DateTime, FixedOffset, Local, MappedLocalTime, NaiveDate, NaiveDateTime, TimeDelta, TimeZone,
    Timelike, Utc,
};
use minihuey::{Crontab, Error, ManualClock, MiniHuey, Overlap, Period, task};
use once_cell::sync::Lazy;

use crate::support::{Gate, LIMIT, next, until};

fn at(time: &str) -> DateTime<Utc> {
    format!("2026-06-01T{time}Z").parse().unwrap()
}

fn crontab(text: &str) -> Crontab {
    text.parse::<Crontab>().unwrap().in_zone(Utc)
}

/// A started huey with one periodic task that reports when it ran.
fn reports(clock: &ManualClock, period: impl Into<Period>) -> (MiniHuey, Receiver<DateTime<Utc>>) {
    let huey = MiniHuey::builder("periodic").clock(clock).build();
    let (sender, receiver) = mpsc::channel();
    let its_clock = clock.clone();
    huey.periodic_task("report", period, move || sender.send(its_clock.now()).unwrap());
    huey.start().unwrap();
    (huey, receiver)
}

/// Everything that is due by now has been handed over, and has run.
fn settle(huey: &MiniHuey, clock: &ManualClock) {
    let passes = huey.task(&format!("settle {}", clock.now()), || ());
    let marker = passes.schedule((), clock.now() + TimeDelta::nanoseconds(1));
    clock.suspend(Duration::from_nanos(1));
    marker.get().unwrap();
    huey.join(LIMIT).unwrap();
}

#[test]
fn a_crontab_fires_once_in_each_matching_minute_and_first_after_the_start() {
    let clock = ManualClock::at(at("12:00:00"));
    let (huey, receiver) = reports(&clock, crontab("*/5 * * * *"));
    // 12:00 matches, but it had begun when the huey started.
    for _ in 0..15 * 6 {
        clock.advance(Duration::from_secs(10));
        settle(&huey, &clock);
    }
    let fired: Vec<_> = receiver.try_iter().map(|time| time.minute()).collect();
    assert_eq!(fired, [5, 10, 15]);
}

#[test]
fn a_crontab_with_seconds_fires_once_in_each_matching_second() {
    let clock = ManualClock::at(at("12:00:00.500"));
    let (huey, receiver) = reports(&clock, crontab("*/10 * * * * *"));
    for _ in 0..70 {
        clock.advance(Duration::from_millis(500));
        settle(&huey, &clock);
    }
    let fired: Vec<_> = receiver.try_iter().map(|time| time.second()).collect();
    assert_eq!(fired, [10, 20, 30]);
}

#[test]
fn a_predicate_is_asked_once_a_minute() {
    let clock = ManualClock::at(at("12:00:30"));
    let asked = Arc::new(Mutex::new(Vec::new()));
    let its_asked = asked.clone();
    let (huey, receiver) = reports(&clock, move |now: &DateTime<Local>| {
        its_asked.lock().unwrap().push(now.with_timezone(&Utc));
        now.minute() % 2 == 1
    });
    for _ in 0..8 {
        clock.advance(Duration::from_secs(30));
        settle(&huey, &clock);
    }
    let minutes = ["12:01:00", "12:02:00", "12:03:00", "12:04:00"].map(at);
    assert_eq!(*asked.lock().unwrap(), minutes);
    let fired: Vec<_> = receiver.try_iter().map(|time| time.minute()).collect();
    assert_eq!(fired, [1, 3]);
}

#[test]
fn missed_minutes_are_skipped_and_counted() {
    let clock = ManualClock::at(at("12:00:30"));
    let (huey, receiver) = reports(&clock, crontab("* * * * *"));
    // Nobody looks for ten minutes: the machine slept.
    clock.suspend(Duration::from_secs(600));
    settle(&huey, &clock);
    let fired: Vec<_> = receiver.try_iter().map(|time| time.minute()).collect();
    assert_eq!(fired, [10]);
    assert_eq!(huey.stats().skipped, 9);
}

#[test]
fn a_minute_runs_never_twice_when_the_clock_is_set_back() {
    let clock = ManualClock::at(at("12:00:30"));
    let (huey, receiver) = reports(&clock, crontab("* * * * *"));
    for _ in 0..5 {
        clock.advance(Duration::from_secs(60));
        settle(&huey, &clock);
    }
    assert_eq!(receiver.try_iter().count(), 5);
    clock.set_wall(at("12:02:30"));
    settle(&huey, &clock);
    for _ in 0..4 {
        clock.advance(Duration::from_secs(60));
        settle(&huey, &clock);
    }
    // 12:03, 12:04 and 12:05 had run; 12:06 had not.
    let fired: Vec<_> = receiver.try_iter().map(|time| time.minute()).collect();
    assert_eq!(fired, [6]);
    assert_eq!(huey.stats().skipped, 0);
}

#[test]
fn a_clock_that_is_set_back_by_a_day_is_followed() {
    let clock = ManualClock::at(at("12:00:30"));
    let (huey, receiver) = reports(&clock, crontab("* * * * *"));
    clock.advance(Duration::from_secs(60));
    settle(&huey, &clock);
    clock.set_wall(at("12:00:30") - TimeDelta::days(1));
    settle(&huey, &clock);
    clock.advance(Duration::from_secs(60));
    settle(&huey, &clock);
    let fired: Vec<_> = receiver.try_iter().collect();
    assert_eq!(fired.len(), 2, "{fired:?}");
    assert!(fired[1] < fired[0]);
}

#[test]
fn a_clock_that_is_set_forward_by_years_fires_once_and_at_once() {
    let clock = ManualClock::at(at("12:00:30"));
    let (huey, receiver) = reports(&clock, crontab("* * * * *"));
    clock.set_wall(at("12:00:30") + TimeDelta::days(3650));
    settle(&huey, &clock);
    assert_eq!(receiver.try_iter().count(), 1);
    assert!(huey.stats().skipped >= 10_000);
}

#[test]
fn while_it_is_stopped_nothing_fires_and_nothing_counts_as_missed() {
    let clock = ManualClock::at(at("12:00:30"));
    let (huey, receiver) = reports(&clock, crontab("* * * * *"));
    huey.stop().unwrap();
    clock.advance(Duration::from_secs(600));
    huey.start().unwrap();
    settle(&huey, &clock);
    assert_eq!(receiver.try_iter().count(), 0);
    clock.advance(Duration::from_secs(60));
    assert_eq!(next(&receiver).minute(), 11);
    assert_eq!(huey.stats().skipped, 0);
}

#[test]
fn a_task_or_a_predicate_that_panics_harms_no_other() {
    let clock = ManualClock::at(at("12:00:30"));
    let huey = MiniHuey::builder("panics").clock(&clock).build();
    let (sender, receiver) = mpsc::channel();
    huey.periodic_task("bad task", crontab("* * * * *"), || {
        if true {
            panic!("a bad task");
        }
    });
    let bad = |_: &DateTime<Local>| -> bool { panic!("a bad predicate") };
    huey.periodic_task("bad predicate", bad, || ());
    huey.periodic_task("failing", crontab("* * * * *"), || Err::<(), _>("a failing task"));
    huey.periodic_task("good", crontab("* * * * *"), move || sender.send(()).unwrap());
    huey.start().unwrap();
    for _ in 0..3 {
        clock.advance(Duration::from_secs(60));
        next(&receiver);
        huey.join(LIMIT).unwrap();
    }
    let stats = huey.stats();
    assert_eq!((stats.finished, stats.failed), (3, 6));
}

/// A periodic task that reports when it begins and holds until told, fired three times.
fn overlapping(overlap: Overlap) -> (MiniHuey, ManualClock, Receiver<()>, Gate) {
    let clock = ManualClock::at(at("12:00:30"));
    let huey = MiniHuey::builder("overlap").clock(&clock).build();
    let gate = Gate::default();
    let (sender, receiver) = mpsc::channel();
    let its_gate = gate.clone();
    let period = Period::from(crontab("* * * * *")).overlap(overlap);
    huey.periodic_task("slow", period, move || {
        sender.send(()).unwrap();
        its_gate.pass();
    });
    huey.start().unwrap();
    clock.advance(Duration::from_secs(60));
    next(&receiver);
    for _ in 0..2 {
        clock.advance(Duration::from_secs(60));
        let passes = huey.task(&format!("pass {}", clock.now()), || ());
        let marker = passes.schedule((), clock.now() + TimeDelta::nanoseconds(1));
        clock.suspend(Duration::from_nanos(1));
        marker.get().unwrap();
    }
    (huey, clock, receiver, gate)
}

#[test]
fn by_default_a_run_begins_beside_one_that_has_not_ended() {
    let (huey, _clock, receiver, gate) = overlapping(Overlap::Beside);
    next(&receiver);
    next(&receiver);
    until("three run at once", || huey.stats().running == 3);
    gate.open();
    huey.join(LIMIT).unwrap();
    assert_eq!(huey.stats().skipped, 0);
}

#[test]
fn an_overlapping_run_is_skipped_and_counted_if_so_chosen() {
    let (huey, clock, receiver, gate) = overlapping(Overlap::Skip);
    assert_eq!(huey.stats().skipped, 2);
    gate.open();
    huey.join(LIMIT).unwrap();
    assert_eq!(receiver.try_iter().count(), 0);
    clock.advance(Duration::from_secs(60));
    next(&receiver);
}

#[test]
fn an_overlapping_run_is_queued_if_so_chosen() {
    let (huey, _clock, receiver, gate) = overlapping(Overlap::Queue);
    until("one runs", || huey.stats().running == 1);
    assert_eq!(receiver.try_iter().count(), 0);
    gate.open();
    next(&receiver);
    next(&receiver);
    huey.join(LIMIT).unwrap();
    assert_eq!((huey.stats().finished, huey.stats().skipped), (5, 0));
}

#[test]
fn a_periodic_task_that_is_added_after_the_start_runs_too() {
    let clock = ManualClock::at(at("12:00:30"));
    let huey = MiniHuey::builder("added").clock(&clock).build();
    huey.start().unwrap();
    let (sender, receiver) = mpsc::channel();
    huey.periodic_task("late", crontab("* * * * *"), move || sender.send(()).unwrap());
    clock.advance(Duration::from_secs(60));
    next(&receiver);
}

#[test]
fn on_the_real_clock_a_period_in_seconds_runs() {
    let huey = MiniHuey::new("real");
    let (sender, receiver) = mpsc::channel();
    huey.periodic_task("tick", crontab("* * * * * *"), move || sender.send(Utc::now()));
    huey.start().unwrap();
    let (first, second) = (next(&receiver), next(&receiver));
    assert!(second >= first);
}

/// A time zone that panics from some time on.
#[derive(Clone)]
struct Cursed(DateTime<Utc>);

impl TimeZone for Cursed {
    type Offset = FixedOffset;

    fn from_offset(_: &FixedOffset) -> Cursed {
        unreachable!()
    }

    fn offset_from_local_date(&self, _: &NaiveDate) -> MappedLocalTime<FixedOffset> {
        unreachable!()
    }

    fn offset_from_local_datetime(&self, _: &NaiveDateTime) -> MappedLocalTime<FixedOffset> {
        unreachable!()
    }

    fn offset_from_utc_date(&self, _: &NaiveDate) -> FixedOffset {
        unreachable!()
    }

    fn offset_from_utc_datetime(&self, utc: &NaiveDateTime) -> FixedOffset {
        assert!(utc.and_utc() < self.0, "nobody knows what the clocks show then");
        FixedOffset::east_opt(0).unwrap()
    }
}

#[test]
fn a_time_zone_that_panics_harms_no_other() {
    let clock = ManualClock::at(at("12:00:30"));
    let huey = MiniHuey::builder("cursed").clock(&clock).build();
    let cursed = "* * * * *".parse::<Crontab>().unwrap().in_zone(Cursed(at("12:03:00")));
    huey.periodic_task("cursed", cursed, || ());
    let (sender, receiver) = mpsc::channel();
    huey.periodic_task("sound", crontab("* * * * *"), move || sender.send(()).unwrap());
    huey.start().unwrap();
    for _ in 0..5 {
        clock.advance(Duration::from_secs(60));
        settle(&huey, &clock);
        next(&receiver);
    }
    // It fired at 12:01, and at 12:02 perhaps; then it was taken out.
    assert!((6..=7).contains(&(huey.stats().enqueued - 5)), "{:?}", huey.stats());
}

#[test]
fn a_predicate_is_asked_in_every_century() {
    for start in ["1500-01-01T00:00:30Z", "2300-01-01T00:00:30Z"] {
        let clock = ManualClock::at(start.parse().unwrap());
        let (_huey, receiver) = reports(&clock, |_: &DateTime<Local>| true);
        clock.advance(Duration::from_secs(60));
        assert_eq!(next(&receiver), clock.now(), "{start}");
    }
}

static EARLY_CLOCK: Lazy<ManualClock> = Lazy::new(|| ManualClock::at(at("12:00:30")));
static EARLY: Lazy<MiniHuey> = Lazy::new(|| {
    let huey = MiniHuey::builder("early").clock(&*EARLY_CLOCK).build();
    huey.start().unwrap();
    huey
});
static TICKS: Mutex<Option<mpsc::Sender<()>>> = Mutex::new(None);

#[task(EARLY, crontab(minute = "*"))]
fn tick() {
    TICKS.lock().unwrap().as_ref().unwrap().send(()).unwrap();
}

#[test]
fn a_start_that_fails_loses_no_periodic_task() {
    let (sender, receiver) = mpsc::channel();
    *TICKS.lock().unwrap() = Some(sender);
    let error = EARLY.start().unwrap_err();
    assert!(matches!(error, Error::AlreadyStarted { .. }), "{error}");
    // The scheduler may just be taking it in. In small steps: what is late by a minute is missed.
    until("it ticks", || {
        EARLY_CLOCK.advance(Duration::from_secs(1));
        receiver.try_recv().is_ok()
    });
}
