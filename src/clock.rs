//! Now as a value: the machine's two clocks, or a pair that a test turns by hand; and [`Eta`],
//! a point in time told by either. Whoever needs the time asks a [`Clock`].

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant, SystemTime};

use chrono::{DateTime, TimeDelta, TimeZone, Utc};

use crate::green::{probe, probe_for_inner_lock};

/// When a scheduled task is due.
///
/// A delay is counted on the monotonic clock, which a change of the wall clock does not touch
/// and which stands still while the machine sleeps. A time of day follows the wall clock.
/// In huey an eta without a zone meant local time; here a `DateTime` always has one.
///
/// ```
/// use minihuey::Eta;
/// use std::time::{Duration, SystemTime};
/// let delay: Eta = Duration::from_secs(30).into();
/// let time: Eta = chrono::Local::now().into();
/// let time_too: Eta = SystemTime::now().into();
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Eta {
    /// This long from the call on.
    After(Duration),
    /// At this time.
    At(DateTime<Utc>),
}

impl From<Duration> for Eta {
    fn from(delay: Duration) -> Eta {
        Eta::After(delay)
    }
}

/// A negative delay is due at once.
impl From<TimeDelta> for Eta {
    fn from(delay: TimeDelta) -> Eta {
        Eta::After(delay.to_std().unwrap_or(Duration::ZERO))
    }
}

impl<Tz: TimeZone> From<DateTime<Tz>> for Eta {
    fn from(time: DateTime<Tz>) -> Eta {
        Eta::At(time.to_utc())
    }
}

/// A time that chrono can't tell (some 262,000 years away) becomes the nearest that it can.
impl From<SystemTime> for Eta {
    fn from(time: SystemTime) -> Eta {
        Eta::At(utc(time))
    }
}

/// `DateTime::from(SystemTime)` panics out of range; this saturates.
fn utc(time: SystemTime) -> DateTime<Utc> {
    match time.duration_since(SystemTime::UNIX_EPOCH) {
        Ok(since) => i64::try_from(since.as_secs())
            .ok()
            .and_then(|secs| DateTime::from_timestamp(secs, since.subsec_nanos()))
            .unwrap_or(DateTime::<Utc>::MAX_UTC),
        Err(before) => TimeDelta::from_std(before.duration())
            .ok()
            .and_then(|ago| DateTime::UNIX_EPOCH.checked_sub_signed(ago))
            .unwrap_or(DateTime::<Utc>::MIN_UTC),
    }
}

/// Where a huey reads the time: the machine, or a [`ManualClock`].
#[derive(Clone, Default)]
pub struct Clock(Option<Arc<Hands>>);

impl Clock {
    /// The machine's clocks.
    pub fn system() -> Clock {
        Clock(None)
    }

    pub(crate) fn wall(&self) -> DateTime<Utc> {
        match &self.0 {
            None => utc(SystemTime::now()),
            Some(hands) => hands.position().wall,
        }
    }

    /// Nanoseconds since an arbitrary start; never runs backwards.
    pub(crate) fn monotonic(&self) -> u64 {
        match &self.0 {
            None => nanos(start().elapsed()),
            Some(hands) => nanos(hands.position().monotonic),
        }
    }

    /// True if it turns by itself, so that waiting for it makes sense.
    pub(crate) fn runs(&self) -> bool {
        self.0.is_none()
    }

    /// Asks to be told whenever a manual clock was turned. Does nothing for the system's.
    pub(crate) fn watch(&self, watcher: Weak<dyn Fn() + Send + Sync>) {
        if let Some(hands) = &self.0 {
            probe_for_inner_lock();
            let mut watchers = lock(&hands.watchers);
            watchers.retain(|known| known.strong_count() > 0);
            watchers.push(watcher);
        }
    }
}

impl std::fmt::Debug for Clock {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(if self.runs() { "Clock::system" } else { "Clock(manual)" })
    }
}

