//! Locks, condition variables, semaphores and barriers, between threads of both kinds.

use std::cell::Cell;
use std::collections::VecDeque;
use std::os::unix::process::ExitStatusExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use minihuey::sync::{Barrier, Condvar, Mutex, MutexGuard, RwLock, RwLockWriteGuard, Semaphore};
use minihuey::{MiniHuey, green};

use crate::support::{Gauge, Kind, LIMIT, Random, Unwinding, next, pairs, until};

/// Longer than any test lasts.
const LONG: Duration = Duration::from_secs(600);

const SHORT: Duration = Duration::from_millis(5);

#[test]
fn a_lock_is_one_thread_s_at_a_moment_whatever_kinds_fight_for_it() {
    let mut random = Random::new("mutex");
    let lock = Arc::new(Mutex::new((0_u64, Gauge::default())));
    let threads: Vec<_> = (0..12)
        .map(|n| {
            let (lock, mut random) = (lock.clone(), random.fork());
            let kind = if n % 3 == 0 { Kind::Os } else { Kind::Green };
            kind.run(move || {
                let mut locked = 0;
                for _ in 0..300 {
                    let guard = match random.below(4) {
                        0 => lock.try_lock(),
                        1 => lock.try_lock_for(random.micros(200)),
                        2 => lock.try_lock_until(Instant::now() + random.micros(50)),
                        _ => Some(lock.lock()),
                    };
                    let Some(mut guard) = guard else { continue };
                    locked += 1;
                    let gauge = guard.1.clone();
                    gauge.inside(|| {
                        let before = guard.0;
                        match random.below(10) {
                            0 => green::sleep(random.micros(100)),
                            1 | 2 => green::yield_now(),
                            _ => {}
                        }
                        guard.0 = before + 1;
                    });
                    match random.below(10) {
                        0 => MutexGuard::bump(&mut guard),
                        1 => MutexGuard::unlocked(&mut guard, green::yield_now),
                        _ => {}
                    }
                }
                locked
            })
        })
        .collect();
    let locked: u64 = threads.into_iter().map(|thread| thread.end()).sum();
    let guard = lock.try_lock().expect("nobody has it");
    assert_eq!((guard.0, guard.1.most()), (locked, 1));
}

#[test]
fn a_green_thread_that_waits_for_a_lock_lets_others_run() {
    let lock = Arc::new(Mutex::new(0));
    let guard = lock.lock();
    let waiting: Vec<_> = (0..10)
        .map(|_| {
            let lock = lock.clone();
            Kind::Green.run(move || *lock.lock() += 1)
        })
        .collect();
    for _ in 0..3 {
        Kind::Green.run(|| green::sleep(Duration::from_micros(100))).end();
    }
    assert!(waiting.iter().all(|thread| !thread.has_ended()));
    drop(guard);
    waiting.into_iter().for_each(|thread| thread.end());
    assert_eq!(*lock.lock(), 10);
}

#[test]
fn a_green_thread_that_unlocks_and_locks_again_keeps_nobody_out() {
    let lock = Arc::new(Mutex::new(()));
    let done = Arc::new(AtomicBool::new(false));
    let greedy = Kind::Green.run({
        let (lock, done) = (lock.clone(), done.clone());
        move || {
            while !done.load(Ordering::Relaxed) {
                let _guard = lock.lock();
                green::sleep(Duration::from_micros(50));
            }
        }
    });
    for kind in Kind::BOTH {
        let lock = lock.clone();
        kind.run(move || (0..20).for_each(|_| drop(lock.lock()))).end();
    }
    done.store(true, Ordering::Relaxed);
    greedy.end();
}

#[test]
fn a_lock_goes_to_those_who_wait_in_the_order_in_which_they_came() {
    let lock = Arc::new(Mutex::new(Vec::new()));
    let guard = lock.lock();
    // On one worker each runs, and waits, before the next one begins.
    let threads: Vec<_> = (0..20)
        .map(|n| {
            let lock = lock.clone();
            let (sender, began) = mpsc::channel();
            let thread = Kind::Green.run(move || {
                sender.send(()).unwrap();
                lock.lock().push(n);
            });
            next(&began);
            thread
        })
        .collect();
    Kind::Green.run(|| ()).end();
    drop(guard);
    threads.into_iter().for_each(|thread| thread.end());
    assert_eq!(*lock.lock(), (0..20).collect::<Vec<_>>());
}

