//! One field of text becomes one set of bits, or an error that names the piece at fault.

use crate::error::{CrontabError, Fault};
use crate::field::Field;

/// What the text of one field means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Parsed {
    /// A bit for each value.
    pub(crate) set: u64,
    /// Written as `*` or `*/n`, or holding every value.
    pub(crate) wild: bool,
}

/// Reads the text of `field`.
pub(crate) fn parse(field: Field, text: &str) -> Result<Parsed, CrontabError> {
    let refuse = |fault| Err(CrontabError::in_field(field, text, fault));
    if text.is_empty() {
        return refuse(Fault::EmptyField);
    }
    if text.contains(char::is_whitespace) {
        return refuse(Fault::WhiteSpace);
    }
    let mut set = 0;
    for piece in text.split(',') {
        if piece.is_empty() {
            return refuse(Fault::EmptyPiece);
        }
        set |= parse_piece(field, piece)?;
    }
    // `*/6,3` is a list of fixed values that happens to use a star: only a star alone is wild.
    let lone_star = text.starts_with('*') && !text.contains(',');
    Ok(Parsed { set, wild: lone_star || set == field.all() })
}

/// Reads what stands between two commas: `*`, `m` or `m-n`, the first and last with a step.
fn parse_piece(field: Field, piece: &str) -> Result<u64, CrontabError> {
    let refuse = |fault| CrontabError::in_field(field, piece, fault);
    let (range, step) = match piece.split_once('/') {
        Some((range, step)) => (range, Some(step)),
        None => (piece, None),
    };
    let (first, last) = if range == "*" {
        (field.low(), field.high())
    } else if let Some((first, last)) = range.split_once('-') {
        if first.is_empty() || last.is_empty() {
            return Err(refuse(Fault::NotUnderstood));
        }
        ends(field, parse_value(field, first)?, parse_value(field, last)?).map_err(refuse)?
    } else {
        let value = parse_value(field, range)?;
        if step.is_some() {
            return Err(refuse(Fault::StepWithoutRange { first: value }));
        }
        (value, value)
    };
    let step = match step {
        Some(step) => parse_step(step, first, last).map_err(refuse)?,
        None => 1,
    };
    let values = (first..=last).step_by(step as usize);
    Ok(values.fold(0, |set, value| set | 1 << bit(field, value)))
}

/// The ends of a range, with the last made large enough to be after the first in a week.
fn ends(field: Field, first: u32, last: u32) -> Result<(u32, u32), Fault> {
    if first <= last {
        return Ok((first, last));
    }
    match field {
        Field::DayOfWeek => Ok((first, last + 7)),
        _ => Err(Fault::Backwards { first, last }),
    }
}

/// The bit that stands for a value: days of the week go round.
fn bit(field: Field, value: u32) -> u32 {
    match field {
        Field::DayOfWeek => value % 7,
        _ => value,
    }
}

fn parse_value(field: Field, text: &str) -> Result<u32, CrontabError> {
    let refuse = |fault| CrontabError::in_field(field, text, fault);
    let name = field.names().iter().position(|name| name.eq_ignore_ascii_case(text));
    if let Some(position) = name {
        return Ok(field.low() + position as u32);
    }
    let number = parse_number(text).ok_or_else(|| refuse(Fault::NotUnderstood))?;
    if (field.low()..=field.highest_written()).contains(&number) {
        Ok(number)
    } else {
        Err(refuse(Fault::OutOfRange))
    }
}

fn parse_step(text: &str, first: u32, last: u32) -> Result<u32, Fault> {
    match parse_number(text).ok_or(Fault::StepNotUnderstood)? {
        0 => Err(Fault::StepOfZero),
        1 => Ok(1),
        step if step <= last - first => Ok(step),
        _ => Err(Fault::StepTooLong { first, longest: last - first }),
    }
}

/// Reads ASCII digits and nothing else. A number too large for `u32` is `u32::MAX`, which is out
/// of range everywhere.
fn parse_number(text: &str) -> Option<u32> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    digits.then(|| text.parse().unwrap_or(u32::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn assert_values(field: Field, text: &str, values: &[u32]) {
        let parsed = parse(field, text).unwrap();
        let found: Vec<u32> = (0..64).filter(|value| parsed.set >> value & 1 == 1).collect();
        assert_eq!(found, values, "{text}");
    }

    #[test]
    fn a_star_with_a_step_counts_from_the_lowest_value() {
        assert_values(Field::Day, "*/6", &[1, 7, 13, 19, 25, 31]);
        assert_values(Field::Month, "*/5", &[1, 6, 11]);
        assert_values(Field::Hour, "*/9", &[0, 9, 18]);
        assert_values(Field::DayOfWeek, "*/2", &[0, 2, 4, 6]);
    }

    #[test]
    fn the_week_goes_round_and_sunday_is_0_and_7() {
        assert_values(Field::DayOfWeek, "5-7", &[0, 5, 6]);
        assert_values(Field::DayOfWeek, "6-1", &[0, 1, 6]);
        assert_values(Field::DayOfWeek, "7-1", &[0, 1]);
        assert_values(Field::DayOfWeek, "7", &[0]);
        assert_values(Field::DayOfWeek, "7-7", &[0]);
        assert_values(Field::DayOfWeek, "0-7", &[0, 1, 2, 3, 4, 5, 6]);
        assert_values(Field::DayOfWeek, "fri-sun", &[0, 5, 6]);
        assert_values(Field::DayOfWeek, "sat-mon/2", &[1, 6]);
    }

    #[test]
    fn only_a_lone_star_or_a_full_set_is_wild() {
        for text in ["*", "*/1", "*/7", "0-23", "0-11,12-23", "*,5", "23,0-22"] {
            assert!(parse(Field::Hour, text).unwrap().wild, "{text}");
        }
        for text in ["0", "0-22", "0-23/7", "0,7,14,21", "*/7,1", "1,*/7"] {
            assert!(!parse(Field::Hour, text).unwrap().wild, "{text}");
        }
    }

    #[test]
    fn a_number_of_any_length_is_out_of_range_and_leading_zeros_are_not() {
        for text in ["60", "4294967296", "99999999999999999999999999"] {
            let error = parse(Field::Minute, text).unwrap_err();
            assert_eq!(error, CrontabError::in_field(Field::Minute, text, Fault::OutOfRange));
        }
        assert_values(Field::Minute, "05,0000000000000000000007", &[5, 7]);
    }
}
