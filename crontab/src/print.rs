//! Prints a crontab in its one canonical form, which parses back to an equal one.

use std::fmt::{self, Write};

use crate::field::Field;
use crate::fields::Fields;

/// Prints five fields, or six with the seconds first when they are not just second 0.
///
/// Equal crontabs print alike, and what is printed parses back to an equal one. Names become
/// numbers.
impl fmt::Display for Fields {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Padding belongs to the whole line, so the line has to be there first.
        f.pad(&line(self)?)
    }
}

fn line(fields: &Fields) -> Result<String, fmt::Error> {
    let hour_star = if fields.every_hour() { Star::Always } else { Star::Never };
    let columns = [
        (Field::Minute, fields.minutes(), Star::WhereTidy),
        (Field::Hour, fields.hours().into(), hour_star),
        (Field::Day, fields.days().into(), Star::WhereTidy),
        (Field::Month, fields.months().into(), Star::WhereTidy),
        (Field::DayOfWeek, fields.days_of_week().into(), Star::WhereTidy),
    ];
    let mut line = String::new();
    if fields.has_seconds() {
        write_field(&mut line, Field::Second, fields.seconds(), Star::WhereTidy)?;
    }
    for (field, set, star) in columns {
        if field != Field::Minute || fields.has_seconds() {
            line.push(' ');
        }
        write_field(&mut line, field, set, star)?;
    }
    Ok(line)
}

/// Whether a field may be written with a star.
#[derive(PartialEq)]
enum Star {
    Never,
    WhereTidy,
    Always,
}

/// Writes a set as `*`, `*/n`, `m-n/s` or a list of numbers and ranges.
fn write_field(out: &mut String, field: Field, set: u64, star: Star) -> fmt::Result {
    if star != Star::Never
        && let Some(step) = star_step(field, set)
        && (star == Star::Always || reads_better_with_star(field, set, step))
    {
        return match step {
            1 => out.write_char('*'),
            _ => write!(out, "*/{step}"),
        };
    }
    if let Some((first, last, step)) = progression(set) {
        return write!(out, "{first}-{last}/{step}");
    }
    let mut from = 0;
    let mut comma = "";
    while let Some((first, last)) = next_run(set, from) {
        match last - first {
            0 => write!(out, "{comma}{first}")?,
            1 => write!(out, "{comma}{first},{last}")?,
            _ => write!(out, "{comma}{first}-{last}")?,
        }
        comma = ",";
        from = last + 1;
    }
    Ok(())
}

/// `*/30` is better than `0,30`, but `0,6` is a weekend and `*/6` is a riddle.
fn reads_better_with_star(field: Field, set: u64, step: u32) -> bool {
    set.count_ones() > 2 || step * 2 == field.high() + 1 - field.low()
}

/// The step with which `*/step` is exactly this set.
fn star_step(field: Field, set: u64) -> Option<u32> {
    (1..=field.high() - field.low()).find(|step| field.every(*step) == set)
}

/// First, last and step of a set of three or more values at even distances of two or more.
fn progression(set: u64) -> Option<(u32, u32, u32)> {
    let first = set.trailing_zeros();
    let last = u64::BITS.checked_sub(set.leading_zeros() + 1)?;
    let count = set.count_ones();
    if count < 3 {
        return None;
    }
    let step = (last - first) / (count - 1);
    let even = (first..=last).step_by(step as usize).fold(0, |set, value| set | 1 << value);
    (step > 1 && even == set).then_some((first, last, step))
}

/// The first run of neighbours in the set from `from` on.
fn next_run(set: u64, from: u32) -> Option<(u32, u32)> {
    let rest = set.checked_shr(from).filter(|rest| *rest != 0)?;
    let first = from + rest.trailing_zeros();
    let length = (set >> first).trailing_ones();
    Some((first, first + length - 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn assert_prints(line: &str, printed: &str) {
        let fields: Fields = line.parse().unwrap();
        assert_eq!(fields.to_string(), printed, "{line}");
        assert_eq!(printed.parse::<Fields>().unwrap(), fields, "{line}");
    }

    #[test]
    fn the_printed_form_is_tidy_and_parses_back() {
        assert_prints("* * * * *", "* * * * *");
        assert_prints("0-59 0-23 1-31 jan-dec sun-sat", "* * * * *");
        assert_prints("0,30 */1 */1 */1 */1", "*/30 * * * *");
        assert_prints("5,4,3,1 1,2 2,3,5,6 mar-MAY 5-7", "1,3-5 1,2 2,3,5,6 3-5 0,5,6");
        assert_prints("10,12,14 9-17/2 1,11,21 1,4,7,10 1,3,5", "10-14/2 9-17/2 1-21/10 */3 1-5/2");
        assert_prints("1,3,5,8 0 * * 7", "1,3,5,8 0 * * 0");
        assert_prints("0,59 0 * */6 sat,sun", "0,59 0 * */6 0,6");
    }

    #[test]
    fn a_star_in_the_hour_stays_and_none_is_made_up() {
        assert_prints("0 */12 * * *", "0 */12 * * *");
        assert_prints("0 */23 * * *", "0 */23 * * *");
        assert_prints("0 0,12 * * *", "0 0,12 * * *");
        assert_prints("0 0,6,12,18 * * *", "0 0-18/6 * * *");
        assert_prints("0 */6,3 * * *", "0 0,3,6,12,18 * * *");
    }

    #[test]
    fn seconds_are_printed_unless_they_are_just_second_0() {
        assert_prints("0 5 4 * * *", "5 4 * * *");
        assert_prints("30 5 4 * * *", "30 5 4 * * *");
        assert_prints("*/10 * * * * *", "*/10 * * * * *");
        assert_prints("* * * * * *", "* * * * * *");
    }

    #[test]
    fn every_step_of_every_field_parses_back() {
        for n in 2..60 {
            for line in [
                format!("*/{n} * * * *"),
                format!("* */{n} * * *"),
                format!("* * */{n} * *"),
                format!("* * * */{n} *"),
                format!("* * * * */{n}"),
                format!("*/{n} * * * * *"),
            ] {
                let Ok(fields) = line.parse::<Fields>() else {
                    continue;
                };
                assert_eq!(fields.to_string().parse(), Ok(fields), "{line}");
            }
        }
    }

    #[test]
    fn padding_is_for_the_whole_line() {
        assert_eq!(format!("[{:<12}]", Fields::daily()), "[0 0 * * *   ]");
    }

    #[test]
    fn even_a_set_that_no_text_makes_can_be_printed() {
        let nothing = Fields::from_bits(0, 0, 0, 0, 0, 0, false);
        assert_eq!(nothing.to_string(), "     ");
        let all = Fields::from_bits(!0, !0, !0, !0, !0, !0, true);
        assert!(!all.to_string().is_empty());
    }
}
