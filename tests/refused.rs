//! A system that gives no thread and no large stack more: a process of its own, which limits its
//! own memory.

use std::fs;
use std::sync::{Arc, Barrier, Mutex, mpsc};
use std::time::{Duration, Instant};

use minihuey::{MiniHuey, Reason, TaskError, offload};

const LIMIT: Duration = Duration::from_secs(60);

/// The bytes of address space that the process has.
fn memory() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let size = status.lines().find_map(|line| line.strip_prefix("VmSize:")).unwrap();
    let kilobytes: u64 = size.split_whitespace().next().unwrap().parse().unwrap();
    kilobytes * 1024
}

/// Something is mapped in one piece that has so many bytes or more, and may be written to.
fn has_mapping_of(bytes: u64) -> bool {
    let maps = fs::read_to_string("/proc/self/maps").unwrap();
    let size = |line: &str| {
        let (from, to) = line.split(' ').next().unwrap().split_once('-').unwrap();
        u64::from_str_radix(to, 16).unwrap() - u64::from_str_radix(from, 16).unwrap()
    };
    maps.lines().any(|line| line.contains(" rw") && size(line) >= bytes)
}

/// Has the process get at most `more` bytes of address space from now on; None: as many as before.
fn limit_memory(more: Option<u64>) {
    let most = more.map_or(libc::RLIM_INFINITY, |more| memory() + more);
    let limit = libc::rlimit { rlim_cur: most, rlim_max: libc::RLIM_INFINITY };
    // SAFETY: the struct is valid.
    assert_eq!(unsafe { libc::setrlimit(libc::RLIMIT_AS, &limit) }, 0);
}

/// How many threads of ours the process has. (The system cuts names at 15 letters.)
fn threads() -> usize {
    let tasks = fs::read_dir("/proc/self/task").unwrap();
    let name = |task: fs::DirEntry| fs::read_to_string(task.path().join("comm"));
    let names = tasks.filter_map(|task| name(task.ok()?).ok());
    names.filter(|name| name.starts_with("minihuey-offloa")).count()
}

#[track_caller]
fn assert_refused<T: std::fmt::Debug>(result: Result<T, TaskError>, expected: &str) {
    let Err(TaskError::Rejected(why)) = result else { panic!("{result:?}") };
    let Reason::Runtime(text) = why.reason() else { panic!("{why}") };
    assert!(text.contains(expected), "{text}");
}

#[test]
fn what_the_system_refuses_is_told_and_all_goes_on() {
    let huey = MiniHuey::builder("refused").pool_size(1).offload_size(50).build();
    let here = std::thread::current().id();
    let small = huey.task("small", move || std::thread::current().id() != here);
    let part = huey.task("part", move |n: u64| offload(|| 2 * n));
    let whole = huey.task("whole", |n: u64| n + 1).offload();
    let large = huey.task("large", |n: u64| n + 2).stack_size(64 << 20);
    assert!(small.call(()).get().unwrap());

    // A large stack is given back when there is nothing to do.
    assert_eq!(large.call((1,)).get().unwrap(), 3);
    let end = Instant::now() + LIMIT;
    while has_mapping_of(64 << 20) {
        assert!(Instant::now() < end, "the stack is still there");
        std::thread::yield_now();
    }

    // Less than the stack of a thread; enough for what else is needed.
    limit_memory(Some(1 << 20));
    assert_eq!(part.call((1,)).get().unwrap(), 2, "in the green thread itself");
    let results: Vec<_> = (0..10).map(|n| whole.call((n,))).collect();
    for mut result in results {
        assert_refused(result.get_timeout(LIMIT), "the system refuses even one");
    }
    for n in 0..3 {
        assert_refused(large.call((n,)).get(), "no stack of 67108864 bytes can be had");
        assert!(small.call(()).get().unwrap());
    }
    huey.join(LIMIT).unwrap();
    let stats = huey.stats();
    assert_eq!((stats.running, stats.backlog, stats.abandoned), (0, 0, 13));

    limit_memory(None);
    assert_eq!(whole.call((1,)).get().unwrap(), 2);
    assert_eq!(part.call((1,)).get().unwrap(), 2);

    // All the threads that are there are held: what can't have another one waits for them.
    let (sender, receiver) = mpsc::channel::<()>();
    let (began, has_begun) = mpsc::channel();
    let receiver = Mutex::new(receiver);
    let hold = huey.task("hold", move || {
        began.send(()).unwrap();
        receiver.lock().unwrap().recv().unwrap();
    });
    let hold = hold.offload();
    let mut held = Vec::new();
    while held.len() < threads() || held.is_empty() {
        held.push(hold.call(()));
        // A thread that starts takes memory that it gives back: so not before it has started.
        has_begun.recv_timeout(LIMIT).unwrap();
    }
    limit_memory(Some(1 << 20));
    let mut waits = whole.call((5,));
    assert!(!waits.wait_timeout(Duration::from_millis(50)));
    sender.send(()).unwrap();
    assert_eq!(waits.get_timeout(LIMIT).unwrap(), 6);
    held[1..].iter().for_each(|_| sender.send(()).unwrap());
    for held in held {
        held.get().unwrap();
    }

    // All of them wait for what can't have another one: somebody who waits does it.
    let all = Arc::new(Barrier::new(threads()));
    let child = whole.clone();
    let parent = huey.task("parent", {
        let all = all.clone();
        move |n: u64| {
            all.wait();
            child.call((n,)).get()
        }
    });
    let parent = parent.offload();
    let parents: Vec<_> = (0..threads() as u64).map(|n| parent.call((n,))).collect();
    for (n, mut parent) in (0..).zip(parents) {
        assert_eq!(parent.get_timeout(LIMIT).unwrap().unwrap(), n + 1);
    }
    limit_memory(None);
    assert_eq!(large.call((1,)).get().unwrap(), 3);
}
