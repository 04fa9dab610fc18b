//! Messages that come of themselves, when it is time: what `after`, `at` and `tick` receive. Nobody
//! sends them: whoever receives looks at the time, and waits no longer than until the next is due.

use std::time::{Duration, Instant};

pub(super) struct Alarm<T> {
    due: Option<Instant>,
    /// None: it comes once.
    period: Option<Duration>,
    /// So that a channel of any type may have a field for it.
    message: fn(Instant) -> T,
}

impl Alarm<Instant> {
    pub(super) fn new(first: Instant, period: Option<Duration>) -> Alarm<Instant> {
        Alarm { due: Some(first), period, message: |due| due }
    }
}

impl<T> Alarm<T> {
    /// When the next message can be taken.
    pub(super) fn due(&self) -> Option<Instant> {
        self.due
    }

    /// The message that is due by `now`. What was missed is one message, not many.
    pub(super) fn take(&mut self, now: Instant) -> Option<T> {
        let due = self.due.take_if(|due| *due <= now)?;
        self.due = self.period.and_then(|period| {
            let next = due.checked_add(period)?;
            if next > now { Some(next) } else { now.checked_add(period) }
        });
        Some((self.message)(due))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_missed_comes_once_and_the_next_is_a_period_later() {
        let second = Duration::from_secs(1);
        let start = Instant::now();
        let mut alarm = Alarm::new(start + second, Some(second));
        assert_eq!(alarm.take(start), None);
        assert_eq!(alarm.take(start + second * 3 / 2), Some(start + second));
        assert_eq!(alarm.due(), Some(start + second * 2));
        assert_eq!(alarm.take(start + second * 5), Some(start + second * 2));
        assert_eq!(alarm.due(), Some(start + second * 6));
        let mut once = Alarm::new(start, None);
        assert_eq!((once.take(start), once.take(start + second)), (Some(start), None));
    }
}
