//! A periodic task: when it fires, and what happens when its last run has not ended by then.

use std::sync::Arc;

use chrono::{DateTime, Local, TimeDelta, Utc};

use crate::crontab::Crontab;
use crate::error::{Failure, TaskError};
use crate::green::Mutex;
use crate::green::{JobRef, TaskMeta, panics};
use crate::runs::Runs;
use crate::task;

/// When a periodic task runs: a [`Crontab`], or a predicate that is asked every minute.
///
/// ```
/// use chrono::Timelike;
/// use minihuey::{MiniHuey, Overlap, Period, crontab};
/// let huey = MiniHuey::new("periods");
/// huey.periodic_task("tick", crontab!(minute = "*/5"), || ());
/// huey.periodic_task("odd", |now: &chrono::DateTime<chrono::Local>| now.minute() % 2 == 1, || ());
/// huey.periodic_task("slow", Period::from(crontab::hourly()).overlap(Overlap::Skip), || ());
/// ```
pub struct Period {
    when: When,
    overlap: Overlap,
}

enum When {
    Crontab(Crontab),
    Predicate(Box<Predicate>),
}

type Predicate = dyn Fn(&DateTime<Local>) -> bool + Send + Sync;

/// What happens when a periodic task is due while its last run has not ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Overlap {
    /// It runs beside the last run, as in huey.
    #[default]
    Beside,
    /// It does not run this time; that is counted and logged.
    Skip,
    /// It runs as soon as the last run ends; if it is due again meanwhile, once more after that.
    Queue,
}

/// What [`MiniHuey::periodic_task`](crate::MiniHuey::periodic_task) takes: whatever becomes a
/// [`Period`]. For those who give it something else, a trait with words of its own.
#[diagnostic::on_unimplemented(
    message = "`{Self}` does not say when a periodic task runs",
    label = "expected a crontab, a predicate or a `Period`",
    note = "a crontab is written `crontab!(\"0 4 * * *\")`, or `\"0 4 * * *\".parse::<Crontab>()?` if \
            the text is known only when the program runs; a predicate is a closure \
            `|now: &DateTime<Local>| …` that gives a `bool` and is `Send + Sync + 'static`"
)]
pub trait IntoPeriod: Into<Period> {}

#[diagnostic::do_not_recommend]
impl<P: Into<Period>> IntoPeriod for P {}

impl From<Crontab> for Period {
    fn from(crontab: Crontab) -> Period {
        Period { when: When::Crontab(crontab), overlap: Overlap::default() }
    }
}

/// Asked at the start of every minute, in the machine's zone. It runs in the scheduler, so it
/// must be short; a panic in it, or a stack that it overflows, is logged and counts as no.
impl<F: Fn(&DateTime<Local>) -> bool + Send + Sync + 'static> From<F> for Period {
    fn from(predicate: F) -> Period {
        Period { when: When::Predicate(Box::new(predicate)), overlap: Overlap::default() }
    }
}

impl Period {
    /// Says what happens when the last run has not ended.
    pub fn overlap(mut self, overlap: Overlap) -> Period {
        self.overlap = overlap;
        self
    }
}

/// What a periodic task does.
#[doc(hidden)]
pub type Body = Arc<dyn Fn() -> Result<(), Failure> + Send + Sync>;

/// One periodic task in a scheduler.
pub(crate) struct Row {
    meta: &'static TaskMeta,
    period: Period,
    body: Body,
    course: Mutex<Course>,
}

#[derive(Default)]
struct Course {
    /// It counts from this moment on; the next look finds out what comes first after it.
    since: Option<DateTime<Utc>>,
    /// The next time that the crontab names, or to ask the predicate. None while a look is at it,
    /// as is `since`: so one that never comes back, because the time zone overflows its stack, is
    /// not repeated.
    next: Option<DateTime<Utc>>,
    /// How often `since` was set: a look that began before says nothing about what comes next.
    starts: u64,
    runs: Runs,
}

const MINUTE: TimeDelta = TimeDelta::minutes(1);

/// More missed firings than this are not counted one by one.
pub(crate) const MOST_MISSED: u64 = 10_000;

/// What a look at a row found.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Look {
    /// It fires, for this moment.
    pub(crate) fires: Option<DateTime<Utc>>,
    /// Firings that nobody was there for.
    pub(crate) missed: u64,
}

/// How a firing went.
pub(crate) enum Fired {
    Run(JobRef),
    Skipped,
    Queued,
}

impl Row {
    pub(crate) fn new(meta: &'static TaskMeta, period: Period, body: Body) -> Row {
        Row { meta, period, body, course: Mutex::default() }
    }

