//! How the workers are set up, and more than one of them.

use std::sync::mpsc;
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
