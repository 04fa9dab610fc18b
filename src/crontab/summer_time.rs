//! When a crontab fires on a clock that is put forward and back. The rules stand in the docs of
//! the [module](super).

use minihuey_crontab::Fields;

use super::calendar;
use super::zone::{LONGEST_SHIFT, Unix, WallClock};

/// Whether the crontab fires at this second.
pub(super) fn fires_at(fields: &Fields, clock: WallClock<'_>, at: Unix) -> bool {
    let shown = clock.shown(at);
    let matches = calendar::matches(fields, shown);
    if fields.every_hour() {
        return matches;
    }
    if matches && shown_before(clock, at).is_none() {
        return true;
    }
    // In a gap the clock goes on later than one second after what it showed a second ago.
    let expected = clock.shown(at - 1) + 1;
    expected < shown && calendar::next_match(fields, expected).is_some_and(|next| next < shown)
}

/// The first second after `after` at which the crontab fires.
///
/// Goes in strides over which the clock keeps its offset, so that the calendar alone tells what
/// comes next: to the next match, or to the next change of the clock if that comes first.
pub(super) fn next_after(fields: &Fields, clock: WallClock<'_>, after: Unix) -> Option<Unix> {
    let mut at = after + 1;
    while !fires_at(fields, clock, at) {
        if !fields.every_hour()
            && let Some(back) = shown_before(clock, at)
        {
            // The repetition ends as long after the change as the clock was put back.
            at = clock.next_change(at - back, at).map_or(at + 1, |change| change + back);
            continue;
        }
        let offset = clock.offset(at);
        let next = calendar::next_match(fields, at + offset + 1)? - offset;
        let near = next.min(at + LONGEST_SHIFT);
        at = match clock.next_change(at, near) {
            Some(change) => change,
            None if near == next => next,
            // Nothing matches between what the clock shows now and at `next`. A change further
            // than the longest shift from both can neither show nor skip anything else.
            None => near.max(next - LONGEST_SHIFT),
        };
    }
    Some(at)
}

/// If the clock showed the same once before, how many seconds ago.
///
/// Exact if the clock changed at most once in the window before `at`. If it was put back by
/// `back` at some instant, then it shows for the second time what it shows from that instant on
/// until `back` later. `back` is shorter than the window, so in all that time the window begins
/// before the change, where the old offset is seen; and `at - back` is before the change exactly
/// while the repetition lasts. If the window begins after the change, the repetition is over, and
/// both offsets are the same. If the clock was put forward, `back` is negative.
fn shown_before(clock: WallClock<'_>, at: Unix) -> Option<i64> {
    let back = clock.offset(at - LONGEST_SHIFT) - clock.offset(at);
    (back > 0 && clock.shown(at - back) == clock.shown(at)).then_some(back)
}
