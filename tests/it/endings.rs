//! Every way to end, in every place that a call may be in, with the books balanced after it.

use std::time::Duration;

use minihuey::{MiniHuey, Stats, Task, TaskError, green, offload};

use crate::support::LIMIT;

/// Calls of every kind: green, with a part offloaded, offloaded, on a large stack, and those that
/// wait for one of the others.
fn kinds(huey: &MiniHuey, timeout: Duration) -> Vec<Task<(u64,), ()>> {
    let nap = |n: u64| Duration::from_micros(n % 7 * 300);
    let green = huey.task("green", move |n| green::sleep(nap(n))).timeout(timeout);
    let part = huey
        .task("part", move |n| {
            offload(|| std::thread::sleep(nap(n)));
            green::yield_now();
        })
        .timeout(timeout);
    let whole = huey.task("whole", move |n| std::thread::sleep(nap(n))).timeout(timeout).offload();
    let large = huey.task("large", move |n| green::sleep(nap(n))).timeout(timeout);
    let large = large.stack_size(4 << 20);
    let mut all = vec![green, part, whole, large];
    for (name, offloaded) in [("parent", false), ("offloaded parent", true)] {
        let children = all.clone();
        let parent = huey.task(name, move |n: u64| {
            let child = children[n as usize % children.len()].call((n / 7,));
            // However it ends.
            let _ = child.get();
        });
        let parent = parent.timeout(timeout * 2);
        all.push(if offloaded { parent.offload() } else { parent });
    }
    all
}

#[track_caller]
fn assert_balanced(stats: &Stats) {
    let ended = stats.finished + stats.failed + stats.cancelled + stats.timed_out + stats.abandoned;
    assert_eq!((stats.enqueued, stats.running, stats.backlog), (ended, 0, 0), "{stats:?}");
}

#[test]
fn the_books_balance_after_cancels_and_time_outs_of_every_kind_of_task() {
    for pool_size in [Some(1), Some(3), None] {
        let builder = MiniHuey::builder("endings");
        let huey = match pool_size {
            Some(size) => builder.pool_size(size).offload_size(size).build(),
            None => builder.build(),
        };
        let kinds = kinds(&huey, Duration::from_millis(1));
        for round in 0..30 {
            let mut results = Vec::new();
            for n in 0..40_u64 {
                let n = n * 13 + round;
                results.push(kinds[n as usize % kinds.len()].call((n,)));
                if n % 3 == 0 {
                    let victim = (n / 3) as usize % results.len();
                    results[victim].cancel();
                }
            }
            for mut result in results {
                match result.get_timeout(LIMIT) {
                    Ok(()) | Err(TaskError::Cancelled | TaskError::TimedOut) => {}
                    Err(other) => panic!("{other}"),
                }
            }
        }
        huey.join(LIMIT).unwrap();
        assert_balanced(&huey.stats());
    }
}

#[test]
fn the_books_balance_after_a_shutdown_in_the_middle_of_everything() {
    for patience in [0, 1, 5] {
        let huey = MiniHuey::builder("endings").pool_size(2).offload_size(2).build();
        let kinds = kinds(&huey, Duration::from_millis(3));
        let results: Vec<_> =
            (0..300_u64).map(|n| kinds[n as usize % kinds.len()].call((n,))).collect();
        for result in results.iter().step_by(5) {
            result.cancel();
        }
        huey.shutdown(Duration::from_millis(patience)).unwrap();
        for mut result in results {
            match result.get_timeout(LIMIT) {
                Ok(()) => {}
                Err(TaskError::Cancelled | TaskError::TimedOut | TaskError::ShutDown) => {}
                Err(other) => panic!("{other}"),
            }
        }
        huey.join(LIMIT).unwrap();
        assert_balanced(&huey.stats());
    }
}
