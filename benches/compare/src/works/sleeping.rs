//! 30,000 tasks that have begun and sleep: what each takes of memory.

use std::time::Instant;

use minihuey::{green, task};

use super::waiting::{begun, ended, measure_sleeping};
use super::{Case, Fallible, Figures, How, Work};
use crate::runtimes::{self, Apalis, HUEY};

/// More make a Linux of the usual settings refuse threads to others.
const MOST_THREADS: u64 = 10_000;

pub const WORK: Work = Work {
    name: "sleeping",
    rounds: 3,
    at_once: false,
    needs_server: false,
    cases: &[Case { name: "sleeping", count: 30_000, quick: 1_000 }],
    contenders: &[
        ("minihuey", How::Here(minihuey)),
        ("may", How::Here(may)),
        ("tokio-2", How::Here(tokio_two)),
        ("tokio-1", How::Here(tokio_current_thread)),
        ("smol", How::Here(smol)),
        ("apalis", How::Here(apalis)),
        ("threads", How::Here(threads)),
        ("go", How::Go),
        ("python-minihuey", How::Python),
        ("gevent", How::Python),
    ],
};

#[task(HUEY)]
fn nap(until: Instant) {
    begun();
    green::sleep(until.saturating_duration_since(Instant::now()));
    ended();
}

fn minihuey(_case: &str, count: u64) -> Fallible<Figures> {
    HUEY.start()?;
    HUEY.task("first", || ()).call(()).get()?;
    measure_sleeping(count, |until| drop(nap(until)))
}

fn may(_case: &str, count: u64) -> Fallible<Figures> {
    runtimes::may(1);
    may::go!(|| ()).join().map_err(|_| "a coroutine panicked")?;
    measure_sleeping(count, |until| {
        may::go!(move || {
            begun();
            may::coroutine::sleep(until.saturating_duration_since(Instant::now()));
            ended();
        });
    })
}

fn tokio_two(_case: &str, count: u64) -> Fallible<Figures> {
    tokio(runtimes::tokio_two()?, count)
}

fn tokio_current_thread(_case: &str, count: u64) -> Fallible<Figures> {
    tokio(runtimes::tokio_current_thread()?, count)
}

async fn nap_on_tokio(until: Instant) {
    begun();
    tokio::time::sleep_until(until.into()).await;
    ended();
}

fn tokio(handle: tokio::runtime::Handle, count: u64) -> Fallible<Figures> {
    measure_sleeping(count, |until| drop(handle.spawn(nap_on_tokio(until))))
}

fn smol(_case: &str, count: u64) -> Fallible<Figures> {
    measure_sleeping(count, |until| {
        let task = smol::spawn(async move {
            begun();
            smol::Timer::at(until).await;
            ended();
        });
        task.detach();
    })
}

fn apalis(_case: &str, count: u64) -> Fallible<Figures> {
    let apalis = Apalis::start(&runtimes::tokio_two()?);
    measure_sleeping(count, |until| apalis.push(nap_on_tokio(until)))
}

fn threads(_case: &str, count: u64) -> Fallible<Figures> {
    measure_sleeping(count.min(MOST_THREADS), |until| {
        std::thread::spawn(move || {
            begun();
            std::thread::sleep(until.saturating_duration_since(Instant::now()));
            ended();
        });
    })
}
