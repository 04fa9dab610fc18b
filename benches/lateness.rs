//! How long after its time a scheduled task begins, at rest and beside a load.

mod common;

use std::time::{Duration, Instant, SystemTime};

use common::{Fallible, HUEY, Load, LoadReport, Random, Sorted, lateness};

const TASKS: usize = 10_000;
/// They are due at random times in this span …
const SPAN: Duration = Duration::from_secs(2);
/// … which begins this long after the first is scheduled: all are, by then.
const AHEAD: Duration = Duration::from_millis(100);

#[derive(Clone, Copy)]
enum By {
    Delay,
    WallClock,
}

fn measure(random: &mut Random, by: By) -> Fallible<Sorted> {
    let start = Instant::now() + AHEAD;
    let mut results = Vec::with_capacity(TASKS);
    for _ in 0..TASKS {
        let due = start + Duration::from_nanos(random.below(SPAN.as_nanos() as u64));
        let delay = due - Instant::now();
        results.push(match by {
            By::Delay => lateness::schedule((due,), delay),
            By::WallClock => lateness::schedule((due,), SystemTime::now() + delay),
        });
    }
    // Nobody waits for a result meanwhile, for to wake a thread takes the worker's time.
    std::thread::sleep(AHEAD + SPAN);
    let times: Result<Vec<Duration>, _> = results.into_iter().map(|late| late.get()).collect();
    Ok(Sorted::of_times(times?))
}

fn main() -> Fallible<()> {
    if !common::is_wanted() {
        return Ok(());
    }
    HUEY.start()?;
    let mut random = Random::new();
    let mut rows = Vec::new();
    let conditions = [
        ("at rest, by delay", None, By::Delay),
        ("at rest, by time of day", None, By::WallClock),
        ("up to 200 tasks of 1 us queued", Some(200), By::Delay),
        ("up to 20,000 tasks of 1 us queued", Some(20_000), By::Delay),
    ];
    for (name, queued, by) in conditions {
        let load = queued.map(Load::start);
        let late = measure(&mut random, by)?;
        let [rate, dry] = LoadReport::cells(load.map(Load::stop));
        rows.push(vec![
            name.to_owned(),
            common::time(late.median()),
            common::time(late.quantile(0.90)),
            common::time(late.quantile(0.99)),
            common::time(late.quantile(1.0)),
            rate,
            dry,
        ]);
    }
    let title = format!(
        "lateness: how long after its time each of {} tasks begins, due at random within {} s",
        common::whole(TASKS as f64),
        SPAN.as_secs()
    );
    let [rate, dry] = LoadReport::HEAD;
    let head = ["", "median", "90th", "99th", "max", rate, dry];
    common::print_table(title, &head, &rows);
    println!("\na task that is due stands behind those that were queued before it");
    HUEY.shutdown(Duration::from_secs(10))?;
    Ok(())
}
