//! Whole years and clocks that jump, through the real scheduler on a clock turned by hand, against
//! models that know only the wording of the rules.

use std::sync::mpsc;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use chrono::{DateTime, Datelike, NaiveDateTime, TimeDelta, Timelike, Utc};
use chrono_tz::Tz;
use minihuey::{Crontab, ManualClock, MiniHuey, Task, TaskResult};

use crate::crontab::{DAY, DAY_OF_WEEK, Field, HOUR, MINUTE, MONTH, values};
use crate::support::{LIMIT, Random, next};

const ONE_MINUTE: TimeDelta = TimeDelta::minutes(1);

/// The zones of `summer_time`: an hour at night, on two sides of an ocean, half an hour in the
/// south, and none.
const ZONES: [Tz; 4] = [
    chrono_tz::Europe::Berlin,
    chrono_tz::America::New_York,
    chrono_tz::Australia::Lord_Howe,
    chrono_tz::Asia::Kolkata,
];

/// Times of day in and around every gap and overlap, dates, and intervals.
const LINES: [&str; 9] = [
    "30 2 * * *",
    "30 1 * * *",
    "0 2,3 * * *",
    "*/15 1-2 * * *",
    "59 23 * * *",
    "30 2 * * sun",
    "0 12 29-31 * *",
    "0 * * * *",
    "20,50 */4 * * sun",
];

/// A line of five fields as sets that were counted on fingers.
struct Counted {
    sets: [u64; 5],
    hour_is_open: bool,
}

impl Counted {
    fn new(line: &str) -> Counted {
        let texts: Vec<&str> = line.split(' ').collect();
        let set = |(field, text): (Field, &&str)| {
            values(field, text).into_iter().fold(0, |set, value| set | 1 << value)
        };
        let fields = [MINUTE, HOUR, DAY, MONTH, DAY_OF_WEEK];
        let sets: Vec<u64> = fields.into_iter().zip(&texts).map(set).collect();
        let hour_is_open = texts[1].starts_with('*') && !texts[1].contains(',');
        Counted { sets: sets.try_into().unwrap(), hour_is_open }
    }

    fn has(&self, label: NaiveDateTime) -> bool {
        let day_of_week = label.weekday().num_days_from_sunday();
        let shown = [label.minute(), label.hour(), label.day(), label.month(), day_of_week];
        self.sets.iter().zip(shown).all(|(set, value)| set >> value & 1 == 1)
    }
}

/// When each line fires from `from` (excluded) to `until` (included), both at whole minutes: by a
/// walk through real time that notices which labels are skipped, and which were shown before.
fn model(
    lines: &[&str],
    zone: Tz,
    from: DateTime<Utc>,
    until: DateTime<Utc>,
) -> Vec<Vec<DateTime<Utc>>> {
    let lines: Vec<Counted> = lines.iter().map(|line| Counted::new(line)).collect();
    let mut times = vec![Vec::new(); lines.len()];
    let label_at = |t: DateTime<Utc>| t.with_timezone(&zone).naive_local();
    // Long enough before, for what the clock had shown by then.
    let mut t = from - TimeDelta::days(1);
    let mut before = label_at(t);
    let mut latest_shown = before;
    while t < until {
        t += ONE_MINUTE;
        let label = label_at(t);
        let is_new = label > latest_shown;
        latest_shown = latest_shown.max(label);
        let gap: Vec<NaiveDateTime> =
            std::iter::successors(Some(before + ONE_MINUTE), |label| Some(*label + ONE_MINUTE))
                .take_while(|skipped| *skipped < label)
                .collect();
        before = label;
        if t <= from {
            continue;
        }
        for (line, times) in lines.iter().zip(&mut times) {
            let made_up_for = || gap.iter().any(|skipped| line.has(*skipped));
            let fires = match line.hour_is_open {
                true => line.has(label),
                false => (is_new && line.has(label)) || made_up_for(),
            };
            if fires {
                times.push(t);
            }
        }
    }
    times
}

type Records = Arc<Mutex<Vec<Vec<DateTime<Utc>>>>>;

