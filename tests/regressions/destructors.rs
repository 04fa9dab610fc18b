//! Destructors of what tasks are called with, of what they give, and of what periodic ones are made
//! of: they may wait, and outgrow their stack.

use std::sync::{Arc, Barrier, mpsc};
use std::time::Duration;

use chrono::{DateTime, Local};
use minihuey::sync::Mutex;
use minihuey::sync::channel::{Receiver, RecvTimeoutError, Sender, unbounded};
use minihuey::{MiniHuey, Task, TaskError, crontab, green};

use crate::child;
use crate::support::{LIMIT, endless, until};

/// Its destructor outgrows the stack.
struct Deep;

/// A task whose value nobody collects. It waits until its result is gone: else the value might be
/// there before that, and be its caller's to drop.
struct Uncollected<T: 'static> {
    task: Task<(), T>,
    is_gone: Sender<()>,
}

impl<T: Send + 'static> Uncollected<T> {
    fn new(huey: &MiniHuey, make: impl Fn() -> T + Send + Sync + 'static) -> Uncollected<T> {
        let (is_gone, gone): (Sender<()>, Receiver<()>) = unbounded();
        let task = huey.task("uncollected", move || {
            gone.recv_timeout(LIMIT).unwrap();
            make()
        });
        Uncollected { task, is_gone }
    }

    fn call(&self) {
        drop(self.task.call(()));
        self.is_gone.send(()).unwrap();
    }
}

impl Drop for Deep {
    fn drop(&mut self) {
        endless(0);
    }
}

/// Its destructor waits.
struct Waits(Receiver<()>);

impl Drop for Waits {
    fn drop(&mut self) {
        let _ = self.0.recv_timeout(LIMIT);
    }
}

#[test]
fn a_value_that_nobody_collects_and_that_outgrows_its_stack_fails_its_task_alone() {
    let huey = MiniHuey::new("deep");
    let deep = Uncollected::new(&huey, || Deep);
    let small = huey.task("small", || 7);
    deep.call();
    huey.join(LIMIT).unwrap();
    assert_eq!(huey.stats().failed, 1);
    for _ in 0..4 {
        assert_eq!(small.call(()).get_timeout(LIMIT).unwrap(), 7);
    }

    // With another one right behind it.
    let both = huey.task("both", move || {
        deep.call();
        small.call(())
    });
    let mut behind = both.call(()).get_timeout(LIMIT).unwrap();
    assert_eq!(behind.get_timeout(LIMIT).unwrap(), 7);
    huey.join(LIMIT).unwrap();
    assert_eq!(huey.stats().failed, 2);
}

#[test]
fn a_runner_whose_last_value_outgrew_its_stack_leaves_its_number_once() {
    let huey = MiniHuey::new("numbers");
    let deep = Uncollected::new(&huey, || Deep);
    // A runner with a stack of that size ends after it.
    let large = huey.task("large", move || deep.call()).stack_size(1 << 20);
    large.call(()).get_timeout(LIMIT).unwrap();
    huey.join(LIMIT).unwrap();
    let nap = huey.task("nap", || green::sleep(Duration::from_secs(3600)));
    let naps: Vec<_> = (0..6).map(|_| nap.call(())).collect();
    until("all sleep", || huey.stats().running == naps.len());
    naps.iter().for_each(|nap| assert!(nap.cancel()));
    huey.join(LIMIT).unwrap();
}

/// Has a value that nobody collects wait for what a task does that is called behind it.
fn wait_for_the_next_one(offloaded: bool) {
    let huey = MiniHuey::builder("waits").pool_size(2).offload_size(2).build();
    let (tell, told): (Sender<()>, Receiver<()>) = unbounded();
    let mut waits = Uncollected::new(&huey, move || Waits(told.clone()));
    let mut next = huey.task("next", move || tell.send(()).unwrap());
    if offloaded {
        (waits.task, next) = (waits.task.offload(), next.offload());
    }
    let both = huey.task("both", move || {
        waits.call();
        next.call(())
    });
    let mut next = both.call(()).get_timeout(LIMIT).unwrap();
    next.get_timeout(LIMIT / 2).unwrap();
    huey.join(LIMIT / 2).unwrap();
}

#[test]
fn a_value_that_nobody_collects_may_wait_for_other_tasks_in_its_destructor() {
    wait_for_the_next_one(false);
    wait_for_the_next_one(true);
}

