//! Every fate of a task: its result resolves, and the pool stays whole.

use std::io;
use std::time::Duration;

use minihuey::sync::channel;
use minihuey::{MiniHuey, TaskError, TaskResult, green};

use crate::support::{LIMIT, hold};

/// The pool runs the next task after whatever `f` did to it.
#[track_caller]
fn assert_whole(huey: &MiniHuey, name: &str) {
    let mut next = huey.task(&format!("after {name}"), || 1).call(());
    assert_eq!(next.get_timeout(LIMIT).unwrap(), 1);
    huey.join(LIMIT).unwrap();
}

#[test]
fn an_error_comes_back_as_it_went_in() {
    let huey = MiniHuey::builder("errors").pool_size(1).build();
    let read = huey.try_task("read", |path: String| std::fs::read_to_string(path));
    let error = read.call(("/no/such/file".into(),)).get().unwrap_err();
    assert_eq!(error.to_string(), "task read failed: No such file or directory (os error 2)");
    let original = error.downcast_ref::<io::Error>().unwrap();
    assert_eq!(original.kind(), io::ErrorKind::NotFound);
    assert!(error.downcast_ref::<std::fmt::Error>().is_none());
    let error = error.downcast::<std::fmt::Error>().unwrap_err();
    assert_eq!(error.downcast::<io::Error>().unwrap().kind(), io::ErrorKind::NotFound);
    assert_whole(&huey, "error");
    assert_eq!(huey.stats().failed, 1);
}

#[test]
fn errors_that_are_no_std_error_come_back_too() {
    let huey = MiniHuey::new("texts");
    let owned = huey.try_task("owned", || Err::<(), _>(String::from("owned")));
    assert_eq!(owned.call(()).get().unwrap_err().downcast::<String>().unwrap(), "owned");
    let boxed = huey
        .try_task("boxed", || Err::<(), Box<dyn std::error::Error + Send + Sync>>("boxed".into()));
    assert_eq!(boxed.call(()).get().unwrap_err().to_string(), "task boxed failed: boxed");
}

#[test]
fn a_panic_comes_back_with_its_message_and_place() {
    let huey = MiniHuey::builder("panics").pool_size(1).build();
    let boom = huey.task("boom", |n: u32| {
        if n > 0 {
            panic!("boom {n}");
        }
    });
    let line = line!() - 3;
    let TaskError::Panicked(panic) = boom.call((3,)).get().unwrap_err() else {
        panic!("not a panic")
    };
    assert_eq!((panic.task(), panic.message()), ("boom", "boom 3"));
    let place = panic.place().unwrap();
    assert!(place.contains(&format!("failures.rs:{line}:")), "{place}");
    assert_eq!(panic.to_string(), format!("task boom panicked: boom 3 (at {place})"));
    assert_whole(&huey, "panic");
}

#[test]
fn a_panic_with_any_payload_comes_back() {
    let huey = MiniHuey::new("payloads");
    let odd = huey.task("odd", || std::panic::panic_any(42));
    let error = odd.call(()).get().unwrap_err();
    assert!(error.to_string().starts_with("task odd panicked: (a payload that is not text)"));
    // A payload whose destructor panics again.
    struct Bomb;
    impl Drop for Bomb {
        fn drop(&mut self) {
            panic!("again");
        }
    }
    let worse = huey.task("worse", || std::panic::panic_any(Bomb));
    assert!(matches!(worse.call(()).get(), Err(TaskError::Panicked(_))));
    assert_whole(&huey, "payload");
}

#[test]
fn a_value_whose_destructor_panics_harms_nobody() {
    struct Bomb;
    impl Drop for Bomb {
        fn drop(&mut self) {
            panic!("a bad destructor");
        }
    }
    let huey = MiniHuey::builder("bombs").pool_size(1).build();
    let make = huey.task("make", || Bomb);
    // The result goes before the value is there: else the bomb would go off here.
    let (hold, gate, _) = hold(&huey);
    let held = hold.call(());
    drop(make.call(()));
    gate.open();
    held.get().unwrap();
    assert_whole(&huey, "bomb");
    let argument = huey.task("argument", |_bomb: Bomb| ());
    assert!(matches!(argument.call((Bomb,)).get(), Err(TaskError::Panicked(_))));
    assert_whole(&huey, "argument");
}

#[inline(never)]
fn recurse<const WORDS: usize>(depth: u64) -> u64 {
    let frame = [depth; WORDS];
    let frame = std::hint::black_box(&frame);
    if depth == u64::MAX {
        return 0;
    }
    recurse::<WORDS>(depth + 1) + frame[WORDS / 2]
}

