//! Leaks: after many tasks of all kinds the process is as large as it was after the first of them,
//! and everything that went into a task was dropped once.

use std::process::exit;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use minihuey::{MiniHuey, green, offload};

use crate::random::Random;
use crate::resident;

static MADE: AtomicU64 = AtomicU64::new(0);
static DROPPED: AtomicU64 = AtomicU64::new(0);

/// So many at a time.
const BATCH: u64 = 10_000;

/// What may be added to the size after a tenth of the tasks, however many there are: room for a
/// batch that piles up later than any before it, and for the holes that the allocator leaves. Those
/// were less than 3 MiB, of 40 million tasks no more than of one million.
///
/// The other nine tenths show what is kept of each task, from 1 byte if there are ten million, or
/// 10 bytes if there is one million: so a slot of 96 bytes even if it is kept of one task in a
/// hundred, or in ten.
const MAY_BE_ADDED: u64 = 8 << 20;

const LIMIT: Duration = Duration::from_secs(60);

/// With some memory of its own, which would show if it were kept.
struct Counted(#[allow(dead_code, reason = "it only takes memory")] Box<[u64; 8]>);

impl Counted {
    fn new() -> Counted {
        MADE.fetch_add(1, Relaxed);
        Counted(Box::new([7; 8]))
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        DROPPED.fetch_add(1, Relaxed);
    }
}

impl std::fmt::Debug for Counted {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Counted")
    }
}

impl std::fmt::Display for Counted {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("failed on purpose")
    }
}

pub fn run(tasks: u64) {
    let huey = MiniHuey::new("leaks");
    let limited = MiniHuey::builder("limited").pool_size(5).build();
    huey.start().expect("it is started once");
    let leaf = huey.task("leaf", |_argument: Counted| Counted::new());
    let node = limited.try_task("node", move |kind: u64, argument: Counted| {
        match kind {
            0 => return Err(argument),
            1 => std::panic::resume_unwind(Box::new(Counted::new())),
            2 => green::sleep(Duration::from_micros(20)),
            3 => drop(leaf.call((Counted::new(),)).get()),
            4 => drop(leaf.call((Counted::new(),))),
            5 => green::yield_now(),
            _ => {}
        }
        Ok(Counted::new())
    });
    let plain = huey.task("plain", |_argument: Counted| Counted::new());
    let part = huey.task("part", |argument: Counted| offload(|| argument));
    let brief = huey.task("brief", |argument: Counted| {
        green::sleep(Duration::from_millis(2));
        argument
    });
    let brief = brief.timeout(Duration::from_millis(1));
    let mut random = Random::new(tasks);
    let (start, mut sizes, mut called) = (Instant::now(), Vec::new(), 0);
    while called < tasks {
        let mut results = Vec::new();
        for number in 0..BATCH {
            let argument = Counted::new();
            results.push(match number % 100 {
                0 => part.call((argument,)),
                1 => brief.call((argument,)),
                2 => plain.schedule((argument,), Duration::from_micros(random.below(1000))),
                3 => {
                    let result = plain.schedule((argument,), Duration::from_secs(3600));
                    result.cancel();
                    result
                }
                4..40 => node.call((random.below(12), argument)),
                _ => plain.call((argument,)),
            });
            if number % 7 == 0 {
                results.pop();
            } else if number % 11 == 0 {
                results.iter().last().map(minihuey::TaskResult::cancel);
            }
        }
        for mut result in results {
            // What it gives is not the matter here.
            let _ = result.get_timeout(LIMIT);
        }
        called += BATCH;
        sizes.push(resident());
        if (called / BATCH).is_multiple_of((tasks / BATCH / 10).max(1)) {
            println!(
                "{called} tasks in {:.1} s: {} KiB",
                start.elapsed().as_secs_f64(),
                resident() / 1024
            );
        }
    }
    for huey in [&limited, &huey] {
        huey.join(LIMIT).expect("nothing runs for long");
    }
    // A tenth of it was to warm up: stacks, buffers, what the allocator keeps.
    let warm = sizes[..sizes.len().div_ceil(10)].iter().max().copied().unwrap_or(0);
    let end = resident();
    println!("{called} tasks: {} KiB after a tenth, {} KiB at the end", warm / 1024, end / 1024);
    let deadline = Instant::now() + LIMIT;
    while DROPPED.load(Relaxed) != MADE.load(Relaxed) && Instant::now() < deadline {
        std::thread::sleep(Duration::from_millis(10));
    }
    let (made, dropped) = (MADE.load(Relaxed), DROPPED.load(Relaxed));
    println!("{made} arguments and values made, {dropped} dropped");
    let stats = [limited.stats(), huey.stats()];
    let balanced = stats.iter().all(|stats| {
        let ended = stats.finished + stats.failed + stats.cancelled + stats.timed_out;
        stats.enqueued == ended && stats.running == 0 && stats.backlog == 0
    });
    if made != dropped || end > warm + MAY_BE_ADDED || !balanced {
        eprintln!("PROBLEM: something is kept, or lost: {stats:?}");
        exit(1);
    }
}
