//! A whole crontab as six sets of bits, and the question whether a label is in it.

use std::str::FromStr;

use crate::error::{CrontabError, Fault};
use crate::field::Field;
use crate::parse::{Parsed, parse};

/// A crontab: the seconds, minutes, hours, days, months and days of the week at which it fires.
///
/// It is made from text ([`Fields::new`], or [`str::parse`] for a whole line), by name
/// ([`Fields::daily`] and the like), and never fires on a date that doesn't exist. Sets are bits:
/// bit 5 of [`minutes`](Fields::minutes) is minute 5.
///
/// Two are equal when they fire at the same times. The order and the form in which the fields
/// were written don't matter, except for the hour, where [`every_hour`](Fields::every_hour)
/// does.
///
/// ```
/// use minihuey_crontab::Fields;
///
/// let line: Fields = "0,30 9-17 * * mon-fri".parse()?;
/// let parts = Fields::new("*/30", "9-17", "*", "*", "1-5")?;
/// assert_eq!(line, parts);
/// # Ok::<(), minihuey_crontab::CrontabError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Fields {
    /// Bits 0 to 59; bit 0 alone if there is no such field.
    seconds: u64,
    /// Bits 0 to 59.
    minutes: u64,
    /// Bits 0 to 23.
    hours: u32,
    /// Bits 1 to 31.
    days: u32,
    /// Bits 1 to 12.
    months: u16,
    /// Bits 0 to 6, Sunday first.
    days_of_week: u8,
    /// The hour was left open.
    every_hour: bool,
}

/// What a clock and a calendar on the wall show at some moment.
///
/// ```
/// use minihuey_crontab::{Fields, Label};
///
/// let friday_noon = Label { second: 0, minute: 0, hour: 12, day: 13, month: 6, day_of_week: 5 };
/// assert!("0 12 * * fri".parse::<Fields>()?.matches(&friday_noon));
/// # Ok::<(), minihuey_crontab::CrontabError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Label {
    /// 0 to 59.
    pub second: u32,
    /// 0 to 59.
    pub minute: u32,
    /// 0 to 23.
    pub hour: u32,
    /// Day of the month, 1 to 31.
    pub day: u32,
    /// 1 to 12.
    pub month: u32,
    /// 0 to 6, 0 is Sunday.
    pub day_of_week: u32,
}

/// The set of seconds of a crontab that has no field for them: second 0.
const ON_THE_MINUTE: u64 = 1;

impl Fields {
    /// Reads five fields, in the order of huey's `crontab()`. Write `"*"` where huey has its
    /// default.
    ///
    /// # Errors
    ///
    /// The first field that is not in the [language](crate), or a date that never comes.
    ///
    /// ```
    /// use minihuey_crontab::Fields;
    ///
    /// let fields = Fields::new("0", "*/6", "*", "*", "*")?;
    /// assert_eq!(fields.hours(), 1 << 0 | 1 << 6 | 1 << 12 | 1 << 18);
    ///
    /// let error = Fields::new("0", "0", "30,31", "feb", "*").unwrap_err();
    /// assert_eq!(
    ///     error.to_string(),
    ///     r#"day: "30,31" never comes: month "feb" has at most 29 days"#,
    /// );
    /// # Ok::<(), minihuey_crontab::CrontabError>(())
    /// ```
    pub fn new(
        minute: &str,
        hour: &str,
        day: &str,
        month: &str,
        day_of_week: &str,
    ) -> Result<Fields, CrontabError> {
        let minutes = parse(Field::Minute, minute)?.set;
        let Parsed { set: hours, wild: every_hour } = parse(Field::Hour, hour)?;
        let days = parse(Field::Day, day)?.set;
        let months = parse(Field::Month, month)?.set;
        let days_of_week = parse(Field::DayOfWeek, day_of_week)?.set;
        let longest = longest_month(months);
        if days.trailing_zeros() > longest {
            let fault = Fault::NeverComes { months: month.to_owned(), days: longest };
            return Err(CrontabError::in_field(Field::Day, day, fault));
        }
        Ok(Fields {
            seconds: ON_THE_MINUTE,
            minutes,
            // The parser sets no bit above the field's highest value: nothing is cut off here.
            hours: hours as u32,
            days: days as u32,
            months: months as u16,
            days_of_week: days_of_week as u8,
            every_hour,
        })
    }

    /// The same crontab, at these seconds of its minutes instead of second 0.
    ///
    /// # Errors
    ///
    /// `second` is not in the [language](crate).
    ///
    /// ```
    /// use minihuey_crontab::Fields;
    ///
    /// let fields = Fields::every_minute().with_second("*/10")?;
    /// assert_eq!(fields, "*/10 * * * * *".parse()?);
    /// # Ok::<(), minihuey_crontab::CrontabError>(())
    /// ```
    pub fn with_second(self, second: &str) -> Result<Fields, CrontabError> {
        Ok(Fields { seconds: parse(Field::Second, second)?.set, ..self })
    }

