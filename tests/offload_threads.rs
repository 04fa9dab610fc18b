//! The threads that tasks are offloaded to: a process of its own, with two of them.

use std::fs;
use std::sync::mpsc;
use std::sync::{Arc, Barrier};
use std::thread;
use std::time::{Duration, Instant};

use minihuey::{Error, MiniHuey, offload, runtime};

const LIMIT: Duration = Duration::from_secs(60);

/// How many threads of ours this process has. (The system cuts names at 15 letters.)
fn threads() -> usize {
    let tasks = fs::read_dir("/proc/self/task").unwrap();
    let name = |task: fs::DirEntry| fs::read_to_string(task.path().join("comm"));
    tasks
        .filter_map(|task| name(task.ok()?).ok())
        .filter(|name| name.starts_with("minihuey-offloa"))
        .count()
}

#[test]
fn the_process_has_so_many_threads_and_no_deadlock() {
    for wrong in [0, 10_001] {
        let error = runtime().offload_threads(wrong).start();
        assert!(matches!(error, Err(Error::Misconfigured(_))), "{wrong}: {error:?}");
    }
    runtime().offload_threads(2).start().unwrap();

    // Never more than two at a moment, whoever asks for them.
    let (left, right) =
        (MiniHuey::new("left"), MiniHuey::builder("right").offload_size(50).build());
    let both = Arc::new(Barrier::new(2));
    let meet = move || {
        both.wait();
        thread::sleep(Duration::from_millis(1));
        threads()
    };
    let part = left.task("part", {
        let meet = meet.clone();
        move || offload(&meet)
    });
    let whole = right.task("whole", meet).offload();
    let mut results = Vec::new();
    for _ in 0..20 {
        results.extend([part.call(()), whole.call(())]);
    }
    for mut result in results {
        assert_eq!(result.get_timeout(LIMIT).unwrap(), 2);
    }

    // Those that wait for each other don't count: ten times ten of them on two threads.
    let huey = MiniHuey::new("nested");
    let mut task = huey.task("level 0", |n: u64| n).offload();
    for level in 1..=10 {
        let inner = task;
        task = huey
            .task(&format!("level {level}"), move |n: u64| inner.call((n,)).get().unwrap() + 1)
            .offload();
    }
    let outer = huey.task("outer", move |n: u64| offload(|| task.call((n,)).get().unwrap()));
    let values = outer.map((0..10).map(|n| (n,))).get_timeout(LIMIT).unwrap();
    assert_eq!(values, (10..20).collect::<Vec<_>>());

    // Parts of tasks have their turn among tasks that are many.
    let nap = huey.task("nap", || thread::sleep(Duration::from_millis(1))).offload();
    let naps = nap.map((0..2_000).map(|_| ()));
    let (sender, receiver) = mpsc::channel();
    let small = huey.task("small", move || offload(|| sender.send(()).unwrap()));
    let mut small = small.call(());
    receiver.recv_timeout(LIMIT).unwrap();
    assert!(!naps.is_ready(), "it waited for all of them");
    small.get_timeout(LIMIT).unwrap();
    { naps }.get_timeout(LIMIT).unwrap();

    // Without work they end.
    let end = Instant::now() + LIMIT;
    assert!(threads() > 0);
    while threads() > 0 {
        assert!(Instant::now() < end, "{} still there", threads());
        thread::sleep(Duration::from_millis(100));
    }
    // And come back.
    assert_eq!(huey.task("late", || 1).offload().call(()).get().unwrap(), 1);
}
