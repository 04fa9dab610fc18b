//! A result: waiting for it, looking at it, letting it go.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use minihuey::{MiniHuey, TaskError, green};

use crate::support::{Gate, LIMIT, hold, next, until};

#[test]
fn a_wait_that_times_out_leaves_the_result_usable() {
    let huey = MiniHuey::new("patience");
    let gate = Gate::default();
    let wait = huey.task("wait", {
        let gate = gate.clone();
        move || {
            gate.pass();
            5
        }
    });
    let mut result = wait.call(());
    let start = Instant::now();
    let short = Duration::from_millis(20);
    assert!(matches!(result.get_timeout(short), Err(TaskError::WaitTimedOut)));
    assert!(start.elapsed() >= short);
    assert!(!result.wait_timeout(short));
    assert!(result.try_get().is_none());
    gate.open();
    result.wait();
    assert!(result.is_ready());
    assert_eq!(result.get_timeout(LIMIT).unwrap(), 5);
}

#[test]
fn a_wait_in_a_task_times_out_as_one_in_a_thread_does() {
    let huey = MiniHuey::new("green patience");
    let (hold, gate, _) = hold(&huey);
    let outer = huey.task("outer", move || {
        let mut result = hold.call(());
        let start = Instant::now();
        let timed_out =
            matches!(result.get_timeout(Duration::from_millis(20)), Err(TaskError::WaitTimedOut));
        (timed_out, start.elapsed() >= Duration::from_millis(20), result)
    });
    let (timed_out, late_enough, result) = outer.call(()).get().unwrap();
    assert!(timed_out && late_enough);
    gate.open();
    result.get().unwrap();
}

#[test]
fn a_value_is_given_once() {
    let huey = MiniHuey::new("once");
    let five = huey.task("five", || 5);
    let mut result = five.call(());
    result.wait();
    assert_eq!(result.try_get().unwrap().unwrap(), 5);
    assert!(matches!(result.try_get(), Some(Err(TaskError::AlreadyTaken))));
    assert!(matches!(result.get_timeout(LIMIT), Err(TaskError::AlreadyTaken)));
    assert!(matches!(result.get(), Err(TaskError::AlreadyTaken)));
}

#[test]
fn dropping_a_result_changes_nothing_for_the_task() {
    let huey = MiniHuey::new("careless");
    let (sender, receiver) = mpsc::channel();
    let send = huey.task("send", move |n: u32| sender.send(n).unwrap());
    drop(send.call((7,)));
    assert_eq!(next(&receiver), 7);
}

#[test]
fn every_argument_and_every_value_is_dropped_exactly_once() {
    struct Counted(Arc<AtomicUsize>);
    impl Drop for Counted {
        fn drop(&mut self) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }
    let huey = MiniHuey::new("drops");
    let (arguments, values) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let swap = huey.task("swap", {
        let values = values.clone();
        move |_argument: Counted| Counted(values.clone())
    });
    for n in 0..300 {
        let mut result = swap.call((Counted(arguments.clone()),));
        match n % 3 {
            0 => drop(result),
            1 => drop(result.get().unwrap()),
            _ => result.wait(),
        }
    }
    huey.join(LIMIT).unwrap();
    // What nobody took goes with the last who knows of it, which may be a runner.
    huey.shutdown(LIMIT).unwrap();
    until("all values are dropped", || values.load(Ordering::SeqCst) == 300);
    assert_eq!(arguments.load(Ordering::SeqCst), 300);
    assert_eq!(values.load(Ordering::SeqCst), 300);
}

#[test]
fn on_ready_is_called_with_the_value_whether_it_comes_before_or_after() {
    let huey = MiniHuey::new("callbacks");
    let gate = Gate::default();
    let wait = huey.task("wait", {
        let gate = gate.clone();
        move || {
            gate.pass();
            "late"
        }
    });
    let (sender, receiver) = mpsc::channel();
    let early_sender = sender.clone();
    wait.call(()).on_ready(move |value| sender.send(value.unwrap()).unwrap());
    let mut early = huey.task("early", || "early").call(());
    early.wait();
    early.on_ready(move |value| early_sender.send(value.unwrap()).unwrap());
    assert_eq!(next(&receiver), "early");
    gate.open();
    assert_eq!(next(&receiver), "late");
}

#[test]
fn a_panic_in_on_ready_harms_nobody() {
    let huey = MiniHuey::new("bad callback");
    let five = huey.task("five", || 5);
    let (sender, receiver) = mpsc::channel::<()>();
    five.call(()).on_ready(move |_| {
        // Dropped by the unwinding: the test learns that the callback ran.
        let _sender = sender;
        panic!("in a callback");
    });
    assert!(receiver.recv_timeout(LIMIT).is_err());
    assert_eq!(five.call(()).get().unwrap(), 5);
}

#[test]
fn a_result_can_be_waited_for_in_another_task_than_the_caller() {
    let huey = MiniHuey::new("handed on");
    let nap = huey.task("nap", || green::sleep(Duration::from_millis(5)));
    let wait = huey.task("wait", |result: minihuey::TaskResult<()>| result.get().is_ok());
    assert!(wait.call((nap.call(()),)).get().unwrap());
}

#[test]
fn a_result_shows_which_call_it_is_and_how_far() {
    let huey = MiniHuey::new("debug");
    let (hold, gate, _) = hold(&huey);
    let mut result = hold.call(());
    assert_eq!(format!("{result:?}"), format!("TaskResult(hold {} pending)", result.id()));
    gate.open();
    result.wait();
    assert!(format!("{result:?}").ends_with("ready)"));
}