/// A huey with a periodic task for each line in each zone, that records what the clock shows.
fn recording(clock: &ManualClock, lines: &[&str], zones: &[Tz]) -> (MiniHuey, Records) {
    let huey = MiniHuey::builder("clocks").clock(clock).build();
    let records: Records = Arc::default();
    for zone in zones {
        for line in lines {
            let row = {
                let mut records = records.lock().unwrap();
                records.push(Vec::new());
                records.len() - 1
            };
            let (records, clock) = (records.clone(), clock.clone());
            let crontab = line.parse::<Crontab>().unwrap().in_zone(*zone);
            huey.periodic_task(&format!("{line} in {zone}"), crontab, move || {
                records.lock().unwrap()[row].push(clock.now());
            });
        }
    }
    (huey, records)
}

#[track_caller]
fn assert_same(name: &str, found: &[DateTime<Utc>], expected: &[DateTime<Utc>]) {
    if found == expected {
        return;
    }
    let place = found.iter().zip(expected).take_while(|(a, b)| a == b).count();
    panic!(
        "{name}: {} firings instead of {}; number {place} was at {:?} instead of {:?}",
        found.len(),
        expected.len(),
        found.get(place),
        expected.get(place)
    );
}

#[test]
fn in_a_whole_year_of_minutes_each_firing_comes_once_and_in_its_minute() {
    let start: DateTime<Utc> = "2025-01-01T00:00:00Z".parse().unwrap();
    let end: DateTime<Utc> = "2026-01-01T00:00:00Z".parse().unwrap();
    let clock = ManualClock::at(start);
    let (huey, records) = recording(&clock, &LINES, &ZONES);
    // The hand that turns the clock runs last in each minute, on the worker itself: no time is
    // lost with changes of the thread. It reports each month.
    let (sender, months) = mpsc::channel();
    let hand = clock.clone();
    let minutely = "* * * * *".parse::<Crontab>().unwrap().in_zone(Utc);
    huey.periodic_task("the hand", minutely, move || {
        let now = hand.now();
        if now < end {
            hand.advance(Duration::from_secs(60));
        }
        if now.day() == 1 && now.hour() == 0 && now.minute() == 0 {
            sender.send(now).unwrap();
        }
    });
    huey.start().unwrap();
    clock.advance(Duration::from_secs(60));
    for month in (2..=12).chain([1]) {
        assert_eq!(next(&months).month(), month);
    }
    huey.join(LIMIT).unwrap();
    assert_eq!(clock.now(), end);
    assert_eq!(huey.stats().skipped, 0);
    let records = records.lock().unwrap();
    let mut firings = 0;
    for (zone, records) in ZONES.iter().zip(records.chunks(LINES.len())) {
        let expected = model(&LINES, *zone, start, end);
        for ((line, found), expected) in LINES.iter().zip(records).zip(&expected) {
            assert!(!expected.is_empty(), "{line} in {zone}: nothing to be proved");
            assert_same(&format!("{line} in {zone}"), found, expected);
            firings += found.len();
        }
    }
    assert_eq!(huey.stats().finished, firings as u64 + 365 * 24 * 60);
}

/// All that is due by now has been handed over and has run.
fn settle(huey: &MiniHuey, pass: &Task<(), ()>, clock: &ManualClock) {
    let marker = pass.schedule((), clock.now() + TimeDelta::nanoseconds(1));
    clock.suspend(Duration::from_nanos(1));
    marker.get().unwrap();
    huey.join(LIMIT).unwrap();
}

#[test]
fn however_unevenly_the_clock_goes_on_each_firing_around_a_change_comes_once() {
    // Some hours on either side of both changes of each zone.
    for (from, until) in [
        ("2025-03-09T05:00:00Z", "2025-03-09T11:00:00Z"),
        ("2025-03-29T23:00:00Z", "2025-03-30T05:00:00Z"),
        ("2025-04-05T13:00:00Z", "2025-04-05T19:00:00Z"),
        ("2025-10-04T13:00:00Z", "2025-10-04T19:00:00Z"),
        ("2025-10-25T22:00:00Z", "2025-10-26T05:00:00Z"),
        ("2025-11-02T04:00:00Z", "2025-11-02T11:00:00Z"),
    ] {
        let (start, end): (DateTime<Utc>, DateTime<Utc>) =
            (from.parse().unwrap(), until.parse().unwrap());
        let mut random = Random::new("clocks: uneven steps");
        let clock = ManualClock::at(start);
        let (huey, records) = recording(&clock, &LINES, &ZONES);
        let pass = huey.task("pass", || ());
        huey.start().unwrap();
        while clock.now() < end {
            // Never a whole minute, so nothing may be missed.
            let step = Duration::from_millis(1 + random.below(59_990));
            match random.below(2) {
                0 => clock.advance(step),
                _ => clock.suspend(step),
            }
            settle(&huey, &pass, &clock);
        }
        assert_eq!(huey.stats().skipped, 0);
        let records = records.lock().unwrap();
        for (zone, records) in ZONES.iter().zip(records.chunks(LINES.len())) {
            // The last step may have gone past the end.
            let mut expected = model(&LINES, *zone, start, end + ONE_MINUTE);
            for ((line, found), expected) in LINES.iter().zip(records).zip(&mut expected) {
                expected.retain(|due| *due <= clock.now());
                let late = |(due, found): (&DateTime<Utc>, &DateTime<Utc>)| *found - *due;
                let each_in_time = expected
                    .iter()
                    .zip(found)
                    .map(late)
                    .all(|late| TimeDelta::zero() <= late && late < ONE_MINUTE);
                assert!(
                    expected.len() == found.len() && each_in_time,
                    "{line} in {zone}: {found:?} instead of {expected:?}"
                );
            }
        }
    }
}

