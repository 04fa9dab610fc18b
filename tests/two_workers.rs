//! With two workers: tasks run in parallel, each stays on the worker it began on, and all that
//! holds for one holds for two.

use std::collections::HashSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Barrier, Once};
use std::thread::{self, ThreadId};
use std::time::Duration;

use minihuey::sync::channel::bounded;
use minihuey::sync::{Condvar, Mutex, Pool, Semaphore};
use minihuey::{MiniHuey, TaskError, green, runtime};

const LIMIT: Duration = Duration::from_secs(60);

fn start() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| runtime().workers(2).start().unwrap());
}

#[test]
fn two_tasks_run_in_parallel() {
    start();
    let huey = MiniHuey::new("parallel");
    // Blocks its worker until both are there: with one worker that would never be.
    let barrier = Arc::new(Barrier::new(2));
    let meet = huey.task("meet", move || {
        barrier.wait();
        thread::current().id()
    });
    // At first each worker gets a green thread, later one that has nothing to do is woken.
    for _ in 0..100 {
        let mut both = meet.map([(), ()]);
        let threads: HashSet<ThreadId> = both.get_timeout(LIMIT).unwrap().into_iter().collect();
        assert_eq!(threads.len(), 2);
    }
}

#[test]
fn a_task_never_leaves_the_worker_that_it_began_on() {
    start();
    let huey = MiniHuey::new("faithful");
    let leaf = huey.task("leaf", || green::sleep(Duration::from_micros(50)));
    let stay = huey.task("stay", move || {
        let home = thread::current().id();
        for _ in 0..20 {
            green::sleep(Duration::from_micros(100));
            green::yield_now();
            leaf.call(()).get().unwrap();
            assert_eq!(thread::current().id(), home);
        }
        home
    });
    let threads: HashSet<_> =
        stay.map((0..200).map(|_| ())).get_timeout(LIMIT).unwrap().into_iter().collect();
    assert_eq!(threads.len(), 2, "both workers have their share");
}

