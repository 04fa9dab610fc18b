//! Whether a task costs as much among a million as among a thousand: the batch of "throughput", in
//! four sizes.

use super::{Case, How, Work, calls};

pub const WORK: Work = Work {
    name: "growth",
    rounds: 5,
    at_once: false,
    needs_server: false,
    cases: &[
        Case { name: "1000", count: 1_000, quick: 100 },
        Case { name: "10000", count: 10_000, quick: 1_000 },
        Case { name: "100000", count: 100_000, quick: 10_000 },
        Case { name: "1000000", count: 1_000_000, quick: 20_000 },
    ],
    contenders: &[
        ("minihuey", How::Here(calls::minihuey)),
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
