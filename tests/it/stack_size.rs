//! Tasks that ask for a stack of their own size.

use minihuey::{Error, MiniHuey, Reason, TaskError, green, task};
use once_cell::sync::Lazy;

use crate::support::{Gate, Gauge, LIMIT, next};

/// Takes some 1 KiB of stack a level, or more.
#[inline(never)]
fn descend(levels: u64) -> u64 {
    let frame = std::hint::black_box([levels; 128]);
    if levels == 0 { 0 } else { descend(levels - 1) + frame[64].min(1) }
}

/// More than the default stack, less than 4 MiB.
const DEEP: u64 = 1_000;

#[test]
fn a_task_that_overflows_the_default_stack_passes_with_a_larger_one() {
    let huey = MiniHuey::builder("deep").pool_size(1).build();
    // Of another huey: here it might run on the stack that the other one had.
    let shallow = MiniHuey::builder("shallow").pool_size(1).build();
    let small = shallow.task("small", descend);
    let large = huey.task("large", descend).stack_size(4 << 20);
    for _ in 0..5 {
        assert!(matches!(small.call((DEEP,)).get(), Err(TaskError::StackOverflow)));
        assert_eq!(large.call((DEEP,)).get().unwrap(), DEEP);
        assert_eq!(small.call((10,)).get().unwrap(), 10);
    }
    for (huey, expected) in [(huey, (5, 0, 0)), (shallow, (5, 5, 0))] {
        huey.join(LIMIT).unwrap();
        let stats = huey.stats();
        assert_eq!((stats.finished, stats.failed, stats.running), expected);
    }
}

#[test]
fn one_that_overflows_a_larger_stack_is_told_so_and_the_pool_goes_on() {
    let huey = MiniHuey::builder("deeper").pool_size(1).build();
    let endless = huey.task("endless", || descend(u64::MAX)).stack_size(1 << 20);
    let small = huey.task("small", descend);
    for _ in 0..10 {
        let mut result = endless.call(());
        assert!(matches!(result.get_timeout(LIMIT), Err(TaskError::StackOverflow)));
        assert_eq!(small.call((10,)).get_timeout(LIMIT).unwrap(), 10);
    }
    huey.join(LIMIT).unwrap();
}

#[test]
fn pool_size_holds_whatever_the_stacks() {
    let huey = MiniHuey::builder("three").pool_size(3).build();
    let gauge = Gauge::default();
    let task = |name: &str| {
        let gauge = gauge.clone();
        huey.task(name, move || {
            gauge.inside(|| {
                green::yield_now();
                green::sleep(std::time::Duration::from_millis(1));
            });
        })
    };
    let (small, large, huge) =
        (task("small"), task("large").stack_size(1 << 20), task("huge").stack_size(64 << 20));
    let results: Vec<_> = (0..60)
        .map(|n| match n % 3 {
            0 => small.call(()),
            1 => large.call(()),
            _ => huge.call(()),
        })
        .collect();
    for mut result in results {
        result.get_timeout(LIMIT).unwrap();
    }
    assert_eq!(gauge.most(), 3);
}

#[test]
fn tasks_with_large_stacks_wait_for_each_other() {
    let huey = MiniHuey::builder("nested").pool_size(1).build();
    let mut task = huey.task("level 0", |n: u64| descend(n));
    for level in 1..=10 {
        let inner = task;
        task = huey
            .task(&format!("level {level}"), move |n: u64| inner.call((n,)).get().unwrap())
            .stack_size(level << 20);
    }
    let values = task.map((0..10).map(|n| (n,))).get_timeout(LIMIT).unwrap();
    assert_eq!(values, (0..10).collect::<Vec<_>>());
}

#[test]
fn many_stay_parked_on_large_stacks_at_once() {
    let huey = MiniHuey::new("parked");
    let (gate, gauge) = (Gate::default(), Gauge::default());
    let (sender, receiver) = std::sync::mpsc::channel();
    let (its_gate, inside) = (gate.clone(), gauge.clone());
    let park = huey
        .task("park", move || {
            inside.enter();
            sender.send(()).unwrap();
            its_gate.pass();
            descend(DEEP)
        })
        .stack_size(4 << 20);
    let parked = park.map((0..200).map(|_| ()));
    (0..200).for_each(|_| next(&receiver));
    assert_eq!(gauge.most(), 200);
    gate.open();
    assert_eq!({ parked }.get_timeout(LIMIT).unwrap(), [DEEP; 200]);
}

#[test]
fn a_smaller_stack_than_the_runtimes_makes_no_difference() {
    let huey = MiniHuey::new("tiny");
    // In a debug build `format!` of a float takes 10 KiB, and 100 levels 100 KiB.
    let tiny = huey.task("tiny", descend).stack_size(64 << 10);
    assert_eq!(tiny.call((100,)).get().unwrap(), 100);
}

#[test]
fn a_size_out_of_range_is_an_error_of_each_call_and_of_start() {
    for (bytes, text) in [(1000, "1000 bytes"), ((1 << 30) + 1, "1073741825 bytes")] {
        let huey = MiniHuey::new("wrong");
        let task = huey.task("task", || ()).stack_size(bytes);
        let text = format!(
            "\"wrong\": task \"task\": stack_size: {text} were asked for; expected 65536 (64 KiB) \
             to 1073741824 (1 GiB)"
        );
        for _ in 0..2 {
            let error = task.call(()).get().unwrap_err();
            let TaskError::Rejected(why) = error else { panic!("{error}") };
            assert_eq!(*why.reason(), Reason::Misconfigured(text.clone()));
        }
        let Err(Error::Misconfigured(what)) = huey.start() else { panic!("it started") };
        assert_eq!(what, text);
        // The others work.
        huey.task("other", || ()).call(()).get().unwrap();
    }
}

#[test]
fn an_offloaded_task_has_no_stack_size() {
    let huey = MiniHuey::new("both");
    let task = huey.task("task", || ()).offload().stack_size(1 << 20);
    let error = task.call(()).get().unwrap_err();
    assert!(error.to_string().contains("expected offload or stack_size, not both"), "{error}");
}

static HUEY: Lazy<MiniHuey> = Lazy::new(|| MiniHuey::new("declared"));

#[task(HUEY, stack_size = "4MiB")]
fn deep(levels: u64) -> u64 {
    descend(levels)
}

#[test]
fn a_declared_stack_size_is_had() {
    assert_eq!(deep(DEEP).get().unwrap(), DEEP);
}