    /// A crontab from its sets, unchecked: for the constants that macros write.
    #[doc(hidden)]
    pub const fn from_bits(
        seconds: u64,
        minutes: u64,
        hours: u32,
        days: u32,
        months: u16,
        days_of_week: u8,
        every_hour: bool,
    ) -> Fields {
        Fields { seconds, minutes, hours, days, months, days_of_week, every_hour }
    }

    /// `* * * * *`: every minute.
    ///
    /// ```
    /// # use minihuey_crontab::Fields;
    /// assert_eq!(Fields::every_minute().to_string(), "* * * * *");
    /// ```
    pub const fn every_minute() -> Fields {
        Fields {
            seconds: ON_THE_MINUTE,
            minutes: (1 << 60) - 1,
            hours: (1 << 24) - 1,
            days: u32::MAX << 1,
            months: (1 << 13) - 2,
            days_of_week: (1 << 7) - 1,
            every_hour: true,
        }
    }

    /// `0 * * * *`: every hour, on the hour.
    ///
    /// ```
    /// # use minihuey_crontab::Fields;
    /// assert_eq!(Fields::hourly().to_string(), "0 * * * *");
    /// ```
    pub const fn hourly() -> Fields {
        Fields { minutes: 1, ..Fields::every_minute() }
    }

    /// `0 0 * * *`: every day at midnight.
    ///
    /// ```
    /// # use minihuey_crontab::Fields;
    /// assert_eq!(Fields::daily().to_string(), "0 0 * * *");
    /// ```
    pub const fn daily() -> Fields {
        Fields { hours: 1, every_hour: false, ..Fields::hourly() }
    }

    /// `0 0 * * 0`: every Sunday at midnight, when Sunday begins.
    ///
    /// ```
    /// # use minihuey_crontab::Fields;
    /// assert_eq!(Fields::weekly().to_string(), "0 0 * * 0");
    /// ```
    pub const fn weekly() -> Fields {
        Fields { days_of_week: 1, ..Fields::daily() }
    }

    /// `0 0 1 * *`: the first of every month at midnight, when it begins.
    ///
    /// ```
    /// # use minihuey_crontab::Fields;
    /// assert_eq!(Fields::monthly().to_string(), "0 0 1 * *");
    /// ```
    pub const fn monthly() -> Fields {
        Fields { days: 1 << 1, ..Fields::daily() }
    }

    /// Whether every field has the label's value.
    ///
    /// A value that no clock shows, such as hour 99, is never matched.
    ///
    /// ```
    /// use minihuey_crontab::{Fields, Label};
    ///
    /// let label = Label { second: 0, minute: 30, hour: 4, day: 1, month: 1, day_of_week: 3 };
    /// assert!("30 4 * * *".parse::<Fields>()?.matches(&label));
    /// assert!(!"30 4 * * mon".parse::<Fields>()?.matches(&label));
    /// # Ok::<(), minihuey_crontab::CrontabError>(())
    /// ```
    pub const fn matches(&self, label: &Label) -> bool {
        has(self.seconds, label.second)
            && has(self.minutes, label.minute)
            && has(self.hours as u64, label.hour)
            && has(self.days as u64, label.day)
            && has(self.months as u64, label.month)
            && has(self.days_of_week as u64, label.day_of_week)
    }

    /// The seconds, bits 0 to 59. A crontab of five fields has bit 0 alone.
    ///
    /// ```
    /// # use minihuey_crontab::Fields;
    /// assert_eq!(Fields::hourly().seconds(), 1);
    /// ```
    pub const fn seconds(&self) -> u64 {
        self.seconds
    }

    /// The minutes, bits 0 to 59.
    ///
    /// ```
    /// # use minihuey_crontab::Fields;
    /// assert_eq!(Fields::hourly().minutes(), 1);
    /// ```
    pub const fn minutes(&self) -> u64 {
        self.minutes
    }

    /// The hours, bits 0 to 23.
    ///
    /// ```
    /// # use minihuey_crontab::Fields;
    /// assert_eq!(Fields::hourly().hours(), 0xff_ffff);
    /// ```
    pub const fn hours(&self) -> u32 {
        self.hours
    }

    /// The days of the month, bits 1 to 31.
    ///
    /// ```
    /// # use minihuey_crontab::Fields;
    /// assert_eq!(Fields::monthly().days(), 1 << 1);
    /// ```
    pub const fn days(&self) -> u32 {
        self.days
    }

    /// The months, bits 1 to 12.
    ///
    /// ```
    /// # use minihuey_crontab::Fields;
    /// assert_eq!("0 0 1 jan *".parse::<Fields>()?.months(), 1 << 1);
    /// # Ok::<(), minihuey_crontab::CrontabError>(())
    /// ```
    pub const fn months(&self) -> u16 {
        self.months
    }

