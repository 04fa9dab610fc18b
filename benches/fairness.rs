//! What others get of the worker while an OS thread saturates it with short tasks.

mod common;

use std::time::{Duration, Instant};

use common::{Fallible, HUEY, Load, LoadReport, Sorted, add};
use minihuey::{Task, TaskError, green};

/// So many wait to run, at the most: some 20 ms of work.
const QUEUED: usize = 20_000;
const AT_REST: Duration = Duration::from_secs(1);
const BESIDE_LOAD: Duration = Duration::from_secs(3);
const NAP: Duration = Duration::from_millis(1);

/// Measures for this long.
type Probe = Task<(Duration,), Vec<Duration>>;

fn sleeper() -> Probe {
    HUEY.task("sleeper", |span| {
        let end = Instant::now() + span;
        let mut late = Vec::new();
        while Instant::now() < end {
            let start = Instant::now();
            green::sleep(NAP);
            late.push(start.elapsed().saturating_sub(NAP));
        }
        late
    })
}

fn parent() -> Probe {
    HUEY.try_task("parent", |span| {
        let end = Instant::now() + span;
        let mut times = Vec::new();
        while Instant::now() < end {
            let start = Instant::now();
            add(1, 1).get()?;
            times.push(start.elapsed());
        }
        Ok::<_, TaskError>(times)
    })
}

/// A coroutine that knows nothing of minihuey.
fn strangers(span: Duration) -> Fallible<Vec<Duration>> {
    let end = Instant::now() + span;
    let mut times = Vec::new();
    while Instant::now() < end {
        let start = Instant::now();
        let begun = may::go!(move || start.elapsed()).join();
        times.push(begun.map_err(|_| "a coroutine panicked")?);
        std::thread::sleep(NAP);
    }
    Ok(times)
}

fn main() -> Fallible<()> {
    if !common::is_wanted() {
        return Ok(());
    }
    // First of all, so that may runs with one worker.
    add(1, 1).get()?;
    let (sleeper, parent) = (sleeper(), parent());
    let sleep = |span| -> Fallible<_> { Ok(sleeper.call((span,)).get()?) };
    let call = |span| -> Fallible<_> { Ok(parent.call((span,)).get()?) };
    type Run<'a> = &'a dyn Fn(Duration) -> Fallible<Vec<Duration>>;
    let probes: [(&str, Run<'_>); 3] = [
        ("green::sleep(1 ms): wakes late by", &sleep),
        ("a task calls another and gets it", &call),
        ("may::go! from an OS thread: begins after", &strangers),
    ];
    let mut rows = Vec::new();
    for (name, probe) in probes {
        for loaded in [false, true] {
            let load = loaded.then(|| Load::start(QUEUED));
            let times = probe(if loaded { BESIDE_LOAD } else { AT_REST })?;
            let [rate, dry] = LoadReport::cells(load.map(Load::stop));
            let times = Sorted::of_times(times);
            rows.push(vec![
                name.to_owned(),
                if loaded { "saturated" } else { "at rest" }.to_owned(),
                common::whole(times.len() as f64),
                common::time(times.median()),
                common::time(times.quantile(0.99)),
                common::time(times.quantile(1.0)),
                rate,
                dry,
            ]);
        }
    }
    let title = format!(
        "fairness: beside tasks of 1 us, of which up to {} are queued at any moment",
        common::whole(QUEUED as f64)
    );
    let [rate, dry] = LoadReport::HEAD;
    let head = ["", "", "times", "median", "99th", "max", rate, dry];
    common::print_table(title, &head, &rows);
    HUEY.shutdown(Duration::from_secs(10))?;
    Ok(())
}
