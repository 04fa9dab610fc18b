//! The watchdog names who holds a worker. A program of its own: no other task may hold it here, and
//! its threshold is its own.

use std::io::{Read, Write};
use std::sync::{Arc, Mutex, Once, mpsc};
use std::time::{Duration, Instant};

use log::{Level, LevelFilter, Log, Metadata, Record};
use minihuey::{Error, MiniHuey, green, runtime};

const LIMIT: Duration = Duration::from_secs(60);
const THRESHOLD: Duration = Duration::from_millis(80);

static LINES: Mutex<Vec<(Level, String)>> = Mutex::new(Vec::new());

/// One test at a time: with one worker all of them hold the same.
static TURN: Mutex<()> = Mutex::new(());

struct Capture;

impl Log for Capture {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &Record<'_>) {
        if record.level() > Level::Warn {
            return;
        }
        let thread = std::thread::current();
        assert_eq!(thread.name(), Some("minihuey-watchdog"), "never from a worker");
        LINES.lock().unwrap().push((record.level(), record.args().to_string()));
    }

    fn flush(&self) {}
}

fn start() -> impl Drop {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        log::set_logger(&Capture).unwrap();
        log::set_max_level(LevelFilter::Debug);
        for wrong in [Duration::ZERO, Duration::from_micros(999)] {
            assert!(matches!(
                runtime().hold_threshold(wrong).start(),
                Err(Error::Misconfigured(_))
            ));
        }
        runtime().hold_threshold(THRESHOLD).start().unwrap();
    });
    TURN.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

fn lines(name: &str) -> Vec<String> {
    let lines = LINES.lock().unwrap();
    lines.iter().filter(|(_, line)| line.contains(name)).map(|(_, line)| line.clone()).collect()
}