    pub(crate) fn name(&self) -> &'static str {
        self.meta.name
    }

    /// Drops it, part by part: each may have a destructor that panics.
    pub(crate) fn let_go(self) {
        let Row { period, body, .. } = self;
        panics::contain(|| drop(period));
        panics::contain(|| drop(body));
    }

    /// Forgets what was missed: the next firing is the first one after `now`, whatever a look that
    /// began before finds.
    pub(crate) fn start_from(&self, now: DateTime<Utc>) {
        let mut course = self.course.lock();
        course.since = Some(now);
        course.next = None;
        course.starts += 1;
    }

    /// The first firing after `time`. None, and a line in the log, if the crontab's time zone
    /// panics: it is foreign code.
    fn next_after(&self, time: DateTime<Utc>) -> Option<DateTime<Utc>> {
        panics::catch(self.meta.name, || self.period.when.next_after(time)).unwrap_or_else(
            |panic| {
                panics::contain(|| {
                    log::error!("the time zone of periodic {panic}; it runs no more")
                });
                None
            },
        )
    }

    /// When to look again, if a look has found that out.
    pub(crate) fn next(&self) -> Option<DateTime<Utc>> {
        self.course.lock().next
    }

    /// Of the firings that are due, the last one counts if it is less than a minute late; the
    /// others were missed, because the machine slept, its clock was set, or the hub was held.
    pub(crate) fn look(&self, now: DateTime<Utc>) -> Look {
        let mut look = Look::default();
        let (since, mut next, starts) = {
            let mut course = self.course.lock();
            if course.since.is_none() && course.next.is_none_or(|due| due > now) {
                return look;
            }
            (course.since.take(), course.next.take(), course.starts)
        };
        // Not under the lock: a time zone is foreign code.
        if let Some(since) = since {
            next = self.next_after(since);
        }
        while let Some(due) = next
            && due <= now
        {
            if look.fires.replace(due).is_some() {
                look.missed += 1;
            }
            // Of more than can be counted only the last minute is of interest.
            let from = if look.missed < MOST_MISSED { due } else { due.max(now - MINUTE) };
            next = self.next_after(from);
        }
        {
            let mut course = self.course.lock();
            if course.starts != starts {
                // A loop that was stopped looks, and the next one has begun.
                return Look::default();
            }
            course.next = next;
        }
        let When::Predicate(predicate) = &self.period.when else {
            if look.fires.take_if(|due| now - *due >= MINUTE).is_some() {
                look.missed += 1;
            }
            return look;
        };
        // What the predicate would have said of minutes that are gone, nobody knows.
        look.missed = 0;
        look.fires.take_if(|due| {
            let says_yes = || predicate(&due.with_timezone(&Local));
            now - *due >= MINUTE
                || !panics::catch(self.meta.name, says_yes).unwrap_or_else(|panic| {
                    panics::contain(|| log::error!("the predicate of periodic {panic}"));
                    false
                })
        });
        look
    }

    /// Tells of a look that never came back. What it was to find out is left out.
    pub(crate) fn tell_of_overflow(&self) {
        let name = self.name();
        panics::contain(|| match self.period.when {
            When::Crontab(_) => {
                log::error!(
                    "the time zone of periodic {name} overflowed its stack; it runs no more"
                );
            }
            When::Predicate(_) => {
                log::error!("the predicate of periodic {name} overflowed its stack");
            }
        });
    }

    /// Makes the run that is due, or, as its overlap says, does not. `ended` is called when a run
    /// that others are queued behind has ended.
    pub(crate) fn fire(&self, pool: u32, ended: impl FnOnce() + Send + 'static) -> Fired {
        let mut course = self.course.lock();
        let runs = course.runs.is_running();
        match self.period.overlap {
            Overlap::Skip if runs => Fired::Skipped,
            Overlap::Queue if runs => {
                course.runs.owe();
                Fired::Queued
            }
            _ => self.run(&mut course, pool, ended),
        }
    }

    /// Makes the run that is queued, if one is and the last one has ended.
    pub(crate) fn fire_queued(
        &self,
        pool: u32,
        ended: impl FnOnce() + Send + 'static,
    ) -> Option<Fired> {
        let mut course = self.course.lock();
        course.runs.take_owed().then(|| self.run(&mut course, pool, ended))
    }

    fn run(&self, course: &mut Course, pool: u32, ended: impl FnOnce() + Send + 'static) -> Fired {
        let body = self.body.clone();
        let (job, run) = task::call(self.meta, pool, move || body());
        if self.period.overlap != Overlap::Beside {
            let ends = course.runs.begin();
            // Its error goes here: its destructor is foreign code, and not for the scheduler.
            run.on_ready(move |_value: Result<(), TaskError>| ends.end(ended));
        }
        Fired::Run(job)
    }
}

impl When {
    fn next_after(&self, time: DateTime<Utc>) -> Option<DateTime<Utc>> {
        match self {
            When::Crontab(crontab) => crontab.next_after_utc(time),
            When::Predicate(_) => {
                // Not chrono's own rounding, which ends with the nanoseconds of an i64.
                let minutes = time.timestamp().div_euclid(60) + 1;
                DateTime::from_timestamp(minutes * 60, 0)
            }
        }
    }
}
