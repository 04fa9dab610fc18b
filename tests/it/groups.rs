//! Several results as one.

use std::time::Duration;

use minihuey::{MiniHuey, TaskError, green, group};

use crate::support::{Gate, LIMIT};

#[test]
fn map_gives_the_values_in_order() {
    let huey = MiniHuey::new("map");
    // The later ones end first.
    let slow = huey.task("slow", |n: u64| {
        green::sleep(Duration::from_millis(20 - 2 * n));
        n
    });
    let values = slow.map((0..10).map(|n| (n,))).get().unwrap();
    assert_eq!(values, (0..10).collect::<Vec<_>>());
}

#[test]
fn an_empty_group_is_ready() {
    let none = group::<u8>([]);
    assert!(none.is_ready() && none.is_empty());
    assert_eq!(none.get().unwrap(), []);
}

#[test]
fn a_group_gives_its_first_error_in_order() {
    let huey = MiniHuey::new("errors");
    let check = huey.try_task("check", |n: i32| if n < 0 { Err(n) } else { Ok(n) });
    let error = check.map([(1,), (-2,), (-3,)]).get().unwrap_err();
    assert_eq!(error.downcast_ref::<i32>(), Some(&-2));
}

#[test]
fn a_group_that_times_out_loses_no_value() {
    let huey = MiniHuey::new("late group");
    let gate = Gate::default();
    let pass = huey.task("pass", {
        let gate = gate.clone();
        move |n: u32| {
            if n == 1 {
                gate.pass();
            }
            n
        }
    });
    let mut group = pass.map((0..3).map(|n| (n,)));
    let result = group.get_timeout(Duration::from_millis(20));
    assert!(matches!(result, Err(TaskError::WaitTimedOut)));
    gate.open();
    assert_eq!(group.get_timeout(LIMIT).unwrap(), [0, 1, 2]);
}

#[test]
fn as_completed_gives_each_member_when_it_ends() {
    let huey = MiniHuey::new("as completed");
    let gates = [Gate::default(), Gate::default(), Gate::default()];
    let pass = huey.task("pass", |gate: Gate, n: usize| {
        gate.pass();
        n
    });
    let results = gates.iter().enumerate().map(|(n, gate)| pass.call((gate.clone(), n)));
    let mut completed = group(results.collect::<Vec<_>>()).as_completed();
    let timed_out = completed.next_timeout(Duration::from_millis(10));
    assert!(matches!(timed_out, Err(TaskError::WaitTimedOut)));
    for n in [2, 0, 1] {
        gates[n].open();
        let (index, value) = completed.next().unwrap();
        assert_eq!((index, value.unwrap()), (n, n));
    }
    assert!(completed.next().is_none());
}

#[test]
fn as_completed_works_in_a_task_of_a_pool_of_one() {
    let huey = MiniHuey::builder("narrow").pool_size(1).build();
    let square = huey.task("square", |n: u64| n * n);
    let sum = huey.task("sum", move || {
        let squares = square.map((0..100).map(|n| (n,)));
        squares.as_completed().map(|(_, value)| value.unwrap()).sum::<u64>()
    });
    let mut sum = sum.call(());
    assert_eq!(sum.get_timeout(LIMIT).unwrap(), 328_350);
}

#[test]
fn a_group_can_be_taken_apart() {
    let huey = MiniHuey::new("apart");
    let check = huey.try_task("check", |n: i32| if n < 0 { Err("negative") } else { Ok(n) });
    let ok = check.map([(1,), (-2,), (3,)]).into_iter().filter(|_| true).map(|r| r.get().is_ok());
    assert_eq!(ok.collect::<Vec<_>>(), [true, false, true]);
}
