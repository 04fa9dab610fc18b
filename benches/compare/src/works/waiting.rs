//! What many waiting tasks have in common, whatever they wait for: they are inserted while nothing
//! runs, weighed, and counted when they end.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use super::{Fallible, Figures, nanos};
use crate::process;

const PATIENCE: Duration = Duration::from_secs(120);
const LOOK: Duration = Duration::from_millis(1);

static BEGUN: AtomicU64 = AtomicU64::new(0);
static ENDED: AtomicU64 = AtomicU64::new(0);

// ORDERING: Relaxed, for both: they are counts, which guard nothing.
pub fn begun() {
    BEGUN.fetch_add(1, Ordering::Relaxed);
}

pub fn ended() {
    ENDED.fetch_add(1, Ordering::Relaxed);
}

/// For tasks that are called with something, as most are: what takes nothing takes no memory.
pub fn ended_with(number: u64) {
    std::hint::black_box(number);
    ended();
}

fn read(counter: &AtomicU64) -> u64 {
    counter.load(Ordering::Relaxed)
}

/// Until `count` tasks have ended.
fn wait_for(count: u64) -> Fallible<()> {
    let end = Instant::now() + PATIENCE;
    while read(&ENDED) < count {
        if Instant::now() > end {
            let ended = read(&ENDED);
            return Err(format!("{ended} of {count} had ended after {PATIENCE:?}").into());
        }
        std::thread::sleep(LOOK);
    }
    Ok(())
}

/// Inserts tasks that call [`ended_with`] but can't run, then lets them run. The last things that
/// it inserts must be able to run once `release` was called.
pub fn measure_queued(
    count: u64,
    mut insert: impl FnMut(u64),
    release: impl FnOnce(),
) -> Fallible<Figures> {
    let (before, start) = (process::resident()?, Instant::now());
    (0..count).for_each(&mut insert);
    let (inserted, after) = (start.elapsed(), process::resident()?);
    if read(&ENDED) > 0 {
        return Err("some ran before all were queued".into());
    }
    let start = Instant::now();
    release();
    wait_for(count)?;
    let drained = start.elapsed();
    Ok(figures(count, after - before, inserted, drained))
}

/// Inserts tasks that are due, all within a millisecond but in no order, and then call [`ended`].
pub fn measure_scheduled(count: u64, mut insert: impl FnMut(Instant)) -> Fallible<Figures> {
    const SPREAD: u64 = 1_000_000;
    let mut random = super::Random::new();
    let (before, start) = (process::resident()?, Instant::now());
    let due = start + (Duration::from_micros(4) * count as u32).max(Duration::from_millis(200));
    for _ in 0..count {
        insert(due + Duration::from_nanos(random.below(SPREAD)));
    }
    let (inserted, after) = (start.elapsed(), process::resident()?);
    if Instant::now() >= due {
        return Err("the first were due before the last were inserted".into());
    }
    wait_for(count)?;
    let last = due + Duration::from_nanos(SPREAD);
    Ok(figures(count, after - before, inserted, last.elapsed()))
}

/// Inserts tasks that call [`begun`], sleep until the time they are given, and call [`ended`].
pub fn measure_sleeping(count: u64, mut insert: impl FnMut(Instant)) -> Fallible<Figures> {
    let (before, start) = (process::resident()?, Instant::now());
    let until = start + (Duration::from_micros(100) * count as u32).max(Duration::from_secs(1));
    (0..count).for_each(|_| insert(until));
    // Those that can't get a stack or a thread have not begun.
    let (mut asleep, mut since) = (0, Instant::now());
    while asleep < count && since.elapsed() < Duration::from_millis(300) {
        std::thread::sleep(LOOK);
        let now = read(&BEGUN);
        if now > asleep {
            (asleep, since) = (now, Instant::now());
        }
    }
    let (inserted, after) = (since.duration_since(start), process::resident()?);
    if Instant::now() >= until {
        return Err("the first woke before the last slept".into());
    }
    if asleep < count {
        // The others begin when these have ended, with nothing to wait for.
        wait_for(asleep)?;
    } else {
        wait_for(count)?;
    }
    Ok(figures(asleep, after - before, inserted, until.elapsed()))
}

fn figures(count: u64, bytes: f64, inserted: Duration, drained: Duration) -> Figures {
    let count = count as f64;
    vec![
        ("bytes", bytes / count),
        ("insert", nanos(inserted) / count),
        ("drain", nanos(drained) / count),
        ("tasks", count),
    ]
}
