//! The crontab language of [minihuey](https://docs.rs/minihuey): text in, sets of numbers out.
//!
//! This crate knows neither a clock nor a time zone. It turns five (or six) fields of text into
//! [`Fields`], says whether a [`Label`] that a clock shows is in them, and prints them again. It
//! is a crate of its own so that minihuey's macros can refuse a bad crontab at compile time.
//!
//! ```
//! use minihuey_crontab::{Fields, Label};
//!
//! let weekdays_at_four: Fields = "0 4 * * mon-fri".parse()?;
//! let monday = Label { second: 0, minute: 0, hour: 4, day: 2, month: 6, day_of_week: 1 };
//! assert!(weekdays_at_four.matches(&monday));
//! assert_eq!(weekdays_at_four.to_string(), "0 4 * * 1-5");
//!
//! let mistake = "61 4 * * *".parse::<Fields>().unwrap_err();
//! assert_eq!(mistake.to_string(), r#"minute: "61" is out of range: expected 0 to 59"#);
//! # Ok::<(), minihuey_crontab::CrontabError>(())
//! ```
//!
//! # The language
//!
//! | field         | values | names          |
//! |---------------|--------|----------------|
//! | `second`      | 0–59   |                |
//! | `minute`      | 0–59   |                |
//! | `hour`        | 0–23   |                |
//! | `day`         | 1–31   |                |
//! | `month`       | 1–12   | `jan` to `dec` |
//! | `day_of_week` | 0–7    | `sun` to `sat` |
//!
//! A field is one of these, or several with commas between them:
//!
//! | written | means                                                                          |
//! |---------|--------------------------------------------------------------------------------|
//! | `*`     | every value                                                                    |
//! | `*/n`   | every nth value from the lowest: day `*/6` is 1, 7, 13, 19, 25, 31             |
//! | `m`     | the value m                                                                    |
//! | `m-n`   | the values from m to n, both included                                          |
//! | `m-n/s` | every s-th value from m, not past n                                            |
//!
//! Names may be written in any case wherever a number may. Sunday is 0 and 7, so `5-7` is Friday
//! to Sunday. Only days of the week may wrap around: `6-1` is Saturday, Sunday, Monday, while
//! `22-2` hours is an error that says to write `22-23,0-2`.
//!
//! A time matches when *all* fields match. Vixie cron is different for day and day of week: when
//! both are restricted, it runs on either. Here `0 0 13 * fri` is Friday the 13th.
//!
//! # Nothing is ignored
//!
//! Whatever is not in the table above is a [`CrontabError`]: empty fields and pieces, white space
//! in a field, signs, `?`, `L`, `W`, `#`. So are two mistakes that other crons accept in silence:
//! a step longer than its range (minute `*/90` would mean `0`) and a date that never comes (day
//! 30 of month 2).

#![forbid(unsafe_code)]
#![warn(missing_docs)]

mod error;
mod field;
mod fields;
mod parse;
mod print;

pub use error::CrontabError;
pub use fields::{Fields, Label};