#[test]
fn a_lock_that_is_not_to_be_had_in_time_is_had_later() {
    let lock = Arc::new(Mutex::new(0));
    for kind in Kind::BOTH {
        let guard = lock.lock();
        let its = lock.clone();
        kind.run(move || {
            let start = Instant::now();
            assert!(its.try_lock().is_none() && its.is_locked());
            assert!(its.try_lock_for(SHORT).is_none());
            assert!(its.try_lock_until(start + 2 * SHORT).is_none());
            assert!(start.elapsed() >= 2 * SHORT);
        })
        .end();
        let its = lock.clone();
        let waits = kind.run(move || its.try_lock_for(LONG).map(|mut guard| *guard += 1));
        drop(guard);
        assert_eq!(waits.end(), Some(()));
        assert!(!lock.is_locked());
    }
    assert_eq!(*lock.lock(), 2);
}

#[test]
fn a_time_out_that_is_too_long_to_be_told_never_ends() {
    let lock = Mutex::new(());
    assert!(lock.try_lock_for(Duration::MAX).is_some());
    assert!(Semaphore::new(1).try_acquire_for(Duration::MAX).is_some());
}

#[test]
fn a_panic_leaves_a_lock_free_and_what_it_protects_as_it_was() {
    let lock = Arc::new(Mutex::new(0));
    let its = lock.clone();
    let fails = green::spawn(move || {
        *its.lock() = 1;
        let _guard = its.lock();
        panic!("with the lock");
    });
    fails.join().unwrap_err();
    assert_eq!(*lock.lock(), 1);
}

/// Runs `f` when it is dropped.
struct OnDrop<F: FnMut()>(F);

impl<F: FnMut()> Drop for OnDrop<F> {
    fn drop(&mut self) {
        (self.0)();
    }
}

#[test]
fn a_destructor_in_a_panic_gives_up_soon_where_it_may_and_the_worker_goes_on() {
    let lock = Arc::new(Mutex::new(()));
    let (held, gate) = (Arc::new(Semaphore::new(0)), Arc::new(Semaphore::new(0)));
    let holder = Kind::Green.run({
        let (lock, held, gate) = (lock.clone(), held.clone(), gate.clone());
        move || {
            let _guard = lock.lock();
            held.add_permits(1);
            gate.acquire().forget();
        }
    });
    held.acquire().forget();
    let fails = green::spawn(move || {
        let _drops = OnDrop(|| {
            assert!(lock.try_lock_for(LONG).is_none());
            let condvar = Condvar::new();
            condvar.wait(&mut Mutex::new(()).lock());
            assert!(Semaphore::new(0).try_acquire_for(LONG).is_none());
            Barrier::new(2).wait();
        });
        panic!("on purpose");
    });
    fails.join().unwrap_err();
    gate.add_permits(1);
    holder.end();
    // Nobody is left believing that a panic unwinds.
    assert!(!Kind::Green.run(std::thread::panicking).end());
}

#[test]
fn a_destructor_in_a_panic_does_not_hold_its_worker_while_something_is_so() {
    const TIME: Duration = Duration::from_secs(10);
    let (sender, took) = mpsc::channel();
    let fails = green::spawn(move || {
        let _drops = OnDrop(|| {
            let start = Instant::now();
            let lock = Mutex::new(());
            let waited = Condvar::new().wait_while_for(&mut lock.lock(), |()| true, TIME);
            sender.send((waited.timed_out(), start.elapsed())).unwrap();
        });
        panic!("on purpose");
    });
    let (timed_out, took) = next(&took);
    assert!(timed_out && took < TIME, "{took:?}");
    fails.join().unwrap_err();
}

