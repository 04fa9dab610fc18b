//! The clock on a wall somewhere: its offset from UTC at any instant, and when it is put forward
//! or back.
//!
//! Only UTC is ever turned into local time, which always has one answer. The way back has none in
//! a gap and two in an overlap, and chrono's `Local` may give the two in the wrong order.

use std::sync::Arc;

use chrono::{DateTime, FixedOffset, NaiveDateTime, Offset, TimeZone, Utc};

use super::calendar::Shown;

/// An instant, in seconds from 1970 in UTC.
pub(super) type Unix = i64;

/// No clock was ever put forward or back by more than a day (Samoa in 2011, Alaska in 1867).
pub(super) const LONGEST_SHIFT: i64 = 25 * 60 * 60;

/// A time zone whose type is forgotten, so that a crontab needs no type parameter.
#[derive(Clone)]
pub(super) struct Zone {
    /// The offset from UTC at a time given in UTC.
    offset_at: Arc<dyn Fn(&NaiveDateTime) -> FixedOffset + Send + Sync>,
}

impl Zone {
    pub(super) fn new<Tz: TimeZone + Send + Sync + 'static>(zone: Tz) -> Zone {
        Zone { offset_at: Arc::new(move |utc| zone.offset_from_utc_datetime(utc).fix()) }
    }

    pub(super) fn clock(&self) -> WallClock<'_> {
        WallClock { offset_at: &*self.offset_at }
    }

    /// Whether the two are clones of one.
    pub(super) fn is(&self, other: &Zone) -> bool {
        Arc::ptr_eq(&self.offset_at, &other.offset_at)
    }
}

/// The clock of a zone, or of the zone of a `DateTime`, for as long as it takes to read it.
#[derive(Clone, Copy)]
pub(super) struct WallClock<'a> {
    /// The offset from UTC at a time given in UTC.
    pub(super) offset_at: &'a (dyn Fn(&NaiveDateTime) -> FixedOffset + 'a),
}

impl WallClock<'_> {
    /// Seconds by which the clock is ahead of UTC. Outside of chrono's calendar it stays as at the
    /// calendar's end.
    pub(super) fn offset(self, at: Unix) -> i64 {
        let (first, last) = (DateTime::<Utc>::MIN_UTC, DateTime::<Utc>::MAX_UTC);
        DateTime::from_timestamp(at.clamp(first.timestamp(), last.timestamp()), 0)
            .map_or(0, |at| (self.offset_at)(&at.naive_utc()).local_minus_utc().into())
    }

    /// What the clock shows.
    pub(super) fn shown(self, at: Unix) -> Shown {
        at + self.offset(at)
    }

    /// The first instant in `after < instant <= until` from which on the clock has another offset.
    ///
    /// Exact if there is at most one such instant: only then does a look at both ends tell.
    pub(super) fn next_change(self, after: Unix, until: Unix) -> Option<Unix> {
        let offset = self.offset(after);
        if self.offset(until) == offset {
            return None;
        }
        let (mut before, mut changed) = (after, until);
        while changed - before > 1 {
            let middle = before + (changed - before) / 2;
            if self.offset(middle) == offset {
                before = middle;
            } else {
                changed = middle;
            }
        }
        Some(changed)
    }
}