/// Has a task that has the only place of its pool wait for what another one gave, and let it go.
fn let_go_of_what_was_waited_for(offloaded: bool) {
    let huey = MiniHuey::builder("let go").pool_size(1).offload_size(1).build();
    let (sender, receiver): (Sender<()>, Receiver<()>) = unbounded();
    let sender = Mutex::new(Some(sender));
    // The one of the two that is waited for is run first. The other one outlasts it.
    let mut other = huey.task("other", || green::sleep(Duration::from_millis(50)));
    let mut gives = huey.task("gives", move || sender.lock().take());
    if offloaded {
        (other, gives) = (other.offload(), gives.offload());
    }
    let mut waits = huey.task("waits", move || {
        let _other = other.call(());
        let mut given = gives.call(());
        given.wait();
        drop(given);
        receiver.recv_timeout(LIMIT / 2)
    });
    if offloaded {
        waits = waits.offload();
    }
    let ended = waits.call(()).get_timeout(LIMIT).unwrap();
    assert_eq!(ended, Err(RecvTimeoutError::Disconnected), "nobody else had the sender");
}

#[test]
fn a_result_that_is_let_go_takes_its_value_along() {
    let_go_of_what_was_waited_for(false);
    let_go_of_what_was_waited_for(true);
}

#[test]
fn a_value_that_nobody_collects_is_dropped_in_its_task_though_another_thread_looks_at_that() {
    /// Says in which thread it was dropped.
    struct Says(mpsc::Sender<Option<String>>);
    impl Drop for Says {
        fn drop(&mut self) {
            let _ = self.0.send(std::thread::current().name().map(str::to_owned));
        }
    }
    let huey = MiniHuey::new("late");
    let nap = huey.task("nap", || green::sleep(Duration::from_secs(3600)));
    // The thread of time-outs is held, so that the next two come due in one round of it.
    let (held, goes_on) = mpsc::channel::<()>();
    nap.clone().timeout(Duration::from_millis(10)).call(()).on_ready(move |_| {
        let _ = goes_on.recv_timeout(LIMIT);
    });
    // In the round it has the second one in its hand, until the callback of the first one is over.
    // (All of the round are timed out by then; the second one holds its worker, so it goes on.)
    let (first_ended, second_may_end) = mpsc::channel();
    let second_may_end = std::sync::Mutex::new(second_may_end);
    let (says, said) = mpsc::channel();
    let (over, is_over) = mpsc::channel::<()>();
    nap.timeout(Duration::from_millis(20)).call(()).on_ready(move |_| {
        first_ended.send(()).unwrap();
        let _ = is_over.recv_timeout(LIMIT);
    });
    let second = huey.task("second", move || {
        second_may_end.lock().unwrap().recv_timeout(LIMIT).unwrap();
        Says(says.clone())
    });
    drop(second.timeout(Duration::from_millis(20)).call(()));
    std::thread::sleep(Duration::from_millis(100));
    drop(held);
    let thread = said.recv_timeout(LIMIT).unwrap();
    assert_ne!(thread.as_deref(), Some("minihuey-watchdog"));
    drop(over);
}

#[test]
fn a_task_is_cancelled_though_what_it_was_called_with_ends_its_canceller() {
    let huey = MiniHuey::builder("cancel").pool_size(1).build();
    let (hand, handed) = mpsc::channel();
    let eats = huey.task("eats", |_deep: std::sync::Arc<Deep>| ());
    let cancels = huey.task("cancels", move || {
        let eats = std::sync::Arc::new(eats.call((std::sync::Arc::new(Deep),)));
        hand.send(eats.clone()).unwrap();
        eats.cancel()
    });
    let canceller = cancels.call(()).get().unwrap_err();
    assert!(matches!(canceller, TaskError::StackOverflow), "{canceller}");
    let cancelled = handed.recv_timeout(LIMIT).unwrap();
    assert!(cancelled.is_ready());
    huey.join(LIMIT).unwrap();
    assert_eq!(huey.stats().cancelled, 1);
}

struct OnDrop<F: Fn()>(F);

impl<F: Fn()> Drop for OnDrop<F> {
    fn drop(&mut self) {
        (self.0)();
    }
}

/// Has the scheduler's loop of a huey be the last owner of what `declare` declares for that: the
/// huey is let go of while the worker is held, so that the loop ends only after it.
fn let_its_loop_let_go(declare: impl FnOnce(&MiniHuey)) {
    let holder = MiniHuey::new("holder");
    let (is_held, is_let_go) = (Arc::new(Barrier::new(2)), Arc::new(Barrier::new(2)));
    let (held, let_go) = (is_held.clone(), is_let_go.clone());
    // An OS thread's waits: they keep the worker.
    let hold = holder.task("hold", move || {
        held.wait();
        let_go.wait();
    });
    let huey = MiniHuey::new("let go of");
    declare(&huey);
    huey.start().unwrap();
    let mut holding = hold.call(());
    is_held.wait();
    drop(huey);
    is_let_go.wait();
    holding.get_timeout(LIMIT).unwrap();
}

