//! The pool of connections, used by threads of both kinds.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use minihuey::green;
use minihuey::sync::{Barrier, Pool, PoolError, Pooled};

use crate::support::{Census, Counted, Gauge, Kind, LIMIT, Random, until};

const SHORT: Duration = Duration::from_millis(5);

type Connections = Pool<Counted, String>;

/// Numbers its connections from 0.
fn numbered(census: &Census) -> impl Fn() -> Result<Counted, String> + Send + Sync + use<> {
    let (census, next) = (census.clone(), AtomicU64::new(0));
    move || Ok(census.make(next.fetch_add(1, Ordering::SeqCst)))
}

#[test]
fn there_are_never_more_connections_than_may_be_and_each_is_one_s_at_a_moment() {
    let mut random = Random::new("connections");
    let (census, most_alive) = (Census::default(), Arc::new(AtomicUsize::new(0)));
    let (lent, broken) = (Gauge::default(), Arc::new(AtomicUsize::new(0)));
    let pool = Pool::builder({
        let (connect, random) = (numbered(&census), std::sync::Mutex::new(random.fork()));
        let (census, most) = (census.clone(), most_alive.clone());
        move || {
            let pause = random.lock().unwrap().micros(100);
            green::sleep(pause);
            let connection = connect()?;
            most.fetch_max(census.alive(), Ordering::SeqCst);
            if connection.1 % 10 == 3 {
                Err("the server is busy".to_owned())
            } else {
                Ok(connection)
            }
        }
    })
    .max_size(3)
    .max_idle(2)
    .is_valid({
        let broken = broken.clone();
        move |_| broken.load(Ordering::SeqCst) % 7 != 3
    })
    .build();
    let threads: Vec<_> = (0..12)
        .map(|n| {
            let (pool, lent, broken) = (pool.clone(), lent.clone(), broken.clone());
            let mut random = random.fork();
            let kind = if n % 3 == 0 { Kind::Os } else { Kind::Green };
            kind.run(move || {
                for _ in 0..100 {
                    let connection = match random.below(4) {
                        0 => pool.try_get(),
                        1 => pool.get_timeout(random.micros(200)).map(Some),
                        _ => pool.get().map(Some),
                    };
                    let connection = match connection {
                        Ok(Some(connection)) => connection,
                        Ok(None) | Err(PoolError::TimedOut) => continue,
                        Err(error) => {
                            assert_eq!(error, PoolError::Connect("the server is busy".to_owned()));
                            continue;
                        }
                    };
                    broken.fetch_add(1, Ordering::SeqCst);
                    lent.inside(|| green::sleep(random.micros(50)));
                    match random.below(10) {
                        0 => Pooled::discard(connection),
                        1 => drop(Pooled::detach(connection)),
                        2 => {
                            let panics = AssertUnwindSafe(move || {
                                let _connection = connection;
                                std::panic::resume_unwind(Box::new("in the middle of an answer"));
                            });
                            catch_unwind(panics).unwrap_err();
                        }
                        _ => drop(connection),
                    }
                }
            })
        })
        .collect();
    threads.into_iter().for_each(|thread| thread.end());
    assert!(lent.most() <= 3);
    // One that is detached is the thread's own until it is dropped.
    assert!(most_alive.load(Ordering::SeqCst) <= 3 + 12);
    let state = pool.state();
    assert_eq!(state.connections, state.idle, "all came back");
    assert!(state.idle <= 2);
    assert_eq!(census.alive(), state.idle);
    drop(pool);
    assert_eq!(census.alive(), 0);
}

#[test]
fn who_waits_gets_the_connection_that_comes_back() {
    let census = Census::default();
    let pool: Connections = Pool::builder(numbered(&census)).max_size(1).build();
    for kind in Kind::BOTH {
        let mine = pool.get().unwrap();
        assert!(pool.try_get().unwrap().is_none());
        let its = pool.clone();
        kind.run(move || {
            let start = Instant::now();
            assert_eq!(its.get_timeout(SHORT).unwrap_err(), PoolError::TimedOut);
            assert!(start.elapsed() >= SHORT);
        })
        .end();
        let its = pool.clone();
        let waits = kind.run(move || its.get_timeout(LIMIT).unwrap().1);
        // Others run while a green thread waits.
        Kind::Green.run(|| green::sleep(SHORT)).end();
        assert!(!waits.has_ended());
        drop(mine);
        assert_eq!(waits.end(), 0, "the one that there is");
    }
    assert_eq!(census.alive(), 1);
}

