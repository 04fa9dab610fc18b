//! How the workers are set up, and more than one of them.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::Duration;

use minihuey::{MiniHuey, green, runtime};

use crate::child;
use crate::support::LIMIT;

#[test]
#[allow(unsafe_code, reason = "may's own `spawn` is unsafe")]
fn two_coroutines_of_the_program_may_start_the_library() {
    child::run("workers::two_coroutines_of_the_program_may_start_the_library", || {
        may::config().set_workers(1).set_stack_size(0x10000);
        let huey = MiniHuey::new("raw");
        let task = huey.task("task", || 1);
        let (sender, receiver) = mpsc::channel();
        for _ in 0..2 {
            let (task, sender) = (task.clone(), sender.clone());
            let body = move || sender.send(task.call(()).get().unwrap()).unwrap();
            // SAFETY: it does not use thread-locals, nor much of its stack.
            drop(unsafe { may::coroutine::spawn(body) });
        }
        for _ in 0..2 {
            assert_eq!(receiver.recv_timeout(LIMIT).unwrap(), 1);
        }
    });
}

#[test]
fn with_two_workers_no_sleeper_is_lost() {
    child::run("workers::with_two_workers_no_sleeper_is_lost", || {
        runtime().workers(2).start().unwrap();
        let huey = MiniHuey::new("two");
        let nap = huey.task("nap", |n: u64| {
            let home = thread::current().id();
            for i in 0..5 {
                green::sleep(Duration::from_micros(200 + (n * 37 + i * 101) % 900));
                assert_eq!(thread::current().id(), home);
            }
        });
        for round in 0..20 {
            nap.map((0..50).map(|n| (n + round * 7,))).get_timeout(LIMIT).unwrap();
        }
        // Also those that come one by one.
        let trickle: Vec<_> = (0..200)
            .map(|n| {
                thread::sleep(Duration::from_micros(200));
                nap.call((n,))
            })
            .collect();
        for mut result in trickle {
            result.get_timeout(LIMIT).unwrap();
        }
    });
}

#[test]
fn with_two_workers_no_sleeper_that_waited_for_mays_channel_is_lost() {
    child::run("workers::with_two_workers_no_sleeper_that_waited_for_mays_channel_is_lost", || {
        runtime().workers(2).start().unwrap();
        let huey = MiniHuey::new("two");
        let moved = Arc::new(AtomicUsize::new(0));
        let send = huey.task("send", |sender: may::sync::mpsc::Sender<u8>| {
            green::sleep(Duration::from_micros(300));
            sender.send(1).unwrap();
        });
        let count = moved.clone();
        let receive = huey.task("receive", move |receiver: may::sync::mpsc::Receiver<u8>| {
            let home = thread::current().id();
            receiver.recv().unwrap();
            for _ in 0..3 {
                green::sleep(Duration::from_micros(200));
            }
            count.fetch_add(usize::from(thread::current().id() != home), Ordering::SeqCst);
        });
        for _ in 0..20 {
            let results: Vec<_> = (0..50)
                .map(|_| {
                    let (sender, receiver) = may::sync::mpsc::channel();
                    let result = receive.call((receiver,));
                    drop(send.call((sender,)));
                    result
                })
                .collect();
            for mut result in results {
                result.get_timeout(LIMIT).unwrap();
            }
        }
        assert_eq!(moved.load(Ordering::SeqCst), 0);
    });
}

#[test]
fn with_two_workers_a_held_one_does_not_hold_a_task() {
    child::run("workers::with_two_workers_a_held_one_does_not_hold_a_task", || {
        runtime().workers(2).start().unwrap();
        let huey = MiniHuey::new("two");
        let (held, holds) = mpsc::channel();
        let (release, released) = mpsc::channel::<()>();
        let hog = huey.task("hog", move |released: mpsc::Receiver<()>| {
            held.send(()).unwrap();
            released.recv().unwrap();
        });
        let hogged = hog.call((released,));
        holds.recv_timeout(LIMIT).unwrap();
        let quick = huey.task("quick", || 1);
        for _ in 0..5 {
            assert_eq!(quick.call(()).get_timeout(LIMIT).unwrap(), 1);
        }
        release.send(()).unwrap();
        hogged.get().unwrap();
    });
}
