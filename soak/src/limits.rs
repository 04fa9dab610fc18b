//! Limits: a system that refuses mappings, memory, descriptors or threads. Each case has a process
//! of its own, which limits itself; what is refused is an error where it belongs, all else goes on,
//! and normal work is possible again afterwards.

use std::fs::{self, File};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::thread;
use std::time::{Duration, Instant};

use clap::ValueEnum;
use memmap2::{Mmap, MmapMut};
use minihuey::{MiniHuey, Reason, TaskError, TaskResult, green, offload};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::unistd::{Gid, Uid, setgid, setuid};

/// What is refused, and when.
#[derive(Clone, Copy, ValueEnum)]
pub enum Limit {
    Mappings,
    Memory,
    Descriptors,
    DescriptorsAtStart,
    Threads,
    ThreadsAtStart,
}

const LIMIT: Duration = Duration::from_secs(60);

pub fn run(limit: Limit) {
    match limit {
        Limit::Mappings => mappings(),
        Limit::Memory => memory(),
        Limit::Descriptors => descriptors(),
        Limit::DescriptorsAtStart => descriptors_at_start(),
        Limit::Threads => threads(),
        Limit::ThreadsAtStart => threads_at_start(),
    }
}

/// All that the library does works.
fn assert_normal(huey: &MiniHuey, when: &str) {
    let task = |what: &str| format!("{what} {when}");
    let leaf = huey.task(&task("leaf"), |n: u64| n + 1);
    let inner = leaf.clone();
    let parent = huey.task(&task("parent"), move |n: u64| inner.call((n,)).get().unwrap());
    let part = huey.task(&task("part"), |n: u64| offload(|| n + 1));
    let whole = huey.task(&task("whole"), |n: u64| n + 1).offload();
    let large = huey.task(&task("large"), |n: u64| n + 1).stack_size(4 << 20);
    let late = leaf.schedule((1,), Duration::from_millis(1));
    for task in [&leaf, &parent, &part, &whole, &large] {
        let calls = task.map((0..10).map(|n| (n,)));
        let values = { calls }.get_timeout(LIMIT);
        assert_eq!(values.expect(when), (1..11).collect::<Vec<_>>(), "{}", task.name());
    }
    assert_eq!(value(late), 2, "{when}");
    huey.join(LIMIT).expect(when);
}

fn value<T: Send + 'static>(mut result: TaskResult<T>) -> T {
    result.get_timeout(LIMIT).unwrap_or_else(|error| panic!("{error}"))
}

/// Tasks that sleep until `go`.
fn sleepers(huey: &MiniHuey, name: &str, count: u64) -> (Vec<TaskResult<u64>>, Arc<AtomicBool>) {
    let go = Arc::new(AtomicBool::new(false));
    let may_go = go.clone();
    let sleeper = huey.task(name, move |n: u64| {
        while !may_go.load(SeqCst) {
            green::sleep(Duration::from_millis(20));
        }
        n
    });
    ((0..count).map(|n| sleeper.call((n,))).collect(), go)
}

/// Waits until there are no more of them than before, for a while.
fn wait_until_no_more_begin(huey: &MiniHuey) -> usize {
    let deadline = Instant::now() + LIMIT;
    let (mut before, mut same) = (0, 0);
    while same < 20 {
        assert!(Instant::now() < deadline, "they begin and begin: {:?}", huey.stats());
        thread::sleep(Duration::from_millis(20));
        let running = huey.stats().running;
        same = if running == before { same + 1 } else { 0 };
        before = running;
    }
    before
}