#[test]
fn pool_size_holds_and_nested_waits_do_not_deadlock() {
    start();
    for pool_size in [1, 2, 3] {
        let huey = MiniHuey::builder("nested").pool_size(pool_size).build();
        let (now, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let leaf = huey.task("leaf", {
            let (now, most) = (now.clone(), most.clone());
            move |n: u64| {
                most.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                green::sleep(Duration::from_micros(200));
                now.fetch_sub(1, Ordering::SeqCst);
                n
            }
        });
        let mut task = leaf;
        for level in 1..=10 {
            let inner = task;
            task = huey
                .task(&format!("level {level}"), move |n: u64| inner.call((n,)).get().unwrap() + 1);
        }
        let sums = task.map((0..100).map(|n| (n,))).get_timeout(LIMIT).unwrap();
        assert_eq!(sums, (10..110).collect::<Vec<_>>());
        assert!(most.load(Ordering::SeqCst) <= pool_size);
    }
}

#[test]
fn many_threads_and_tasks_call_and_every_result_comes() {
    start();
    let huey = MiniHuey::new("busy");
    let leaf = huey.try_task("leaf", |n: u64| match n % 50 {
        0 => Err("a multiple of 50"),
        1 => {
            green::sleep(Duration::from_micros(n % 300));
            Ok(n)
        }
        2 => {
            green::yield_now();
            Ok(n)
        }
        _ => Ok(n),
    });
    let inner = leaf.clone();
    let branch = huey.task("branch", move |from: u64| {
        let results = inner.map((from..from + 100).map(|n| (n,)));
        results
            .into_iter()
            .filter(|_| true)
            .map(minihuey::TaskResult::get)
            .filter(Result::is_ok)
            .count()
    });
    let threads: Vec<_> = (0..4)
        .map(|thread| {
            let (leaf, branch) = (leaf.clone(), branch.clone());
            thread::spawn(move || {
                for round in 0..50 {
                    assert_eq!(branch.call((round * 100,)).get_timeout(LIMIT).unwrap(), 98);
                    let single = leaf.call((thread * 1000 + round,)).get_timeout(LIMIT);
                    assert!(matches!(single, Ok(_) | Err(TaskError::Failed(_))));
                }
            })
        })
        .collect();
    threads.into_iter().for_each(|thread| thread.join().unwrap());
    huey.join(LIMIT).unwrap();
    assert_eq!(huey.stats().enqueued, 4 * 50 * 102);
}

#[test]
fn what_is_cancelled_from_anywhere_unwinds_on_its_own_worker() {
    start();
    let huey = MiniHuey::new("cancelled");
    let unwound = Arc::new(AtomicUsize::new(0));
    struct Count(Arc<AtomicUsize>, ThreadId);
    impl Drop for Count {
        fn drop(&mut self) {
            assert_eq!(thread::current().id(), self.1);
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }
    let begun = Arc::new(AtomicUsize::new(0));
    let (its_begun, its_unwound) = (begun.clone(), unwound.clone());
    let nap = huey.task("nap", move |short: bool| {
        its_begun.fetch_add(1, Ordering::SeqCst);
        let _count = Count(its_unwound.clone(), thread::current().id());
        green::sleep(if short { Duration::from_micros(300) } else { Duration::MAX });
    });
    let canceller = nap.clone();
    let cancel = huey.task("cancel", move |round: u64| {
        let naps = canceller.map([(false,), (false,), (true,)]);
        green::sleep(Duration::from_micros(round * 7 % 400));
        let cancelled = naps.cancel();
        naps.into_iter().for_each(|nap| {
            assert!(matches!(nap.get(), Ok(()) | Err(TaskError::Cancelled)));
        });
        cancelled
    });
    let in_tasks: usize =
        cancel.map((0..200).map(|n| (n,))).get_timeout(LIMIT).unwrap().into_iter().sum();
    let naps = nap.map((0..200).map(|_| (false,)));
    let in_thread = naps.cancel();
    assert_eq!(in_thread, 200);
    huey.join(LIMIT).unwrap();
    let stats = huey.stats();
    assert_eq!(stats.cancelled, (in_tasks + in_thread) as u64);
    assert_eq!(stats.enqueued, stats.finished + stats.cancelled);
    assert_eq!(begun.load(Ordering::SeqCst), unwound.load(Ordering::SeqCst));
}

#[test]
fn locks_permits_and_words_go_from_worker_to_worker() {
    start();
    let shared = Arc::new((Mutex::new(0_u64), Condvar::new(), Semaphore::new(2)));
    let (now, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let threads: Vec<_> = (0..20)
        .map(|parity| {
            let (shared, now, most) = (shared.clone(), now.clone(), most.clone());
            green::spawn(move || {
                let (lock, condvar, semaphore) = &*shared;
                for _ in 0..100 {
                    let mut turn = lock.lock();
                    condvar.wait_while(&mut turn, |turn| *turn % 20 != parity);
                    *turn += 1;
                    condvar.notify_all();
                    drop(turn);
                    let _permit = semaphore.acquire();
                    most.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                    green::yield_now();
                    now.fetch_sub(1, Ordering::SeqCst);
                }
            })
        })
        .collect();
    for mut thread in threads {
        thread.join_timeout(LIMIT).expect("it ends in time");
    }
    assert_eq!(*shared.0.lock(), 20 * 100);
    assert!(most.load(Ordering::SeqCst) <= 2);
}

#[test]
fn messages_and_connections_go_from_worker_to_worker() {
    start();
    const EACH: u64 = 500;
    for capacity in [0, 1, 100] {
        let (sender, receiver) = bounded(capacity);
        let pool: Pool<Vec<u64>, String> = Pool::builder(|| Ok(Vec::new())).max_size(2).build();
        let threads: Vec<_> = (0..20)
            .map(|n| {
                let (sender, receiver, pool) = (sender.clone(), receiver.clone(), pool.clone());
                green::spawn(move || {
                    if n % 2 == 0 {
                        drop(receiver);
                        (0..EACH).for_each(|number| sender.send(number).unwrap());
                        return 0;
                    }
                    drop(sender);
                    receiver
                        .iter()
                        .map(|number| {
                            let mut connection = pool.get().unwrap();
                            connection.push(number);
                            green::yield_now();
                            connection.pop().unwrap()
                        })
                        .sum()
                })
            })
            .collect();
        drop((sender, receiver));
        let sum: u64 = threads
            .into_iter()
            .map(|mut thread| thread.join_timeout(LIMIT).expect("it ends in time"))
            .sum();
        assert_eq!(sum, 10 * EACH * (EACH - 1) / 2);
        assert!(pool.state().connections <= 2);
    }
}
