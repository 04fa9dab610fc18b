//! Code of the program's own that the library runs: `Display`, destructors, loggers. And the
//! library's own, where the program calls it from such code.

use std::cell::RefCell;
use std::fmt;
use std::hint::black_box;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread;
use std::time::Duration;

use minihuey::{ManualClock, MiniHuey, Overlap, Period, Task, TaskError, crontab, green};

use crate::child;
use crate::support::{LIMIT, endless, until, utc, within_limit};

const MINUTE: Duration = Duration::from_secs(60);

/// A logger that is a function.
struct Logger(fn(&log::Record));

impl log::Log for Logger {
    fn enabled(&self, _: &log::Metadata) -> bool {
        true
    }

    fn log(&self, record: &log::Record) {
        (self.0)(record);
    }

    fn flush(&self) {}
}

#[test]
fn a_display_that_panics_leaves_the_runner_whole() {
    #[derive(Debug)]
    struct Mute;
    impl fmt::Display for Mute {
        fn fmt(&self, _: &mut fmt::Formatter) -> fmt::Result {
            panic!("Display panics")
        }
    }

    child::run("foreign_code::a_display_that_panics_leaves_the_runner_whole", || {
        log::set_logger(&Logger(|record| drop(record.args().to_string()))).unwrap();
        log::set_max_level(log::LevelFilter::Error);
        let huey = MiniHuey::builder("mute").pool_size(1).build();
        let bad = huey.try_task("bad", || Err::<(), _>(Mute));
        let good = huey.task("good", || 1);
        for _ in 0..5 {
            let error = bad.call(()).get_timeout(LIMIT).unwrap_err();
            assert!(!matches!(error, TaskError::WaitTimedOut));
            assert_eq!(good.call(()).get_timeout(LIMIT).unwrap(), 1);
        }
    });
}

#[derive(Debug)]
enum Unruly {
    Panics,
    Sleeps,
}

impl fmt::Display for Unruly {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("unruly")
    }
}

impl Drop for Unruly {
    fn drop(&mut self) {
        match self {
            Unruly::Panics => panic!("Drop panics"),
            Unruly::Sleeps => green::sleep(Duration::from_millis(50)),
        }
    }
}

/// A periodic task fails each minute with what `error` makes; it goes on doing so.
fn assert_fires_on(error: fn() -> Unruly) {
    let clock = ManualClock::at(utc("2024-01-01T00:00:30Z"));
    let huey = MiniHuey::builder("unruly").clock(&clock).build();
    let fired = Arc::new(AtomicUsize::new(0));
    let count = fired.clone();
    let each_minute = Period::from(crontab!(minute = "*")).overlap(Overlap::Skip);
    huey.periodic_task("fail", each_minute, move || {
        count.fetch_add(1, Ordering::SeqCst);
        Err::<(), _>(error())
    });
    huey.start().unwrap();
    for minute in 1..=5 {
        clock.advance(MINUTE);
        until("the periodic task fires", || fired.load(Ordering::SeqCst) == minute);
        // From a task: a lock that the scheduler held would hold the worker.
        let inner = huey.clone();
        let restart = MiniHuey::new("other").task("restart", move || {
            inner.stop().unwrap();
            inner.start().unwrap();
        });
        restart.call(()).get_timeout(LIMIT).unwrap();
        until("the run is over", || huey.stats().running == 0);
        huey.join(LIMIT).unwrap();
    }
    assert!(huey.is_started());
}

#[test]
fn an_error_whose_destructor_panics_or_sleeps_leaves_the_scheduler_alive() {
    child::run(
        "foreign_code::an_error_whose_destructor_panics_or_sleeps_leaves_the_scheduler_alive",
        || {
            assert_fires_on(|| Unruly::Panics);
            assert_fires_on(|| Unruly::Sleeps);
        },
    );
}

