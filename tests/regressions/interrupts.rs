//! Who is interrupted when jobs stand on top of each other, on one stack.

use std::sync::mpsc::{self, Sender};
use std::sync::{Mutex, OnceLock};
use std::time::Duration;

use minihuey::{MiniHuey, Task, TaskError, green};

use crate::child;
use crate::support::{address_here, is_on_stack_of};

/// More than a process can have green threads with the usual limit of its memory maps: from some
/// level on each runs on the stack of the one that waits for it.
const LEVELS: u32 = 60_000;

const TIMEOUT: Duration = Duration::from_millis(50);

static DEEPER: OnceLock<Task<(u32, usize), ()>> = OnceLock::new();
static NEWS: OnceLock<Mutex<Sender<String>>> = OnceLock::new();

fn tell(news: &str) {
    NEWS.get().unwrap().lock().unwrap().send(news.to_owned()).unwrap();
}

fn deeper(level: u32, caller: usize, last: &dyn Fn()) {
    if is_on_stack_of(caller) {
        return last();
    }
    assert!(level < LEVELS, "there are more green threads than expected");
    DEEPER.get().unwrap().call((level + 1, address_here())).get().unwrap();
}

struct Unwinds;

impl Drop for Unwinds {
    fn drop(&mut self) {
        tell(if std::thread::panicking() { "the middle unwinds" } else { "the middle returns" });
    }
}

#[test]
fn of_jobs_on_one_stack_only_the_one_that_was_ended_unwinds() {
    child::run("interrupts::of_jobs_on_one_stack_only_the_one_that_was_ended_unwinds", || {
        let (sender, receiver) = mpsc::channel();
        NEWS.set(Mutex::new(sender)).unwrap();
        let huey = MiniHuey::new("tower");
        let sleeper = huey.task("sleeper", |caller: usize| {
            assert!(is_on_stack_of(caller));
            green::sleep(Duration::MAX);
        });
        let sleeper = sleeper.timeout(TIMEOUT);
        let top = huey.task("top", |caller: usize| {
            assert!(is_on_stack_of(caller));
            // By then the one below has been ended.
            for _ in 0..8 {
                green::sleep(TIMEOUT / 4);
                green::yield_now();
            }
            tell("the top returns");
        });
        let middle = huey.task("middle", move |caller: usize| {
            assert!(is_on_stack_of(caller));
            let _unwinds = Unwinds;
            top.call((address_here(),)).get().unwrap();
            green::yield_now();
            tell("the middle goes on");
        });
        let middle = middle.timeout(TIMEOUT);
        let last = move || {
            let ended = sleeper.call((address_here(),)).get();
            assert!(matches!(ended, Err(TaskError::TimedOut)), "{ended:?}");
            let ended = middle.call((address_here(),)).get();
            assert!(matches!(ended, Err(TaskError::TimedOut)), "{ended:?}");
            green::yield_now();
            tell("the bottom returns");
        };
        let task = huey.task("deeper", move |level, caller| deeper(level, caller, &last));
        DEEPER.set(task.clone()).ok().unwrap();
        task.call((0, 0)).get().unwrap();
        let news: Vec<_> = receiver.try_iter().collect();
        assert_eq!(news, ["the top returns", "the middle unwinds", "the bottom returns"]);
        huey.join(None).unwrap();
        let stats = huey.stats();
        assert_eq!((stats.timed_out, stats.failed), (2, 0));
        assert_eq!(stats.enqueued, stats.finished + stats.timed_out);
    });
}