/// A clock that is set back by this or more was wrong before, and is followed.
const FOLLOWED_FROM: TimeDelta = TimeDelta::hours(3);

/// What the scheduler says it does with the wall clock: whose firings were dealt with up to a
/// high-water mark, which a small step back leaves where it is, and a large one brings down.
struct Jumps {
    firings: Vec<DateTime<Utc>>,
    mark: DateTime<Utc>,
    ran: Vec<DateTime<Utc>>,
    missed: u64,
}

impl Jumps {
    fn turn_to(&mut self, now: DateTime<Utc>) {
        if self.mark - now >= FOLLOWED_FROM {
            self.mark = now;
        }
        if now < self.mark {
            return;
        }
        let due = self.firings.iter().filter(|due| **due > self.mark && **due <= now);
        let (last, count) = (due.clone().next_back(), due.count() as u64);
        self.mark = now;
        match last {
            Some(last) if now - *last < ONE_MINUTE => {
                self.ran.push(now);
                self.missed += count - 1;
            }
            _ => self.missed += count,
        }
    }
}

/// Turns a clock as `turns` say, from noon on the day before the change in Berlin, and compares
/// what runs with the model after each turn.
fn assert_follows_jumps(turns: impl IntoIterator<Item = TimeDelta>) {
    const SOME: [&str; 5] =
        ["* * * * *", "*/10 1-3 * * *", "30 2 * * *", "0 * * * *", "0 0,12 * * *"];
    let zone = chrono_tz::Europe::Berlin;
    let noon: DateTime<Utc> = "2025-03-29T12:00:00Z".parse().unwrap();
    let clock = ManualClock::at(noon);
    let (huey, records) = recording(&clock, &SOME, &[zone]);
    let pass = huey.task("pass", || ());
    huey.start().unwrap();
    let around = TimeDelta::days(8);
    let mut models: Vec<Jumps> = model(&SOME, zone, noon - around, noon + around)
        .into_iter()
        .map(|firings| Jumps { firings, mark: noon, ran: Vec::new(), missed: 0 })
        .collect();
    let mut missed_before = 0;
    for turn in turns {
        let mut now = clock.now() + turn;
        if now <= noon - TimeDelta::days(6) || now >= noon + TimeDelta::days(6) {
            now = noon;
        }
        if models[0].mark - now == FOLLOWED_FROM {
            // A nanosecond later, when the scheduler may look for the first time, it is less.
            now -= TimeDelta::seconds(1);
        }
        clock.set_wall(now);
        settle(&huey, &pass, &clock);
        let mut records = records.lock().unwrap_or_else(PoisonError::into_inner);
        let mut missed = 0;
        for ((line, model), found) in SOME.iter().zip(&mut models).zip(records.iter_mut()) {
            model.turn_to(now);
            // In the nanosecond for which `settle` turns the clock on, nothing is due.
            model.turn_to(clock.now());
            let found: Vec<_> = found.iter().map(|t| t.with_nanosecond(0).unwrap()).collect();
            let expected: Vec<_> =
                model.ran.iter().map(|t| t.with_nanosecond(0).unwrap()).collect();
            assert_same(&format!("{line} after a turn by {turn} to {now}"), &found, &expected);
            missed += model.missed;
        }
        assert_eq!(huey.stats().skipped, missed, "after a turn by {turn} to {now}");
        assert!(missed >= missed_before);
        missed_before = missed;
    }
}

