//! Why a crontab was refused. The text of every message stands in this file.

use std::fmt;

use crate::field::Field;

/// Why a crontab was refused: the field, the piece of it, and what is allowed there.
///
/// It prints as one line.
///
/// ```
/// use minihuey_crontab::Fields;
///
/// let error = "*/15 25 * * *".parse::<Fields>().unwrap_err();
/// assert_eq!(error.to_string(), r#"hour: "25" is out of range: expected 0 to 23"#);
/// assert_eq!(error.field(), Some("hour"));
/// assert_eq!(error.piece(), Some("25"));
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct CrontabError {
    problem: Problem,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Problem {
    FieldCount(usize),
    InField { field: Field, piece: String, fault: Fault },
}

/// What is wrong with a piece of a field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Fault {
    /// The whole field is empty.
    EmptyField,
    /// A comma with nothing before or after it.
    EmptyPiece,
    /// White space inside one field.
    WhiteSpace,
    /// Not a word of the language.
    NotUnderstood,
    /// A number that the field doesn't have.
    OutOfRange,
    /// A range whose end comes before its start, in a field that doesn't wrap.
    Backwards { first: u32, last: u32 },
    /// A step after a single number, as in `5/15`.
    StepWithoutRange { first: u32 },
    /// What follows the slash is not a number.
    StepNotUnderstood,
    /// A step of 0.
    StepOfZero,
    /// A step after which the range has no second value.
    StepTooLong { first: u32, longest: u32 },
    /// Days that none of the months has.
    NeverComes { months: String, days: u32 },
}

impl CrontabError {
    pub(crate) fn field_count(found: usize) -> CrontabError {
        CrontabError { problem: Problem::FieldCount(found) }
    }

    pub(crate) fn in_field(field: Field, piece: &str, fault: Fault) -> CrontabError {
        CrontabError { problem: Problem::InField { field, piece: piece.to_owned(), fault } }
    }

    /// The field at fault: `second`, `minute`, `hour`, `day`, `month` or `day_of_week`.
    ///
    /// `None` when the number of fields is wrong.
    ///
    /// ```
    /// use minihuey_crontab::Fields;
    ///
    /// let error = "0 4 * *".parse::<Fields>().unwrap_err();
    /// assert_eq!(error.field(), None);
    /// ```
    pub fn field(&self) -> Option<&'static str> {
        match &self.problem {
            Problem::FieldCount(_) => None,
            Problem::InField { field, .. } => Some(field.name()),
        }
    }

    /// The piece of the field that was refused, as it was written.
    ///
    /// `None` when the number of fields is wrong.
    ///
    /// ```
    /// use minihuey_crontab::Fields;
    ///
    /// let error = Fields::new("0,15,5-1", "*", "*", "*", "*").unwrap_err();
    /// assert_eq!(error.piece(), Some("5-1"));
    /// ```
    pub fn piece(&self) -> Option<&str> {
        match &self.problem {
            Problem::FieldCount(_) => None,
            Problem::InField { piece, .. } => Some(piece),
        }
    }
}

impl std::error::Error for CrontabError {}

impl fmt::Display for CrontabError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.problem {
            Problem::FieldCount(found) => write!(
                f,
                "expected five fields (minute hour day month day_of_week) \
                 or six with seconds first, found {found}"
            ),
            Problem::InField { field, piece, fault } => {
                write!(f, "{}: ", field.name())?;
                describe(f, *field, piece, fault)
            }
        }
    }
}

// Pieces are printed with `{:?}`: it keeps a line break or an invisible space from hiding.
fn describe(f: &mut fmt::Formatter<'_>, field: Field, piece: &str, fault: &Fault) -> fmt::Result {
    let (low, high) = (field.low(), field.high());
    let values = Values(field);
    match fault {
        Fault::EmptyField => write!(f, r#"the field is empty: expected "*" or {values}"#),
        Fault::EmptyPiece => {
            write!(f, "{piece:?} has a comma with nothing beside it: expected {values}")
        }
        Fault::WhiteSpace => {
            write!(f, "{piece:?} has white space in it: one field has none, a list has commas")
        }
        Fault::NotUnderstood => write!(
            f,
            "{piece:?} is not understood: expected \"*\", {values}, \
             a range as in \"{low}-{high}\" or a step as in \"*/2\""
        ),
        Fault::OutOfRange => write!(f, "{piece:?} is out of range: expected {values}"),
        Fault::Backwards { first, last } => write!(
            f,
            "{piece:?} runs backwards: write \"{last}-{first}\", \
             or \"{first}-{high},{low}-{last}\" to wrap around"
        ),
        Fault::StepWithoutRange { first } => {
            let (last, step) = (field.highest_written(), piece.rsplit('/').next().unwrap_or("n"));
            write!(f, r#"{piece:?} has a step but no range: write "{first}-{last}/{step}""#)
        }
        Fault::StepNotUnderstood => {
            write!(f, r#"the step in {piece:?} is not understood: expected a number, 1 or more"#)
        }
        Fault::StepOfZero => write!(f, "{piece:?} has a step of 0: expected 1 or more"),
        Fault::StepTooLong { first, longest } => {
            write!(f, "{piece:?} has a step longer than its range: write \"{first}\"")?;
            if *longest > 0 {
                write!(f, " if that is all, or a step of 1 to {longest}")?;
            }
            Ok(())
        }
        Fault::NeverComes { months, days } => {
            write!(f, "{piece:?} never comes: month {months:?} has at most {days} days")
        }
    }
}

/// Prints the values that a field takes: `1 to 12 or jan to dec`.
struct Values(Field);

impl fmt::Display for Values {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} to {}", self.0.low(), self.0.highest_written())?;
        if let [first, .., last] = self.0.names() {
            write!(f, " or {first} to {last}")?;
        }
        Ok(())
    }
}
