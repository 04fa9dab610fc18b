//! What a task takes of memory while it waits, and how long it takes to put a million there and
//! to have them run. Each case is measured in processes of its own, for memory that one has
//! freed would serve the next.

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use chrono::Utc;
use common::{Fallible, HUEY, Random, SETTINGS, Sorted, add};
use minihuey::{ManualClock, MiniHuey, green};

const ROUNDS: usize = 3;
const TASKS: usize = 1_000_000;
const SLEEPERS: usize = 20_000;
const HOUR: Duration = Duration::from_secs(3600);

/// By its name, what it counts, and how many of that there are.
const CASES: [(&str, &str, usize); 4] = [
    ("dropped", "queued task, its result dropped", TASKS),
    ("kept", "queued task, its result kept", TASKS),
    ("scheduled", "scheduled task, its result dropped", TASKS),
    ("sleeping", "task that sleeps", SLEEPERS),
];

/// Bytes for each, and nanoseconds for each to put it there and to end it.
struct Figures {
    bytes: f64,
    insert: f64,
    drain: f64,
}

/// Resident memory of this process, in bytes.
fn resident() -> Fallible<f64> {
    // As the second field of `statm`, but with its unit.
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kilobytes = line.and_then(|line| line.split_whitespace().next());
    Ok(kilobytes.ok_or("no VmRSS")?.parse::<f64>()? * 1024.0)
}

fn wait_until(reached: impl Fn() -> bool) -> Fallible<()> {
    let end = Instant::now() + Duration::from_secs(60);
    while !reached() {
        if Instant::now() > end {
            return Err("waited for a minute".into());
        }
        thread::sleep(Duration::from_millis(1));
    }
    Ok(())
}

/// One task holds the only place while all others are queued.
fn queued(keep: bool) -> Fallible<Figures> {
    let _ = SETTINGS.set(MiniHuey::builder("queued").pool_size(1));
    let told = Arc::new(AtomicBool::new(false));
    let until = told.clone();
    let hold = HUEY.task("hold", move || {
        while !until.load(Ordering::Relaxed) {
            green::sleep(Duration::from_millis(5));
        }
        Instant::now()
    });
    let held = hold.call(());
    wait_until(|| HUEY.stats().running == 1)?;
    let mut results = Vec::with_capacity(if keep { TASKS } else { 0 });
    let (before, start) = (resident()?, Instant::now());
    for number in 0..TASKS as i64 {
        let result = add(number, 1);
        if keep {
            results.push(result);
        }
    }
    let insert = start.elapsed();
    let after = resident()?;
    told.store(true, Ordering::Relaxed);
    let start = held.get()?;
    HUEY.join(Duration::from_secs(60))?;
    Figures::new(TASKS, after - before, insert, start.elapsed())
}

/// Due in one to two hours, which a clock that is turned by hand brings about at once.
fn scheduled() -> Fallible<Figures> {
    let clock = ManualClock::at(Utc::now());
    let _ = SETTINGS.set(MiniHuey::builder("scheduled").clock(&clock));
    HUEY.start()?;
    add(1, 1).get()?;
    let mut random = Random::new();
    let (before, start) = (resident()?, Instant::now());
    for number in 0..TASKS as i64 {
        let delay = HOUR + Duration::from_nanos(random.below(HOUR.as_nanos() as u64));
        drop(add::schedule((number, 1), delay));
    }
    let insert = start.elapsed();
    let after = resident()?;
    let start = Instant::now();
    clock.advance(3 * HOUR);
    wait_until(|| HUEY.stats().scheduled == 0)?;
    HUEY.join(Duration::from_secs(60))?;
    Figures::new(TASKS, after - before, insert, start.elapsed())
}

fn sleeping() -> Fallible<Figures> {
    let nap = HUEY.task("nap", |until: Instant| {
        green::sleep(until.saturating_duration_since(Instant::now()));
    });
    nap.call((Instant::now(),)).get()?;
    let (before, start) = (resident()?, Instant::now());
    let until = start + Duration::from_secs(3);
    for _ in 0..SLEEPERS {
        drop(nap.call((until,)));
    }
    wait_until(|| HUEY.stats().backlog == 0)?;
    let insert = start.elapsed();
    let after = resident()?;
    if Instant::now() >= until || HUEY.stats().running != SLEEPERS {
        return Err("some woke before all slept: the machine is too busy for this".into());
    }
    HUEY.join(Duration::from_secs(60))?;
    Figures::new(SLEEPERS, after - before, insert, until.elapsed())
}

impl Figures {
    fn new(count: usize, bytes: f64, insert: Duration, drain: Duration) -> Fallible<Figures> {
        let each = |sum: f64| sum / count as f64;
        Ok(Figures {
            bytes: each(bytes),
            insert: each(insert.as_nanos() as f64),
            drain: each(drain.as_nanos() as f64),
        })
    }
}

fn main() -> Fallible<()> {
    if let [case] = &common::args()[..] {
        let Figures { bytes, insert, drain } = match case.as_str() {
            "dropped" => queued(false)?,
            "kept" => queued(true)?,
            "scheduled" => scheduled()?,
            "sleeping" => sleeping()?,
            other => return Err(format!("no such case: {other}").into()),
        };
        println!("{bytes} {insert} {drain}");
        return Ok(());
    }
    if !common::is_wanted() {
        return Ok(());
    }
    // By case, by what is measured: the figure of each round.
    let mut figures = vec![vec![Vec::new(); 3]; CASES.len()];
    for _ in 0..ROUNDS {
        for (case, figures) in CASES.iter().zip(&mut figures) {
            let numbers = common::numbers_of(common::spawn_child(&[case.0])?)?;
            figures.iter_mut().zip(numbers).for_each(|(all, number)| all.push(number));
        }
    }
    let mut rows = Vec::new();
    for ((_, name, count), figures) in CASES.iter().zip(figures) {
        let mut row = vec![(*name).to_owned(), common::whole(*count as f64)];
        for figures in figures {
            let sorted = Sorted::new(figures);
            row.extend([common::whole(sorted.median()), sorted.spread(common::whole)]);
        }
        rows.push(row);
    }
    let title = format!("memory: resident bytes for each, medians of {ROUNDS} processes");
    let head =
        ["", "how many", "bytes", "min–max", "ns to insert", "min–max", "ns to drain", "min–max"];
    common::print_table(title, &head, &rows);
    println!("\na result that is kept counts the 16 bytes of its handle");
    println!("a task that sleeps is inserted once it sleeps, and has its stack's pages");
    Ok(())
}
