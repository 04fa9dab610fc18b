//! A million tasks for later: what each takes of memory, and how long it takes to put it there and,
//! when all are due at once, to have it run.

use std::time::Instant;

use minihuey::task;

use super::waiting::{ended, measure_scheduled};
use super::{Case, Fallible, Figures, How, Work};
use crate::runtimes::{self, HUEY};

pub const WORK: Work = Work {
    name: "scheduled",
    rounds: 3,
    at_once: false,
    needs_server: false,
    cases: &[Case { name: "scheduled", count: 1_000_000, quick: 5_000 }],
    contenders: &[
        ("minihuey", How::Here(minihuey)),
        ("may", How::Here(may)),
        ("tokio-2", How::Here(tokio_two)),
        ("tokio-1", How::Here(tokio_current_thread)),
        ("smol", How::Here(smol)),
        ("apalis", How::Here(apalis)),
        ("go", How::Go),
        ("python-minihuey", How::Python),
        ("gevent", How::Python),
    ],
};

#[task(HUEY)]
fn end() {
    ended();
}

fn minihuey(_case: &str, count: u64) -> Fallible<Figures> {
    HUEY.start()?;
    end().get()?;
    measure_scheduled(count, |due| drop(end::schedule((), due - Instant::now())))
}

fn may(_case: &str, _count: u64) -> Fallible<Figures> {
    Err("a coroutine that sleeps has a stack; some 30,000 fit".into())
}

fn tokio_two(_case: &str, count: u64) -> Fallible<Figures> {
    tokio(runtimes::tokio_two()?, count)
}

fn tokio_current_thread(_case: &str, count: u64) -> Fallible<Figures> {
    tokio(runtimes::tokio_current_thread()?, count)
}

fn tokio(handle: tokio::runtime::Handle, count: u64) -> Fallible<Figures> {
    measure_scheduled(count, |due| {
        drop(handle.spawn(async move {
            tokio::time::sleep_until(due.into()).await;
            ended();
        }));
    })
}

fn smol(_case: &str, count: u64) -> Fallible<Figures> {
    measure_scheduled(count, |due| {
        let task = smol::spawn(async move {
            smol::Timer::at(due).await;
            ended();
        });
        task.detach();
    })
}

fn apalis(_case: &str, _count: u64) -> Fallible<Figures> {
    Err("its memory back end runs a task at once, whatever its run_at says".into())
}
