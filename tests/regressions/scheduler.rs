//! The scheduler's loop: foreign code that holds it, or ends it, and starts and shutdowns that
//! cross its way.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Barrier, Mutex, OnceLock, mpsc};
use std::thread;
use std::time::Duration;

use chrono::{
    DateTime, FixedOffset, Local, MappedLocalTime, NaiveDate, NaiveDateTime, Offset, TimeZone, Utc,
};
use minihuey::{Error, ManualClock, MiniHuey, TaskError, crontab};

use crate::child;
use crate::support::{LIMIT, endless, utc};

/// Where foreign code stops and says so, once, until it may go on.
struct Stop {
    is_armed: AtomicBool,
    gate: OnceLock<Gate>,
}

type Gate = (mpsc::SyncSender<()>, Mutex<mpsc::Receiver<()>>);

impl Stop {
    const fn new() -> Stop {
        Stop { is_armed: AtomicBool::new(false), gate: OnceLock::new() }
    }

    /// Gives what tells that somebody has stopped, and what lets that one go on when it is dropped.
    fn arm(&self) -> (mpsc::Receiver<()>, mpsc::Sender<()>) {
        let (tell, told) = mpsc::sync_channel(1);
        let (go, goes) = mpsc::channel();
        assert!(self.gate.set((tell, Mutex::new(goes))).is_ok());
        self.is_armed.store(true, Ordering::SeqCst);
        (told, go)
    }

    fn pass(&self) {
        if self.is_armed.swap(false, Ordering::SeqCst) {
            let (tell, goes) = self.gate.get().unwrap();
            tell.send(()).unwrap();
            let _ = goes.lock().unwrap().recv();
        }
    }
}

static STOP: Stop = Stop::new();

#[test]
fn a_start_amid_a_shutdown_leaves_no_scheduler_running() {
    for round in 0..3_000 {
        let huey = MiniHuey::new("races");
        huey.task("made", || ()).call(()).get().unwrap();
        let both = Arc::new(Barrier::new(2));
        let starts = thread::spawn({
            let (huey, both) = (huey.clone(), both.clone());
            move || {
                both.wait();
                huey.start()
            }
        });
        both.wait();
        (0..round % 300).for_each(|_| std::hint::spin_loop());
        huey.shutdown(Duration::ZERO).unwrap();
        let started = starts.join().unwrap();
        assert!(!huey.is_started(), "round {round}: {started:?}");
        assert!(matches!(started, Ok(()) | Err(Error::ShutDown { .. })), "{started:?}");
    }
}

/// UTC, which may hold whoever asks it, or, if it is deep, have it outgrow its stack.
#[derive(Debug, Clone, Copy)]
struct Foreign<const DEEP: bool>;

const HELD: Foreign<false> = Foreign;
const DEEP: Foreign<true> = Foreign;

impl<const DEEP: bool> TimeZone for Foreign<DEEP> {
    type Offset = FixedOffset;

    fn from_offset(_: &FixedOffset) -> Foreign<DEEP> {
        Foreign
    }

    fn offset_from_local_date(&self, _: &NaiveDate) -> MappedLocalTime<FixedOffset> {
        MappedLocalTime::Single(Utc.fix())
    }

    fn offset_from_local_datetime(&self, _: &NaiveDateTime) -> MappedLocalTime<FixedOffset> {
        MappedLocalTime::Single(Utc.fix())
    }

    fn offset_from_utc_date(&self, _: &NaiveDate) -> FixedOffset {
        Utc.fix()
    }

    fn offset_from_utc_datetime(&self, _: &NaiveDateTime) -> FixedOffset {
        if DEEP {
            dive()
        } else {
            STOP.pass()
        }
        Utc.fix()
    }
}

#[test]
fn a_loop_that_was_stopped_amid_a_look_changes_nothing_for_the_next_one() {
    // Its own process: the worker is held.
    const NAME: &str =
        "scheduler::a_loop_that_was_stopped_amid_a_look_changes_nothing_for_the_next_one";
    child::run(NAME, || {
        let clock = ManualClock::at(utc("2026-01-01T12:00:30Z"));
        let huey = MiniHuey::builder("restarted").clock(&clock).build();
        let runs = Arc::new(AtomicUsize::new(0));
        let counted = runs.clone();
        let every_minute = crontab!("* * * * *").in_zone(HELD);
        huey.periodic_task("counts", every_minute, move || {
            counted.fetch_add(1, Ordering::SeqCst);
        });
        let due = huey.task("due", || ());
        huey.start().unwrap();
        // The loop sleeps.
        let first = due.schedule((), Duration::from_secs(1));
        clock.advance(Duration::from_secs(1));
        first.get().unwrap();
        let (stopped, go) = STOP.arm();
        clock.set_wall(utc("2026-01-01T12:01:00Z"));
        stopped.recv_timeout(LIMIT).unwrap();
        huey.stop().unwrap();
        clock.set_wall(utc("2026-01-01T12:05:30Z"));
        huey.start().unwrap();
        drop(go);
        // Whatever fires in the same look runs before this.
        let mut second = due.schedule((), Duration::from_secs(1));
        clock.advance(Duration::from_secs(1));
        second.get_timeout(LIMIT).unwrap();
        assert_eq!((runs.load(Ordering::SeqCst), huey.stats().skipped), (0, 0));
        // And it does fire.
        let mut third = due.schedule((), Duration::from_secs(30));
        clock.advance(Duration::from_secs(30));
        third.get_timeout(LIMIT).unwrap();
        assert_eq!((runs.load(Ordering::SeqCst), huey.stats().skipped), (1, 0));
    });
}

/// Stops at the line that tells of a due task.
struct Holding;

impl log::Log for Holding {
    fn enabled(&self, _: &log::Metadata) -> bool {
        true
    }

