//! Child processes, many at once: tasks start them, read what they print, and wait for their end,
//! with `std::process::Command` as it is.
//!
//! ```text
//! cargo run --example child_processes
//! ```

use std::error::Error;
use std::io;
use std::os::unix::process::CommandExt;
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use minihuey::{MiniHuey, task};
use minihuey_realworld::report_waits;
use nix::unistd::Uid;
use once_cell::sync::Lazy;

const TASKS: u32 = 100;
const DELAY: Duration = Duration::from_millis(500);

static HUEY: Lazy<MiniHuey> = Lazy::new(|| MiniHuey::new("child-processes"));

/// A program that takes its time, and ends with an exit status of its own.
fn square(number: u32) -> Command {
    let mut command = Command::new("sh");
    command.args(["-c", "sleep $1; echo $2 squared is $(($2 * $2)); exit 3", "sh"]);
    command.args([DELAY.as_secs_f64().to_string(), number.to_string()]);
    command
}

/// Starts it, reads what it prints, and waits for its end.
#[task(HUEY)]
fn spawn(number: u32) -> io::Result<Output> {
    square(number).output()
}

/// As another user, for which std forks and executes. (Here it is the same user.)
#[task(HUEY)]
fn fork_and_exec(number: u32) -> io::Result<Output> {
    square(number).uid(Uid::effective().as_raw()).output()
}

#[task(HUEY)]
fn spawn_what_is_not_there() -> io::Result<Output> {
    Command::new("no-such-program").output()
}

fn main() -> Result<(), Box<dyn Error>> {
    minihuey::monkey::patch_all()?;
    let start = Instant::now();
    let spawned = spawn::map((0..TASKS / 2).map(|number| (number,)));
    let forked = fork_and_exec::map((TASKS / 2..TASKS).map(|number| (number,)));
    let outputs = [spawned.get()?, forked.get()?].concat();

    for (number, output) in (0..).zip(&outputs) {
        let printed = String::from_utf8_lossy(&output.stdout);
        if printed != format!("{number} squared is {}\n", number * number)
            || output.status.code() != Some(3)
        {
            return Err(format!("not what the child {number} should have given: {output:?}").into());
        }
    }
    let last = outputs.last().ok_or("no output")?;
    let printed = String::from_utf8_lossy(&last.stdout);
    println!("{TASKS} child processes; the last: {:?}, {}", printed.trim_end(), last.status);
    report_waits(TASKS * DELAY, start)?;
    match spawn_what_is_not_there().get() {
        Err(error) => println!("{error}"),
        Ok(_) => return Err("a program ran that does not exist".into()),
    }
    Ok(())
}
