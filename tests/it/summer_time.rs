//! What a crontab does when the clock is put forward or back, minute by minute, against a model
//! that walks through real time, remembers every label it has seen and notices what is skipped.

use std::collections::HashSet;
use std::process::Command;

use chrono::{DateTime, NaiveDateTime, Offset, TimeDelta, TimeZone, Utc};
use chrono_tz::Tz;
use minihuey::crontab::Crontab;
use proptest::prelude::*;

use crate::crontab::{HOUR, five_fields, values};

const MINUTE: TimeDelta = TimeDelta::minutes(1);
const SECOND: TimeDelta = TimeDelta::seconds(1);

/// A stretch of real time.
#[derive(Debug, Clone, Copy)]
struct Stretch {
    from: DateTime<Utc>,
    until: DateTime<Utc>,
}

impl Stretch {
    /// All that the change touches, and a day on both sides.
    fn around(change: DateTime<Utc>) -> Stretch {
        Stretch { from: change - TimeDelta::hours(24), until: change + TimeDelta::hours(26) }
    }

    fn year(year: i32) -> Stretch {
        let start = |year| Utc.with_ymd_and_hms(year, 1, 1, 0, 0, 0).unwrap();
        Stretch { from: start(year), until: start(year + 1) }
    }

    fn steps(self, unit: TimeDelta) -> impl Iterator<Item = DateTime<Utc>> {
        let next = move |t: &DateTime<Utc>| Some(*t + unit);
        std::iter::successors(Some(self.from), next).take_while(move |t| *t < self.until)
    }
}

/// Zones and years with changes of every kind: an hour at night, half an hour, at midnight, two
/// hours, backwards in winter, a day left out, a day had twice (but for an hour).
const ZONES: [(Tz, i32, usize); 9] = [
    (chrono_tz::Europe::Berlin, 2025, 2),
    (chrono_tz::America::New_York, 2025, 2),
    (chrono_tz::Australia::Lord_Howe, 2025, 2),
    (chrono_tz::America::Havana, 2025, 2),
    (chrono_tz::Antarctica::Troll, 2025, 2),
    (chrono_tz::Africa::Casablanca, 2025, 2),
    (chrono_tz::Pacific::Apia, 2011, 3),
    (chrono_tz::Pacific::Kwajalein, 1969, 1),
    (chrono_tz::Asia::Kolkata, 2025, 0),
];

const LINES: [&str; 20] = [
    // Times of day.
    "30 2 * * *",
    "30 1 * * *",
    "0 2 * * *",
    "0 3 * * *",
    "59 1 * * *",
    "0 0 * * *",
    "30 0 * * *",
    "59 23 * * *",
    "45 1,2 * * sun",
    "*/10 1-3 * * *",
    "* 2 * * *",
    "0 0-22 * * *",
    "7,37 0,6,12,18 * * *",
    "0 12 30 * *",
    // Intervals.
    "* * * * *",
    "*/30 * * * *",
    "0 * * * *",
    "15 */2 * * *",
    "30 0-23 * * *",
    "20 0-11,12-23 * * sun",
];

fn utc(text: &str) -> DateTime<Utc> {
    text.parse().unwrap()
}

fn in_zone(line: &str, zone: Tz) -> Crontab {
    line.parse::<Crontab>().unwrap().in_zone(zone)
}

/// The instants of a year at which the zone's offset changes.
fn changes(zone: Tz, year: i32) -> Vec<DateTime<Utc>> {
    let offset = |t: DateTime<Utc>| zone.offset_from_utc_datetime(&t.naive_utc()).fix();
    Stretch::year(year)
        .steps(TimeDelta::hours(1))
        .filter(|t| offset(*t) != offset(*t + TimeDelta::hours(1)))
        .map(|t| {
            let hour = Stretch { from: t, until: t + TimeDelta::hours(2) };
            hour.steps(MINUTE).find(|minute| offset(*minute) != offset(t)).unwrap()
        })
        .collect()
}

/// When the crontab fires, found by asking about every minute or second.
fn walk(crontab: &Crontab, stretch: Stretch, unit: TimeDelta) -> Vec<DateTime<Utc>> {
    stretch.steps(unit).filter(|t| crontab.fires_at(t)).collect()
}

/// When the crontab fires, found by asking for the next time again and again.
fn hop(crontab: &Crontab, stretch: Stretch) -> Vec<DateTime<Utc>> {
    let next = |t: &DateTime<Utc>| crontab.next_after(t);
    std::iter::successors(next(&(stretch.from - SECOND)), next)
        .take_while(|t| *t < stretch.until)
        .collect()
}