#[test]
fn a_logger_may_ask_for_stats() {
    static HUEY: OnceLock<MiniHuey> = OnceLock::new();
    static ASKED: AtomicUsize = AtomicUsize::new(0);

    child::run("foreign_code::a_logger_may_ask_for_stats", || {
        let clock = ManualClock::at(utc("2024-01-01T12:00:30Z"));
        let huey = HUEY.get_or_init(|| MiniHuey::builder("logged").clock(&clock).build());
        let ask = |_: &log::Record| {
            if let Some(huey) = HUEY.get() {
                huey.stats();
                ASKED.fetch_add(1, Ordering::SeqCst);
            }
        };
        log::set_logger(Box::leak(Box::new(Logger(ask)))).unwrap();
        log::set_max_level(log::LevelFilter::Debug);

        huey.periodic_task("each minute", crontab!(minute = "*"), || ());
        let task = huey.task("task", || ());
        huey.start().unwrap();
        task.call(()).get_timeout(LIMIT).unwrap();
        clock.advance(MINUTE);
        until("the periodic task has run", || huey.stats().finished == 2);
        // Set back, which is told, too.
        let before = ASKED.load(Ordering::SeqCst);
        clock.set_wall(utc("2024-01-01T02:00:00Z"));
        until("the logger was asked", || ASKED.load(Ordering::SeqCst) > before);
        drop(task.schedule((), Duration::from_secs(100)));
        MiniHuey::new("other").task("other", || ()).call(()).get_timeout(LIMIT).unwrap();
        huey.stop().unwrap();
        huey.shutdown(LIMIT).unwrap();
    });
}

#[test]
fn the_first_use_may_be_in_a_destructor_while_a_panic_unwinds() {
    struct Cleanup(MiniHuey);
    impl Drop for Cleanup {
        fn drop(&mut self) {
            drop(self.0.task("cleanup", || ()).call(()));
        }
    }

    child::run("foreign_code::the_first_use_may_be_in_a_destructor_while_a_panic_unwinds", || {
        let huey = MiniHuey::new("first");
        let cleanup = Cleanup(huey.clone());
        let result = catch_unwind(AssertUnwindSafe(move || {
            let _cleanup = cleanup;
            panic!("of the program's own")
        }));
        assert!(result.is_err());
        huey.join(LIMIT).unwrap();
        assert_eq!(huey.stats().finished, 1);
    });
}

#[test]
fn a_panic_in_a_thread_locals_destructor_is_no_abort() {
    struct Panics;
    impl Drop for Panics {
        fn drop(&mut self) {
            assert!(catch_unwind(|| panic!("in a thread-local's destructor")).is_err());
        }
    }
    thread_local!(static LOCAL: Panics = const { Panics });

    child::run("foreign_code::a_panic_in_a_thread_locals_destructor_is_no_abort", || {
        MiniHuey::new("hook").task("task", || ()).call(()).get().unwrap();
        let body = || {
            LOCAL.with(|_| ());
            assert!(catch_unwind(|| panic!("an earlier one")).is_err());
        };
        thread::spawn(body).join().unwrap();
    });
}

#[test]
fn a_thread_locals_destructor_may_call_sleep_and_join() {
    struct Calls(MiniHuey);
    impl Drop for Calls {
        fn drop(&mut self) {
            let task = self.0.task("nap", || {
                green::sleep(Duration::from_millis(5));
                7
            });
            assert_eq!(task.call(()).get().unwrap(), 7);
            green::sleep(Duration::from_millis(2));
            green::yield_now();
            assert!(!green::is_green());
            self.0.join(None).unwrap();
        }
    }
    thread_local!(static LOCAL: RefCell<Option<Calls>> = const { RefCell::new(None) });

    child::run("foreign_code::a_thread_locals_destructor_may_call_sleep_and_join", || {
        let huey = MiniHuey::new("thread-local");
        let calls = Calls(huey.clone());
        within_limit(|| {
            thread::spawn(|| LOCAL.with(|local| *local.borrow_mut() = Some(calls))).join().unwrap();
        });
        assert_eq!(huey.stats().finished, 1);
    });
}

