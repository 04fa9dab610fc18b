//! What is logged, at which level: the contract in the crate's documentation.

use std::sync::{Mutex, Once};
use std::time::Duration;

use log::{Level, LevelFilter, Log, Metadata, Record};
use minihuey::MiniHuey;

use crate::support::LIMIT;

static LINES: Mutex<Vec<(Level, String)>> = Mutex::new(Vec::new());

struct Capture;

impl Log for Capture {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &Record<'_>) {
        // All tests of this binary log here; these look for names of their own.
        if record.target().starts_with("minihuey") && record.args().to_string().contains("logged-")
        {
            LINES.lock().unwrap().push((record.level(), record.args().to_string()));
        }
    }

    fn flush(&self) {}
}

fn capture() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        log::set_logger(&Capture).unwrap();
        log::set_max_level(LevelFilter::Debug);
    });
}

/// The lines with `name` in them.
fn lines(name: &str) -> Vec<(Level, String)> {
    LINES.lock().unwrap().iter().filter(|(_, line)| line.contains(name)).cloned().collect()
}

#[test]
fn a_task_that_ends_well_is_logged_at_debug_only() {
    capture();
    let huey = MiniHuey::new("quiet");
    let result = huey.task("logged-well", || ()).call(());
    let id = result.id();
    result.get().unwrap();
    huey.join(LIMIT).unwrap();
    let lines = lines("logged-well");
    assert_eq!(lines[0], (Level::Debug, format!("enqueueing logged-well {id}")));
    assert!(lines[1].1.starts_with(&format!("executed logged-well {id} in 0.")), "{lines:?}");
    assert!(lines.iter().all(|(level, _)| *level == Level::Debug) && lines.len() == 2);
}

#[test]
fn a_task_that_fails_is_logged_as_an_error() {
    capture();
    let huey = MiniHuey::new("loud");
    let fail = huey.try_task("logged-fail", || Err::<(), _>("the reason"));
    let result = fail.call(());
    let id = result.id();
    result.get().unwrap_err();
    huey.task("logged-panic", || {
        if true {
            panic!("the panic")
        }
    })
    .call(())
    .get()
    .unwrap_err();
    huey.join(LIMIT).unwrap();
    let expected = format!("task logged-fail failed: the reason (call {id})");
    assert!(lines("logged-fail").contains(&(Level::Error, expected)));
    let panics = lines("logged-panic");
    assert!(
        panics.iter().any(|(level, line)| *level == Level::Error
            && line.starts_with("task logged-panic panicked: the panic (at ")),
        "{panics:?}"
    );
}

#[test]
fn starts_stops_and_shutdowns_are_logged_at_info() {
    capture();
    let huey = MiniHuey::new("logged-life");
    let never = huey.task("never", || ()).schedule((), Duration::from_secs(3600));
    huey.start().unwrap();
    huey.stop().unwrap();
    huey.shutdown(LIMIT).unwrap();
    drop(never);
    let expected = [
        r#""logged-life" started"#,
        r#""logged-life" stopped; 1 stay scheduled"#,
        r#""logged-life" is shutting down"#,
        r#""logged-life" is shut down; 1 task(s) were abandoned"#,
    ];
    assert_eq!(lines("logged-life"), expected.map(|line| (Level::Info, line.to_owned())));
}
