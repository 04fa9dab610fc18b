//! What a huey takes of the processor while it has nothing to do. Each case is a process of its
//! own, all at the same time: they are idle.

mod common;

use std::fs;
use std::time::{Duration, SystemTime};

use common::{Fallible, HUEY, add};
use minihuey::crontab;

const SPAN: Duration = Duration::from_secs(5);
const HOUR: Duration = Duration::from_secs(3600);

const CASES: [(&str, &str); 5] = [
    ("none", "no huey at all"),
    ("started", "started, nothing scheduled"),
    ("delay", "one task in an hour, by delay"),
    ("eta", "one task in an hour, by time of day"),
    ("crontab", "a crontab row, hourly"),
];

/// What all threads of this process did so far.
struct Use {
    threads: usize,
    nanos: f64,
    switches: f64,
}

impl Use {
    fn now() -> Fallible<Use> {
        let mut sum = Use { threads: 0, nanos: 0.0, switches: 0.0 };
        for entry in fs::read_dir("/proc/self/task")? {
            let task = entry?.path();
            let schedstat = fs::read_to_string(task.join("schedstat"))?;
            let nanos = schedstat.split_whitespace().next().ok_or("no time in schedstat")?;
            let status = fs::read_to_string(task.join("status"))?;
            let switches = status
                .lines()
                .find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"))
                .ok_or("no switches in status")?;
            sum.threads += 1;
            sum.nanos += nanos.parse::<f64>()?;
            sum.switches += switches.trim().parse::<f64>()?;
        }
        Ok(sum)
    }
}

fn idle(case: &str) -> Fallible<()> {
    if case != "none" {
        HUEY.start()?;
        add(1, 1).get()?;
    }
    match case {
        "none" | "started" => {}
        "delay" => drop(add::schedule((1, 1), HOUR)),
        "eta" => drop(add::schedule((1, 1), SystemTime::now() + HOUR)),
        "crontab" => HUEY.periodic_task("hourly", crontab::hourly(), || ()),
        other => return Err(format!("no such case: {other}").into()),
    }
    std::thread::sleep(Duration::from_millis(500));
    let before = Use::now()?;
    std::thread::sleep(SPAN);
    let after = Use::now()?;
    println!(
        "{} {} {}",
        after.threads,
        after.nanos - before.nanos,
        after.switches - before.switches
    );
    Ok(())
}

fn main() -> Fallible<()> {
    if let [case] = &common::args()[..] {
        return idle(case);
    }
    if !common::is_wanted() {
        return Ok(());
    }
    let children: Fallible<Vec<_>> =
        CASES.iter().map(|(case, _)| common::spawn_child(&[case])).collect();
    let mut rows = Vec::new();
    for ((_, name), child) in CASES.iter().zip(children?) {
        let numbers = common::numbers_of(child)?;
        let [threads, nanos, switches] = numbers[..] else {
            return Err("the child did not print three numbers".into());
        };
        rows.push(vec![
            (*name).to_owned(),
            common::whole(threads),
            common::time(nanos / SPAN.as_secs_f64()),
            format!("{:.1}", switches / SPAN.as_secs_f64()),
        ]);
    }
    let title = format!("idle: all threads of a process, for {} s", SPAN.as_secs());
    let head = ["", "threads", "processor time/s", "voluntary switches/s"];
    common::print_table(title, &head, &rows);
    println!("\nthe first row is what the bench itself takes");
    Ok(())
}