#[test]
fn a_destructor_may_use_the_whole_library_while_a_panic_unwinds() {
    struct Calls(Task<(), i32>, MiniHuey);
    impl Drop for Calls {
        fn drop(&mut self) {
            for _ in 0..5 {
                drop(self.0.call(()));
            }
            drop(self.0.call(()).get());
            drop(self.0.schedule((), Duration::from_millis(1)));
            self.1.stats();
            green::yield_now();
            let _ = self.1.join(None);
        }
    }

    child::run(
        "foreign_code::a_destructor_may_use_the_whole_library_while_a_panic_unwinds",
        || {
            let huey = MiniHuey::builder("destructor").pool_size(2).build();
            let leaf = huey.task("leaf", || 1);
            let inner = huey.clone();
            let task = huey.task("panics", move || -> i32 {
                let _calls = Calls(leaf.clone(), inner.clone());
                panic!("of the task's own")
            });
            for _ in 0..10 {
                let error = task.call(()).get_timeout(LIMIT).unwrap_err();
                assert!(matches!(error, TaskError::Panicked(_)), "{error}");
            }
            huey.join(LIMIT).unwrap();
            assert!(!huey.task("panicking", thread::panicking).call(()).get().unwrap());
        },
    );
}

#[test]
fn a_logger_that_overflows_as_it_hears_of_an_overflow_leaves_no_result_unresolved() {
    fn overflow(record: &log::Record) {
        if record.args().to_string().contains("overflowed its stack") {
            black_box(endless(0));
        }
    }

    child::run(
        "foreign_code::a_logger_that_overflows_as_it_hears_of_an_overflow_leaves_no_result_unresolved",
        || {
            log::set_logger(&Logger(overflow)).unwrap();
            log::set_max_level(log::LevelFilter::Error);
            let huey = MiniHuey::builder("overflows").pool_size(1).build();
            let deep = huey.task("deep", || endless(0));
            for _ in 0..3 {
                let error = deep.call(()).get_timeout(LIMIT).unwrap_err();
                assert!(matches!(error, TaskError::StackOverflow), "{error}");
            }
        },
    );
}

#[test]
fn a_logger_that_panics_as_a_shutdown_begins_or_ends_does_not_keep_it_from_its_work() {
    fn panics(record: &log::Record) {
        let line = record.args().to_string();
        assert!(!line.contains("is shutting down") && !line.contains("is shut down"), "{line}");
    }

    child::run(
        "foreign_code::a_logger_that_panics_as_a_shutdown_begins_or_ends_does_not_keep_it_from_its_work",
        || {
            log::set_logger(&Logger(panics)).unwrap();
            log::set_max_level(log::LevelFilter::Info);
            let huey = MiniHuey::new("shuts");
            let mut scheduled = huey.task("one", || 1).schedule((), 10 * LIMIT);
            let abandoned = huey.shutdown(Duration::ZERO).unwrap();
            assert_eq!(abandoned.len(), 1, "{abandoned:?}");
            let error = scheduled.get_timeout(LIMIT).unwrap_err();
            assert!(matches!(error, TaskError::ShutDown), "{error}");
        },
    );
}

#[test]
fn a_logger_that_panics_when_asked_for_its_level_fails_no_task() {
    static PANICS: AtomicBool = AtomicBool::new(false);

    /// Panics in tasks.
    struct Asked;
    impl log::Log for Asked {
        fn enabled(&self, _: &log::Metadata) -> bool {
            let here = thread::current();
            let in_task = here.name().is_some_and(|name| name.starts_with("minihuey"));
            assert!(!(in_task && PANICS.load(Ordering::SeqCst)), "enabled panics");
            true
        }

        fn log(&self, _: &log::Record) {}

        fn flush(&self) {}
    }

    child::run("foreign_code::a_logger_that_panics_when_asked_for_its_level_fails_no_task", || {
        log::set_logger(&Asked).unwrap();
        log::set_max_level(log::LevelFilter::Debug);
        let huey = MiniHuey::builder("asked").pool_size(1).offload_size(1).build();
        let green = huey.task("green", || 1);
        let offloaded = huey.task("offloaded", || 1).offload();
        for panics in [true, false] {
            PANICS.store(panics, Ordering::SeqCst);
            assert_eq!(green.call(()).get_timeout(LIMIT).unwrap(), 1);
            assert_eq!(offloaded.call(()).get_timeout(LIMIT).unwrap(), 1);
        }
        huey.join(LIMIT).unwrap();
        assert_eq!(huey.stats().finished, 4);
    });
}
