//! When periodic tasks run: crontabs, as in huey's `crontab()`, on clocks with summer time.
//!
//! ```
//! use chrono::{DateTime, Utc};
//! use minihuey::crontab::Crontab;
//!
//! // huey: crontab(minute='0', hour='4')
//! let at_four = Crontab::builder().minute("0").hour(4).build()?;
//! assert_eq!(at_four, "0 4 * * *".parse()?);
//!
//! let noon: DateTime<Utc> = "2025-06-01T12:00:00Z".parse()?;
//! let next = at_four.next_after(&noon).unwrap();
//! assert_eq!(next.to_string(), "2025-06-02 04:00:00 UTC");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # The language
//!
//! Five fields: minute, hour, day, month, day of week. With a sixth in front, for the seconds, a
//! task runs more often than every minute: `*/10 * * * * *` is every ten seconds. Without it,
//! a crontab fires in second 0 of its minutes.
//!
//! | field       | values            | written | means                            |
//! |-------------|-------------------|---------|----------------------------------|
//! | second      | 0–59              | `*`     | every value                      |
//! | minute      | 0–59              | `*/n`   | every nth, from the lowest value |
//! | hour        | 0–23              | `m`     | the value m                      |
//! | day         | 1–31              | `m-n`   | m to n, both included            |
//! | month       | 1–12, `jan`–`dec` | `m-n/s` | every s-th from m, not past n    |
//! | day of week | 0–7, `sun`–`sat`  | `a,b`   | any of these, with commas        |
//!
//! Names may be written in any case. Sunday is 0 and 7, and a range of days of the week may wrap
//! around: `5-7` is Friday to Sunday, `6-1` is Saturday to Monday.
//!
//! Nothing is ignored. What is not in the table is a [`CrontabError`] that names the field, the
//! piece, and what is allowed; and so are a step longer than its range (`*/90` minutes) and a
//! date that never comes (`0 0 30 2 *`).
//!
//! # Where it differs from cron
//!
//! All fields must match. Vixie cron runs on *either* the day or the day of the week when both
//! are restricted; here, as in huey, `0 0 13 * fri` is Friday the 13th.
//!
//! There is no `@daily`, `L`, `W`, `#`, `?` or `5/15`: see [`daily`] and its siblings, and write
//! `5-59/15`.
//!
//! # Where it differs from huey
//!
//! | written                        | huey                          | here                           |
//! |--------------------------------|-------------------------------|--------------------------------|
//! | day of week `5-7`, `6-1`       | never matches                 | Friday–Sunday, Saturday–Monday |
//! | day of week `MON`              | never matches                 | Monday                         |
//! | day of week `*/2`              | an error                      | Sunday, Tuesday, …             |
//! | `1-5/2`                        | the step is lost              | 1, 3, 5                        |
//! | minute `5-1`                   | never matches                 | an error                       |
//! | what can't be parsed           | ignored, unless `strict=True` | an error                       |
//! | any, in the hour shown twice   | MiniHuey runs nothing         | see [below](#summer-time)      |
//!
//! # Time zones
//!
//! A crontab speaks of what a clock shows. [`Crontab::in_zone`] says which clock; without it, the
//! scheduler goes by the machine's local time, and the methods here by the zone of the time they
//! are asked about.
//!
//! # Summer time
//!
//! In spring the clock is put forward, and a stretch of time, the gap, is never shown. In autumn
//! it is put back, and another, the overlap, is shown twice. What then happens depends on whether
//! the hour was left open (`*`, `*/n`, or all 24 hours), which asks for an interval, or not, which
//! asks for a time of day:
//!
//! | the hour is  | in the gap                   | in the overlap                              |
//! |--------------|------------------------------|---------------------------------------------|
//! | left open    | fires when the clock matches | fires when the clock matches, in both hours |
//! | given        | fires once, right after it   | fires the first time only                   |
//!
//! So in Berlin, where the clock goes from 02:00 to 03:00 in spring and from 03:00 to 02:00 in
//! autumn:
//!
//! | crontab         | spring                                | autumn                           |
//! |-----------------|---------------------------------------|----------------------------------|
//! | `30 2 * * *`    | once, at 03:00                        | once, the first time it is 02:30 |
//! | `*/10 2 * * *`  | once, at 03:00                        | six times, in the first hour     |
//! | `30 * * * *`    | 01:30, 03:30: an hour apart           | 02:30 twice: an hour apart       |
//! | `0 */2 * * *`   | 00:00, 04:00: hour 2 is never shown   | 02:00 twice                      |
//!
//! This holds for any change of up to a day, at any hour, if no other change is within 25 hours
//! of it: half an hour on Lord Howe Island, midnight in Havana, the day that Samoa left out.