#[test]
fn a_clock_put_forward_by_hours_skips_what_it_missed_and_counts_it() {
    let hours = TimeDelta::hours;
    assert_follows_jumps([hours(5), ONE_MINUTE, hours(9), hours(24), ONE_MINUTE]);
}

#[test]
fn a_clock_put_back_by_less_than_three_hours_runs_nothing_twice() {
    let almost = FOLLOWED_FROM - TimeDelta::seconds(1);
    let slowly = std::iter::repeat_n(ONE_MINUTE, 3 * 60 + 5);
    assert_follows_jumps([ONE_MINUTE, -almost].into_iter().chain(slowly));
    let minutes = TimeDelta::minutes;
    assert_follows_jumps([ONE_MINUTE, minutes(-100), minutes(-79), minutes(178), ONE_MINUTE]);
}

#[test]
fn a_clock_put_back_by_three_hours_or_more_is_followed() {
    for hours in [3, 4, 30] {
        let slowly = std::iter::repeat_n(ONE_MINUTE, 130);
        assert_follows_jumps([ONE_MINUTE, TimeDelta::hours(-hours)].into_iter().chain(slowly));
    }
    // Small steps back add up.
    let slowly = std::iter::repeat_n(ONE_MINUTE, 130);
    let back = TimeDelta::minutes(-100);
    assert_follows_jumps([ONE_MINUTE, back, back].into_iter().chain(slowly));
}

#[test]
fn any_jumps_both_ways_run_what_the_rules_say() {
    let mut random = Random::new("clocks: any jumps");
    let turns: Vec<TimeDelta> = (0..400)
        .map(|_| {
            let seconds = match random.below(8) {
                0 => 3600 * 24,
                1..=2 => 3600 * 4,
                _ => 150,
            };
            let by = TimeDelta::seconds(random.below(seconds) as i64);
            if random.below(3) == 0 { -by } else { by }
        })
        .collect();
    assert_follows_jumps(turns);
}

#[test]
fn whatever_the_clock_does_each_delay_and_each_eta_comes_once_and_by_its_own_clock() {
    let mut random = Random::new("clocks: delays and etas");
    let noon: DateTime<Utc> = "2025-03-29T12:00:00Z".parse().unwrap();
    let clock = ManualClock::at(noon);
    let huey = MiniHuey::builder("entries").clock(&clock).build();
    let ran: Arc<Mutex<Vec<u32>>> = Arc::default();
    let its_ran = ran.clone();
    let note = huey.task("note", move |n: u32| its_ran.lock().unwrap()[n as usize] += 1);
    let pass = huey.task("pass", || ());
    huey.start().unwrap();
    let mut monotonic = Duration::ZERO;
    let mut delays: Vec<(usize, Duration)> = Vec::new();
    let mut etas: Vec<(usize, DateTime<Utc>)> = Vec::new();
    let mut results: Vec<TaskResult<()>> = Vec::new();
    let mut expected = Vec::new();
    for _ in 0..300 {
        for _ in 0..random.below(8) {
            let number = expected.len();
            let within = Duration::from_secs(1 + random.below(3600 * 12));
            ran.lock().unwrap().push(0);
            expected.push(0);
            results.push(match random.below(2) {
                0 => {
                    delays.push((number, monotonic + within));
                    note.schedule((number as u32,), within)
                }
                _ => {
                    etas.push((number, clock.now() + within));
                    note.schedule((number as u32,), clock.now() + within)
                }
            });
        }
        let by = Duration::from_secs(random.below(3600 * 5));
        match random.below(4) {
            0 => clock.suspend(by),
            1 => clock.set_wall(clock.now() - by),
            2 => clock.set_wall(clock.now() + by),
            _ => {
                clock.advance(by);
                monotonic += by;
            }
        }
        let now = clock.now();
        delays.extract_if(.., |(_, due)| *due <= monotonic).for_each(|(n, _)| expected[n] = 1);
        etas.extract_if(.., |(_, due)| *due <= now).for_each(|(n, _)| expected[n] = 1);
        settle(&huey, &pass, &clock);
        // The nanosecond for which `settle` turns the clock on may have been an eta's.
        let now = clock.now();
        etas.extract_if(.., |(_, due)| *due <= now).for_each(|(n, _)| expected[n] = 1);
        assert_eq!(*ran.lock().unwrap(), expected);
        assert_eq!(huey.stats().scheduled, delays.len() + etas.len());
    }
    assert!(results.iter().zip(&expected).all(|(result, ran)| result.is_ready() == (*ran == 1)));
}
