//! The crontab language: what may be written, what it means, what is refused and how it prints.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use chrono::{DateTime, Datelike, FixedOffset, TimeDelta, Timelike, Utc};
use minihuey::crontab::{self, Crontab, FieldText};
use proptest::prelude::*;

/// A field as the tests know it: its place in a line of six, its values, its names.
#[derive(Debug, Clone, Copy)]
pub struct Field {
    place: usize,
    low: u32,
    high: u32,
    names: &'static str,
}

const SECOND: Field = Field { place: 0, low: 0, high: 59, names: "" };
pub const MINUTE: Field = Field { place: 1, low: 0, high: 59, names: "" };
pub const HOUR: Field = Field { place: 2, low: 0, high: 23, names: "" };
pub const DAY: Field = Field { place: 3, low: 1, high: 31, names: "" };
pub const MONTH: Field =
    Field { place: 4, low: 1, high: 12, names: "jan feb mar apr may jun jul aug sep oct nov dec" };
pub const DAY_OF_WEEK: Field =
    Field { place: 5, low: 0, high: 6, names: "sun mon tue wed thu fri sat" };

fn utc(text: &str) -> DateTime<Utc> {
    text.parse().unwrap()
}

/// A time of 2024 at which `field` has `value`.
fn time_with(field: Field, value: u32) -> DateTime<Utc> {
    // 1 September 2024 is a Sunday.
    let start = utc("2024-09-01T00:00:00Z");
    match field.place {
        0 => start.with_second(value),
        1 => start.with_minute(value),
        2 => start.with_hour(value),
        3 => utc("2024-01-01T00:00:00Z").with_day(value),
        4 => start.with_month(value),
        _ => start.with_day(1 + value),
    }
    .unwrap()
}

/// A line of six fields, all `*` but for this one.
fn line_with(field: Field, text: &str) -> String {
    let mut line = ["*"; 6];
    line[field.place] = text;
    line.join(" ")
}

#[test]
fn each_field_has_the_values_that_were_written() {
    let cases: [(Field, &str, &[u32]); 29] = [
        (SECOND, "0", &[0]),
        (SECOND, "*/20", &[0, 20, 40]),
        (MINUTE, "5", &[5]),
        (MINUTE, "05", &[5]),
        (MINUTE, "59,0", &[0, 59]),
        (MINUTE, "*/15", &[0, 15, 30, 45]),
        (MINUTE, "*/59", &[0, 59]),
        (MINUTE, "1-5/2", &[1, 3, 5]),
        (MINUTE, "1-6/2", &[1, 3, 5]),
        (MINUTE, "5-5", &[5]),
        (MINUTE, "58-59,*/25,7", &[0, 7, 25, 50, 58, 59]),
        (HOUR, "9-17/4", &[9, 13, 17]),
        (HOUR, "*/23", &[0, 23]),
        (DAY, "*/6", &[1, 7, 13, 19, 25, 31]),
        (DAY, "31", &[31]),
        (MONTH, "jan", &[1]),
        (MONTH, "DEC,Jun", &[6, 12]),
        (MONTH, "mar-may", &[3, 4, 5]),
        (MONTH, "apr-12/4", &[4, 8, 12]),
        (MONTH, "*/6", &[1, 7]),
        (DAY_OF_WEEK, "7", &[0]),
        (DAY_OF_WEEK, "0,7", &[0]),
        (DAY_OF_WEEK, "5-7", &[0, 5, 6]),
        (DAY_OF_WEEK, "6-1", &[0, 1, 6]),
        (DAY_OF_WEEK, "0-7", &[0, 1, 2, 3, 4, 5, 6]),
        (DAY_OF_WEEK, "MON", &[1]),
        (DAY_OF_WEEK, "Mon-Fri/2", &[1, 3, 5]),
        (DAY_OF_WEEK, "sat-sun", &[0, 6]),
        (DAY_OF_WEEK, "1-7", &[0, 1, 2, 3, 4, 5, 6]),
    ];
    for (field, text, expected) in cases {
        let crontab: Crontab = line_with(field, text).parse().unwrap();
        let found: Vec<u32> = (field.low..=field.high)
            .filter(|value| crontab.matches(&time_with(field, *value)))
            .collect();
        assert_eq!(found, expected, "{text}");
    }
}