mod builder;
mod calendar;
mod summer_time;
mod zone;

use std::fmt;
use std::str::FromStr;

use chrono::{DateTime, Local, Offset, TimeZone, Utc};

#[doc(no_inline)]
pub use minihuey_crontab::CrontabError;
#[doc(hidden)]
pub use minihuey_crontab::Fields;

pub use self::builder::{CrontabBuilder, FieldText};
use self::zone::{WallClock, Zone};

/// When a periodic task runs. The [module](self) tells the language and the rules.
///
/// Made by [`str::parse`] from a line, by [`Crontab::builder`] from single fields, or by name. It
/// is small and cheap to clone.
///
/// It prints as a line that parses back to an equal crontab, without the zone. Two crontabs are
/// equal when their fields are ([`Crontab::builder`] or line makes no difference) and both have
/// no zone, or clones of one.
///
/// ```
/// use minihuey::crontab::Crontab;
///
/// let crontab: Crontab = "0,30 9-17 * * MON-FRI".parse()?;
/// assert_eq!(crontab.to_string(), "*/30 9-17 * * 1-5");
/// # Ok::<(), minihuey::crontab::CrontabError>(())
/// ```
#[derive(Clone)]
pub struct Crontab {
    fields: Fields,
    /// Whose clock it goes by; `None` for that of the time it is asked about.
    zone: Option<Zone>,
}

impl Crontab {
    /// Starts a crontab that is built field by field, each `*` unless it is set.
    ///
    /// ```
    /// use minihuey::crontab::Crontab;
    ///
    /// let every_minute = Crontab::builder().build()?;
    /// assert_eq!(every_minute, Crontab::every_minute());
    /// # Ok::<(), minihuey::crontab::CrontabError>(())
    /// ```
    pub fn builder() -> CrontabBuilder {
        CrontabBuilder::new()
    }

    /// A crontab from fields that are parsed already: what the macros expand to.
    #[doc(hidden)]
    pub const fn from_fields(fields: Fields) -> Crontab {
        Crontab { fields, zone: None }
    }

    /// `* * * * *`: every minute.
    ///
    /// ```
    /// # use minihuey::crontab::Crontab;
    /// assert_eq!(Crontab::every_minute().to_string(), "* * * * *");
    /// ```
    pub const fn every_minute() -> Crontab {
        Crontab::from_fields(Fields::every_minute())
    }

    /// `0 * * * *`: every hour, on the hour.
    ///
    /// ```
    /// # use minihuey::crontab::Crontab;
    /// assert_eq!(Crontab::hourly().to_string(), "0 * * * *");
    /// ```
    pub const fn hourly() -> Crontab {
        Crontab::from_fields(Fields::hourly())
    }

    /// `0 0 * * *`: every day at midnight.
    ///
    /// ```
    /// # use minihuey::crontab::Crontab;
    /// assert_eq!(Crontab::daily().to_string(), "0 0 * * *");
    /// ```
    pub const fn daily() -> Crontab {
        Crontab::from_fields(Fields::daily())
    }

    /// `0 0 * * 0`: every Sunday at midnight, when Sunday begins.
    ///
    /// ```
    /// # use minihuey::crontab::Crontab;
    /// assert_eq!(Crontab::weekly().to_string(), "0 0 * * 0");
    /// ```
    pub const fn weekly() -> Crontab {
        Crontab::from_fields(Fields::weekly())
    }

    /// `0 0 1 * *`: the first of every month at midnight, when it begins.
    ///
    /// ```
    /// # use minihuey::crontab::Crontab;
    /// assert_eq!(Crontab::monthly().to_string(), "0 0 1 * *");
    /// ```
    pub const fn monthly() -> Crontab {
        Crontab::from_fields(Fields::monthly())
    }

