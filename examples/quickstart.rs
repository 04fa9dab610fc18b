//! The main job, told on screen: results, a schedule, a period, an error and a panic.
//!
//! ```text
//! cargo run --example quickstart
//! ```

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use minihuey::{MiniHuey, TaskError, green, task};
use once_cell::sync::Lazy;

static HUEY: Lazy<MiniHuey> = Lazy::new(|| MiniHuey::new("quickstart"));
static START: Lazy<Instant> = Lazy::new(Instant::now);
static TICKS: AtomicU32 = AtomicU32::new(0);

/// Prints a line, with the seconds since the start.
fn say(text: impl std::fmt::Display) {
    println!("{:6.3} s  {text}", START.elapsed().as_secs_f64());
}

#[task(HUEY)]
fn add(a: i64, b: i64) -> i64 {
    a + b
}

/// Stands for a web page that takes its time.
#[task(HUEY)]
fn fetch(page: u32) -> String {
    green::sleep(Duration::from_millis(300)); // lets the other tasks run
    format!("page {page}")
}

#[task(HUEY)]
fn read_config(path: String) -> std::io::Result<String> {
    std::fs::read_to_string(path)
}

#[task(HUEY)]
fn divide(a: i64, b: i64) -> i64 {
    a / b
}

#[task(HUEY, cron("* * * * * *"))] // every second; the first field is the seconds
fn heartbeat() {
    let tick = TICKS.fetch_add(1, Ordering::Relaxed) + 1;
    say(format_args!("heartbeat {tick}: runs by itself, every second"));
}

fn main() -> Result<(), minihuey::Error> {
    Lazy::force(&START);
    HUEY.start()?;
    say("started the scheduler; main goes on at once");

    let sum = add(1, 2);
    say(format_args!(
        "called add(1, 2), which runs in a green thread; get() waits for it: {}",
        sum.get()?
    ));

    let pages = fetch::map((1..=1000).map(|page| (page,))).get()?;
    say(format_args!("fetched {} pages of 0.3 s each, all at once, on one thread", pages.len()));

    let later = add::schedule((10, 20), Duration::from_millis(500));
    say("scheduled add(10, 20), due in 0.5 s …");
    say(format_args!("… and there it is: {}", later.get()?));

    let error = read_config("no/such/file.toml".to_owned()).get().unwrap_err();
    say(format_args!("an error comes back: {error}"));
    if let Some(original) = error.downcast_ref::<std::io::Error>() {
        say(format_args!("… and is what it was: {:?}", original.kind()));
    }

    say("a panic comes back, too (Rust also reports it on standard error):");
    match divide(1, 0).get() {
        Err(TaskError::Panicked(panic)) => say(format_args!("… {panic}")),
        other => say(format_args!("… unexpected: {other:?}")),
    }
    say(format_args!("and all goes on: 6 / 2 = {}", divide(6, 2).get()?));

    while TICKS.load(Ordering::Relaxed) < 3 {
        green::sleep(Duration::from_millis(10));
    }
    let abandoned = HUEY.shutdown(Duration::from_secs(5))?;
    let stats = HUEY.stats();
    say(format_args!(
        "shut down: {} finished, {} failed, {} abandoned",
        stats.finished,
        stats.failed,
        abandoned.len()
    ));
    Ok(())
}