    fn log(&self, record: &log::Record) {
        if record.args().to_string().starts_with("enqueueing scheduled") {
            STOP.pass();
        }
    }

    fn flush(&self) {}
}

#[test]
fn a_shutdown_names_a_due_task_that_the_scheduler_hands_over() {
    child::run("scheduler::a_shutdown_names_a_due_task_that_the_scheduler_hands_over", || {
        log::set_logger(&Holding).unwrap();
        log::set_max_level(log::LevelFilter::Debug);
        let huey = MiniHuey::new("named");
        let (stopped, go) = STOP.arm();
        huey.start().unwrap();
        let mut due = huey.task("due", || ()).schedule((), Duration::from_millis(1));
        stopped.recv_timeout(LIMIT).unwrap();
        let abandoned = huey.shutdown(Duration::ZERO).unwrap();
        drop(go);
        assert!(matches!(due.get_timeout(LIMIT), Err(TaskError::ShutDown)));
        assert_eq!((abandoned.len(), abandoned[0].name, abandoned[0].id), (1, "due", due.id()));
        let stats = huey.stats();
        assert_eq!((stats.enqueued, stats.abandoned, stats.backlog), (1, 1, 0), "{stats:?}");
    });
}

#[test]
fn a_predicate_that_overflows_its_stack_ends_neither_the_scheduler_nor_other_rows() {
    let clock = ManualClock::at(utc("2026-01-01T12:00:30Z"));
    let huey = MiniHuey::builder("deep").clock(&clock).build();
    let asked = Arc::new(AtomicUsize::new(0));
    let counted = asked.clone();
    let endless = move |_: &DateTime<Local>| {
        counted.fetch_add(1, Ordering::SeqCst);
        endless(0) == 1
    };
    huey.periodic_task("bad", endless, || ());
    let (ran, runs) = mpsc::channel();
    huey.periodic_task("good", crontab!("* * * * *").in_zone(Utc), move || ran.send(()).unwrap());
    huey.start().unwrap();
    let due = huey.task("due", || ());
    for minute in 1..=3 {
        clock.advance(Duration::from_secs(60));
        runs.recv_timeout(LIMIT).unwrap();
        let mut due = due.schedule((), Duration::from_secs(1));
        clock.advance(Duration::from_secs(1));
        due.get_timeout(LIMIT).unwrap();
        assert_eq!(asked.load(Ordering::SeqCst), minute, "once a minute");
    }
    assert_eq!(huey.stats().skipped, 0);
    huey.stop().unwrap();
}

/// What the zone `DEEP` does when it is asked, from a certain moment on.
fn dive() {
    if HAS_NO_END.load(Ordering::SeqCst) {
        DEEP_CALLS.fetch_add(1, Ordering::SeqCst);
        endless(0);
    }
}

static HAS_NO_END: AtomicBool = AtomicBool::new(false);

static DEEP_CALLS: AtomicUsize = AtomicUsize::new(0);

#[test]
fn a_time_zone_that_overflows_its_stack_is_asked_no_more_and_the_scheduler_goes_on() {
    let clock = ManualClock::at(utc("2026-01-01T12:00:30Z"));
    let huey = MiniHuey::builder("deep").clock(&clock).build();
    huey.periodic_task("bad", crontab!("* * * * *").in_zone(DEEP), || ());
    let (ran, runs) = mpsc::channel();
    huey.periodic_task("good", crontab!("* * * * *").in_zone(Utc), move || ran.send(()).unwrap());
    huey.start().unwrap();
    HAS_NO_END.store(true, Ordering::SeqCst);
    for _ in 0..3 {
        clock.advance(Duration::from_secs(60));
        runs.recv_timeout(LIMIT).unwrap();
    }
    assert_eq!(DEEP_CALLS.load(Ordering::SeqCst), 1);
    assert!(huey.is_started());
}

#[test]
fn a_time_zone_that_overflows_its_stack_takes_no_other_row_along_whenever_it_is_asked_first() {
    const NAME: &str = "scheduler::a_time_zone_that_overflows_its_stack_takes_no_other_row_along_\
                        whenever_it_is_asked_first";
    // Its own process: another test sets the switch, too.
    child::run(NAME, || {
        HAS_NO_END.store(true, Ordering::SeqCst);
        let clock = ManualClock::at(utc("2026-01-01T12:00:30Z"));
        let huey = MiniHuey::builder("deep").clock(&clock).build();
        let (ran, runs) = mpsc::channel();
        let add = |bad: &str, good: &str| {
            huey.periodic_task(bad, crontab!("* * * * *").in_zone(DEEP), || ());
            let ran = ran.clone();
            let every_minute = crontab!("* * * * *").in_zone(Utc);
            huey.periodic_task(good, every_minute, move || ran.send(()).unwrap());
        };
        let expect = |count| {
            clock.advance(Duration::from_secs(60));
            (0..count).for_each(|_| runs.recv_timeout(LIMIT).unwrap());
        };
        // At a start, even in a small stack.
        add("bad", "good");
        let inner = huey.clone();
        let start = MiniHuey::new("starts").task("start", move || inner.start().unwrap());
        start.call(()).get().unwrap();
        expect(1);
        // While it runs.
        add("bad, too", "good, too");
        expect(2);
        // When the clock is set back.
        clock.set_wall(utc("2026-01-01T02:00:30Z"));
        let mut seen = huey.task("seen", || ()).schedule((), Duration::from_secs(1));
        clock.advance(Duration::from_secs(1));
        seen.get_timeout(LIMIT).unwrap();
        expect(2);
        assert_eq!(DEEP_CALLS.load(Ordering::SeqCst), 4, "each once, and once more");
        huey.stop().unwrap();
    });
}
