//! What the tests share: the patch, the HTTP server, and many tasks at once beside a heart that
//! must go on beating.

use std::fmt::{Debug, Display};
use std::sync::Arc;
use std::sync::Once;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use minihuey::{MiniHuey, TaskResult, green};
use minihuey_realworld::Origin;

/// Only a hang reaches it.
pub const LIMIT: Duration = Duration::from_secs(60);
const BEAT: Duration = Duration::from_millis(10);

/// Every test calls it first.
pub fn patch() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| assert!(!minihuey::monkey::patch_all().unwrap().calls().is_empty()));
}

pub fn origin() -> Origin {
    Origin::start(env!("CARGO_BIN_EXE_origin")).unwrap()
}

pub fn origin_tls() -> Origin {
    Origin::start_tls(env!("CARGO_BIN_EXE_origin")).unwrap()
}

/// What came of many tasks at once.
pub struct Run<T> {
    /// In the order of their numbers.
    pub values: Vec<T>,
    pub took: Duration,
    /// How often another task woke meanwhile, at best every 10 ms.
    pub beats: u64,
}

/// Runs `work` in `count` tasks at once, each with its number. None may fail.
#[track_caller]
pub fn together<T, E>(
    count: usize,
    work: impl Fn(usize) -> Result<T, E> + Send + Sync + 'static,
) -> Run<T>
where
    T: Send + 'static,
    E: Display + Debug + Send + Sync + 'static,
{
    let huey = MiniHuey::new("together");
    let running = Arc::new(AtomicBool::new(true));
    let still = running.clone();
    let heart = huey.task("heart", move || {
        let mut beats = 0;
        while still.load(Ordering::Relaxed) {
            green::sleep(BEAT);
            beats += 1;
        }
        beats
    });
    let work = huey.try_task("work", work);
    let heart = heart.call(());
    let start = Instant::now();
    let results: Vec<_> = (0..count).map(|number| work.call((number,))).collect();
    let values = results.into_iter().map(value).collect();
    let took = start.elapsed();
    running.store(false, Ordering::Relaxed);
    Run { values, took, beats: value(heart) }
}

/// The value of a task that must end well.
#[track_caller]
pub fn value<T: Send + 'static>(mut result: TaskResult<T>) -> T {
    match result.get_timeout(LIMIT) {
        Ok(value) => value,
        Err(error) => panic!("{}: {error}", result.name()),
    }
}

impl<T> Run<T> {
    /// That they waited at the same time: `waits` is what they waited in all, and what it would
    /// take them one after another, however fast the machine is.
    #[track_caller]
    pub fn assert_together(&self, waits: Duration) {
        let took = self.took;
        println!("waited {waits:?} in all, in {took:?}; {} beats", self.beats);
        assert!(took < waits.min(LIMIT), "waits of {waits:?} in all took {took:?}");
        // The heart went on meanwhile. It stands behind all tasks that are ready, and a thousand
        // of them compute for long in a debug build: so no rate is asked for.
        assert!(self.beats >= 2, "{} beats in {took:?}", self.beats);
    }
}
