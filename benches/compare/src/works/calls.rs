//! Every peer as something to call and to get a result from: a task that computes for as long as
//! [`COMPUTE`] says and gives its number plus one. Used wherever it is calls that are measured.

use std::future::Future;
use std::sync::Barrier;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use minihuey::{TaskResult, task};
use tokio::runtime::Handle;

use super::{Fallible, Figures, nanos};
use crate::runtimes::{self, Apalis, CrossbeamPool, HUEY, WORKERS, answered};

const WIDTH: u64 = 1_000;
const PRODUCERS: u64 = 4;

/// May makes a stack for every coroutine that lives, which takes two memory mappings of the 65,530
/// that a process may have. So does a thread.
const MOST_STACKS: u64 = 10_000;

/// How many steps of arithmetic a task takes. None unless set.
pub static COMPUTE: AtomicU64 = AtomicU64::new(0);

fn add_one(number: u64) -> u64 {
    // ORDERING: Relaxed, set before the first task is called.
    compute(COMPUTE.load(Ordering::Relaxed));
    number + 1
}

/// Arithmetic, not a look at the clock: a thread that has lost the processor does not compute. The
/// same for whoever calls it: where the number of steps is known, a compiler folds more of them
/// into one.
#[inline(never)]
pub fn compute(steps: u64) {
    let steps = std::hint::black_box(steps);
    let mut state = steps;
    for _ in 0..steps {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
    }
    std::hint::black_box(state);
}

/// Calls `width` times and then gets, `count` times in all.
fn in_groups<H>(
    count: u64,
    width: u64,
    call: impl Fn(u64) -> H,
    get: impl Fn(H) -> u64,
) -> Duration {
    let start = Instant::now();
    let mut sum = 0;
    for first in (0..count).step_by(width as usize) {
        let end = count.min(first + width);
        let results: Vec<H> = (first..end).map(&call).collect();
        sum += results.into_iter().map(&get).sum::<u64>();
    }
    let took = start.elapsed();
    check(count, sum);
    took
}

/// The same for handles that are futures.
async fn in_groups_async<H: Future<Output = u64>>(
    count: u64,
    width: u64,
    call: impl Fn(u64) -> H,
) -> Duration {
    let start = Instant::now();
    let mut sum = 0;
    for first in (0..count).step_by(width as usize) {
        let end = count.min(first + width);
        let results: Vec<H> = (first..end).map(&call).collect();
        for result in results {
            sum += result.await;
        }
    }
    let took = start.elapsed();
    check(count, sum);
    took
}

fn check(count: u64, sum: u64) {
    assert_eq!(sum, count * (count + 1) / 2, "a value was lost");
}

/// Nanoseconds a task. `outside` calls so many from an OS thread and then gets all; `inside` does
/// it in a task, so many at a time.
fn drive(
    case: &str,
    count: u64,
    outside: impl Fn(u64) -> Duration + Sync,
    inside: impl Fn(u64, u64) -> Fallible<Duration>,
) -> Fallible<Figures> {
    let run = |count| match case {
        "nested" => inside(count, 1),
        "fan-out" => inside(count, WIDTH),
        "producers" => Ok(producers(count, &outside)),
        _ => Ok(outside(count)),
    };
    // Caches, stacks and pages are there afterwards.
    run((count / 10).max(PRODUCERS))?;
    // What is over in no time is measured more often.
    let mut times = Vec::new();
    for _ in 0..(50_000 / count).clamp(1, 20) {
        times.push(nanos(run(count)?) / count as f64);
    }
    times.sort_by(f64::total_cmp);
    Ok(vec![("ns", times[times.len() / 2]), ("tasks", count as f64)])
}

/// `share` by each of four OS threads at once.
fn producers(count: u64, share: impl Fn(u64) -> Duration + Sync) -> Duration {
    let gate = Barrier::new(PRODUCERS as usize + 1);
    let mut start = Instant::now();
    std::thread::scope(|scope| {
        for _ in 0..PRODUCERS {
            scope.spawn(|| {
                gate.wait();
                share(count / PRODUCERS);
            });
        }
        gate.wait();
        start = Instant::now();
    });
    start.elapsed()
}