#[test]
fn a_destructor_in_a_panic_gets_a_lock_that_an_os_thread_lets_go_of() {
    let lock = Arc::new(Mutex::new(0));
    let guard = lock.lock();
    let (sender, unwinds) = mpsc::channel();
    let its = lock.clone();
    let fails = green::spawn(move || {
        let _drops = OnDrop(|| {
            sender.send(()).unwrap();
            *its.lock() = 1;
        });
        panic!("on purpose");
    });
    next(&unwinds);
    // Longer than one such wait holds the worker.
    std::thread::sleep(Duration::from_millis(30));
    drop(guard);
    fails.join().unwrap_err();
    assert_eq!(*lock.lock(), 1);
}

/// Never ends: for a process of its own, which it ends.
fn wait_in_a_destructor_for_what_the_own_worker_holds() {
    let lock = Arc::new(Mutex::new(()));
    let held = Arc::new(Semaphore::new(0));
    let (its, holds) = (lock.clone(), held.clone());
    let _holder = Kind::Green.run(move || {
        let _guard = its.lock();
        holds.add_permits(1);
        Semaphore::new(0).acquire().forget();
    });
    held.acquire().forget();
    let huey = MiniHuey::new("destructors");
    let fails = huey.task("careless", move || {
        let _drops = OnDrop(|| drop(lock.lock()));
        panic!("on purpose");
    });
    let _ = fails.call(()).get();
}

#[test]
fn a_lock_that_can_t_come_in_a_destructor_ends_the_process_and_the_task_is_named() {
    const CHILD: &str = "MINIHUEY_WAITS_IN_A_DESTRUCTOR";
    if std::env::var_os(CHILD).is_some() {
        return wait_in_a_destructor_for_what_the_own_worker_holds();
    }
    let test = "a_lock_that_can_t_come_in_a_destructor_ends_the_process_and_the_task_is_named";
    let run = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", &format!("sync::{test}"), "--nocapture"])
        .env(CHILD, "1")
        .output()
        .unwrap();
    let told = String::from_utf8_lossy(&run.stderr);
    assert_eq!(run.status.signal(), Some(libc::SIGABRT), "{told}");
    assert!(told.contains("minihuey: careless #") && told.contains("use try_lock"), "{told}");
}

#[test]
fn guards_outlive_borrows_and_go_to_other_threads() {
    let lock = Arc::new(Mutex::new((1, 2)));
    let mut guard = lock.lock_arc();
    guard.0 = 10;
    Kind::Green
        .run(move || {
            guard.1 = 20;
        })
        .end();
    let second = MutexGuard::map(lock.lock(), |pair| &mut pair.1);
    assert_eq!(*second, 20);
    drop(second);
    assert_eq!(*lock.lock(), (10, 20));
}

#[test]
fn readers_read_together_and_writers_write_alone() {
    let mut random = Random::new("rwlock");
    let lock = Arc::new(RwLock::new((0_u64, 0_u64)));
    let (readers, writers) = (Gauge::default(), Gauge::default());
    let threads: Vec<_> = (0..12)
        .map(|n| {
            let (lock, mut random) = (lock.clone(), random.fork());
            let (readers, writers) = (readers.clone(), writers.clone());
            let kind = if n % 3 == 0 { Kind::Os } else { Kind::Green };
            kind.run(move || {
                let mut written = 0;
                for _ in 0..200 {
                    let pause = random.micros(60);
                    if random.below(4) > 0 {
                        let guard = match random.below(3) {
                            0 => lock.try_read(),
                            1 => lock.try_read_for(random.micros(100)),
                            _ => Some(lock.read()),
                        };
                        let Some(guard) = guard else { continue };
                        readers.inside(|| {
                            green::sleep(pause);
                            assert_eq!(guard.0, guard.1);
                        });
                        continue;
                    }
                    let guard = match random.below(3) {
                        0 => lock.try_write(),
                        1 => lock.try_write_for(random.micros(100)),
                        _ => Some(lock.write()),
                    };
                    let Some(mut guard) = guard else { continue };
                    written += 1;
                    writers.inside(|| {
                        guard.0 += 1;
                        green::sleep(pause);
                        guard.1 += 1;
                    });
                    let seen = guard.0;
                    if random.below(2) == 0 {
                        let guard = RwLockWriteGuard::downgrade(guard);
                        green::yield_now();
                        assert_eq!(guard.0, seen);
                    }
                }
                written
            })
        })
        .collect();
    let written: u64 = threads.into_iter().map(|thread| thread.end()).sum();
    assert_eq!(*lock.try_write().expect("nobody has it"), (written, written));
    assert_eq!(writers.most(), 1);
    assert!(readers.most() > 1, "some read together");
}

