//! Calling a task: from where, and what it never does.

use std::sync::mpsc;
use std::thread;

use minihuey::{MiniHuey, green};

use crate::support::{hold, next};

#[test]
fn a_call_works_without_the_scheduler() {
    let huey = MiniHuey::new("no scheduler");
    let add = huey.task("add", |a: i64, b: i64| a + b);
    assert!(!huey.is_started());
    assert_eq!(add.call((1, 2)).get().unwrap(), 3);
}

#[test]
fn a_task_runs_in_a_green_thread() {
    let huey = MiniHuey::new("colour");
    let colour = huey.task("colour", green::is_green);
    assert!(colour.call(()).get().unwrap());
    assert!(!green::is_green());
    assert!(!colour.call_local(()).unwrap());
}

#[test]
fn a_call_never_blocks_even_if_the_pool_is_full() {
    let huey = MiniHuey::builder("full").pool_size(1).build();
    let (hold, gate, _) = hold(&huey);
    let held: Vec<_> = (0..100).map(|_| hold.call(())).collect();
    assert!(held.iter().all(|held| !held.is_ready()));
    gate.open();
    for held in held {
        held.get().unwrap();
    }
}

#[test]
fn a_task_can_be_called_from_a_task_and_from_many_threads() {
    let huey = MiniHuey::new("everywhere");
    let double = huey.task("double", |n: u64| 2 * n);
    let inner = double.clone();
    let quadruple =
        huey.task("quadruple", move |n: u64| inner.call((inner.call((n,)).get().unwrap(),)).get());
    let threads: Vec<_> = (0..4)
        .map(|thread| {
            let quadruple = quadruple.clone();
            thread::spawn(move || {
                (0..500)
                    .map(|n| quadruple.call((thread * 1000 + n,)).get().unwrap().unwrap())
                    .sum::<u64>()
            })
        })
        .collect();
    let sum: u64 = threads.into_iter().map(|thread| thread.join().unwrap()).sum();
    let expected: u64 = (0..4).flat_map(|t| (0..500).map(move |n| 4 * (t * 1000 + n))).sum();
    assert_eq!(sum, expected);
}

#[test]
fn tasks_begin_first_in_first_out() {
    let huey = MiniHuey::builder("order").pool_size(1).build();
    let (sender, receiver) = mpsc::channel();
    let note = huey.task("note", move |n: u32| sender.send(n).unwrap());
    for n in 0..1000 {
        drop(note.call((n,)));
    }
    assert!((0..1000).all(|n| next(&receiver) == n));
}

#[test]
fn ids_are_unique_and_names_are_the_declared_ones() {
    let huey = MiniHuey::new("ids");
    let noop = huey.task("noop", || ());
    let threads: Vec<_> = (0..4)
        .map(|_| {
            let noop = noop.clone();
            thread::spawn(move || (0..1000).map(|_| noop.call(()).id()).collect::<Vec<_>>())
        })
        .collect();
    let mut ids: Vec<_> = threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect();
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), 4000);
    assert_eq!(noop.call(()).name(), "noop");
}

#[test]
fn in_immediate_mode_a_task_runs_in_its_caller() {
    let huey = MiniHuey::builder("immediate").immediate(true).build();
    let where_am_i = huey.task("where", || (thread::current().id(), green::is_green()));
    let mut result = where_am_i.call(());
    assert!(result.is_ready());
    assert_eq!(result.try_get().unwrap().unwrap(), (thread::current().id(), false));
    let fail = huey.try_task("fail", || Err::<(), _>("no"));
    assert!(fail.call(()).get().unwrap_err().downcast_ref::<&str>().is_some());
    let stats = huey.stats();
    assert_eq!((stats.enqueued, stats.finished, stats.failed), (2, 1, 1));
}

#[test]
fn tasks_with_up_to_eight_arguments_are_called_with_a_tuple() {
    let huey = MiniHuey::new("arity");
    assert_eq!(huey.task("zero", || 0).call(()).get().unwrap(), 0);
    let eight =
        huey.task("eight", |a: u8, b: u16, c: u32, d: u64, e: i8, f: i16, g: i32, h: String| {
            format!("{a}{b}{c}{d}{e}{f}{g}{h}")
        });
    assert_eq!(eight.call((1, 2, 3, 4, 5, 6, 7, "8".into())).get().unwrap(), "12345678");
}
