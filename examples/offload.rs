//! Files and computing beside green tasks: what would hold the worker up runs on OS threads.
//!
//! ```text
//! cargo run --example offload
//! ```

use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use std::{fs, io};

use minihuey::{MiniHuey, green, offload, task};
use once_cell::sync::Lazy;

static HUEY: Lazy<MiniHuey> = Lazy::new(|| MiniHuey::builder("offload").offload_size(2).build());
static WORST_MICROS: AtomicU64 = AtomicU64::new(0);

/// A green task that notes how late it wakes: it is late when something holds the worker.
#[task(HUEY)]
fn watch(times: u32) {
    for _ in 0..times {
        let start = Instant::now();
        green::sleep(Duration::from_millis(1));
        let late = start.elapsed().saturating_sub(Duration::from_millis(1));
        WORST_MICROS.fetch_max(late.as_micros() as u64, Ordering::Relaxed);
    }
}

fn count_primes(below: u32) -> usize {
    (2..below).filter(|n| (2..).take_while(|d| d * d <= *n).all(|d| n % d != 0)).count()
}

/// Computes in the green thread: a bad idea.
#[task(HUEY)]
fn primes_on_the_worker(below: u32) -> usize {
    count_primes(below)
}

/// Computes on an OS thread; no more than two at a moment, as the huey says.
#[task(HUEY, offload)]
fn primes_offloaded(below: u32) -> usize {
    count_primes(below)
}

/// A green task, of which only the part that reads the file is offloaded. That part borrows.
#[task(HUEY)]
fn lines(path: PathBuf) -> io::Result<usize> {
    let text = offload(|| fs::read_to_string(&path))?;
    Ok(text.lines().count())
}

fn main() -> Result<(), minihuey::Error> {
    let worst = |what: &str| {
        let late = Duration::from_micros(WORST_MICROS.swap(0, Ordering::Relaxed));
        println!("   meanwhile a green task woke at worst {late:.1?} late: {what}");
    };

    println!("counting primes in a green thread, twice:");
    let watcher = watch(20);
    let counts = primes_on_the_worker::map([(200_000,), (200_000,)]).get()?;
    println!("   {counts:?}");
    watcher.get()?;
    worst("all others were held up");

    println!("counting primes on OS threads, four times:");
    let watcher = watch(100);
    let counts = primes_offloaded::map([(200_000,); 4]).get()?;
    println!("   {counts:?}");
    watcher.get()?;
    worst("the worker was free");

    println!("reading 200 times a file, 200 green tasks at once:");
    let watcher = watch(20);
    let path = std::env::temp_dir().join(format!("minihuey-{}.txt", std::process::id()));
    offload(|| fs::write(&path, "a line\n".repeat(500))).expect("a temporary file");
    let counts = lines::map((0..200).map(|_| (path.clone(),))).get()?;
    println!("   {} lines each", counts[0]);
    watcher.get()?;
    worst("the worker was free");
    fs::remove_file(&path).expect("the temporary file");

    let error = lines("no/such/file".into()).get().unwrap_err();
    println!("errors come back as everywhere: {error}");
    Ok(())
}