#[test]
fn readers_that_never_let_go_together_keep_no_writer_out() {
    let lock = Arc::new(RwLock::new(0));
    let done = Arc::new(AtomicBool::new(false));
    let readers: Vec<_> = (0..4)
        .map(|_| {
            let (lock, done) = (lock.clone(), done.clone());
            Kind::Green.run(move || {
                while !done.load(Ordering::Relaxed) {
                    let _guard = lock.read();
                    green::sleep(Duration::from_micros(300));
                }
            })
        })
        .collect();
    for kind in Kind::BOTH {
        let lock = lock.clone();
        kind.run(move || *lock.write() += 1).end();
    }
    done.store(true, Ordering::Relaxed);
    readers.into_iter().for_each(|reader| reader.end());
    assert_eq!(*lock.read(), 2);
}

#[test]
fn a_writer_who_gives_up_lets_the_readers_behind_it_in() {
    let lock = Arc::new(RwLock::new(()));
    let reader = lock.read();
    let its = lock.clone();
    let writer = Kind::Green.run(move || its.try_write_for(Duration::from_millis(50)).is_none());
    // A reader that comes later is refused as soon as the writer waits.
    until("the writer waits", || lock.try_read().is_none() || writer.has_ended());
    let its = lock.clone();
    Kind::Os.run(move || drop(its.read())).end();
    drop(reader);
    assert!(!lock.is_locked());
}

#[test]
fn whoever_is_notified_goes_on_with_the_lock() {
    for (one, other) in pairs() {
        let shared = Arc::new((Mutex::new(0), Condvar::new()));
        let rally = |parity: u32| {
            let shared = shared.clone();
            move || {
                let (lock, condvar) = &*shared;
                for _ in 0..200 {
                    let mut ball = lock.lock();
                    condvar.wait_while(&mut ball, |ball| *ball % 2 != parity);
                    *ball += 1;
                    condvar.notify_one();
                }
            }
        };
        let players = [one.run(rally(0)), other.run(rally(1))];
        players.into_iter().for_each(|player| player.end());
        assert_eq!(*shared.0.lock(), 400);
    }
}

#[test]
fn notify_one_wakes_one_and_notify_all_wakes_all() {
    let shared = Arc::new((Mutex::new(0), Condvar::new(), AtomicUsize::new(0)));
    let threads: Vec<_> = (0..6)
        .map(|n| {
            let shared = shared.clone();
            Kind::BOTH[n % 2].run(move || {
                let (lock, condvar, woken) = &*shared;
                let mut there = lock.lock();
                *there += 1;
                condvar.wait(&mut there);
                woken.fetch_add(1, Ordering::SeqCst);
            })
        })
        .collect();
    let (lock, condvar, woken) = &*shared;
    until("all wait", || *lock.lock() == 6);
    assert!(condvar.notify_one());
    until("one is woken", || woken.load(Ordering::SeqCst) == 1);
    assert_eq!(condvar.notify_all(), 5);
    threads.into_iter().for_each(|thread| thread.end());
    assert!(!condvar.notify_one());
    assert_eq!(condvar.notify_all(), 0);
}

#[test]
fn a_wait_for_word_ends_when_its_time_is_over() {
    for kind in Kind::BOTH {
        kind.run(|| {
            let (lock, condvar) = (Mutex::new(()), Condvar::new());
            let mut guard = lock.lock();
            let start = Instant::now();
            assert!(condvar.wait_for(&mut guard, SHORT).timed_out());
            assert!(condvar.wait_until(&mut guard, start + 2 * SHORT).timed_out());
            assert!(condvar.wait_while_for(&mut guard, |()| true, SHORT).timed_out());
            assert!(start.elapsed() >= 3 * SHORT);
            assert!(!condvar.wait_while_for(&mut guard, |()| false, LONG).timed_out());
            assert!(lock.is_locked());
        })
        .end();
    }
}