#[test]
fn an_error_comes_back_as_it_was_and_a_panic_goes_on_and_both_leave_the_pool_whole() {
    let fate = Arc::new(AtomicUsize::new(0));
    let its = fate.clone();
    let pool: Pool<u8, std::num::ParseIntError> =
        Pool::builder(move || match its.fetch_add(1, Ordering::SeqCst) {
            0 => "many".parse(),
            1 => panic!("in connect"),
            _ => Ok(7),
        })
        .max_size(1)
        .is_valid(|_| panic!("in the check"))
        .has_broken(|number| if *number == 9 { panic!("in the test") } else { false })
        .build();
    let expected = PoolError::Connect("many".parse::<u8>().unwrap_err());
    assert_eq!(pool.get().unwrap_err(), expected);
    assert_eq!(expected.to_string(), "can't connect: invalid digit found in string");
    catch_unwind(AssertUnwindSafe(|| drop(pool.get()))).unwrap_err();
    drop(pool.get_timeout(LIMIT).unwrap());
    assert_eq!(pool.state().idle, 1);
    catch_unwind(AssertUnwindSafe(|| drop(pool.get()))).unwrap_err();
    assert_eq!(pool.state().connections, 0);
    let mut connection = pool.get_timeout(LIMIT).unwrap();
    *connection = 9;
    catch_unwind(AssertUnwindSafe(|| drop(connection))).unwrap_err();
    assert_eq!(*pool.get_timeout(LIMIT).unwrap(), 7);
}

#[test]
fn one_that_is_not_valid_any_more_is_replaced() {
    let census = Census::default();
    let pool: Connections = Pool::builder(numbered(&census))
        .is_valid(|connection| connection.1 >= 2)
        .has_broken(|connection| connection.1 == 4)
        .build();
    drop([pool.get().unwrap(), pool.get().unwrap(), pool.get().unwrap()]);
    assert_eq!(pool.state().idle, 3);
    assert_eq!(pool.get().unwrap().1, 2, "the last that came back");
    let two = pool.get().unwrap();
    assert_eq!(pool.get().unwrap().1, 3, "0 and 1 are not valid: a new one");
    assert_eq!(census.alive(), 2);
    let three = pool.get().unwrap();
    assert_eq!(pool.get().unwrap().1, 4);
    assert_eq!(census.alive(), 2, "4 was broken when it came back");
    drop((two, three));
    assert_eq!(pool.state().idle, 2);
}

#[test]
fn one_that_was_idle_for_too_long_is_not_lent() {
    let census = Census::default();
    let pool: Connections = Pool::builder(numbered(&census)).idle_timeout(SHORT).build();
    drop(pool.get().unwrap());
    until("it is too old", || {
        std::thread::sleep(2 * SHORT);
        pool.get().unwrap().1 > 0
    });
    assert!(census.alive() <= 1);
    let fresh: Connections = Pool::builder(numbered(&census)).idle_timeout(Duration::MAX).build();
    drop(fresh.get().unwrap());
    assert_eq!(fresh.get().unwrap().1, 0);
}

#[test]
fn no_more_than_max_idle_are_kept() {
    let census = Census::default();
    let pool: Connections = Pool::builder(numbered(&census)).max_size(5).max_idle(2).build();
    let lent: Vec<_> = (0..5).map(|_| pool.get().unwrap()).collect();
    assert_eq!((pool.state().connections, pool.state().idle), (5, 0));
    drop(lent);
    assert_eq!((pool.state().connections, pool.state().idle), (2, 2));
    assert_eq!(census.alive(), 2);
    let none: Connections = Pool::builder(numbered(&census)).max_idle(0).build();
    drop(none.get().unwrap());
    assert_eq!(none.state().connections, 0);
}

#[test]
fn one_that_was_taken_out_or_discarded_makes_room_for_another() {
    let census = Census::default();
    let pool: Connections = Pool::builder(numbered(&census)).max_size(1).build();
    let mine = Pooled::detach(pool.get().unwrap());
    assert_eq!(pool.state().connections, 0);
    let next = pool.try_get().unwrap().expect("there is room");
    assert_eq!((mine.1, next.1), (0, 1));
    Pooled::discard(next);
    assert_eq!(pool.try_get().unwrap().unwrap().1, 2);
    assert_eq!(census.alive(), 2, "mine, and an idle one");
}

