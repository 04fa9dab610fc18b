//! What our locks and channels cost, beside those that block an OS thread and those of may.

mod common;

use std::hint::black_box;
use std::time::{Duration, Instant};

use common::{Random, Sorted};
use minihuey::green;
use minihuey::sync::channel::{bounded, unbounded};

const ROUNDS: usize = 9;
const COUNT: u32 = 100_000;

type Run = Box<dyn Fn() -> Duration>;

/// One line of the table: who, what, how many operations, and how to run them.
struct Entry {
    work: &'static str,
    who: &'static str,
    count: u32,
    run: Run,
}

fn entry(
    work: &'static str,
    who: &'static str,
    count: u32,
    run: impl Fn() -> Duration + 'static,
) -> Entry {
    Entry { work, who, count, run: Box::new(run) }
}

fn timed(mut f: impl FnMut()) -> Duration {
    let start = Instant::now();
    f();
    start.elapsed()
}

/// In a green thread.
fn green(f: impl FnOnce() -> Duration + Send + 'static) -> Duration {
    green::spawn(f).join().expect("a bench that ends well")
}

/// How many OS threads fight.
const FIGHTERS: u32 = 4;

/// Several OS threads at once.
fn fight(f: impl Fn() + Sync) -> Duration {
    timed(|| {
        std::thread::scope(|scope| {
            for _ in 0..FIGHTERS {
                scope.spawn(&f);
            }
        });
    })
}

/// Locks and unlocks, one after another; `$lock` makes the guard.
macro_rules! lock_loop {
    ($mutex:expr, $lock:ident $(. $unwrap:ident ())?) => {{
        let mutex = $mutex;
        move || {
            for _ in 0..COUNT {
                *black_box(&mutex).$lock()$(.$unwrap())? += 1;
            }
        }
    }};
}

fn locks(entries: &mut Vec<Entry>) {
    const ALONE: &str = "lock and unlock, nobody else";
    let work = lock_loop!(minihuey::sync::Mutex::new(0), lock);
    entries.push(entry(ALONE, "minihuey", COUNT, move || timed(&work)));
    let work = lock_loop!(parking_lot::Mutex::new(0), lock);
    entries.push(entry(ALONE, "parking_lot", COUNT, move || timed(&work)));
    let work = lock_loop!(std::sync::Mutex::new(0), lock.unwrap());
    entries.push(entry(ALONE, "std", COUNT, move || timed(&work)));
    let work = lock_loop!(may::sync::Mutex::new(0), lock.unwrap());
    entries.push(entry(ALONE, "may", COUNT, move || timed(&work)));
    entries.push(entry(ALONE, "minihuey, in a green thread", COUNT, || {
        green(|| timed(lock_loop!(minihuey::sync::Mutex::new(0), lock)))
    }));

    const SHARED: &str = "read and let go, nobody else";
    let work = lock_loop_read(minihuey::sync::RwLock::new(0));
    entries.push(entry(SHARED, "minihuey", COUNT, move || timed(&work)));
    let lock = parking_lot::RwLock::new(0);
    let work = move || (0..COUNT).for_each(|_| drop(black_box(black_box(&lock).read())));
    entries.push(entry(SHARED, "parking_lot", COUNT, move || timed(&work)));

    const FIGHT: &str = "four OS threads fight for a lock";
    let work = lock_loop!(minihuey::sync::Mutex::new(0), lock);
    entries.push(entry(FIGHT, "minihuey", FIGHTERS * COUNT, move || fight(&work)));
    let work = lock_loop!(parking_lot::Mutex::new(0), lock);
    entries.push(entry(FIGHT, "parking_lot", FIGHTERS * COUNT, move || fight(&work)));
    let work = lock_loop!(parking_lot::FairMutex::new(0), lock);
    entries.push(entry(FIGHT, "parking_lot, fair", FIGHTERS * COUNT, move || fight(&work)));
    let work = lock_loop!(std::sync::Mutex::new(0), lock.unwrap());
    entries.push(entry(FIGHT, "std", FIGHTERS * COUNT, move || fight(&work)));

    entries.push(entry("a lock goes round 10 green threads", "minihuey", COUNT, || {
        let mutex = std::sync::Arc::new(minihuey::sync::Mutex::new(0));
        timed(|| {
            let runners: Vec<_> = (0..10)
                .map(|_| {
                    let mutex = mutex.clone();
                    green::spawn(move || {
                        for _ in 0..COUNT / 10 {
                            let mut guard = mutex.lock();
                            *guard += 1;
                            green::yield_now();
                        }
                    })
                })
                .collect();
            runners.into_iter().for_each(|runner| runner.join().expect("a runner"));
        })
    }));
}

