//! How long after its time each of 10,000 tasks begins that are due at random times within two
//! seconds: at rest, and beside a thread that keeps up to 200 tasks of a microsecond queued.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use minihuey::{TaskResult, task};

use super::{Case, Fallible, Figures, How, Random, Work};
use crate::runtimes::{self, HUEY};

const SPAN: Duration = Duration::from_secs(2);
/// The first are due only after the last were scheduled.
const AHEAD: Duration = Duration::from_millis(200);
const LOAD: usize = 200;

pub const WORK: Work = Work {
    name: "lateness",
    rounds: 3,
    at_once: false,
    needs_server: false,
    cases: &[
        Case { name: "rest", count: 10_000, quick: 500 },
        Case { name: "load", count: 10_000, quick: 500 },
    ],
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

/// By task, how late it began, in nanoseconds; `NOT_YET` before.
static LATE: OnceLock<Vec<AtomicU64>> = OnceLock::new();
const NOT_YET: u64 = u64::MAX;

// ORDERING: Relaxed, for all of these: single numbers, read when all are there.
fn arrive(task: usize, due: Instant) {
    if let Some(late) = LATE.get().and_then(|late| late.get(task)) {
        late.store(due.elapsed().as_nanos() as u64, Ordering::Relaxed);
    }
}

/// `schedule` has [`arrive`] run when it is due; `call` runs `spin` at once, and `get` waits for
/// that.
fn measure<H>(
    case: &str,
    count: u64,
    schedule: impl Fn(usize, Instant),
    call: impl Fn() -> H + Sync,
    get: impl Fn(H) + Sync,
) -> Fallible<Figures> {
    let late = LATE.get_or_init(|| (0..count).map(|_| AtomicU64::new(NOT_YET)).collect());
    let stop = AtomicBool::new(false);
    let load = || {
        let (start, mut called) = (Instant::now(), 0_u32);
        let mut results = std::collections::VecDeque::new();
        while !stop.load(Ordering::Relaxed) {
            while results.len() < LOAD {
                results.push_back(call());
                called += 1;
            }
            results.drain(..LOAD / 4).for_each(&get);
        }
        results.into_iter().for_each(&get);
        f64::from(called) / start.elapsed().as_secs_f64()
    };
    let schedule_all = || -> Fallible<()> {
        let mut random = Random::new();
        let start = Instant::now() + AHEAD;
        for task in 0..count as usize {
            schedule(task, start + Duration::from_nanos(random.below(SPAN.as_nanos() as u64)));
        }
        if Instant::now() > start {
            return Err("the first were due before the last were scheduled".into());
        }
        // Nobody waits meanwhile, for to wake somebody takes time.
        std::thread::sleep((start + SPAN).saturating_duration_since(Instant::now()));
        let end = Instant::now() + Duration::from_secs(10);
        while late.iter().any(|late| late.load(Ordering::Relaxed) == NOT_YET) {
            if Instant::now() > end {
                return Err("some had not begun ten seconds after all were due".into());
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        Ok(())
    };
    let rate = std::thread::scope(|scope| {
        let load = (case == "load").then(|| scope.spawn(load));
        std::thread::sleep(Duration::from_millis(100));
        let done = schedule_all();
        stop.store(true, Ordering::Relaxed);
        let rate = load.map(|load| load.join().map_err(|_| "the load panicked"));
        done.and_then(|()| Ok(rate.transpose()?))
    })?;
    let mut late: Vec<u64> = late.iter().map(|late| late.load(Ordering::Relaxed)).collect();
    late.sort_unstable();
    let quantile = |share: f64| late[((late.len() - 1) as f64 * share).round() as usize] as f64;
    let mut figures =
        vec![("median", quantile(0.5)), ("99th", quantile(0.99)), ("max", quantile(1.0))];
    figures.extend(rate.map(|rate| ("rate", rate)));
    Ok(figures)
}

fn spin_for_a_microsecond() {
    let start = Instant::now();
    while start.elapsed() < Duration::from_micros(1) {}
}

#[task(HUEY)]
fn due_task(task: usize, due: Instant) {
    arrive(task, due);
}

#[task(HUEY)]
fn spin() {
    spin_for_a_microsecond();
}

fn minihuey(case: &str, count: u64) -> Fallible<Figures> {
    HUEY.start()?;
    spin().get()?;
    let schedule = |task, due| drop(due_task::schedule((task, due), due - Instant::now()));
    measure(case, count, schedule, spin, |result: TaskResult<()>| {
        result.get().expect("a spin that ends well");
    })
}

fn may(case: &str, count: u64) -> Fallible<Figures> {
    runtimes::may(1);
    let schedule = |task, due: Instant| {
        may::go!(move || {
            may::coroutine::sleep(due.saturating_duration_since(Instant::now()));
            arrive(task, due);
        });
    };
    measure(
        case,
        count,
        schedule,
        || may::go!(spin_for_a_microsecond),
        |handle| {
            handle.join().expect("a spin that ends well");
        },
    )
}

fn tokio_two(case: &str, count: u64) -> Fallible<Figures> {
    tokio(runtimes::tokio_two()?, case, count)
}

fn tokio_current_thread(case: &str, count: u64) -> Fallible<Figures> {
    tokio(runtimes::tokio_current_thread()?, case, count)
}

fn tokio(handle: tokio::runtime::Handle, case: &str, count: u64) -> Fallible<Figures> {
    let schedule = |task, due: Instant| {
        drop(handle.spawn(async move {
            tokio::time::sleep_until(due.into()).await;
            arrive(task, due);
        }));
    };
    let call = || handle.spawn(async { spin_for_a_microsecond() });
    measure(case, count, schedule, call, |task| {
        handle.block_on(task).expect("a spin that ends well");
    })
}

fn smol(case: &str, count: u64) -> Fallible<Figures> {
    let schedule = |task, due: Instant| {
        let task = smol::spawn(async move {
            smol::Timer::at(due).await;
            arrive(task, due);
        });
        task.detach();
    };
    let call = || smol::spawn(async { spin_for_a_microsecond() });
    measure(case, count, schedule, call, smol::block_on)
}

fn apalis(_case: &str, _count: u64) -> Fallible<Figures> {
    Err("its memory back end runs a task at once, whatever its run_at says".into())
}
