//! What one short task costs: called and got from a thread, from within a task, a thousand at a
//! time, and by four threads at once.

use super::{Case, How, Work, calls};

pub const WORK: Work = Work {
    name: "throughput",
    rounds: 7,
    at_once: false,
    needs_server: false,
    cases: &[
        Case { name: "batch", count: 200_000, quick: 2_000 },
        Case { name: "nested", count: 200_000, quick: 2_000 },
        Case { name: "fan-out", count: 200_000, quick: 2_000 },
        Case { name: "producers", count: 200_000, quick: 2_000 },
    ],
    contenders: &[
        ("minihuey", How::Here(calls::minihuey)),
        ("minihuey-2", How::Here(calls::minihuey_two)),
        ("may", How::Here(calls::may)),
        ("tokio-2", How::Here(calls::tokio_two)),
        ("tokio-1", How::Here(calls::tokio_current_thread)),
        ("smol", How::Here(calls::smol)),
        ("apalis", How::Here(calls::apalis)),
        ("rayon", How::Here(calls::rayon)),
        ("threadpool", How::Here(calls::threadpool)),
        ("crossbeam", How::Here(calls::crossbeam)),
        ("threads", How::Here(calls::threads)),
        ("go", How::Go),
        ("python-minihuey", How::Python),
        ("gevent", How::Python),
    ],
};