/// When a line fires by the wording of the rules.
fn model(line: &str, zone: Tz, stretch: Stretch, unit: TimeDelta) -> Vec<DateTime<Utc>> {
    let crontab: Crontab = line.parse().unwrap();
    let matches = |label: NaiveDateTime| crontab.matches(&label.and_utc());
    let label_at = |t: DateTime<Utc>| t.with_timezone(&zone).naive_local();
    let hour = line.split(' ').rev().nth(3).unwrap();
    let hour_is_open =
        (hour.starts_with('*') && !hour.contains(',')) || values(HOUR, hour).len() == 24;

    let mut seen = HashSet::new();
    let mut before = label_at(stretch.from - unit);
    let mut fires = |t: DateTime<Utc>| {
        let label = label_at(t);
        let mut matched_in_gap = false;
        let mut missing = before + unit;
        while missing < label {
            matched_in_gap |= matches(missing);
            missing += unit;
        }
        before = label;
        let for_the_first_time = seen.insert(label);
        if hour_is_open {
            matches(label)
        } else {
            matched_in_gap || (for_the_first_time && matches(label))
        }
    };
    stretch.steps(unit).filter(|t| fires(*t)).collect()
}

#[track_caller]
fn assert_like_the_model(line: &str, zone: Tz, change: DateTime<Utc>) {
    let crontab = in_zone(line, zone);
    let stretch = Stretch::around(change);
    let expected = model(line, zone, stretch, MINUTE);
    assert_eq!(walk(&crontab, stretch, MINUTE), expected, "{line} in {zone}, walking");
    assert_eq!(hop(&crontab, stretch), expected, "{line} in {zone}, hopping");
}

#[test]
fn all_days_around_every_change_go_by_the_rules() {
    for (zone, year, count) in ZONES {
        let mut changes = changes(zone, year);
        assert_eq!(changes.len(), count, "{zone}");
        if changes.is_empty() {
            changes.push(utc("2025-03-30T01:00:00Z"));
        }
        for change in changes {
            for line in LINES {
                assert_like_the_model(line, zone, change);
            }
        }
    }
}

#[test]
fn the_next_time_is_right_from_every_minute_around_a_change() {
    for (zone, year, _) in ZONES {
        for change in changes(zone, year) {
            for line in ["30 2 * * *", "*/10 1-3 * * *", "0 * * * *"] {
                let crontab = in_zone(line, zone);
                let stretch = Stretch::around(change);
                let times = model(line, zone, stretch, MINUTE);
                for t in stretch.steps(TimeDelta::minutes(13)) {
                    let expected = times.iter().find(|time| **time > t);
                    let found = crontab.next_after(&t).filter(|next| *next < stretch.until);
                    assert_eq!(found.as_ref(), expected, "{line} in {zone} after {t}");
                }
            }
        }
    }
}

