//! A million tasks that wait to run: what each takes of memory, and how long it takes to put it
//! there and to have it run.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};
use std::time::Duration;

use minihuey::{MiniHuey, green};

use super::waiting::{ended_with, measure_queued};
use super::{Case, Fallible, Figures, How, Work};
use crate::runtimes::{self, Apalis, CrossbeamPool, WORKERS};

const LOOK: Duration = Duration::from_millis(1);

pub const WORK: Work = Work {
    name: "queued",
    rounds: 3,
    at_once: false,
    needs_server: false,
    cases: &[Case { name: "queued", count: 1_000_000, quick: 5_000 }],
    contenders: &[
        ("minihuey", How::Here(minihuey)),
        ("may", How::Here(may)),
        ("tokio-2", How::Here(tokio_two)),
        ("tokio-1", How::Here(tokio_current_thread)),
        ("smol", How::Here(smol)),
        ("apalis", How::Here(apalis)),
        ("rayon", How::Here(rayon)),
        ("threadpool", How::Here(threadpool)),
        ("crossbeam", How::Here(crossbeam)),
        ("threads", How::Here(threads)),
        ("go", How::Go),
        ("python-minihuey", How::Python),
        ("gevent", How::Python),
    ],
};

/// One task holds the only place.
fn minihuey(_case: &str, count: u64) -> Fallible<Figures> {
    let huey = MiniHuey::builder("queued").pool_size(1).build();
    let (held, free) = <(Arc<AtomicBool>, Arc<AtomicBool>)>::default();
    let hold = huey.task("hold", {
        let (held, free) = (held.clone(), free.clone());
        move || {
            held.store(true, Ordering::Relaxed);
            while !free.load(Ordering::Relaxed) {
                green::sleep(LOOK);
            }
        }
    });
    drop(hold.call(()));
    while !held.load(Ordering::Relaxed) {
        std::thread::sleep(LOOK);
    }
    let task = huey.task("ended", ended_with);
    measure_queued(
        count,
        |number| drop(task.call((number,))),
        || free.store(true, Ordering::Relaxed),
    )
}

fn may(_case: &str, _count: u64) -> Fallible<Figures> {
    Err("gives a coroutine its stack when it is spawned; some 30,000 fit".into())
}

fn threads(_case: &str, _count: u64) -> Fallible<Figures> {
    Err("a thread is not queued".into())
}

/// Both workers are held by a task that blocks.
fn tokio_two(_case: &str, count: u64) -> Fallible<Figures> {
    let handle = runtimes::tokio_two()?;
    let gates = hold(|job| drop(handle.spawn(async { job() })));
    measure_queued(
        count,
        |number| drop(handle.spawn(async move { ended_with(number) })),
        || drop(gates),
    )
}

/// Nobody drives it before the end.
fn tokio_current_thread(_case: &str, count: u64) -> Fallible<Figures> {
    let runtime = tokio::runtime::Builder::new_current_thread().build()?;
    let handle = runtime.handle().clone();
    measure_queued(
        count,
        |number| drop(handle.spawn(async move { ended_with(number) })),
        || drop(std::thread::spawn(move || runtime.block_on(std::future::pending::<()>()))),
    )
}

/// Nobody drives it before the end.
fn smol(_case: &str, count: u64) -> Fallible<Figures> {
    static EXECUTOR: smol::Executor<'_> = smol::Executor::new();
    measure_queued(
        count,
        |number| EXECUTOR.spawn(async move { ended_with(number) }).detach(),
        || {
            for _ in 0..WORKERS {
                std::thread::spawn(|| smol::block_on(EXECUTOR.run(std::future::pending::<()>())));
            }
        },
    )
}

/// Its worker does not run before the end.
fn apalis(_case: &str, count: u64) -> Fallible<Figures> {
    let handle = runtimes::tokio_two()?;
    let (apalis, run) = Apalis::new(&handle);
    measure_queued(
        count,
        |number| apalis.push(async move { ended_with(number) }),
        || drop(std::thread::spawn(run)),
    )
}

fn rayon(_case: &str, count: u64) -> Fallible<Figures> {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(WORKERS).build()?;
    let gates = hold(|job| pool.spawn(job));
    measure_queued(count, |number| pool.spawn(move || ended_with(number)), || drop(gates))
}

fn threadpool(_case: &str, count: u64) -> Fallible<Figures> {
    let pool = threadpool::ThreadPool::new(WORKERS);
    let gates = hold(|job| pool.execute(job));
    measure_queued(count, |number| pool.execute(move || ended_with(number)), || drop(gates))
}

fn crossbeam(_case: &str, count: u64) -> Fallible<Figures> {
    let pool = CrossbeamPool::start(WORKERS);
    let gates = hold(|job| pool.run(job));
    measure_queued(count, |number| pool.run(move || ended_with(number)), || drop(gates))
}

/// Holds each worker by a job that ends when its gate is dropped. Returns when it does.
fn hold(run: impl Fn(Box<dyn FnOnce() + Send>)) -> Vec<mpsc::Sender<()>> {
    let (arrived, arrivals) = mpsc::channel();
    let gates = (0..WORKERS).map(|_| {
        let (gate, closed) = mpsc::channel::<()>();
        let arrived = arrived.clone();
        run(Box::new(move || {
            let _ = arrived.send(());
            let _ = closed.recv();
        }));
        gate
    });
    let gates = gates.collect();
    arrivals.iter().take(WORKERS).for_each(drop);
    gates
}