#[test]
fn no_word_is_lost_when_waits_time_out_meanwhile() {
    const ITEMS: u64 = 2_000;
    let mut random = Random::new("condvar");
    let shared = Arc::new((Mutex::new((VecDeque::new(), false)), Condvar::new()));
    let consumers: Vec<_> = (0..6)
        .map(|n| {
            let (shared, mut random) = (shared.clone(), random.fork());
            Kind::BOTH[n % 2].run(move || {
                let (lock, condvar) = &*shared;
                let mut sum = 0;
                loop {
                    let mut state = lock.lock();
                    while state.0.is_empty() && !state.1 {
                        // Half of them wait for good: a word that went to one who gave up at
                        // that moment must reach another.
                        if n < 3 {
                            condvar.wait_for(&mut state, random.micros(100));
                        } else {
                            condvar.wait(&mut state);
                        }
                    }
                    match state.0.pop_front() {
                        Some(number) => sum += number,
                        None => return sum,
                    }
                }
            })
        })
        .collect();
    let (lock, condvar) = &*shared;
    let mut random = random.fork();
    for number in 0..ITEMS {
        lock.lock().0.push_back(number);
        condvar.notify_one();
        if random.below(20) == 0 {
            std::thread::sleep(random.micros(200));
        }
    }
    until("all is taken without another word", || lock.lock().0.is_empty());
    lock.lock().1 = true;
    condvar.notify_all();
    let sum: u64 = consumers.into_iter().map(|consumer| consumer.end()).sum();
    assert_eq!(sum, ITEMS * (ITEMS - 1) / 2);
}

#[test]
fn no_more_have_permits_than_there_are() {
    let mut random = Random::new("semaphore");
    let (semaphore, gauge) = (Arc::new(Semaphore::new(3)), Gauge::default());
    let threads: Vec<_> = (0..12)
        .map(|n| {
            let (semaphore, gauge) = (semaphore.clone(), gauge.clone());
            let mut random = random.fork();
            let kind = if n % 3 == 0 { Kind::Os } else { Kind::Green };
            kind.run(move || {
                for _ in 0..200 {
                    let count = random.below(4);
                    let permit = match (random.below(4), count) {
                        (0, _) => semaphore.try_acquire_many(count as usize),
                        (1, 1) => semaphore.try_acquire_for(random.micros(200)),
                        (2, 1) => semaphore.try_acquire_until(Instant::now() + SHORT),
                        _ => Some(semaphore.acquire_many(count as usize)),
                    };
                    let Some(_permit) = permit else { continue };
                    (0..count).for_each(|_| gauge.enter());
                    green::sleep(random.micros(50));
                    (0..count).for_each(|_| gauge.leave());
                }
            })
        })
        .collect();
    threads.into_iter().for_each(|thread| thread.end());
    assert_eq!(semaphore.available_permits(), 3);
    assert!(gauge.most() <= 3);
}

#[test]
fn who_asks_for_many_permits_is_not_overtaken_but_may_give_up() {
    let semaphore = Arc::new(Semaphore::new(2));
    let its = semaphore.clone();
    let large = Kind::Green.run(move || drop(its.acquire_many(3)));
    until("it waits", || semaphore.try_acquire().is_none());
    assert_eq!(semaphore.available_permits(), 2);
    semaphore.add_permits(1);
    large.end();
    assert_eq!(semaphore.available_permits(), 3);
    semaphore.acquire_many(3).forget();
    assert_eq!(semaphore.available_permits(), 0);
    for kind in Kind::BOTH {
        let its = semaphore.clone();
        kind.run(move || assert!(its.try_acquire_for(SHORT).is_none())).end();
    }
    semaphore.add_permits(usize::MAX);
    semaphore.add_permits(usize::MAX);
    assert_eq!(semaphore.available_permits(), Semaphore::MAX_PERMITS);
    assert_eq!(Semaphore::new(usize::MAX).available_permits(), Semaphore::MAX_PERMITS);
    assert!(semaphore.try_acquire_many(usize::MAX).is_none());
}