fn lock_loop_read(lock: minihuey::sync::RwLock<i32>) -> impl Fn() {
    move || (0..COUNT).for_each(|_| drop(black_box(black_box(&lock).read())))
}

/// Sends all by one thread, receives them by another; the peers' channels have the same methods.
macro_rules! stream {
    ($channel:expr, $spawn:path) => {
        move || {
            timed(|| {
                let (sender, receiver) = $channel;
                let producer = $spawn(move || {
                    (0..COUNT).for_each(|number| sender.send(number).expect("a receiver"));
                });
                let consumer = $spawn(move || receiver.iter().map(u64::from).sum::<u64>());
                producer.join().expect("a producer");
                let sum = consumer.join().expect("a consumer");
                assert_eq!(sum, u64::from(COUNT) * u64::from(COUNT - 1) / 2);
            })
        }
    };
}

fn channels(entries: &mut Vec<Entry>) {
    const ALONE: &str = "send and receive, nobody else";
    entries.push(entry(ALONE, "minihuey", COUNT, || {
        let (sender, receiver) = unbounded();
        timed(|| {
            for number in 0..COUNT {
                sender.send(number).expect("a receiver");
                black_box(receiver.recv().expect("a sender"));
            }
        })
    }));
    entries.push(entry(ALONE, "crossbeam", COUNT, || {
        let (sender, receiver) = crossbeam_channel::unbounded();
        timed(|| {
            for number in 0..COUNT {
                sender.send(number).expect("a receiver");
                black_box(receiver.recv().expect("a sender"));
            }
        })
    }));
    for (work, capacity) in
        [("one to another, capacity 100", 100), ("one to another, capacity 0", 0)]
    {
        let ours = stream!(bounded(capacity), green::spawn);
        entries.push(entry(work, "minihuey, green threads", COUNT, ours));
        let ours = stream!(bounded(capacity), std::thread::spawn);
        entries.push(entry(work, "minihuey, OS threads", COUNT, ours));
        let theirs = stream!(crossbeam_channel::bounded(capacity), std::thread::spawn);
        entries.push(entry(work, "crossbeam, OS threads", COUNT, theirs));
    }
    const UNBOUNDED: &str = "one to another, no limit";
    let ours = stream!(unbounded(), green::spawn);
    entries.push(entry(UNBOUNDED, "minihuey, green threads", COUNT, ours));
    let ours = stream!(unbounded(), std::thread::spawn);
    entries.push(entry(UNBOUNDED, "minihuey, OS threads", COUNT, ours));
    let theirs = stream!(crossbeam_channel::unbounded(), std::thread::spawn);
    entries.push(entry(UNBOUNDED, "crossbeam, OS threads", COUNT, theirs));
}

fn main() {
    if !common::is_wanted() {
        return;
    }
    let mut entries = Vec::new();
    locks(&mut entries);
    channels(&mut entries);
    let only = common::args().into_iter().next();
    entries.retain(|entry| only.as_ref().is_none_or(|only| entry.work.contains(only.as_str())));
    let mut times: Vec<Vec<f64>> = entries.iter().map(|_| Vec::new()).collect();
    let mut random = Random::new();
    for _ in 0..ROUNDS {
        let mut order: Vec<usize> = (0..entries.len()).collect();
        random.shuffle(&mut order);
        for index in order {
            let Entry { run, count, .. } = &entries[index];
            times[index].push(run().as_nanos() as f64 / f64::from(*count));
        }
    }
    let rows: Vec<Vec<String>> = entries
        .iter()
        .zip(times)
        .map(|(entry, times)| {
            let times = Sorted::new(times);
            let show = |nanos: f64| format!("{nanos:.1}");
            vec![
                entry.work.to_owned(),
                entry.who.to_owned(),
                show(times.median()),
                times.spread(show),
            ]
        })
        .collect();
    let title = format!("locks and channels: ns an operation, medians of {ROUNDS} rounds");
    common::print_table(title, &["", "", "median", "spread"], &rows);
}
