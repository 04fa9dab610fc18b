//! The calendar without a clock: which labels a crontab matches, and which comes next.
//!
//! A label is what a clock on the wall shows. It is counted here in seconds, as if it were UTC.

use chrono::{DateTime, Datelike, NaiveDate, NaiveDateTime, Timelike, Utc};
use minihuey_crontab::{Fields, Label};

/// What a wall shows, in seconds from 1970-01-01 00:00:00 on the same wall.
pub(super) type Shown = i64;

/// Whether every field has the label's value. False outside of chrono's calendar.
pub(super) fn matches(fields: &Fields, shown: Shown) -> bool {
    date_time(shown).is_some_and(|shown| fields.matches(&label(shown)))
}

/// The first label at or after `from` that matches; `None` when the calendar ends before.
pub(super) fn next_match(fields: &Fields, from: Shown) -> Option<Shown> {
    let from = date_time(from.max(DateTime::<Utc>::MIN_UTC.timestamp()))?;
    let mut date = next_date(fields, from.date())?;
    if date == from.date() {
        let time = (from.hour(), from.minute(), from.second());
        if let Some(time) = next_time(fields, time) {
            return shown(date, time);
        }
        date = next_date(fields, date.succ_opt()?)?;
    }
    shown(date, next_time(fields, MIDNIGHT)?)
}

/// Hour, minute, second.
type Time = (u32, u32, u32);

const MIDNIGHT: Time = (0, 0, 0);

fn date_time(shown: Shown) -> Option<NaiveDateTime> {
    Some(DateTime::from_timestamp(shown, 0)?.naive_utc())
}

fn shown(date: NaiveDate, (hour, minute, second): Time) -> Option<Shown> {
    Some(date.and_hms_opt(hour, minute, second)?.and_utc().timestamp())
}

fn label(shown: NaiveDateTime) -> Label {
    Label {
        second: shown.second(),
        minute: shown.minute(),
        hour: shown.hour(),
        day: shown.day(),
        month: shown.month(),
        day_of_week: shown.weekday().num_days_from_sunday(),
    }
}

/// The first date at or after `from` whose day, month and day of the week are in the fields.
fn next_date(fields: &Fields, from: NaiveDate) -> Option<NaiveDate> {
    let (mut year, mut month, mut day) = (from.year(), from.month(), from.day());
    loop {
        if let Some(date) = next_date_in_month(fields, year, month, day) {
            return Some(date);
        }
        day = 1;
        month += 1;
        if month > 12 {
            month = 1;
            year += 1;
            // `None` when this was the calendar's last year.
            NaiveDate::from_ymd_opt(year, month, day)?;
        }
    }
}

/// The same, but not past the end of the month.
fn next_date_in_month(fields: &Fields, year: i32, month: u32, from: u32) -> Option<NaiveDate> {
    if fields.months() >> month & 1 == 0 {
        return None;
    }
    let mut day = from;
    loop {
        day = next_bit(fields.days().into(), day)?;
        let date = NaiveDate::from_ymd_opt(year, month, day)?;
        if fields.days_of_week() >> date.weekday().num_days_from_sunday() & 1 == 1 {
            return Some(date);
        }
        day += 1;
    }
}

/// The first time of day at or after `from` in the fields.
fn next_time(fields: &Fields, (hour, minute, second): Time) -> Option<Time> {
    let first_minute = next_bit(fields.minutes(), 0)?;
    let first_second = next_bit(fields.seconds(), 0)?;
    let hours = fields.hours().into();
    if next_bit(hours, hour)? == hour {
        if next_bit(fields.minutes(), minute) == Some(minute)
            && let Some(second) = next_bit(fields.seconds(), second)
        {
            return Some((hour, minute, second));
        }
        if let Some(minute) = next_bit(fields.minutes(), minute + 1) {
            return Some((hour, minute, first_second));
        }
    }
    Some((next_bit(hours, hour + 1)?, first_minute, first_second))
}

/// The lowest bit of the set that is not below `from`.
fn next_bit(set: u64, from: u32) -> Option<u32> {
    let rest = set.checked_shr(from).filter(|rest| *rest != 0)?;
    Some(from + rest.trailing_zeros())
}