#[test]
fn a_stack_overflow_resolves_the_result_and_the_process_lives_on() {
    let huey = MiniHuey::builder("deep").pool_size(1).build();
    // Frames of many sizes hit the guard page in many ways.
    let deep = huey.task("deep", |size: usize| match size {
        0 => recurse::<1>(0),
        1 => recurse::<3>(0),
        2 => recurse::<50>(0),
        3 => recurse::<500>(0),
        _ => recurse::<5000>(0),
    });
    for size in (0..5).chain(0..5) {
        assert!(matches!(deep.call((size,)).get(), Err(TaskError::StackOverflow)));
        assert_whole(&huey, &format!("overflow {size} {}", huey.stats().failed));
    }
}

#[test]
fn an_overflow_deep_inside_calls_of_the_library_leaves_the_pool_whole() {
    let huey = MiniHuey::builder("deep calls").pool_size(2).build();
    let leaf = huey.task("leaf", || 1);
    fn dive(leaf: &minihuey::Task<(), i32>, depth: u64) -> u64 {
        let ballast = std::hint::black_box([depth; 40]);
        let one = leaf.call(()).get().map_or(0, |one| one as u64);
        if depth == u64::MAX {
            return 0;
        }
        dive(leaf, depth + 1) + one + ballast[7]
    }
    let diver = huey.task("diver", move || dive(&leaf, 0));
    for round in 0..3 {
        assert!(matches!(diver.call(()).get(), Err(TaskError::StackOverflow)));
        assert_whole(&huey, &format!("dive {round}"));
    }
}

#[test]
fn a_waiter_is_woken_by_every_fate() {
    let huey = MiniHuey::new("fates");
    let fate = huey.try_task("fate", |which: u32| {
        green::sleep(Duration::from_millis(5));
        match which {
            0 => Ok(()),
            1 => Err("no"),
            2 => panic!("no"),
            _ => {
                recurse::<10>(0);
                Ok(())
            }
        }
    });
    // In a green thread, where the hub itself must not be the one that waits.
    let watch = huey.task("watch", move |which: u32| match fate.call((which,)).get() {
        Ok(()) => "value",
        Err(TaskError::Failed(_)) => "error",
        Err(TaskError::Panicked(_)) => "panic",
        Err(TaskError::StackOverflow) => "overflow",
        Err(_) => "other",
    });
    for (which, expected) in ["value", "error", "panic", "overflow"].into_iter().enumerate() {
        assert_eq!(watch.call((which as u32,)).get_timeout(LIMIT).unwrap(), expected);
    }
}

#[test]
fn a_wait_in_a_destructor_while_a_panic_unwinds_ends() {
    let huey = MiniHuey::new("unwinding");
    let (hold, gate, _) = hold(&huey);
    struct Waits(Option<minihuey::TaskResult<()>>, std::sync::mpsc::Sender<bool>);
    impl Drop for Waits {
        fn drop(&mut self) {
            let result = self.0.take().unwrap().get();
            self.1.send(matches!(result, Err(TaskError::WaitImpossible))).unwrap();
        }
    }
    let (sender, receiver) = std::sync::mpsc::channel();
    let boom = huey.task("boom", move || {
        let _waits = Waits(Some(hold.call(())), sender.clone());
        panic!("with a destructor that waits");
    });
    boom.call(()).get().unwrap_err();
    assert!(crate::support::next(&receiver));
    gate.open();
    assert_whole(&huey, "unwinding");
    // The worker's panic count is not left raised for others.
    assert!(!huey.task("panicking", std::thread::panicking).call(()).get().unwrap());
}

#[test]
fn a_panic_that_is_resumed_does_not_come_back_with_the_place_of_another() {
    let huey = MiniHuey::builder("places").pool_size(1).build();
    huey.task("swallows", || drop(std::panic::catch_unwind(|| panic!("swallowed"))))
        .call(())
        .get()
        .unwrap();
    let resumes = huey.task("resumes", || std::panic::resume_unwind(Box::new("from elsewhere")));
    let TaskError::Panicked(panic) = resumes.call(()).get().unwrap_err() else {
        panic!("not a panic")
    };
    assert_eq!((panic.message(), panic.place()), ("from elsewhere", None));
}

#[test]
fn a_panic_that_another_task_swallowed_meanwhile_lends_its_place_to_nobody() {
    let huey = MiniHuey::new("meanwhile");
    let (told, tells) = channel::bounded(0);
    let waits = huey.task("waits", move || {
        tells.recv().unwrap();
        std::panic::resume_unwind(Box::new("from elsewhere"))
    });
    let waiting: TaskResult<()> = waits.call(());
    let swallows = huey.task("swallows", move || {
        drop(std::panic::catch_unwind(|| panic!("swallowed")));
        told.send(()).unwrap();
    });
    swallows.call(()).get().unwrap();
    let TaskError::Panicked(panic) = waiting.get().unwrap_err() else { panic!("not a panic") };
    assert_eq!((panic.message(), panic.place()), ("from elsewhere", None));
}
