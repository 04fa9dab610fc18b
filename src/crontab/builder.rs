//! Builds a crontab field by field, as huey's `crontab(minute='0', hour='4')` does.

use minihuey_crontab::{CrontabError, Fields};

use super::Crontab;

/// Builds a [`Crontab`] field by field: [`Crontab::builder`].
///
/// What isn't set is `*`, as in huey, and second 0.
///
/// ```
/// use minihuey::crontab::Crontab;
///
/// let crontab = Crontab::builder().minute("*/15").hour("9-17").day_of_week("mon-fri").build()?;
/// assert_eq!(crontab.to_string(), "*/15 9-17 * * 1-5");
/// # Ok::<(), minihuey::crontab::CrontabError>(())
/// ```
#[derive(Debug, Clone)]
#[must_use = "a builder makes no crontab until `build` is called"]
pub struct CrontabBuilder {
    /// `None` for a crontab of five fields.
    second: Option<FieldText>,
    minute: FieldText,
    hour: FieldText,
    day: FieldText,
    month: FieldText,
    day_of_week: FieldText,
}

/// The text of one field: a string, or an integer for that one value.
///
/// Nothing is checked before [`CrontabBuilder::build`].
///
/// ```
/// use minihuey::crontab::{Crontab, FieldText};
///
/// let at_four = FieldText::from(4);
/// let crontab = Crontab::builder().minute(0).hour(at_four).build()?;
/// assert_eq!(crontab, "0 4 * * *".parse()?);
/// # Ok::<(), minihuey::crontab::CrontabError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct FieldText(String);

impl CrontabBuilder {
    pub(super) fn new() -> CrontabBuilder {
        let every = || FieldText::from("*");
        CrontabBuilder {
            second: None,
            minute: every(),
            hour: every(),
            day: every(),
            month: every(),
            day_of_week: every(),
        }
    }

    /// Sets the seconds, 0 to 59. huey has no such field.
    ///
    /// ```
    /// # use minihuey::crontab::Crontab;
    /// let crontab = Crontab::builder().second("*/10").build()?;
    /// assert_eq!(crontab, "*/10 * * * * *".parse()?);
    /// # Ok::<(), minihuey::crontab::CrontabError>(())
    /// ```
    pub fn second(self, second: impl Into<FieldText>) -> CrontabBuilder {
        CrontabBuilder { second: Some(second.into()), ..self }
    }

    /// Sets the minutes, 0 to 59.
    ///
    /// ```
    /// # use minihuey::crontab::Crontab;
    /// let crontab = Crontab::builder().minute("0,30").build()?;
    /// assert_eq!(crontab, "0,30 * * * *".parse()?);
    /// # Ok::<(), minihuey::crontab::CrontabError>(())
    /// ```
    pub fn minute(self, minute: impl Into<FieldText>) -> CrontabBuilder {
        CrontabBuilder { minute: minute.into(), ..self }
    }

    /// Sets the hours, 0 to 23.
    ///
    /// As in huey, an hour alone means every minute of it: set the minute too.
    ///
    /// ```
    /// # use minihuey::crontab::Crontab;
    /// let crontab = Crontab::builder().minute(0).hour(4).build()?;
    /// assert_eq!(crontab, "0 4 * * *".parse()?);
    /// # Ok::<(), minihuey::crontab::CrontabError>(())
    /// ```
    pub fn hour(self, hour: impl Into<FieldText>) -> CrontabBuilder {
        CrontabBuilder { hour: hour.into(), ..self }
    }

    /// Sets the days of the month, 1 to 31.
    ///
    /// ```
    /// # use minihuey::crontab::Crontab;
    /// let crontab = Crontab::builder().minute(0).hour(0).day("1,15").build()?;
    /// assert_eq!(crontab, "0 0 1,15 * *".parse()?);
    /// # Ok::<(), minihuey::crontab::CrontabError>(())
    /// ```
    pub fn day(self, day: impl Into<FieldText>) -> CrontabBuilder {
        CrontabBuilder { day: day.into(), ..self }
    }

    /// Sets the months, 1 to 12 or `jan` to `dec`.
    ///
    /// ```
    /// # use minihuey::crontab::Crontab;
    /// let crontab = Crontab::builder().minute(0).hour(0).day(1).month("jan").build()?;
    /// assert_eq!(crontab, "0 0 1 1 *".parse()?);
    /// # Ok::<(), minihuey::crontab::CrontabError>(())
    /// ```
    pub fn month(self, month: impl Into<FieldText>) -> CrontabBuilder {
        CrontabBuilder { month: month.into(), ..self }
    }

    /// Sets the days of the week, 0 to 7 or `sun` to `sat`. Sunday is 0 and 7.
    ///
    /// ```
    /// # use minihuey::crontab::Crontab;
    /// let crontab = Crontab::builder().minute(0).hour(0).day_of_week("sat-sun").build()?;
    /// assert_eq!(crontab, "0 0 * * 0,6".parse()?);
    /// # Ok::<(), minihuey::crontab::CrontabError>(())
    /// ```
    pub fn day_of_week(self, day_of_week: impl Into<FieldText>) -> CrontabBuilder {
        CrontabBuilder { day_of_week: day_of_week.into(), ..self }
    }

    /// Makes the crontab.
    ///
    /// # Errors
    ///
    /// The first field that is not in the [language](super#the-language), or a date that never
    /// comes.
    ///
    /// ```
    /// # use minihuey::crontab::Crontab;
    /// let error = Crontab::builder().hour(24).build().unwrap_err();
    /// assert_eq!(error.to_string(), r#"hour: "24" is out of range: expected 0 to 23"#);
    /// ```
    pub fn build(self) -> Result<Crontab, CrontabError> {
        let fields = Fields::new(
            &self.minute.0,
            &self.hour.0,
            &self.day.0,
            &self.month.0,
            &self.day_of_week.0,
        )?;
        let fields = match &self.second {
            Some(second) => fields.with_second(&second.0)?,
            None => fields,
        };
        Ok(Crontab::from_fields(fields))
    }
}

impl From<&str> for FieldText {
    fn from(text: &str) -> FieldText {
        FieldText(text.to_owned())
    }
}

impl From<&String> for FieldText {
    fn from(text: &String) -> FieldText {
        FieldText(text.clone())
    }
}

impl From<String> for FieldText {
    fn from(text: String) -> FieldText {
        FieldText(text)
    }
}

macro_rules! from_integers {
    ($($integer:ty),*) => {$(
        /// The field has this one value. One that the field doesn't have, such as a negative
        /// one, is an error when the crontab is built.
        impl From<$integer> for FieldText {
            fn from(value: $integer) -> FieldText {
                FieldText(value.to_string())
            }
        }
    )*};
}

from_integers!(u8, u16, u32, u64, usize, i8, i16, i32, i64, isize);