#[test]
fn one_that_comes_back_while_a_panic_unwinds_is_not_kept() {
    let census = Census::default();
    let pool: Connections = Pool::builder(numbered(&census)).build();
    for kind in Kind::BOTH {
        let pool = pool.clone();
        let fails = move || {
            let _connection = pool.get().unwrap();
            std::panic::resume_unwind(Box::new("in the middle of an answer"));
        };
        match kind {
            Kind::Os => drop(std::thread::spawn(fails).join().unwrap_err()),
            Kind::Green => drop(green::spawn(fails).join().unwrap_err()),
        }
    }
    assert_eq!((pool.state().connections, census.alive()), (0, 0));
    assert_eq!(pool.get().unwrap().1, 2);
}

#[test]
fn connecting_checking_and_closing_hold_nobody_else() {
    /// Uses its pool when it is closed.
    struct Nosy(Option<Pool<Nosy, ()>>);
    impl Drop for Nosy {
        fn drop(&mut self) {
            if let Some(pool) = &self.0 {
                assert!(pool.state().connections <= 2);
            }
        }
    }
    // Each connects only once the other does, too.
    let both = Arc::new(Barrier::new(2));
    let checks = Arc::new(AtomicBool::new(false));
    let (meet, checked) = (both.clone(), checks.clone());
    let pool = Pool::builder(move || {
        meet.wait();
        Ok(Nosy(None))
    })
    .max_size(2)
    .is_valid(move |_| {
        checked.store(true, Ordering::SeqCst);
        both.wait();
        false
    })
    .build();
    for _ in 0..2 {
        let threads = Kind::BOTH.map(|kind| {
            let pool = pool.clone();
            kind.run(move || pool.get().unwrap().0 = Some(pool.clone()))
        });
        threads.into_iter().for_each(|thread| thread.end());
    }
    assert!(checks.load(Ordering::SeqCst));
}

#[test]
fn a_pool_for_no_connections_says_what_is_wrong() {
    let pool: Pool<u8, String> = Pool::builder(|| Ok(1)).max_size(0).build();
    for error in [pool.get().unwrap_err(), pool.try_get().unwrap_err()] {
        assert!(error.to_string().contains("max_size is 0"), "{error}");
        assert!(error.to_string().contains("expected at least 1"), "{error}");
    }
    let large: Pool<u8, String> = Pool::builder(|| Ok(1)).max_size(usize::MAX).build();
    assert_eq!(*large.get().unwrap(), 1);
    let state = large.state();
    assert_eq!((state.connections, state.idle), (1, 1));
}

#[test]
fn a_destructor_in_a_panic_is_told_that_it_can_t_wait_for_a_connection() {
    struct Waits(Pool<u8, String>, std::sync::mpsc::Sender<bool>);
    impl Drop for Waits {
        fn drop(&mut self) {
            let told = matches!(self.0.get(), Err(PoolError::WaitImpossible));
            self.1.send(told).unwrap();
        }
    }
    let pool: Pool<u8, String> = Pool::builder(|| Ok(1)).max_size(1).build();
    let _mine = pool.get().unwrap();
    let (sender, told) = std::sync::mpsc::channel();
    let its = pool.clone();
    let fails = green::spawn(move || {
        let _waits = Waits(its, sender);
        panic!("on purpose");
    });
    fails.join().unwrap_err();
    assert!(crate::support::next(&told));
}

/// Says, when it is closed, whether another one may be made.
struct Farewell {
    pool: Arc<std::sync::OnceLock<Pool<Farewell>>>,
    makes_room: Arc<AtomicBool>,
}

impl Drop for Farewell {
    fn drop(&mut self) {
        let Some(pool) = self.pool.get() else { return };
        if let Ok(Some(another)) = pool.try_get() {
            self.makes_room.store(true, Ordering::SeqCst);
            std::mem::forget(another);
        }
    }
}

#[test]
fn one_that_is_discarded_is_closed_before_another_is_made() {
    let known: Arc<std::sync::OnceLock<Pool<Farewell>>> = Arc::default();
    let makes_room = Arc::new(AtomicBool::new(false));
    let (pool, room) = (known.clone(), makes_room.clone());
    let connect = move || Ok(Farewell { pool: pool.clone(), makes_room: room.clone() });
    let pool = Pool::builder(connect).max_size(1).build();
    known.set(pool.clone()).ok().unwrap();
    Pooled::discard(pool.get().unwrap());
    assert!(!makes_room.load(Ordering::SeqCst));
    assert!(pool.try_get().unwrap().is_some());
}