    /// The same crontab by the clock of `zone`: any [`TimeZone`] of chrono or of chrono-tz.
    ///
    /// ```
    /// use chrono::{DateTime, Utc};
    /// use minihuey::crontab::Crontab;
    ///
    /// let in_tokyo = Crontab::daily().in_zone(chrono_tz::Asia::Tokyo);
    /// let midnight_there: DateTime<Utc> = "2025-06-01T15:00:00Z".parse()?;
    /// assert!(in_tokyo.fires_at(&midnight_there));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn in_zone<Tz>(self, zone: Tz) -> Crontab
    where
        Tz: TimeZone + Send + Sync + 'static,
    {
        Crontab { zone: Some(Zone::new(zone)), ..self }
    }

    /// Whether all fields match what the clock shows at `t`: the crontab's own clock if it is
    /// [in a zone](Crontab::in_zone), or else that of `t`.
    ///
    /// This knows nothing of summer time: a label that is shown twice matches twice, one that is
    /// skipped never does. Fractions of a second are ignored, but whole seconds are a field: a
    /// crontab without seconds matches in second 0 of its minutes, not in the other 59.
    ///
    /// ```
    /// use chrono::{DateTime, FixedOffset};
    /// use minihuey::crontab::Crontab;
    ///
    /// let crontab: Crontab = "30 2 * * *".parse()?;
    /// let t: DateTime<FixedOffset> = "2025-06-01T02:30:00+02:00".parse()?;
    /// assert!(crontab.matches(&t));
    /// assert!(!crontab.clone().in_zone(chrono::Utc).matches(&t));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn matches<Tz: TimeZone>(&self, t: &DateTime<Tz>) -> bool {
        let at = t.timestamp();
        let shown = match &self.zone {
            Some(zone) => zone.clock().shown(at),
            None => at + i64::from(t.offset().fix().local_minus_utc()),
        };
        calendar::matches(&self.fields, shown)
    }

    /// Whether a task with this crontab runs at `t`, by the [rules for summer
    /// time](self#summer-time).
    ///
    /// It goes by the crontab's zone if it [has one](Crontab::in_zone), or else by the zone of
    /// `t`. As with [`matches`](Crontab::matches), a crontab without seconds fires in second 0
    /// only: ask at whole minutes, and at whole seconds if it [has
    /// seconds](Crontab::fires_in_seconds).
    ///
    /// ```
    /// use chrono::{DateTime, Utc};
    /// use chrono_tz::Europe::Berlin;
    /// use minihuey::crontab::Crontab;
    ///
    /// let crontab = "30 2 * * *".parse::<Crontab>()?.in_zone(Berlin);
    /// // The clock goes from 01:59 to 03:00, and 02:30 is made up for.
    /// let after_the_gap: DateTime<Utc> = "2025-03-30T01:00:00Z".parse()?;
    /// assert!(crontab.fires_at(&after_the_gap));
    /// assert!(!crontab.matches(&after_the_gap));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn fires_at<Tz: TimeZone>(&self, t: &DateTime<Tz>) -> bool {
        self.on_clock(&t.timezone(), |clock| {
            summer_time::fires_at(&self.fields, clock, t.timestamp())
        })
    }

    /// The first whole second after `t` at which the crontab [fires](Crontab::fires_at).
    ///
    /// `None` if chrono's calendar ends before, in the year 262142. Dates that come once in
    /// decades are found as fast as any.
    ///
    /// ```
    /// use chrono::{DateTime, Utc};
    /// use minihuey::crontab::Crontab;
    ///
    /// let leap_monday: Crontab = "0 0 29 2 mon".parse()?;
    /// let t: DateTime<Utc> = "2025-01-01T00:00:00Z".parse()?;
    /// let next = leap_monday.next_after(&t).unwrap();
    /// assert_eq!(next.to_string(), "2044-02-29 00:00:00 UTC");
    ///
    /// assert_eq!(Crontab::daily().next_after(&DateTime::<Utc>::MAX_UTC), None);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn next_after<Tz: TimeZone>(&self, t: &DateTime<Tz>) -> Option<DateTime<Tz>> {
        let zone = t.timezone();
        let next = self
            .on_clock(&zone, |clock| summer_time::next_after(&self.fields, clock, t.timestamp()))?;
        let utc = DateTime::from_timestamp(next, 0)?.naive_utc();
        Some(zone.from_utc_datetime(&utc))
    }

    /// [`fires_at`](Crontab::fires_at) for the scheduler: a crontab without a zone goes by the
    /// machine's local time.
    #[doc(hidden)]
    pub fn fires_at_utc(&self, t: DateTime<Utc>) -> bool {
        self.fires_at(&t.with_timezone(&Local))
    }

    /// [`next_after`](Crontab::next_after) for the scheduler: a crontab without a zone goes by
    /// the machine's local time.
    #[doc(hidden)]
    pub fn next_after_utc(&self, t: DateTime<Utc>) -> Option<DateTime<Utc>> {
        Some(self.next_after(&t.with_timezone(&Local))?.to_utc())
    }

    /// Whether it fires at other seconds than second 0 of a minute, so that looking once a minute
    /// is not enough.
    ///
    /// ```
    /// # use minihuey::crontab::Crontab;
    /// assert!("*/10 * * * * *".parse::<Crontab>()?.fires_in_seconds());
    /// assert!(!Crontab::hourly().fires_in_seconds());
    /// # Ok::<(), minihuey::crontab::CrontabError>(())
    /// ```
    pub const fn fires_in_seconds(&self) -> bool {
        self.fields.has_seconds()
    }

    /// Hands out the clock of the crontab's own zone, or else of `fallback`.
    fn on_clock<Tz: TimeZone, R>(&self, fallback: &Tz, read: impl FnOnce(WallClock<'_>) -> R) -> R {
        match &self.zone {
            Some(zone) => read(zone.clock()),
            None => {
                read(WallClock { offset_at: &|utc| fallback.offset_from_utc_datetime(utc).fix() })
            }
        }
    }
}