/// The program itself has used up all mappings that a process may have, long after the library
/// looked how many there are.
fn mappings() {
    const TASKS: u64 = 5_000;
    const KEPT: u64 = 10;
    let huey = MiniHuey::new("mappings");
    huey.start().expect("it is started once");
    assert_normal(&huey, "before");
    // So many have their stacks then, and keep them, but for those that are larger than usual; who
    // comes later gets none.
    let (first, go) = sleepers(&huey, "kept", KEPT);
    while huey.stats().running < first.len() {
        thread::sleep(Duration::from_millis(1));
    }
    go.store(true, SeqCst);
    for result in first {
        value(result);
    }
    let keeps_the_heap_large = large_heap();
    let most: usize = read("/proc/sys/vm/max_map_count").trim().parse().expect("a number");
    // One that may be written beside one that may not: else the kernel makes one of them.
    let map = || MmapMut::map_anon(4096);
    let mut eaten: Vec<(MmapMut, Mmap)> = Vec::with_capacity(most);
    while let Ok(one) = map()
        && let Ok(Ok(other)) = map().map(MmapMut::make_read_only)
    {
        eaten.push((one, other));
    }
    let (results, go) = sleepers(&huey, "sleeper", TASKS);
    let began = wait_until_no_more_begin(&huey);
    println!("mappings: {began} of {TASKS} tasks began with none left");
    assert!(began > 0 && began < TASKS as usize, "{began}");
    go.store(true, SeqCst);
    for (n, result) in (0..).zip(results) {
        assert_eq!(value(result), n);
    }
    drop((eaten, keeps_the_heap_large));
    assert_normal(&huey, "after");
}

/// The heap is to have what it needs: an allocation that fails ends any Rust program.
fn large_heap() -> Vec<u8> {
    let blocks: Vec<_> = (0..100_000).map(|_| vec![1u8; 500]).collect();
    let keeps_it_large = vec![1u8; 500];
    drop(blocks);
    keeps_it_large
}

/// No memory for more stacks.
fn memory() {
    const TASKS: u64 = 3_000;
    let huey = MiniHuey::new("memory");
    huey.start().expect("it is started once");
    assert_normal(&huey, "before");
    let keeps_the_heap_large = large_heap();
    let size = memory_size();
    limit(Resource::RLIMIT_AS, size + (256 << 20));
    let (results, go) = sleepers(&huey, "sleeper", TASKS);
    let began = wait_until_no_more_begin(&huey);
    println!("memory: {began} of {TASKS} tasks began in 256 MiB");
    assert!(began > 100 && began < TASKS as usize, "{began}");
    go.store(true, SeqCst);
    for (n, result) in (0..).zip(results) {
        assert_eq!(value(result), n);
    }
    let (_, most) = getrlimit(Resource::RLIMIT_AS).expect("it can be asked");
    limit(Resource::RLIMIT_AS, most);
    drop(keeps_the_heap_large);
    assert_normal(&huey, "after");
}

/// Not one descriptor left: the library needs none once it runs.
fn descriptors() {
    let huey = MiniHuey::new("descriptors");
    huey.start().expect("it is started once");
    assert_normal(&huey, "before");
    let files = eat_descriptors();
    println!("descriptors: {} were used up", files.len());
    huey.stop().expect("it runs");
    huey.start().expect("it needs no descriptor");
    assert_normal(&huey, "without");
    let other = MiniHuey::new("made without");
    other.start().expect("it needs no descriptor");
    assert_normal(&other, "without");
    let open = other.try_task("open", || File::open("/dev/null").map(drop));
    let error = open.call(()).get().expect_err("there is none");
    let error: &std::io::Error = error.downcast_ref().expect("it is the task's own");
    assert_eq!(error.raw_os_error(), Some(nix::libc::EMFILE));
    let nap = other.task("nap", || green::sleep(LIMIT)).timeout(Duration::from_millis(1));
    assert!(matches!(nap.call(()).get(), Err(TaskError::TimedOut)));
    assert_eq!(other.shutdown(LIMIT).expect("it is the first"), []);
    drop(files);
    value(huey.try_task("open", || File::open("/dev/null").map(drop)).call(()));
    assert_normal(&huey, "after");
}