impl From<&ManualClock> for Clock {
    fn from(manual: &ManualClock) -> Clock {
        Clock(Some(manual.0.clone()))
    }
}

fn start() -> Instant {
    static START: std::sync::OnceLock<Instant> = std::sync::OnceLock::new();
    *START.get_or_init(Instant::now)
}

/// When a wait that begins now gives up. A time-out too long to be told is some 584 years: never.
pub(crate) fn deadline(timeout: Duration) -> Option<Instant> {
    Instant::now().checked_add(timeout)
}

/// The one that comes first; `None` is never.
pub(crate) fn earlier(one: Option<Instant>, other: Option<Instant>) -> Option<Instant> {
    one.into_iter().chain(other).min()
}

/// 584 years fit; what is longer never comes.
pub(crate) fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

/// A clock that stands still until a test turns it.
///
/// ```
/// use minihuey::{ManualClock, MiniHuey};
/// use std::time::Duration;
///
/// let clock = ManualClock::at("2026-03-01T03:59:30Z".parse().unwrap());
/// let huey = MiniHuey::builder("nightly").clock(&clock).build();
/// let hello = huey.task("hello", || "hello");
/// huey.start()?;
/// let mut later = hello.schedule((), Duration::from_secs(3600));
/// assert!(!later.is_ready());
/// clock.advance(Duration::from_secs(3600));          // an hour passes in no time
/// assert_eq!(later.get()?, "hello");
/// # Ok::<(), minihuey::Error>(())
/// ```
#[derive(Clone)]
pub struct ManualClock(Arc<Hands>);

struct Hands {
    position: Mutex<Position>,
    watchers: Mutex<Vec<Weak<dyn Fn() + Send + Sync>>>,
}

#[derive(Clone, Copy)]
struct Position {
    wall: DateTime<Utc>,
    monotonic: Duration,
}

impl Hands {
    /// For the scheduler, which may ask with its own lock held.
    fn position(&self) -> Position {
        probe_for_inner_lock();
        *lock(&self.position)
    }
}

/// What a panic may have left is as good as ever.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl ManualClock {
    /// A clock that shows `wall`.
    pub fn at(wall: DateTime<Utc>) -> ManualClock {
        ManualClock(Arc::new(Hands {
            position: Mutex::new(Position { wall, monotonic: Duration::ZERO }),
            watchers: Mutex::new(Vec::new()),
        }))
    }

    /// What the wall clock shows.
    pub fn now(&self) -> DateTime<Utc> {
        probe();
        lock(&self.0.position).wall
    }

    /// Time passes: both clocks go forward.
    pub fn advance(&self, by: Duration) {
        self.turn(|position| {
            position.monotonic = position.monotonic.saturating_add(by);
            position.wall = later(position.wall, by);
        });
    }

    /// The machine sleeps: the wall clock goes on, the monotonic clock stands still.
    pub fn suspend(&self, by: Duration) {
        self.turn(|position| position.wall = later(position.wall, by));
    }

    /// Somebody sets the wall clock, forwards or backwards.
    pub fn set_wall(&self, wall: DateTime<Utc>) {
        self.turn(|position| position.wall = wall);
    }

    fn turn(&self, turn: impl FnOnce(&mut Position)) {
        // For all of it: an overflow halfway would leave a turn of which nobody was told.
        probe();
        turn(&mut lock(&self.0.position));
        let watchers: Vec<_> = lock(&self.0.watchers).iter().filter_map(Weak::upgrade).collect();
        for watcher in watchers {
            watcher();
        }
    }
}

fn later(time: DateTime<Utc>, by: Duration) -> DateTime<Utc> {
    TimeDelta::from_std(by)
        .ok()
        .and_then(|by| time.checked_add_signed(by))
        .unwrap_or(DateTime::<Utc>::MAX_UTC)
}

impl std::fmt::Debug for ManualClock {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "ManualClock({})", self.now())
    }
}
