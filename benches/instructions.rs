//! Instructions a task, counted by callgrind: unlike times they hardly depend on the machine.
//! What `2 N` tasks take beyond `N` counts, so the start of the program does not.

mod common;

use std::process::{Command, Stdio};

use common::{Fallible, batch, fan_out, nested};

const TASKS: i64 = 20_000;
const WIDTH: i64 = 1_000;

/// By its name, what it is, and how many instructions a task it may take.
const CASES: [(&str, &str, f64); 3] = [
    ("nested", "nested: a task calls and gets", 1_200.0),
    ("fan-out", "fan-out: a task calls 1,000, then gets them", 750.0),
    ("batch", "batch: an OS thread calls all, then gets them", 650.0),
];

fn run(case: &str, count: i64) -> Fallible<()> {
    match case {
        "nested" => drop(nested(count).get()?),
        "fan-out" => drop(fan_out(count, WIDTH).get()?),
        "batch" => drop(batch(count)),
        other => return Err(format!("no such case: {other}").into()),
    }
    Ok(())
}

/// The least of this many counts is taken: the hub looks at the clock now and then, the more often
/// the less of a processor this bench gets.
const ROUNDS: usize = 3;

/// How many instructions this bench executes to run `count` tasks.
fn instructions(case: &str, count: i64) -> Fallible<f64> {
    (0..ROUNDS).try_fold(f64::INFINITY, |least, _| Ok(least.min(counted(case, count)?)))
}

fn counted(case: &str, count: i64) -> Fallible<f64> {
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
        .arg(std::env::current_exe()?)
        .args([case, &count.to_string()])
        .output()?;
    let report = String::from_utf8_lossy(&output.stderr);
    if !output.status.success() {
        return Err(format!("callgrind failed: {}\n{report}", output.status).into());
    }
    let collected = report.lines().find_map(|line| line.split_once("Collected :"));
    let (_, number) = collected.ok_or("callgrind did not say what it collected")?;
    Ok(number.trim().parse()?)
}

fn main() -> Fallible<()> {
    if let [case, count] = &common::args()[..] {
        return run(case, count.parse()?);
    }
    if !common::is_wanted() {
        return Ok(());
    }
    let mut version = Command::new("valgrind");
    version.arg("--version").stdout(Stdio::null()).stderr(Stdio::null());
    if !version.status().is_ok_and(|status| status.success()) {
        println!("\ninstructions: not counted, because valgrind is not installed");
        return Ok(());
    }
    let mut rows = Vec::new();
    for (case, name, budget) in CASES {
        let once = instructions(case, TASKS)?;
        let twice = instructions(case, 2 * TASKS)?;
        let each = (twice - once) / TASKS as f64;
        rows.push(vec![
            name.to_owned(),
            common::whole(each),
            common::whole(budget),
            format!("{:+.0} %", (each / budget - 1.0) * 100.0),
        ]);
    }
    let title = format!("instructions: a task, over {} tasks", common::whole(TASKS as f64));
    common::print_table(title, &["", "counted", "budget", ""], &rows);
    Ok(())
}