#[task(HUEY)]
fn add(number: u64) -> u64 {
    add_one(number)
}

#[task(HUEY)]
fn call_inside(count: u64, width: u64) -> Duration {
    in_groups(count, width, add, get)
}

fn get(result: TaskResult<u64>) -> u64 {
    result.get().expect("an addition that ends well")
}

pub fn minihuey(case: &str, count: u64) -> Fallible<Figures> {
    let outside = |count| in_groups(count, count, add, get);
    drive(case, count, outside, |count, width| Ok(call_inside(count, width).get()?))
}

pub fn minihuey_two(case: &str, count: u64) -> Fallible<Figures> {
    runtimes::minihuey_with_two_workers()?;
    minihuey(case, count)
}

#[task(HUEY, offload)]
fn add_offloaded(number: u64) -> u64 {
    add_one(number)
}

pub fn minihuey_offload(case: &str, count: u64) -> Fallible<Figures> {
    let outside = |count| in_groups(count, count, add_offloaded, get);
    drive(case, count, outside, |_, _| Err("not measured".into()))
}

pub fn may(case: &str, count: u64) -> Fallible<Figures> {
    runtimes::may(1);
    may_with_any(case, count)
}

pub fn may_two(case: &str, count: u64) -> Fallible<Figures> {
    runtimes::may(WORKERS);
    may_with_any(case, count)
}

fn may_with_any(case: &str, count: u64) -> Fallible<Figures> {
    let count = bounded(case, count, "a stack")?;
    let go = |number| may::go!(move || add_one(number));
    let join = |handle: may::coroutine::JoinHandle<u64>| handle.join().expect("an addition");
    let inside = |count, width| {
        let body = move || in_groups(count, width, go, join);
        may::go!(body).join().map_err(|_| "a coroutine panicked".into())
    };
    drive(case, count, |count| in_groups(count, count, go, join), inside)
}

/// Fewer tasks than were asked for, or, if their number is what it is about, none.
fn bounded(case: &str, count: u64, what: &str) -> Fallible<u64> {
    if case.ends_with("000") && count > MOST_STACKS {
        return Err(format!("{what} for each task at once, and no room for so many").into());
    }
    Ok(count.min(MOST_STACKS))
}

pub fn threads(case: &str, count: u64) -> Fallible<Figures> {
    let count = bounded(case, count, "a thread")?;
    let call = |number| std::thread::spawn(move || add_one(number));
    let get = |thread: std::thread::JoinHandle<u64>| thread.join().expect("an addition");
    let outside = |count| in_groups(count, count, call, get);
    drive(case, count, outside, |count, width| {
        let body = move || in_groups(count, width, call, get);
        std::thread::spawn(body).join().map_err(|_| "a thread panicked".into())
    })
}

pub fn tokio_two(case: &str, count: u64) -> Fallible<Figures> {
    tokio(runtimes::tokio_two()?, case, count)
}

pub fn tokio_current_thread(case: &str, count: u64) -> Fallible<Figures> {
    tokio(runtimes::tokio_current_thread()?, case, count)
}

fn tokio(handle: Handle, case: &str, count: u64) -> Fallible<Figures> {
    let spawn = |number| {
        let task = handle.spawn(async move { add_one(number) });
        async { task.await.expect("an addition") }
    };
    let outside = |count| handle.block_on(in_groups_async(count, count, spawn));
    drive(case, count, outside, |count, width| {
        let call = |number| {
            let task = tokio::spawn(async move { add_one(number) });
            async { task.await.expect("an addition") }
        };
        Ok(handle.block_on(handle.spawn(in_groups_async(count, width, call)))?)
    })
}

pub fn tokio_blocking(case: &str, count: u64) -> Fallible<Figures> {
    let handle = runtimes::tokio_two()?;
    let spawn = |number| {
        let task = handle.spawn_blocking(move || add_one(number));
        async { task.await.expect("an addition") }
    };
    let outside = |count| handle.block_on(in_groups_async(count, count, spawn));
    drive(case, count, outside, |_, _| Err("not measured".into()))
}