#[test]
fn every_refusal_names_the_field_the_piece_and_what_is_allowed() {
    let cases = [
        (
            "",
            "expected five fields (minute hour day month day_of_week) or six with seconds first, found 0",
        ),
        (
            "1 2 3",
            "expected five fields (minute hour day month day_of_week) or six with seconds first, found 3",
        ),
        (
            "1 2 3 4 5 6 7",
            "expected five fields (minute hour day month day_of_week) or six with seconds first, found 7",
        ),
        ("61 * * * *", r#"minute: "61" is out of range: expected 0 to 59"#),
        ("0-60 * * * *", r#"minute: "60" is out of range: expected 0 to 59"#),
        ("* 24 * * *", r#"hour: "24" is out of range: expected 0 to 23"#),
        ("* * 0 * *", r#"day: "0" is out of range: expected 1 to 31"#),
        ("* * * 13 *", r#"month: "13" is out of range: expected 1 to 12 or jan to dec"#),
        ("* * * * 8", r#"day_of_week: "8" is out of range: expected 0 to 7 or sun to sat"#),
        ("60 * * * * *", r#"second: "60" is out of range: expected 0 to 59"#),
        (
            "99999999999999999999 * * * *",
            r#"minute: "99999999999999999999" is out of range: expected 0 to 59"#,
        ),
        (
            "+5 * * * *",
            r#"minute: "+5" is not understood: expected "*", 0 to 59, a range as in "0-59" or a step as in "*/2""#,
        ),
        (
            "-5 * * * *",
            r#"minute: "-5" is not understood: expected "*", 0 to 59, a range as in "0-59" or a step as in "*/2""#,
        ),
        (
            "5- * * * *",
            r#"minute: "5-" is not understood: expected "*", 0 to 59, a range as in "0-59" or a step as in "*/2""#,
        ),
        (
            "* * ? * *",
            r#"day: "?" is not understood: expected "*", 1 to 31, a range as in "1-31" or a step as in "*/2""#,
        ),
        (
            "* * L * *",
            r#"day: "L" is not understood: expected "*", 1 to 31, a range as in "1-31" or a step as in "*/2""#,
        ),
        (
            "* * 15W * *",
            r#"day: "15W" is not understood: expected "*", 1 to 31, a range as in "1-31" or a step as in "*/2""#,
        ),
        (
            "* * * * fri#2",
            r##"day_of_week: "fri#2" is not understood: expected "*", 0 to 7 or sun to sat, a range as in "0-6" or a step as in "*/2""##,
        ),
        (
            "* * * monday *",
            r#"month: "monday" is not understood: expected "*", 1 to 12 or jan to dec, a range as in "1-12" or a step as in "*/2""#,
        ),
        (
            "٥ * * * *",
            r#"minute: "٥" is not understood: expected "*", 0 to 59, a range as in "0-59" or a step as in "*/2""#,
        ),
        ("1,,2 * * * *", r#"minute: "1,,2" has a comma with nothing beside it: expected 0 to 59"#),
        (", * * * *", r#"minute: "," has a comma with nothing beside it: expected 0 to 59"#),
        (
            "5-1 * * * *",
            r#"minute: "5-1" runs backwards: write "1-5", or "5-59,0-1" to wrap around"#,
        ),
        (
            "* 22-2 * * *",
            r#"hour: "22-2" runs backwards: write "2-22", or "22-23,0-2" to wrap around"#,
        ),
        (
            "* * * nov-feb *",
            r#"month: "nov-feb" runs backwards: write "2-11", or "11-12,1-2" to wrap around"#,
        ),
        ("*/0 * * * *", r#"minute: "*/0" has a step of 0: expected 1 or more"#),
        (
            "*/ * * * *",
            r#"minute: the step in "*/" is not understood: expected a number, 1 or more"#,
        ),
        (
            "*/-2 * * * *",
            r#"minute: the step in "*/-2" is not understood: expected a number, 1 or more"#,
        ),
        (
            "*/2/3 * * * *",
            r#"minute: the step in "*/2/3" is not understood: expected a number, 1 or more"#,
        ),
        (
            "*/60 * * * *",
            r#"minute: "*/60" has a step longer than its range: write "0" if that is all, or a step of 1 to 59"#,
        ),
        (
            "* * */40 * *",
            r#"day: "*/40" has a step longer than its range: write "1" if that is all, or a step of 1 to 30"#,
        ),
        ("7-7/2 * * * *", r#"minute: "7-7/2" has a step longer than its range: write "7""#),
        ("5/15 * * * *", r#"minute: "5/15" has a step but no range: write "5-59/15""#),
        ("0 0 30 2 *", r#"day: "30" never comes: month "2" has at most 29 days"#),
        ("0 0 31 4,6,9,11 *", r#"day: "31" never comes: month "4,6,9,11" has at most 30 days"#),
        ("0 0 30-31 feb *", r#"day: "30-31" never comes: month "feb" has at most 29 days"#),
    ];
    for (line, message) in cases {
        let error = line.parse::<Crontab>().unwrap_err();
        assert_eq!(error.to_string(), message, "{line}");
    }
}

#[test]
fn a_field_of_its_own_may_be_neither_empty_nor_two() {
    let error = Crontab::builder().hour("").build().unwrap_err();
    assert_eq!(error.to_string(), r#"hour: the field is empty: expected "*" or 0 to 23"#);
    let error = Crontab::builder().minute("30 2").build().unwrap_err();
    assert_eq!(
        error.to_string(),
        r#"minute: "30 2" has white space in it: one field has none, a list has commas"#
    );
    let error = Crontab::builder().minute("30\n").build().unwrap_err();
    assert_eq!(
        error.to_string(),
        r#"minute: "30\n" has white space in it: one field has none, a list has commas"#
    );
}

#[test]
fn an_error_tells_its_field_and_its_piece() {
    let error = "0,15,61 * * * *".parse::<Crontab>().unwrap_err();
    assert_eq!((error.field(), error.piece()), (Some("minute"), Some("61")));
    let error = "0 4".parse::<Crontab>().unwrap_err();
    assert_eq!((error.field(), error.piece()), (None, None));
}

#[test]
fn the_builder_takes_numbers_and_strings_and_leaves_the_rest_open() {
    let month = String::from("jan");
    let crontab = Crontab::builder()
        .second(15)
        .minute(30_u8)
        .hour(String::from("4"))
        .day("1-7")
        .month(&month)
        .day_of_week(FieldText::from(1_usize))
        .build();
    assert_eq!(crontab, "15 30 4 1-7 1 1".parse());
    assert_eq!(Crontab::builder().minute("0").hour("4").build(), "0 4 * * *".parse());
    assert_eq!(Crontab::builder().build(), Ok(Crontab::every_minute()));
}

#[test]
fn a_negative_number_is_an_error_when_the_crontab_is_built() {
    for error in [
        Crontab::builder().minute(-1).build().unwrap_err(),
        Crontab::builder().minute(i64::MIN).build().unwrap_err(),
        Crontab::builder().minute(u64::MAX).build().unwrap_err(),
    ] {
        assert_eq!(error.field(), Some("minute"));
    }
}

#[test]
fn the_named_crontabs_are_what_their_lines_say() {
    for (named, line) in [
        (crontab::every_minute(), "* * * * *"),
        (crontab::hourly(), "0 * * * *"),
        (crontab::daily(), "0 0 * * *"),
        (crontab::weekly(), "0 0 * * 0"),
        (crontab::monthly(), "0 0 1 * *"),
    ] {
        assert_eq!(named, line.parse().unwrap());
        assert_eq!(named.to_string(), line);
    }
}

#[test]
fn a_crontab_prints_as_a_line_and_the_zone_shows_only_in_debug() {
    let crontab: Crontab = "0,30 9-17 * * mon-fri".parse().unwrap();
    assert_eq!(crontab.to_string(), "*/30 9-17 * * 1-5");
    assert_eq!(format!("{crontab:?}"), "Crontab(*/30 9-17 * * 1-5)");
    let crontab = crontab.in_zone(Utc);
    assert_eq!(crontab.to_string(), "*/30 9-17 * * 1-5");
    assert_eq!(format!("{crontab:?}"), "Crontab(*/30 9-17 * * 1-5 in a zone)");
}

#[test]
fn crontabs_are_equal_when_fields_and_zone_are() {
    let in_utc = Crontab::daily().in_zone(Utc);
    assert_eq!(in_utc, in_utc.clone());
    assert_ne!(in_utc, Crontab::daily());
    assert_ne!(in_utc, Crontab::daily().in_zone(Utc), "only clones of one zone are known as equal");
    assert_ne!(Crontab::hourly(), Crontab::daily());
}

#[test]
fn an_hour_left_open_is_not_equal_to_the_same_hours_listed() {
    let open: Crontab = "0 */12 * * *".parse().unwrap();
    let listed: Crontab = "0 0,12 * * *".parse().unwrap();
    assert_ne!(open, listed);
    assert_eq!(open.to_string().parse(), Ok(open));
    assert_eq!(listed.to_string().parse(), Ok(listed));
}

#[test]
fn a_crontab_is_small() {
    assert!(size_of::<Crontab>() <= 48);
}

#[test]
fn without_a_zone_the_label_of_the_given_time_counts() {
    let two: Crontab = "0 2 * * *".parse().unwrap();
    let t: DateTime<FixedOffset> = "2025-06-01T02:00:00+02:00".parse().unwrap();
    assert!(two.matches(&t) && two.fires_at(&t));
    assert!(!two.matches(&t.to_utc()) && !two.fires_at(&t.to_utc()));
    let two = two.in_zone(FixedOffset::east_opt(2 * 60 * 60).unwrap());
    assert!(two.matches(&t.to_utc()) && two.fires_at(&t.to_utc()));
}

#[test]
fn the_scheduler_asks_in_utc_and_means_local_time_unless_there_is_a_zone() {
    let t = utc("2025-06-01T12:00:00Z");
    for line in ["0 12 * * *", "* * * * *", "0 */5 * * *"] {
        let crontab: Crontab = line.parse().unwrap();
        let local = t.with_timezone(&chrono::Local);
        assert_eq!(crontab.fires_at_utc(t), crontab.fires_at(&local));
        assert_eq!(crontab.next_after_utc(t), crontab.next_after(&local).map(|next| next.to_utc()));
        let crontab = crontab.in_zone(Utc);
        assert_eq!(crontab.fires_at_utc(t), crontab.fires_at(&t));
        assert_eq!(crontab.next_after_utc(t), crontab.next_after(&t));
    }
}

#[test]
fn seconds_count_and_fractions_of_a_second_do_not() {
    let four: Crontab = "0 4 * * *".parse().unwrap();
    assert!(four.fires_at(&utc("2025-06-01T04:00:00.999Z")));
    assert!(!four.fires_at(&utc("2025-06-01T04:00:01Z")));
    let tens: Crontab = "*/10 * * * * *".parse().unwrap();
    assert!(tens.fires_at(&utc("2025-06-01T04:00:50Z")));
    assert!(!tens.fires_at(&utc("2025-06-01T04:00:55Z")));
    assert!(tens.fires_in_seconds() && !four.fires_in_seconds());
}

#[test]
fn the_next_time_is_later_even_when_it_fires_now() {
    let tens: Crontab = "*/10 * * * * *".parse().unwrap();
    for (after, next) in [
        ("2025-06-01T04:00:00Z", "2025-06-01T04:00:10Z"),
        ("2025-06-01T04:00:00.5Z", "2025-06-01T04:00:10Z"),
        ("2025-06-01T04:00:09.999Z", "2025-06-01T04:00:10Z"),
        ("2025-12-31T23:59:59.5Z", "2026-01-01T00:00:00Z"),
        ("1969-12-31T23:59:59.5Z", "1970-01-01T00:00:00Z"),
    ] {
        assert_eq!(tens.next_after(&utc(after)), Some(utc(next)), "{after}");
    }
}

#[test]
fn a_date_that_comes_once_in_decades_is_found_at_once() {
    let leap_monday = "0 0 29 2 mon".parse::<Crontab>().unwrap().in_zone(chrono_tz::Europe::Berlin);
    // 2072 and 2112: 2100 is no leap year.
    let after = utc("2072-03-01T00:00:00Z");
    let times = (0..20).map(|_| {
        let start = Instant::now();
        let next = leap_monday.next_after(&after);
        assert_eq!(next, Some(utc("2112-02-28T23:00:00Z")));
        start.elapsed()
    });
    let lowest = times.min().unwrap();
    assert!(lowest < Duration::from_millis(2), "{lowest:?}");
}

#[test]
fn nothing_panics_at_the_ends_of_the_calendar() {
    let ends = [DateTime::<Utc>::MIN_UTC, DateTime::<Utc>::MAX_UTC];
    let zones = [-86_399, -18_000, 0, 1, 50_400, 86_399];
    for line in
        ["* * * * * *", "* * * * *", "0 0 * * *", "59 23 31 12 *", "0 0 1 1 *", "0 0 29 2 mon"]
    {
        for zone in zones.map(|seconds| FixedOffset::east_opt(seconds).unwrap()) {
            let bare: Crontab = line.parse().unwrap();
            let zoned = bare.clone().in_zone(zone);
            for end in ends {
                for crontab in [&bare, &zoned] {
                    let local = end.with_timezone(&zone);
                    let _ = (crontab.matches(&local), crontab.fires_at(&local));
                    assert!(crontab.next_after(&local).is_none_or(|next| next > local));
                }
                for crontab in [&bare, &zoned] {
                    let _ = (crontab.fires_at_utc(end), crontab.next_after_utc(end));
                }
            }
            let first = zoned.next_after(&DateTime::<Utc>::MIN_UTC).unwrap();
            assert!(zoned.fires_at(&first), "{line} in {zone}");
            assert_eq!(zoned.next_after(&DateTime::<Utc>::MAX_UTC), None, "{line} in {zone}");
        }
    }
}

/// Text for a field, anything that the language allows.
fn field_text(field: Field) -> BoxedStrategy<String> {
    let Field { low, high, .. } = field;
    let span = high - low;
    let highest = if field.place == DAY_OF_WEEK.place { 7 } else { high };
    let value = move |value: u32, as_name: bool, upper: bool| {
        let name = field.names.split(' ').nth((value - low) as usize);
        match name.filter(|name| as_name && !name.is_empty()) {
            Some(name) if upper => name.to_uppercase(),
            Some(name) => name.to_owned(),
            None => value.to_string(),
        }
    };
    let one = (low..=highest, any::<(bool, bool)>())
        .prop_map(move |(v, (as_name, upper))| value(v, as_name, upper));
    let range = (low..=highest, low..=highest, 1..=span, any::<(bool, bool, bool)>()).prop_map(
        move |(a, b, step, (as_name, upper, stepped))| {
            let (first, last) = (a.min(b), a.max(b));
            let range =
                format!("{}-{}", value(first, as_name, upper), value(last, !as_name, upper));
            if stepped && step <= last - first { format!("{range}/{step}") } else { range }
        },
    );
    let piece = prop_oneof![
        1 => Just("*".to_owned()),
        2 => (1..=span).prop_map(|step| format!("*/{step}")),
        3 => one,
        2 => range,
    ];
    let list = prop::collection::vec(piece.clone(), 2..5).prop_map(|pieces| pieces.join(","));
    prop_oneof![3 => piece, 1 => list].boxed()
}

/// Six fields that the language allows, with a date that comes.
fn six_fields() -> impl Strategy<Value = [String; 6]> {
    [SECOND, MINUTE, HOUR, DAY, MONTH, DAY_OF_WEEK]
        .map(field_text)
        .prop_filter("a date that never comes", |fields| {
            fields.join(" ").parse::<Crontab>().is_ok()
        })
}

/// A line of five fields that the language allows, with a date that comes.
pub fn five_fields() -> impl Strategy<Value = String> {
    six_fields().prop_map(|fields| fields[1..].join(" "))
}

/// The values that a field's text means, found by counting on fingers.
pub fn values(field: Field, text: &str) -> BTreeSet<u32> {
    let number = |text: &str| {
        let names: Vec<&str> = field.names.split(' ').collect();
        match names.iter().position(|name| *name == text.to_lowercase()) {
            Some(position) => field.low + position as u32,
            None => text.parse().unwrap(),
        }
    };
    let mut values = BTreeSet::new();
    for piece in text.split(',') {
        let mut parts = piece.split('/');
        let range = parts.next().unwrap();
        let step: u32 = parts.next().map_or(1, |step| step.parse().unwrap());
        let ends: Vec<u32> = match range {
            "*" => vec![field.low, field.high],
            range => range.split('-').map(number).collect(),
        };
        let mut value = ends[0];
        while value <= ends[ends.len() - 1] {
            let is_sunday = field.place == DAY_OF_WEEK.place && value == 7;
            values.insert(if is_sunday { 0 } else { value });
            value += step;
        }
    }
    values
}

/// Whether a time is in six fields, by sets and nothing else.
fn model_matches(fields: &[String; 6], t: &DateTime<Utc>) -> bool {
    [
        (SECOND, t.second()),
        (MINUTE, t.minute()),
        (HOUR, t.hour()),
        (DAY, t.day()),
        (MONTH, t.month()),
        (DAY_OF_WEEK, t.weekday().num_days_from_sunday()),
    ]
    .iter()
    .all(|(field, value)| values(*field, &fields[field.place]).contains(value))
}

/// Any second between 1900 and 2100.
fn any_time() -> impl Strategy<Value = DateTime<Utc>> {
    (-2_208_988_800_i64..4_102_444_800).prop_map(|t| DateTime::from_timestamp(t, 0).unwrap())
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn each_field_means_what_counting_on_fingers_gives(fields in six_fields()) {
        for field in [SECOND, MINUTE, HOUR, DAY, MONTH, DAY_OF_WEEK] {
            let text = &fields[field.place];
            let crontab: Crontab = line_with(field, text).parse().unwrap();
            let found: BTreeSet<u32> = (field.low..=field.high)
                .filter(|value| crontab.matches(&time_with(field, *value)))
                .collect();
            prop_assert_eq!(found, values(field, text), "{}", text);
        }
    }

    #[test]
    fn a_time_matches_when_every_field_has_it(
        fields in six_fields(),
        times in prop::collection::vec(any_time(), 30),
    ) {
        let crontab: Crontab = fields.join(" ").parse().unwrap();
        for t in times {
            // Few random times match; what the crontab itself finds next always should.
            let next = crontab.next_after(&t).unwrap();
            for t in [t, next, next + TimeDelta::seconds(1)] {
                prop_assert_eq!(crontab.matches(&t), model_matches(&fields, &t), "{}", t);
            }
        }
    }

    #[test]
    fn what_is_printed_parses_back_to_an_equal_crontab(fields in six_fields()) {
        for line in [fields.join(" "), fields[1..].join(" ")] {
            let crontab: Crontab = line.parse().unwrap();
            let printed = crontab.to_string();
            let again: Crontab = printed.parse().unwrap();
            prop_assert_eq!(&again, &crontab, "{} printed as {}", line, printed);
            prop_assert_eq!(again.to_string(), printed);
        }
    }

    #[test]
    fn the_next_minute_is_the_one_that_a_plain_search_finds(
        line in five_fields(),
        t in any_time(),
    ) {
        let crontab: Crontab = line.parse().unwrap();
        let first = t.timestamp().div_euclid(60) + 1;
        let found = (first..first + 3 * 24 * 60)
            .map(|minute| DateTime::from_timestamp(minute * 60, 0).unwrap())
            .find(|t| crontab.matches(t));
        let next = crontab.next_after(&t).unwrap();
        match found {
            Some(found) => prop_assert_eq!(next, found),
            None => {
                prop_assert!(next > t + TimeDelta::days(2));
                prop_assert!(crontab.matches(&next));
            }
        }
    }

    #[test]
    fn the_next_second_is_the_one_that_a_plain_search_finds(
        second in field_text(SECOND),
        minute in field_text(MINUTE),
        t in any_time(),
    ) {
        let crontab: Crontab = format!("{second} {minute} * * * *").parse().unwrap();
        let found = (1..=3660).map(|s| t + TimeDelta::seconds(s)).find(|t| crontab.matches(t));
        prop_assert_eq!(crontab.next_after(&t), found);
    }

    #[test]
    fn no_text_makes_the_parser_panic(text in ".*") {
        let _ = text.parse::<Crontab>().map_err(|error| error.to_string());
        if let Err(error) = Crontab::builder().hour(text.as_str()).build() {
            prop_assert_eq!(error.to_string().lines().count(), 1);
        }
    }

    #[test]
    fn what_is_nearly_the_language_is_refused_or_prints_in_a_stable_form(
        text in "([0-9*,/LW?#+-]|mon|feb|SUN|é|٣| ){0,4}( ([0-9*]|[0-9],[0-9]|[1-7]-[1-7]|\\*/[0-9]|mon|jun)){4,5}",
    ) {
        if let Ok(crontab) = text.parse::<Crontab>() {
            let printed = crontab.to_string();
            let again: Crontab = printed.parse().unwrap();
            prop_assert_eq!(again.to_string(), printed);
            prop_assert_eq!(again, crontab);
        }
    }
}
