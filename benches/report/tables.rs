//! Which figures stand in which table, under which head, and which are drawn.

/// A table, and the picture of some of its columns.
pub struct Table {
    /// The picture's name, without its ending.
    pub file: &'static str,
    pub title: &'static str,
    /// `{work/case}` stands for how many tasks that was measured with.
    pub says: &'static str,
    pub columns: &'static [Column],
    /// The columns that the picture shows; no picture if there are none.
    pub drawn: &'static [usize],
    /// As one line for each contender.
    pub lines: bool,
}

pub struct Column {
    /// The results file, and the place in it.
    pub work: &'static str,
    pub case: &'static str,
    pub figure: &'static str,
    pub head: &'static str,
    pub unit: Unit,
}

#[derive(Clone, Copy)]
pub enum Unit {
    Nanos,
    Bytes,
    Count,
    /// A number that is no cost: nobody is better by it.
    Plain,
}

const fn column(
    work: &'static str,
    case: &'static str,
    figure: &'static str,
    head: &'static str,
    unit: Unit,
) -> Column {
    Column { work, case, figure, head, unit }
}

use Unit::{Bytes, Count, Nanos, Plain};

pub const TABLES: [Table; 8] = [
    Table {
        file: "throughput",
        title: "What a task costs",
        says: "Time for each of {throughput/batch} tasks that add two numbers. Batch: a thread calls all, then \
               gets all. Nested: a task calls one and gets it, again and again. Fan-out: a task calls \
               1,000, then gets them. Producers: four threads, each with a batch. (In the pools of \
               threads a task that waits would hold a thread: there, nested and fan-out are called \
               from outside. Rayon has scopes instead of results. Python's four producers are \
               greenlets.)",
        columns: &[
            column("throughput", "batch", "ns", "batch", Nanos),
            column("throughput", "nested", "ns", "nested", Nanos),
            column("throughput", "fan-out", "ns", "fan-out", Nanos),
            column("throughput", "producers", "ns", "producers", Nanos),
        ],
        drawn: &[0, 1, 2, 3],
        lines: false,
    },
    Table {
        file: "sockets",
        title: "Tasks that wait on a socket",
        says: "Each task connects to a server in another process, which answers after 200 ms; \
               processor time and memory are those of the side that waits. minihuey runs plain \
               blocking `std::net` code, made cooperative by `monkey::patch_all`; so do the threads \
               and the pools, in an OS thread for each that waits, of which a pool has 1,000 (tokio's \
               512, smol's 500).",
        columns: &[
            column("sockets", "10000", "wall", "10,000: time", Nanos),
            column("sockets", "10000", "cpu", "10,000: processor", Nanos),
            column("sockets", "10000", "peak", "10,000: memory", Bytes),
            column("sockets", "1000", "wall", "1,000: time", Nanos),
            column("sockets", "1000", "cpu", "1,000: processor", Nanos),
            column("sockets", "1000", "peak", "1,000: memory", Bytes),
        ],
        drawn: &[0, 1, 2],
        lines: false,
    },
    Table {
        file: "memory",
        title: "A million that wait",
        says: "Memory for each of {queued/queued} tasks that wait to run (queued) or are due later \
               (scheduled), and of {sleeping/sleeping} that have begun and sleep; results are not kept. To insert: \
               time for each to put it there. To run: time for each until all have ended, from the \
               moment that they may.",
        columns: &[
            column("queued", "queued", "bytes", "queued", Bytes),
            column("scheduled", "scheduled", "bytes", "scheduled", Bytes),
            column("sleeping", "sleeping", "bytes", "sleeping", Bytes),
            column("queued", "queued", "insert", "queued: to insert", Nanos),
            column("queued", "queued", "drain", "queued: to run", Nanos),
            column("scheduled", "scheduled", "insert", "scheduled: to insert", Nanos),
            column("scheduled", "scheduled", "drain", "scheduled: to run", Nanos),
        ],
        drawn: &[0, 1, 2],
        lines: false,
    },
    Table {
        file: "lateness",
        title: "How late a due task begins",
        says: "{lateness/rest} tasks, due at random times within two seconds, at rest and beside a thread that \
               keeps up to 200 tasks of 1 µs queued. (Python's MiniHuey looks at its schedule once in \
               its `interval`, here 1 s as it comes. gevent counts a delay from the last time that its loop looked \
               at the clock: it begins some too early, which counts as punctual.)",
        columns: &[
            column("lateness", "rest", "median", "at rest: median", Nanos),
            column("lateness", "rest", "99th", "at rest: 99th of 100", Nanos),
            column("lateness", "rest", "max", "at rest: most", Nanos),
            column("lateness", "load", "median", "load: median", Nanos),
            column("lateness", "load", "99th", "load: 99th of 100", Nanos),
            column("lateness", "load", "max", "load: most", Nanos),
            column("lateness", "load", "rate", "the load, tasks/s", Plain),
        ],
        drawn: &[0, 1, 3, 4],
        lines: false,
    },
    Table {
        file: "growth",
        title: "Does a task cost more among many?",
        says: "The batch again, in four sizes: time for each task.",
        columns: &[
            column("growth", "1000", "ns", "1,000", Nanos),
            column("growth", "10000", "ns", "10,000", Nanos),
            column("growth", "100000", "ns", "100,000", Nanos),
            column("growth", "1000000", "ns", "1,000,000", Nanos),
        ],
        drawn: &[0, 1, 2, 3],
        lines: true,
    },
    Table {
        file: "compute",
        title: "Tasks that compute",
        says: "Time for each of {compute/10us} tasks that compute for 10 µs, called and got as a batch. Two \
               cores can do one in 5 µs, if the thread that calls takes nothing.",
        columns: &[column("compute", "10us", "ns", "a task", Nanos)],
        drawn: &[0],
        lines: false,
    },
    Table {
        file: "idle",
        title: "Idle",
        says: "What a process takes after its first task, with nothing to do; the one wait of the \
               thread that watches, 0.1 a second, is in it. All are measured at the same time. (The \
               scheduler with a crontab row looks at the clock once in its `interval`, here 1 s as it \
               comes.)",
        columns: &[
            column("idle", "idle", "wakes", "wakes a second", Count),
            column("idle", "idle", "cpu", "processor time a second", Nanos),
            column("idle", "idle", "threads", "threads", Plain),
        ],
        drawn: &[],
        lines: false,
    },
    Table {
        file: "startup",
        title: "To begin with",
        says: "The smallest program that runs one task and prints what comes of it: time from its \
               start to its end, size of the binary (`cargo build --release`, no settings), time to \
               build it and its dependencies from nothing (once), and how many those are.",
        columns: &[
            column("startup", "startup", "start", "start to end", Nanos),
            column("startup", "startup", "size", "binary", Bytes),
            column("startup", "startup", "build", "build", Nanos),
            column("startup", "startup", "dependencies", "dependencies", Count),
        ],
        drawn: &[0, 1, 2],
        lines: false,
    },
];
