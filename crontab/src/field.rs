//! The six fields a crontab may have: what each is called and which values it takes.

/// One of the six fields.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Field {
    Second,
    Minute,
    Hour,
    Day,
    Month,
    DayOfWeek,
}

const MONTHS: [&str; 12] =
    ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];
const DAYS_OF_WEEK: [&str; 7] = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"];

impl Field {
    /// The name as huey's `crontab()` and error messages write it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Field::Second => "second",
            Field::Minute => "minute",
            Field::Hour => "hour",
            Field::Day => "day",
            Field::Month => "month",
            Field::DayOfWeek => "day_of_week",
        }
    }

    /// The lowest value, where `*` begins.
    pub(crate) fn low(self) -> u32 {
        match self {
            Field::Day | Field::Month => 1,
            Field::Second | Field::Minute | Field::Hour | Field::DayOfWeek => 0,
        }
    }

    /// The highest value, where `*` ends.
    pub(crate) fn high(self) -> u32 {
        match self {
            Field::Second | Field::Minute => 59,
            Field::Hour => 23,
            Field::Day => 31,
            Field::Month => 12,
            Field::DayOfWeek => 6,
        }
    }

    /// The highest number that may be written: Sunday is also 7.
    pub(crate) fn highest_written(self) -> u32 {
        match self {
            Field::DayOfWeek => 7,
            _ => self.high(),
        }
    }

    /// Names for the values from `low` on; none for most fields.
    pub(crate) fn names(self) -> &'static [&'static str] {
        match self {
            Field::Month => &MONTHS,
            Field::DayOfWeek => &DAYS_OF_WEEK,
            _ => &[],
        }
    }

    /// The set of all values, a bit for each.
    pub(crate) fn all(self) -> u64 {
        self.every(1)
    }

    /// The set that `*/step` means. `step` is at least 1.
    pub(crate) fn every(self, step: u32) -> u64 {
        (self.low()..=self.high()).step_by(step as usize).fold(0, |set, value| set | 1 << value)
    }
}
