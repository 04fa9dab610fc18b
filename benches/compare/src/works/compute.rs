//! Tasks that compute for 10 us each: whether two cores do twice as much, and what it costs to hand
//! a task to another thread.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use super::{Case, Fallible, Figures, How, Work, calls};
use crate::runtimes::WORKERS;

const SPAN: Duration = Duration::from_micros(10);

pub const WORK: Work = Work {
    name: "compute",
    rounds: 5,
    at_once: false,
    needs_server: false,
    cases: &[Case { name: "10us", count: 50_000, quick: 1_000 }],
    contenders: &[
        ("minihuey", How::Here(|case, count| computing(calls::minihuey, case, count))),
        ("minihuey-2", How::Here(|case, count| computing(calls::minihuey_two, case, count))),
        (
            "minihuey-offload",
            How::Here(|case, count| computing(calls::minihuey_offload, case, count)),
        ),
        ("may", How::Here(|case, count| computing(calls::may, case, count))),
        ("may-2", How::Here(|case, count| computing(calls::may_two, case, count))),
        ("tokio-2", How::Here(|case, count| computing(calls::tokio_two, case, count))),
        ("tokio-1", How::Here(|case, count| computing(calls::tokio_current_thread, case, count))),
        ("tokio-blocking", How::Here(|case, count| computing(calls::tokio_blocking, case, count))),
        ("smol", How::Here(|case, count| computing(calls::smol, case, count))),
        ("smol-blocking", How::Here(|case, count| computing(calls::smol_blocking, case, count))),
        ("apalis", How::Here(|case, count| computing(calls::apalis, case, count))),
        ("rayon", How::Here(|case, count| computing(calls::rayon, case, count))),
        ("threadpool", How::Here(|case, count| computing(calls::threadpool, case, count))),
        ("crossbeam", How::Here(|case, count| computing(calls::crossbeam, case, count))),
        ("threads", How::Here(|case, count| computing(calls::threads, case, count))),
        ("go", How::Go),
        ("python-minihuey", How::Python),
        ("gevent", How::Python),
    ],
};

/// `measure`, with tasks that compute. Nobody is faster than both cores together.
fn computing(measure: super::Measure, case: &str, count: u64) -> Fallible<Figures> {
    // ORDERING: Relaxed, no task was called yet.
    calls::COMPUTE.store(steps_in(SPAN), Ordering::Relaxed);
    let figures = measure(case, count)?;
    let least = SPAN.as_nanos() as f64 / WORKERS as f64;
    match figures.iter().find(|(figure, _)| *figure == "ns") {
        Some((_, nanos)) if *nanos < 0.9 * least => {
            Err(format!("{nanos:.0} ns a task: they have not computed for {SPAN:?} each").into())
        }
        _ => Ok(figures),
    }
}

/// How many steps of arithmetic take so long: by the fastest of many tries, the one that nobody
/// interrupted.
fn steps_in(span: Duration) -> u64 {
    const STEPS: u64 = 20_000;
    let time = || {
        let start = Instant::now();
        calls::compute(STEPS);
        start.elapsed().as_nanos() as u64
    };
    let fastest = (0..200).map(|_| time()).min().unwrap_or(1).max(1);
    STEPS * span.as_nanos() as u64 / fastest
}
