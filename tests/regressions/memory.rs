//! A process that has no memory for a stack, for a while.

use std::fs;
use std::sync::{OnceLock, mpsc};
use std::time::Duration;

use minihuey::sync::channel;
use minihuey::{MiniHuey, TaskError, green};

use crate::child;
use crate::support::{LIMIT, endless, moment, until};

/// The bytes of address space that the process has.
fn memory() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let size = status.lines().find_map(|line| line.strip_prefix("VmSize:")).unwrap();
    let kilobytes: u64 = size.split_whitespace().next().unwrap().parse().unwrap();
    kilobytes * 1024
}

/// Has the process get at most `more` bytes of address space from now on; None: as many as before.
fn limit_memory(more: Option<u64>) {
    // The least of several looks: a thread that starts takes more for a moment, and gives it back.
    let look = |_| {
        std::thread::sleep(Duration::from_millis(1));
        memory()
    };
    let least = (0..20).map(look).min().unwrap();
    let most = more.map_or(libc::RLIM_INFINITY, |more| least + more);
    let limit = libc::rlimit { rlim_cur: most, rlim_max: libc::RLIM_INFINITY };
    // SAFETY: the struct is valid.
    assert_eq!(unsafe { libc::setrlimit(libc::RLIMIT_AS, &limit) }, 0);
}

/// Less than a stack.
const LITTLE: Option<u64> = Some(200 << 10);

/// A logger that tells when a stack was refused.
struct Refusals;

static TELL: OnceLock<mpsc::Sender<()>> = OnceLock::new();

impl log::Log for Refusals {
    fn enabled(&self, _: &log::Metadata) -> bool {
        true
    }

    fn log(&self, record: &log::Record) {
        if record.args().to_string().starts_with("no memory") {
            let _ = TELL.get().unwrap().send(());
        }
    }

    fn flush(&self) {}
}

/// Runs `act`, for which there is no memory, with a huey whose worker is idle; and gives it back
/// the memory when it was refused.
fn refuse<T>(act: impl FnOnce() -> T) -> T {
    let (tell, told) = mpsc::channel();
    TELL.set(tell).unwrap();
    log::set_logger(&Refusals).unwrap();
    log::set_max_level(log::LevelFilter::Warn);
    // Its runner is idle, and keeps its stack: no green thread ends.
    let warm = MiniHuey::new("warm");
    warm.task("warm", || ()).call(()).get().unwrap();
    limit_memory(LITTLE);
    let acted = act();
    told.recv_timeout(LIMIT).unwrap();
    limit_memory(None);
    drop(warm);
    acted
}

#[test]
fn a_task_whose_pool_had_no_memory_for_its_first_runner_runs_when_there_is_some() {
    const NAME: &str =
        "memory::a_task_whose_pool_had_no_memory_for_its_first_runner_runs_when_there_is_some";
    child::run(NAME, || {
        let task = MiniHuey::new("starved").task("starved", || 1);
        let mut result = refuse(|| task.call(()));
        assert_eq!(result.get_timeout(LIMIT).unwrap(), 1);
    });
}

#[test]
fn a_task_whose_huey_is_gone_before_there_is_memory_for_its_runner_runs_when_there_is_some() {
    const NAME: &str = "memory::a_task_whose_huey_is_gone_before_there_is_memory_for_its_runner_\
                        runs_when_there_is_some";
    child::run(NAME, || {
        // Whoever calls it has nothing of it but the result.
        let call = || MiniHuey::new("starved").task("starved", || 1).call(());
        let mut result = refuse(call);
        assert_eq!(result.get_timeout(LIMIT).unwrap(), 1);
    });
}

#[test]
fn a_scheduler_that_had_no_memory_for_its_loop_begins_when_there_is_some() {
    child::run(
        "memory::a_scheduler_that_had_no_memory_for_its_loop_begins_when_there_is_some",
        || {
            let huey = MiniHuey::new("starved");
            let task = huey.task("starved", || 1);
            refuse(|| huey.start().unwrap());
            let mut result = task.schedule((), Duration::from_millis(1));
            assert_eq!(result.get_timeout(LIMIT).unwrap(), 1);
        },
    );
}

/// Its place is free, for what it was lent for can't begin.
#[test]
fn who_returns_goes_on_though_there_is_no_memory_for_what_goes_first() {
    const NAME: &str = "memory::who_returns_goes_on_though_there_is_no_memory_for_what_goes_first";
    child::run(NAME, || {
        let narrow = MiniHuey::builder("narrow").pool_size(1).build();
        let other = MiniHuey::new("other");
        let (open, opens) = channel::unbounded::<()>();
        let gate = other.task("gate", move || opens.recv().unwrap());
        let (tell, told) = channel::unbounded::<()>();
        let returns = narrow.task("returns", move || {
            gate.call(()).get().unwrap();
            tell.send(()).unwrap();
        });
        let (go, goes) = channel::unbounded::<()>();
        let leaf = narrow.task("leaf", || 1);
        // Has the place when `returns` wants it back, and gives it for the leaf.
        let parent = narrow.task("parent", move || {
            goes.recv().unwrap();
            leaf.call(()).get().unwrap()
        });
        let mut returning = returns.call(());
        until("it waits", || other.stats().running == 1);
        let mut result = parent.call(());
        until("both run", || narrow.stats().running == 2);
        open.send(()).unwrap();
        other.join(LIMIT).unwrap();
        moment();
        refuse(|| {
            go.send(()).unwrap();
            returning.get_timeout(LIMIT).unwrap();
        });
        told.recv_timeout(LIMIT).unwrap();
        assert_eq!(result.get_timeout(LIMIT).unwrap(), 1);
    });
}

#[test]
fn a_callback_after_an_overflow_may_wait_though_there_was_no_memory_to_call_it() {
    const NAME: &str =
        "memory::a_callback_after_an_overflow_may_wait_though_there_was_no_memory_to_call_it";
    child::run(NAME, || {
        minihuey::runtime().stack_size(32 << 20).start().unwrap();
        let huey = MiniHuey::new("overflows");
        let quick = huey.task("quick", || 1);
        assert_eq!(quick.call(()).get().unwrap(), 1);
        // Whatever is small has room, also in what its own stack gives back; a stack of that size
        // has none.
        let dive = huey.task("dive", || {
            limit_memory(Some(4 << 20));
            endless(0)
        });
        let dive = dive.stack_size(1 << 20);
        let (tell, told) = mpsc::channel();
        let waits = quick.clone();
        dive.call(()).on_ready(move |result| {
            assert!(matches!(result, Err(TaskError::StackOverflow)));
            green::sleep(Duration::from_millis(1));
            tell.send(waits.call(()).get()).unwrap();
        });
        until("it is known to have failed", || huey.stats().failed == 1);
        moment();
        limit_memory(None);
        assert_eq!(told.recv_timeout(LIMIT).unwrap().unwrap(), 1);
        assert_eq!(quick.call(()).get_timeout(LIMIT).unwrap(), 1);
    });
}
