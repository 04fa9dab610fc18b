//! What a process takes of the processor while it has nothing to do, after its first task.

use std::time::Duration;

use minihuey::crontab;

use super::{Case, Fallible, Figures, How, Work, nanos};
use crate::process;
use crate::runtimes::{self, Apalis, CrossbeamPool, HUEY, WORKERS, answered};

pub const WORK: Work = Work {
    name: "idle",
    rounds: 3,
    at_once: true,
    needs_server: false,
    // The number is how long it is watched, in milliseconds.
    cases: &[Case { name: "idle", count: 10_000, quick: 1_000 }],
    contenders: &[
        ("minihuey", How::Here(minihuey)),
        ("minihuey-crontab", How::Here(minihuey_with_crontab)),
        ("may", How::Here(may)),
        ("tokio-2", How::Here(tokio_two)),
        ("tokio-1", How::Here(tokio_current_thread)),
        ("smol", How::Here(smol)),
        ("apalis", How::Here(apalis)),
        ("rayon", How::Here(rayon)),
        ("threadpool", How::Here(threadpool)),
        ("crossbeam", How::Here(crossbeam)),
        ("go", How::Go),
        ("python-minihuey", How::Python),
        ("gevent", How::Python),
    ],
};

/// The process that watches is the one that is idle: its own thread's one wait counts, too.
fn watch(millis: u64) -> Fallible<Figures> {
    // What was begun settles.
    std::thread::sleep(Duration::from_millis(500));
    let (wakes, _) = process::wakes()?;
    let cpu = process::cpu()?;
    std::thread::sleep(Duration::from_millis(millis));
    let cpu = process::cpu()? - cpu;
    let (wakes_then, threads) = process::wakes()?;
    let seconds = millis as f64 / 1000.0;
    Ok(vec![
        ("wakes", (wakes_then - wakes) / seconds),
        ("cpu", nanos(cpu) / seconds),
        ("threads", threads),
    ])
}

fn minihuey(_case: &str, millis: u64) -> Fallible<Figures> {
    HUEY.start()?;
    HUEY.task("add", |a: i64, b: i64| a + b).call((1, 1)).get()?;
    watch(millis)
}

fn minihuey_with_crontab(case: &str, millis: u64) -> Fallible<Figures> {
    HUEY.periodic_task("hourly", crontab!(minute = "0"), || ());
    minihuey(case, millis)
}

fn may(_case: &str, millis: u64) -> Fallible<Figures> {
    runtimes::may(1);
    may::go!(|| ()).join().map_err(|_| "a coroutine panicked")?;
    watch(millis)
}

fn tokio_two(_case: &str, millis: u64) -> Fallible<Figures> {
    let handle = runtimes::tokio_two()?;
    handle.block_on(handle.spawn(async {}))?;
    watch(millis)
}

fn tokio_current_thread(_case: &str, millis: u64) -> Fallible<Figures> {
    let handle = runtimes::tokio_current_thread()?;
    handle.block_on(handle.spawn(async {}))?;
    watch(millis)
}

fn smol(_case: &str, millis: u64) -> Fallible<Figures> {
    smol::block_on(smol::spawn(async {}));
    watch(millis)
}

fn apalis(_case: &str, millis: u64) -> Fallible<Figures> {
    let handle = runtimes::tokio_two()?;
    let apalis = Apalis::start(&handle);
    handle.block_on(apalis.call(async {}));
    watch(millis)
}

fn rayon(_case: &str, millis: u64) -> Fallible<Figures> {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(WORKERS).build()?;
    pool.install(|| ());
    watch(millis)
}

fn threadpool(_case: &str, millis: u64) -> Fallible<Figures> {
    let pool = threadpool::ThreadPool::new(WORKERS);
    answered(|job| pool.execute(job), || ()).recv()?;
    watch(millis)
}

fn crossbeam(_case: &str, millis: u64) -> Fallible<Figures> {
    let pool = CrossbeamPool::start(WORKERS);
    answered(|job| pool.run(job), || ()).recv()?;
    watch(millis)
}