fn eat_descriptors() -> Vec<File> {
    limit(Resource::RLIMIT_NOFILE, 200);
    let mut files = Vec::new();
    while let Ok(file) = File::open("/dev/null") {
        files.push(file);
    }
    files
}

/// The runtime can't be started: each call is told so, at once, and the process lives on.
fn descriptors_at_start() {
    let files = eat_descriptors();
    assert_cannot_start();
    drop(files);
}

/// The system gives no thread more: what is offloaded runs on those that are there, or here.
fn threads() {
    let huey = MiniHuey::new("threads");
    huey.start().expect("it is started once");
    value(huey.task("first", || ()).call(()));
    if !be_nobody("threads", count_threads() as u64) {
        return;
    }
    // Not one to offload to.
    assert_eq!(value(huey.task("part", || offload(|| 1)).call(())), 1, "in the green thread");
    let whole = huey.task("whole", || 1).offload();
    for _ in 0..10 {
        match whole.call(()).get() {
            Err(TaskError::Rejected(why)) => assert!(matches!(why.reason(), Reason::Runtime(_))),
            other => panic!("{other:?}"),
        }
    }
    println!("threads: without one, tasks that are offloaded are rejected");
    // All else goes on.
    let nap = huey.task("nap", || green::sleep(Duration::from_millis(1)));
    { nap.map((0..1000).map(|_| ())) }.get_timeout(LIMIT).expect("they need no thread");
    value(nap.schedule((), Duration::from_millis(1)));
    limit(Resource::RLIMIT_NPROC, getrlimit(Resource::RLIMIT_NPROC).expect("it can be asked").1);
    assert_normal(&huey, "after");
}

fn threads_at_start() {
    // Std's, which the library catches.
    crate::be_quiet_about("failed to spawn thread");
    if be_nobody("threads-at-start", 1) {
        assert_cannot_start();
    }
}

/// The first calls and starts are errors that say why, and so are the next ones: nothing hangs,
/// nothing panics where the caller is.
fn assert_cannot_start() {
    let huey = MiniHuey::new("never");
    let task = huey.task("task", || 1);
    for result in [task.call(()), task.call(()), task.schedule((), Duration::from_secs(1))] {
        match { result }.get_timeout(LIMIT) {
            Err(TaskError::Rejected(why)) => match why.reason() {
                Reason::Runtime(why) => println!("rejected: {why}"),
                other => panic!("{other:?}"),
            },
            other => panic!("{other:?}"),
        }
    }
    let error = huey.start().expect_err("there is no runtime");
    assert!(matches!(error, minihuey::Error::Runtime(_)), "{error}");
    assert_eq!(huey.shutdown(LIMIT).expect("it is the first"), []);
}

/// Becomes a user of whom there may be so many threads. Gives false, and says so, if that can't be.
fn be_nobody(name: &str, threads: u64) -> bool {
    let nobody = 64_000 + std::process::id() % 1_000;
    let changed = setgid(Gid::from_raw(nobody)).and_then(|()| setuid(Uid::from_raw(nobody)));
    if let Err(why) = changed {
        println!("skipped: {name} must be run by root, who may become somebody else: {why}");
        return false;
    }
    limit(Resource::RLIMIT_NPROC, threads);
    true
}

fn limit(resource: Resource, most: u64) {
    let (_, hard) = getrlimit(resource).expect("it can be asked");
    setrlimit(resource, most.min(hard), hard).expect("it is lower");
}

fn count_threads() -> usize {
    fs::read_dir("/proc/self/task").map_or(1, Iterator::count)
}

/// The bytes of address space that the process has.
fn memory_size() -> u64 {
    let status = read("/proc/self/status");
    let size = status.lines().find_map(|line| line.strip_prefix("VmSize:")).expect("it is there");
    size.split_whitespace().next().and_then(|size| size.parse::<u64>().ok()).expect("KiB") * 1024
}

fn read(path: impl AsRef<Path>) -> String {
    fs::read_to_string(path).expect("it is there")
}