#[test]
fn seconds_around_every_change_go_by_the_rules() {
    let lines = ["*/20 30 2 * * *", "15 * 0-3 * * *", "59 59 1,23 * * *", "*/45 */7 * * * *"];
    for (zone, year, _) in ZONES.into_iter().filter(|(zone, ..)| {
        // Hours are enough where the change is of hours.
        ![chrono_tz::Pacific::Apia, chrono_tz::Pacific::Kwajalein].contains(zone)
    }) {
        for change in changes(zone, year) {
            let hours = TimeDelta::minutes(150);
            let stretch = Stretch { from: change - hours, until: change + hours };
            for line in lines {
                let crontab = in_zone(line, zone);
                let expected = model(line, zone, stretch, SECOND);
                assert_eq!(walk(&crontab, stretch, SECOND), expected, "{line} in {zone}");
                assert_eq!(hop(&crontab, stretch), expected, "{line} in {zone}");
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 48,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn any_crontab_goes_by_the_rules_around_any_change(
        line in five_fields(),
        (zone, year, _) in prop::sample::select(&ZONES[..8]),
    ) {
        // Any day and month would seldom be those of the change.
        let fields: Vec<&str> = line.split(' ').collect();
        let daily = format!("{} {} * * *", fields[0], fields[1]);
        for change in changes(zone, year) {
            assert_like_the_model(&line, zone, change);
            assert_like_the_model(&daily, zone, change);
        }
    }
}

#[track_caller]
fn assert_fires(line: &str, zone: Tz, (from, until): (&str, &str), expected: &[&str]) {
    let crontab = in_zone(line, zone);
    let stretch = Stretch { from: utc(from), until: utc(until) };
    let expected: Vec<_> = expected.iter().map(|t| utc(t)).collect();
    assert_eq!(walk(&crontab, stretch, MINUTE), expected, "{line} in {zone}, walking");
    assert_eq!(hop(&crontab, stretch), expected, "{line} in {zone}, hopping");
}

#[test]
fn a_change_that_is_months_away_is_not_overlooked() {
    // Seen from the other half of the year, the offset of the day itself is the wrong one.
    for (line, after, next) in [
        ("30 2 30 3 *", "2024-06-01T00:00:00Z", "2025-03-30T01:00:00Z"),
        ("30 2 30 3 *", "2024-12-01T00:00:00Z", "2025-03-30T01:00:00Z"),
        ("30 2 26 10 *", "2024-12-01T00:00:00Z", "2025-10-26T00:30:00Z"),
        ("30 2 26 10 *", "2025-06-01T00:00:00Z", "2025-10-26T00:30:00Z"),
        ("30 * 26 10 *", "2024-12-01T00:00:00Z", "2025-10-25T22:30:00Z"),
        ("0 0 1 7 *", "2024-12-01T00:00:00Z", "2025-06-30T22:00:00Z"),
    ] {
        let crontab = in_zone(line, chrono_tz::Europe::Berlin);
        assert_eq!(crontab.next_after(&utc(after)), Some(utc(next)), "{line} after {after}");
    }
}

#[test]
fn half_past_two_in_berlin_runs_once_at_three_on_the_day_of_the_gap() {
    assert_fires(
        "30 2 * * *",
        chrono_tz::Europe::Berlin,
        ("2025-03-29T00:00:00Z", "2025-04-01T00:00:00Z"),
        &["2025-03-29T01:30:00Z", "2025-03-30T01:00:00Z", "2025-03-31T00:30:00Z"],
    );
}

#[test]
fn a_gap_and_the_minute_after_it_make_one_run_if_both_match() {
    assert_fires(
        "0,30 2,3 * * *",
        chrono_tz::Europe::Berlin,
        ("2025-03-30T00:00:00Z", "2025-03-31T00:00:00Z"),
        &["2025-03-30T01:00:00Z", "2025-03-30T01:30:00Z"],
    );
}

#[test]
fn half_past_one_in_new_york_runs_the_first_time_only_on_the_day_of_the_overlap() {
    assert_fires(
        "30 1 * * *",
        chrono_tz::America::New_York,
        ("2025-11-01T00:00:00Z", "2025-11-04T00:00:00Z"),
        &["2025-11-01T05:30:00Z", "2025-11-02T05:30:00Z", "2025-11-03T06:30:00Z"],
    );
}

#[test]
fn every_half_hour_is_half_an_hour_of_real_time_and_in_order() {
    for zone in [chrono_tz::Europe::Berlin, chrono_tz::America::New_York] {
        for change in changes(zone, 2025) {
            let times = hop(&in_zone("*/30 * * * *", zone), Stretch::around(change));
            assert_eq!(times.len(), 2 * 50, "{zone}");
            assert!(times.windows(2).all(|two| two[1] - two[0] == TimeDelta::minutes(30)));
        }
    }
}

#[test]
fn the_half_hour_of_lord_howe_is_made_up_for_in_spring_and_not_repeated_in_autumn() {
    let zone = chrono_tz::Australia::Lord_Howe;
    // 02:00 becomes 02:30 at 15:30 UTC the day before.
    assert_fires(
        "15 2 * * *",
        zone,
        ("2025-10-03T12:00:00Z", "2025-10-06T12:00:00Z"),
        &["2025-10-03T15:45:00Z", "2025-10-04T15:30:00Z", "2025-10-05T15:15:00Z"],
    );
    // 02:00 becomes 01:30 at 15:00 UTC the day before.
    assert_fires(
        "45 1 * * *",
        zone,
        ("2025-04-04T12:00:00Z", "2025-04-07T12:00:00Z"),
        &["2025-04-04T14:45:00Z", "2025-04-05T14:45:00Z", "2025-04-06T15:15:00Z"],
    );
}

#[test]
fn midnight_in_havana_runs_at_one_when_there_is_no_midnight() {
    assert_fires(
        "0 0 * * *",
        chrono_tz::America::Havana,
        ("2025-03-08T00:00:00Z", "2025-03-11T00:00:00Z"),
        &["2025-03-08T05:00:00Z", "2025-03-09T05:00:00Z", "2025-03-10T04:00:00Z"],
    );
}

#[test]
fn the_day_that_samoa_left_out_is_made_up_for_at_midnight() {
    assert_fires(
        "0 9 * * *",
        chrono_tz::Pacific::Apia,
        ("2011-12-29T00:00:00Z", "2012-01-01T00:00:00Z"),
        &[
            "2011-12-29T19:00:00Z",
            "2011-12-30T10:00:00Z",
            "2011-12-30T19:00:00Z",
            "2011-12-31T19:00:00Z",
        ],
    );
}

#[test]
fn clocks_that_are_off_by_odd_seconds_keep_the_rules() {
    // On 7 January 1972 Liberia, 44 minutes and 30 seconds behind UTC, went over to UTC.
    let zone = chrono_tz::Africa::Monrovia;
    let change = utc("1972-01-07T00:44:30Z");
    let offset = |t: DateTime<Utc>| zone.offset_from_utc_datetime(&t.naive_utc()).fix();
    assert_eq!(offset(change - SECOND).local_minus_utc(), -44 * 60 - 30);
    assert_eq!(offset(change).local_minus_utc(), 0);
    let hour = TimeDelta::hours(1);
    let stretch = Stretch { from: change - hour, until: change + hour };
    for line in ["0 0 * * *", "59 23 * * *", "10 0 0 * * *", "*/7 * * * * *", "* * * * *"] {
        let crontab = in_zone(line, zone);
        let expected = model(line, zone, stretch, SECOND);
        assert!(!expected.is_empty());
        assert_eq!(walk(&crontab, stretch, SECOND), expected, "{line}");
        assert_eq!(hop(&crontab, stretch), expected, "{line}");
    }
}

#[test]
fn a_time_of_day_comes_as_often_as_the_year_has_days_and_an_interval_as_it_has_hours() {
    for (zone, hours) in [
        (chrono_tz::Europe::Berlin, 8760),
        (chrono_tz::America::New_York, 8760),
        (chrono_tz::Asia::Kolkata, 8760),
        // The gap of half an hour skips a full hour, and the overlap repeats none.
        (chrono_tz::Australia::Lord_Howe, 8759),
    ] {
        let year = Stretch::year(2025);
        for line in ["30 2 * * *", "30 1 * * *", "0 0 * * *", "15 2 * * *"] {
            let times = hop(&in_zone(line, zone), year);
            assert_eq!(times.len(), 365, "{line} in {zone}");
        }
        assert_eq!(hop(&in_zone("0 * * * *", zone), year).len(), hours, "{zone}");
    }
    let crontab = in_zone("30 2 * * *", chrono_tz::Europe::Berlin);
    assert_eq!(walk(&crontab, Stretch::year(2025), MINUTE).len(), 365);
}

#[test]
fn a_local_time_asked_for_in_its_own_zone_goes_by_the_same_rules() {
    let zone = chrono_tz::Europe::Berlin;
    let bare: Crontab = "30 2 * * *".parse().unwrap();
    let before = utc("2025-03-30T00:00:00Z").with_timezone(&zone);
    let next = bare.next_after(&before).unwrap();
    assert_eq!(next.to_string(), "2025-03-30 03:00:00 CEST");
    assert!(bare.fires_at(&next));
    let before = utc("2025-10-26T00:30:00Z").with_timezone(&zone);
    let next = bare.next_after(&before).unwrap();
    assert_eq!(next.to_string(), "2025-10-27 02:30:00 CET");
}

#[test]
fn the_machines_own_zone_goes_by_the_same_rules_even_as_a_posix_string() {
    const NAME: &str =
        "summer_time::the_machines_own_zone_goes_by_the_same_rules_even_as_a_posix_string";
    const BERLIN: &str = "CET-1CEST,M3.5.0,M10.5.0/3";
    if std::env::var("TZ").as_deref() != Ok(BERLIN) {
        // The zone is read from the environment, which is not safe to change in a running test.
        let output = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", NAME])
            .env("TZ", BERLIN)
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
        return;
    }
    for line in LINES {
        let crontab: Crontab = line.parse().unwrap();
        for change in changes(chrono_tz::Europe::Berlin, 2025) {
            let stretch = Stretch::around(change);
            let expected = model(line, chrono_tz::Europe::Berlin, stretch, MINUTE);
            let walked: Vec<_> =
                stretch.steps(MINUTE).filter(|t| crontab.fires_at_utc(*t)).collect();
            assert_eq!(walked, expected, "{line}");
            let mut t = stretch.from - SECOND;
            for next in expected {
                t = crontab.next_after_utc(t).unwrap();
                assert_eq!(t, next, "{line}");
            }
        }
    }
}