pub fn smol(case: &str, count: u64) -> Fallible<Figures> {
    let spawn = |number| smol::spawn(async move { add_one(number) });
    let outside = |count| smol::block_on(in_groups_async(count, count, spawn));
    drive(case, count, outside, |count, width| {
        Ok(smol::block_on(smol::spawn(in_groups_async(count, width, spawn))))
    })
}

pub fn smol_blocking(case: &str, count: u64) -> Fallible<Figures> {
    let spawn = |number| smol::unblock(move || add_one(number));
    let outside = |count| smol::block_on(in_groups_async(count, count, spawn));
    drive(case, count, outside, |_, _| Err("not measured".into()))
}

pub fn apalis(case: &str, count: u64) -> Fallible<Figures> {
    let handle = runtimes::tokio_two()?;
    let apalis = Apalis::start(&handle);
    let call = |number| apalis.call(async move { add_one(number) });
    let outside = |count| handle.block_on(in_groups_async(count, count, call));
    drive(case, count, outside, |count, width| {
        let apalis = apalis.clone();
        let inner = apalis.clone();
        let body = async move {
            in_groups_async(count, width, |number| inner.call(async move { add_one(number) })).await
        };
        Ok(handle.block_on(apalis.call(body)))
    })
}

/// Rayon has no handles: what is spawned writes where its caller will look. Its way to wait in a
/// task is the scope.
pub fn rayon(case: &str, count: u64) -> Fallible<Figures> {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(WORKERS).build()?;
    let outside = |count| {
        let start = Instant::now();
        let slots = slots(count);
        pool.in_place_scope(|scope| spawn_all(scope, 0, &slots));
        let sum = sum(&slots);
        let took = start.elapsed();
        check(count, sum);
        took
    };
    let inside = |count, width| {
        let start = Instant::now();
        let slots = slots(width);
        let mut total = 0;
        for first in (0..count).step_by(width as usize) {
            let slots = &slots[..width.min(count - first) as usize];
            rayon::scope(|scope| spawn_all(scope, first, slots));
            total += sum(slots);
        }
        let took = start.elapsed();
        check(count, total);
        took
    };
    drive(case, count, outside, |count, width| Ok(pool.install(|| inside(count, width))))
}

// ORDERING: Relaxed, for all slots: the end of a scope comes between their writes and reads.
fn slots(count: u64) -> Vec<AtomicU64> {
    (0..count).map(|_| AtomicU64::new(0)).collect()
}

fn sum(slots: &[AtomicU64]) -> u64 {
    slots.iter().map(|slot| slot.load(Ordering::Relaxed)).sum()
}

fn spawn_all<'a>(scope: &rayon::Scope<'a>, first: u64, slots: &'a [AtomicU64]) {
    for (number, slot) in (first..).zip(slots) {
        scope.spawn(move |_| slot.store(add_one(number), Ordering::Relaxed));
    }
}

pub fn threadpool(case: &str, count: u64) -> Fallible<Figures> {
    let pool = threadpool::ThreadPool::new(WORKERS);
    pool_of_threads(case, count, |job| pool.execute(job))
}

pub fn crossbeam(case: &str, count: u64) -> Fallible<Figures> {
    let pool = CrossbeamPool::start(WORKERS);
    pool_of_threads(case, count, |job| pool.run(job))
}

/// A job that waited for another would hold one of the two threads, and two such jobs would wait
/// for ever: nested work and fan-out are called from outside.
fn pool_of_threads(
    case: &str,
    count: u64,
    run: impl Fn(Box<dyn FnOnce() + Send>) + Sync,
) -> Fallible<Figures> {
    // One wake of a thread there and one back for each, where the others stay in user space.
    let count = if case == "nested" { count / 100 } else { count };
    let call = |number| answered(&run, move || add_one(number));
    let get = |result: crossbeam_channel::Receiver<u64>| result.recv().expect("an answer");
    let groups = |count, width| in_groups(count, width, call, get);
    drive(case, count, |count| groups(count, count), |count, width| Ok(groups(count, width)))
}