#[track_caller]
fn until_lines(name: &str, count: usize) -> Vec<String> {
    let deadline = Instant::now() + LIMIT;
    loop {
        let lines = lines(name);
        if lines.len() >= count {
            return lines;
        }
        assert!(Instant::now() < deadline, "only {lines:?}");
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// Has a task hold the worker by `f` until the warning has come and `release` was called. Gives
/// the two lines.
fn hold(name: &str, f: impl Fn() + Send + Sync + 'static, release: impl FnOnce()) -> [String; 2] {
    let huey = MiniHuey::new("held");
    let result = huey.task(name, f).call(());
    let id = result.id();
    until_lines(name, 1);
    assert_eq!(huey.stats().held, 1);
    release();
    result.get().unwrap();
    let lines: [String; 2] = until_lines(name, 2).try_into().unwrap();
    let deadline = Instant::now() + LIMIT;
    while huey.stats().longest_hold < THRESHOLD {
        assert!(Instant::now() < deadline, "{:?}", huey.stats());
    }
    assert_eq!(huey.stats().held, 1);
    let begins = format!("task {name} {id} has held its worker for ");
    assert!(lines[0].starts_with(&begins), "{lines:?}");
    assert!(lines[1].starts_with(&format!("task {name} {id} held its worker for ")), "{lines:?}");
    lines
}

#[track_caller]
fn assert_says(line: &str, parts: &[&str]) {
    for part in parts {
        assert!(line.contains(part), "{part:?} is not in {line:?}");
    }
}

#[test]
fn a_task_that_sleeps_is_told_of_green_sleep() {
    let _turn = start();
    let [line, _] = hold("sleeper", || std::thread::sleep(4 * THRESHOLD), || ());
    assert_says(&line, &["sleeps", "green::sleep", "monkey::patch_all"]);
}

#[test]
fn a_task_that_waits_for_a_lock_is_told_of_sync() {
    let _turn = start();
    let lock = Arc::new(Mutex::new(()));
    let its_lock = lock.clone();
    let guard = lock.lock().unwrap();
    let [line, _] = hold("locked", move || drop(its_lock.lock()), move || drop(guard));
    assert_says(&line, &["futex", "minihuey::sync"]);
}

#[test]
fn a_task_that_computes_is_told_of_offload() {
    let _turn = start();
    let (release, released) = mpsc::channel();
    let released = Mutex::new(released);
    let compute = move || while released.lock().unwrap().try_recv().is_err() {};
    let [line, _] = hold("computer", compute, move || release.send(()).unwrap());
    assert_says(&line, &["computes", "minihuey::offload"]);
}

#[test]
fn a_task_that_reads_is_told_what_from() {
    let _turn = start();
    let (from, mut to) = std::io::pipe().unwrap();
    let read = move || assert_eq!((&from).read(&mut [0]).unwrap(), 1);
    let [line, _] = hold("reader", read, move || to.write_all(&[1]).unwrap());
    assert_says(&line, &["reads or writes pipe:", "minihuey::offload"]);
    let (ours, theirs) = std::os::unix::net::UnixStream::pair().unwrap();
    let receive = move || assert_eq!((&ours).read(&mut [0]).unwrap(), 1);
    let [line, _] = hold("receiver", receive, move || (&theirs).write_all(&[1]).unwrap());
    assert_says(&line, &["socket", "monkey::patch_all"]);
}

#[test]
fn a_coroutine_that_is_no_task_is_found_when_somebody_waits_for_the_worker() {
    let _turn = start();
    let (begun, begins) = mpsc::channel();
    let (release, released) = mpsc::channel();
    // SAFETY: it uses no thread-local and little stack.
    let other = unsafe {
        may::coroutine::spawn(move || {
            begun.send(()).unwrap();
            released.recv().unwrap();
        })
    };
    begins.recv().unwrap();
    let huey = MiniHuey::new("waiting");
    let waits = huey.task("waits", || ()).call(());
    let lines = until_lines("no task", 1);
    assert_says(&lines[0], &["a coroutine that is no task has held a worker for", "futex"]);
    release.send(()).unwrap();
    waits.get().unwrap();
    other.join().unwrap();
    until_lines("no task", 2);
    assert_eq!(huey.stats().held, 0);
}

#[test]
fn nobody_is_named_who_does_not_hold_it() {
    let _turn = start();
    let huey = MiniHuey::new("fair");
    // Waits of every kind that are a green thread's, for many thresholds.
    let leaf = huey.task("leaf", |long: Duration| green::sleep(long));
    let branch = huey.task("branch", move || {
        leaf.call((3 * THRESHOLD,)).get().unwrap();
        // For so many looks that who is not seen to let others run would be named: it is this task
        // that each of them finds on the worker.
        let (enough, deadline) = (looks() + 8, Instant::now() + LIMIT);
        while looks() < enough {
            assert!(Instant::now() < deadline, "the watchdog does not look");
            let end = Instant::now() + THRESHOLD / 16;
            while Instant::now() < end {}
            leaf.call((Duration::ZERO,)).get().unwrap();
            green::yield_now();
        }
        green::sleep(3 * THRESHOLD);
        // Held by may's own means: the worker is idle.
        let (sender, receiver) = may::sync::mpsc::channel();
        std::thread::spawn(move || {
            std::thread::sleep(3 * THRESHOLD);
            sender.send(()).unwrap();
        });
        receiver.recv().unwrap();
    });
    let without_processor = huey.task("without a processor", time_without_processor);
    let deadline = Instant::now() + LIMIT;
    loop {
        let before = LINES.lock().unwrap().len();
        let waited = without_processor.call(()).get().unwrap();
        branch.map([(), (), ()]).get().unwrap();
        // An idle worker is not held either, and one that was idle for long is watched again.
        std::thread::sleep(5 * THRESHOLD);
        let mut lines = LINES.lock().unwrap()[before..].to_vec();
        lines.retain(|(_, line)| !line.ends_with("in all"));
        if lines.is_empty() {
            break;
        }
        // Where the worker got no processor for so long it looks as if it computed: then once more.
        let waited = without_processor.call(()).get().unwrap() - waited;
        let may_be_that = lines.iter().all(|(_, line)| line.contains("computes"));
        assert!(may_be_that && waited >= THRESHOLD, "{lines:?}; no processor for {waited:?}");
        assert!(Instant::now() < deadline, "the machine is too busy to tell");
    }
}

/// For how long the calling thread was ready to run and had no processor, ever; with what a
/// hypervisor took from all of them.
fn time_without_processor() -> Duration {
    let number = |path: &str, place| {
        let text = std::fs::read_to_string(path).unwrap();
        text.split_whitespace().nth(place).unwrap().parse::<u64>().unwrap()
    };
    // In nanoseconds; in hundredths of a second.
    let (ready, stolen) = (number("/proc/thread-self/schedstat", 1), number("/proc/stat", 8));
    Duration::from_nanos(ready) + Duration::from_millis(stolen * 10)
}

#[test]
fn after_a_while_without_work_the_watchdog_sleeps_and_is_there_again() {
    let _turn = start();
    let huey = MiniHuey::new("idle");
    huey.task("nothing", || ()).call(()).get().unwrap();
    // How often its thread has slept does not change while there is nothing to do.
    let deadline = Instant::now() + LIMIT;
    loop {
        let before = looks();
        std::thread::sleep(10 * THRESHOLD);
        if looks() == before {
            break;
        }
        assert!(Instant::now() < deadline, "the watchdog does not come to rest");
    }
    hold("late", || std::thread::sleep(4 * THRESHOLD), || ());
}

/// How often the watchdog's thread went to sleep, which it does after each look.
fn looks() -> u64 {
    for entry in std::fs::read_dir("/proc/self/task").unwrap() {
        let task = entry.unwrap().path();
        let name = std::fs::read_to_string(task.join("comm")).unwrap_or_default();
        // The kernel keeps fifteen letters of a name.
        if name.trim() == "minihuey-watchd" {
            let status = std::fs::read_to_string(task.join("status")).unwrap();
            let count =
                status.lines().find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"));
            return count.unwrap().trim().parse().unwrap();
        }
    }
    panic!("there is no such thread")
}
