//! A patched huey, and what tests wait with.

use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{self, Receiver};
use std::time::Duration;

use minihuey::{MiniHuey, TaskResult, green, monkey};

pub const LIMIT: Duration = Duration::from_secs(60);

/// All tests of this binary share one, as they share the worker.
pub static HUEY: LazyLock<MiniHuey> = LazyLock::new(|| {
    monkey::patch_all().unwrap();
    MiniHuey::new("patched")
});

/// Runs `f` in a green thread and gives what it gives.
#[track_caller]
pub fn in_green<T: Send + 'static>(f: impl FnOnce() -> T + Send + 'static) -> T {
    get(start(f))
}

/// Has `f` run in a green thread.
pub fn start<T: Send + 'static>(f: impl FnOnce() -> T + Send + 'static) -> TaskResult<T> {
    static NUMBER: AtomicU64 = AtomicU64::new(0);
    let name = format!("test {}", NUMBER.fetch_add(1, Ordering::Relaxed));
    let f = std::sync::Mutex::new(Some(f));
    let task = HUEY.task(&name, move || f.lock().unwrap().take().unwrap()());
    task.call(())
}

#[track_caller]
pub fn get<T: Send + 'static>(mut result: TaskResult<T>) -> T {
    match result.get_timeout(LIMIT) {
        Ok(value) => value,
        Err(error) => panic!("{error}"),
    }
}

#[track_caller]
pub fn next<T>(receiver: &Receiver<T>) -> T {
    receiver.recv_timeout(LIMIT).expect("something comes")
}

/// Runs `blocking` in a green thread while another one goes on, and gives what it gives. Fails
/// unless the other did ten rounds before `unblock`, which it calls then, let it go.
#[track_caller]
pub fn while_others_run<T: Send + 'static>(
    blocking: impl FnOnce() -> T + Send + 'static,
    unblock: impl FnOnce() + Send + 'static,
) -> T {
    let (begins, begun) = mpsc::channel();
    let result = start(move || {
        begins.send(()).unwrap();
        blocking()
    });
    next(&begun);
    in_green(|| (0..10).for_each(|_| green::sleep(Duration::from_millis(1))));
    assert!(!result.is_ready(), "it was to block");
    unblock();
    get(result)
}