#[test]
fn nobody_passes_a_barrier_before_all_are_there() {
    const THREADS: usize = 8;
    const ROUNDS: usize = 50;
    let shared = Arc::new((Barrier::new(THREADS), AtomicUsize::new(0), AtomicUsize::new(0)));
    let threads: Vec<_> = (0..THREADS)
        .map(|n| {
            let shared = shared.clone();
            Kind::BOTH[n % 2].run(move || {
                let (barrier, there, leaders) = &*shared;
                for round in 1..=ROUNDS {
                    there.fetch_add(1, Ordering::SeqCst);
                    if barrier.wait().is_leader() {
                        leaders.fetch_add(1, Ordering::SeqCst);
                    }
                    assert!(there.load(Ordering::SeqCst) >= round * THREADS);
                }
            })
        })
        .collect();
    threads.into_iter().for_each(|thread| thread.end());
    assert_eq!(shared.2.load(Ordering::SeqCst), ROUNDS);
    assert!(Barrier::new(0).wait().is_leader());
    assert!(Barrier::new(1).wait().is_leader());
}

#[test]
fn a_wait_that_unwinds_leaves_nothing_behind() {
    let semaphore = Arc::new(Semaphore::new(1));
    let its = semaphore.clone();
    let large = Unwinding::start(move || drop(its.acquire_many(2)));
    assert!(semaphore.try_acquire().is_none(), "it waits");
    let its = semaphore.clone();
    let small = Kind::Os.run(move || drop(its.acquire()));
    large.unwind();
    small.end();
    assert_eq!(semaphore.available_permits(), 1);

    let barrier = Arc::new(Barrier::new(2));
    let its = barrier.clone();
    let early = Unwinding::start(move || assert!(its.wait().is_leader()));
    early.unwind();
    // It has not been there.
    let both = Kind::BOTH.map(|kind| {
        let barrier = barrier.clone();
        kind.run(move || barrier.wait().is_leader())
    });
    let leaders = both.map(|thread| thread.end());
    assert_ne!(leaders[0], leaders[1]);
}

#[test]
fn a_wait_for_word_that_unwinds_holds_its_lock_and_passes_the_word_on() {
    let shared = Arc::new((Mutex::new(0), Condvar::new()));
    // Whether the lock was held where it unwound.
    let (sender, locked) = mpsc::channel();
    let waits = |sender: mpsc::Sender<bool>| {
        let shared = shared.clone();
        move || {
            let (lock, condvar) = &*shared;
            let mut there = lock.lock();
            *there += 1;
            let _drops = OnDrop(|| sender.send(lock.is_locked()).unwrap());
            condvar.wait(&mut there);
        }
    };
    let unwinds = Unwinding::start(waits(sender.clone()));
    let other = Kind::Os.run(waits(sender));
    until("both wait", || *shared.0.lock() == 2);
    // It is the first, and the notification is its, but before it runs on it is to unwind.
    let its = shared.clone();
    let both = Kind::Green.run(move || {
        assert!(its.1.notify_one());
        unwinds.begin();
        unwinds
    });
    both.end().end();
    other.end();
    assert!(next(&locked));
    assert!(next(&locked));
    assert!(!shared.0.is_locked());
}

#[test]
fn a_thread_that_ends_wakes_whoever_waits_for_its_lock() {
    // A guard in a thread-local is dropped when its thread ends.
    thread_local!(static KEPT: Cell<Option<minihuey::sync::ArcMutexGuard<()>>> = const { Cell::new(None) });
    let lock = Arc::new(Mutex::new(()));
    let its = lock.clone();
    Kind::Os.run(move || KEPT.set(Some(its.lock_arc()))).end();
    assert!(lock.try_lock_for(LIMIT).is_some());
}