/// The worker goes on.
#[track_caller]
fn assert_sound() {
    let other = MiniHuey::new("other");
    let one = other.task("one", || 1);
    for _ in 0..4 {
        assert_eq!(one.call(()).get_timeout(LIMIT).unwrap(), 1);
    }
}

#[test]
fn the_destructors_of_periodic_tasks_may_panic_and_none_keeps_another_from_running() {
    let name = "destructors::\
                the_destructors_of_periodic_tasks_may_panic_and_none_keeps_another_from_running";
    child::run(name, || {
        let (tell, told) = mpsc::channel();
        let panics = |what: &'static str| {
            let tell = tell.clone();
            OnDrop(move || {
                tell.send((what, green::is_green())).unwrap();
                panic!("the destructor of {what}");
            })
        };
        let asked = panics("a predicate");
        let bodies = [panics("its body"), panics("another body")];
        let_its_loop_let_go(|huey| {
            let [one, other] = bodies;
            let never = move |_: &DateTime<Local>| {
                let _ = &asked;
                false
            };
            huey.periodic_task("one", never, move || _ = &one);
            huey.periodic_task("other", crontab::hourly(), move || _ = &other);
        });
        for what in ["a predicate", "its body", "another body"] {
            assert_eq!(told.recv_timeout(LIMIT).unwrap(), (what, true));
        }
        assert_sound();
    });
}

#[test]
fn the_destructor_of_a_periodic_task_may_wait_for_a_task() {
    child::run("destructors::the_destructor_of_a_periodic_task_may_wait_for_a_task", || {
        let (tell, told) = mpsc::channel();
        let other = MiniHuey::new("other");
        let two = other.task("two", || 2);
        let waits = OnDrop(move || tell.send(two.call(()).get()).unwrap());
        let_its_loop_let_go(|huey| {
            huey.periodic_task("row", crontab::hourly(), move || _ = &waits);
        });
        assert_eq!(told.recv_timeout(LIMIT).unwrap().unwrap(), 2);
        assert_sound();
    });
}

#[test]
fn the_destructor_of_a_periodic_task_may_wait_for_a_lock_that_a_task_has() {
    let name = "destructors::\
                the_destructor_of_a_periodic_task_may_wait_for_a_lock_that_a_task_has";
    child::run(name, || {
        let lock = Arc::new(Mutex::new(0));
        let (is_locked, locked) = mpsc::channel();
        let (unlock, unlocks): (Sender<()>, Receiver<()>) = unbounded();
        let other = MiniHuey::new("other");
        let has_it = lock.clone();
        let has = other.task("has", move || {
            let mut count = has_it.lock();
            is_locked.send(()).unwrap();
            unlocks.recv_timeout(LIMIT).unwrap();
            *count += 1;
        });
        let mut holding = has.call(());
        locked.recv_timeout(LIMIT).unwrap();

        let (tell, told) = mpsc::channel();
        let counts = OnDrop(move || {
            tell.send(None).unwrap();
            let mut count = lock.lock();
            *count += 1;
            tell.send(Some(*count)).unwrap();
        });
        let_its_loop_let_go(|huey| {
            huey.periodic_task("row", crontab::hourly(), move || _ = &counts);
        });
        assert_eq!(told.recv_timeout(LIMIT).unwrap(), None);
        unlock.send(()).unwrap();
        holding.get_timeout(LIMIT / 2).unwrap();
        assert_eq!(told.recv_timeout(LIMIT).unwrap(), Some(2));
        assert_sound();
    });
}

#[test]
fn the_destructor_of_a_periodic_task_that_outgrows_its_stack_ends_nothing_else() {
    let name = "destructors::\
                the_destructor_of_a_periodic_task_that_outgrows_its_stack_ends_nothing_else";
    child::run(name, || {
        let (tell, told) = mpsc::channel();
        let deep = OnDrop(move || {
            tell.send(green::is_green()).unwrap();
            endless(0);
        });
        let_its_loop_let_go(|huey| {
            huey.periodic_task("row", crontab::hourly(), move || _ = &deep);
        });
        assert!(told.recv_timeout(LIMIT).unwrap());
        assert_sound();
        // Nor does the loop begin again, which would let go of it once more.
        assert_eq!(told.try_recv(), Err(mpsc::TryRecvError::Empty));
    });
}