/// Reads five fields with white space between them, or six with the seconds first.
impl FromStr for Crontab {
    type Err = CrontabError;

    fn from_str(line: &str) -> Result<Crontab, CrontabError> {
        line.parse().map(Crontab::from_fields)
    }
}

/// Prints the fields as a line, without the zone.
impl fmt::Display for Crontab {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.fields.fmt(f)
    }
}

impl fmt::Debug for Crontab {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let zone = if self.zone.is_some() { " in a zone" } else { "" };
        write!(f, "Crontab({}{zone})", self.fields)
    }
}

impl PartialEq for Crontab {
    fn eq(&self, other: &Crontab) -> bool {
        let same_zone = match (&self.zone, &other.zone) {
            (None, None) => true,
            (Some(zone), Some(other)) => zone.is(other),
            _ => false,
        };
        same_zone && self.fields == other.fields
    }
}

impl Eq for Crontab {}

/// Every minute: [`Crontab::every_minute`].
///
/// ```
/// # use minihuey::crontab::{self, Crontab};
/// assert_eq!(crontab::every_minute(), Crontab::every_minute());
/// ```
pub const fn every_minute() -> Crontab {
    Crontab::every_minute()
}

/// Every hour, on the hour: [`Crontab::hourly`].
///
/// ```
/// # use minihuey::crontab::{self, Crontab};
/// assert_eq!(crontab::hourly(), Crontab::hourly());
/// ```
pub const fn hourly() -> Crontab {
    Crontab::hourly()
}

/// Every day at midnight: [`Crontab::daily`].
///
/// ```
/// # use minihuey::crontab::{self, Crontab};
/// assert_eq!(crontab::daily(), Crontab::daily());
/// ```
pub const fn daily() -> Crontab {
    Crontab::daily()
}

/// Every Sunday at midnight: [`Crontab::weekly`].
///
/// ```
/// # use minihuey::crontab::{self, Crontab};
/// assert_eq!(crontab::weekly(), Crontab::weekly());
/// ```
pub const fn weekly() -> Crontab {
    Crontab::weekly()
}

/// The first of every month at midnight: [`Crontab::monthly`].
///
/// ```
/// # use minihuey::crontab::{self, Crontab};
/// assert_eq!(crontab::monthly(), Crontab::monthly());
/// ```
pub const fn monthly() -> Crontab {
    Crontab::monthly()
}