    /// The days of the week, bits 0 to 6, bit 0 is Sunday.
    ///
    /// ```
    /// # use minihuey_crontab::Fields;
    /// assert_eq!(Fields::weekly().days_of_week(), 1);
    /// ```
    pub const fn days_of_week(&self) -> u8 {
        self.days_of_week
    }

    /// Whether the hour was left open: written `*` or `*/n`, or holding all 24 hours.
    ///
    /// Such a crontab asks for an interval, the others for a time of day. The difference counts
    /// when the clocks change. A list such as `*/6,3` is a list of times, star or not.
    ///
    /// ```
    /// # use minihuey_crontab::Fields;
    /// assert!("0 */12 * * *".parse::<Fields>()?.every_hour());
    /// assert!(!"0 0,12 * * *".parse::<Fields>()?.every_hour());
    /// # Ok::<(), minihuey_crontab::CrontabError>(())
    /// ```
    pub const fn every_hour(&self) -> bool {
        self.every_hour
    }

    /// Whether it fires at other seconds than second 0 of a minute.
    ///
    /// ```
    /// # use minihuey_crontab::Fields;
    /// assert!("*/10 * * * * *".parse::<Fields>()?.has_seconds());
    /// assert!(!"0 */5 * * * *".parse::<Fields>()?.has_seconds());
    /// # Ok::<(), minihuey_crontab::CrontabError>(())
    /// ```
    pub const fn has_seconds(&self) -> bool {
        self.seconds != ON_THE_MINUTE
    }
}

/// Reads five fields with white space between them, or six with the seconds first.
impl FromStr for Fields {
    type Err = CrontabError;

    fn from_str(text: &str) -> Result<Fields, CrontabError> {
        let fields: Vec<&str> = text.split_whitespace().collect();
        match fields[..] {
            [minute, hour, day, month, day_of_week] => {
                Fields::new(minute, hour, day, month, day_of_week)
            }
            [second, minute, hour, day, month, day_of_week] => {
                Fields::new(minute, hour, day, month, day_of_week)?.with_second(second)
            }
            _ => Err(CrontabError::field_count(fields.len())),
        }
    }
}

const fn has(set: u64, value: u32) -> bool {
    value < u64::BITS && set >> value & 1 == 1
}

/// The days of the longest of these months, February with its leap day.
fn longest_month(months: u64) -> u32 {
    const FEBRUARY: u64 = 1 << 2;
    const OF_THIRTY: u64 = 1 << 4 | 1 << 6 | 1 << 9 | 1 << 11;
    if months & !(FEBRUARY | OF_THIRTY) != 0 {
        31
    } else if months & OF_THIRTY != 0 {
        30
    } else {
        29
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_named_crontabs_are_what_their_lines_say() {
        for (named, line) in [
            (Fields::every_minute(), "* * * * *"),
            (Fields::hourly(), "0 * * * *"),
            (Fields::daily(), "0 0 * * *"),
            (Fields::weekly(), "0 0 * * sun"),
            (Fields::monthly(), "0 0 1 * *"),
        ] {
            assert_eq!(named, line.parse().unwrap(), "{line}");
        }
    }

    #[test]
    fn a_constant_from_bits_equals_the_parsed_line() {
        const NOON: Fields = Fields::from_bits(1, 1, 1 << 12, !1, 0x1ffe, 0x7f, false);
        assert_eq!(NOON, "0 12 * * *".parse().unwrap());
    }

    #[test]
    fn a_date_that_no_chosen_month_has_is_refused_and_one_that_some_month_has_is_not() {
        for (day, month) in [("30", "2"), ("31", "4,6,9,11"), ("31", "2,4"), ("30-31", "feb")] {
            let error = Fields::new("0", "0", day, month, "*").unwrap_err();
            assert_eq!((error.field(), error.piece()), (Some("day"), Some(day)), "{month}");
        }
        for (day, month) in [("29", "2"), ("30", "2,4"), ("31", "1"), ("30,1", "2"), ("31", "*")] {
            assert!(Fields::new("0", "0", day, month, "*").is_ok(), "{day} of {month}");
        }
    }

    #[test]
    fn any_white_space_separates_fields() {
        for line in ["0 4 * * *", "  0\t4 *  *\n*\r\n", "0\u{a0}4\u{3000}* * *"] {
            assert_eq!(line.parse(), Fields::new("0", "4", "*", "*", "*"), "{line:?}");
        }
    }

    #[test]
    fn a_label_that_no_clock_shows_is_never_matched() {
        let label = Label { second: 0, minute: 0, hour: 0, day: 1, month: 1, day_of_week: 0 };
        assert!(Fields::every_minute().matches(&label));
        for wrong in [
            Label { second: 64, ..label },
            Label { minute: 60, ..label },
            Label { hour: 24, ..label },
            Label { day: 0, ..label },
            Label { month: 13, ..label },
            Label { day_of_week: 7, ..label },
            Label { day_of_week: u32::MAX, ..label },
        ] {
            assert!(!Fields::every_minute().matches(&wrong), "{wrong:?}");
        }
    }
}
