//! Chaos, leaks, limits and stacks: what minihuey must survive, with books kept outside of it.
//!
//! `cargo run --release -p minihuey-soak -- short` runs all of it for some minutes, as CI does;
//! `-- long` for longer. See `--help` for the parts.

#![deny(unsafe_code)]

mod account;
mod chaos;
mod leaks;
mod limits;
mod random;
mod stacks;

use std::fs;
use std::panic;
use std::process::{Command, exit};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use clap::{Parser, Subcommand, ValueEnum};
use limits::Limit;
use nix::sys::resource::{Resource, getrlimit, setrlimit};

#[derive(Parser)]
#[command(about)]
struct Arguments {
    #[command(subcommand)]
    part: Part,
}

#[derive(Subcommand)]
enum Part {
    /// Everything at once, at random, until the time is over; then the books must balance.
    Chaos {
        /// How long it runs, in minutes; 5 if neither minutes nor seconds are given.
        #[arg(long)]
        minutes: Option<f64>,
        /// The same in seconds; if both are given, they are added.
        #[arg(long)]
        seconds: Option<f64>,
        /// Repeats the decisions of an earlier run; their order in time is the machine's. A new one
        /// if it is not given.
        #[arg(long)]
        seed: Option<u64>,
        /// Threads that run the tasks.
        #[arg(long, default_value_t = 1)]
        workers: usize,
        /// How many green threads there may be; as many as there is room for if it is not given.
        /// With few, tasks run on top of those that wait for them.
        #[arg(long)]
        green_threads: Option<usize>,
        /// How many seconds anybody may wait, or a task be on its way, before that counts as a lost
        /// wake-up and fails the run.
        #[arg(long, default_value_t = 60.0)]
        bound: f64,
    },
    /// Many tasks of all kinds: what the process keeps of them must not grow.
    Leaks {
        #[arg(long, default_value_t = 10_000_000)]
        tasks: u64,
    },
    /// What the system refuses: each in a process of its own; all of them without a name.
    Limits { name: Option<Limit> },
    /// What a task that waits takes of memory. Only a release build is held to it.
    Stacks,
    /// All parts for a few minutes.
    Short,
    /// All parts for half an hour.
    Long,
}

fn main() {
    match Arguments::parse().part {
        Part::Chaos { minutes, seconds, seed, workers, green_threads, bound } => {
            be_quiet();
            be_allowed_descriptors();
            let time = match (minutes, seconds) {
                (None, None) => Duration::from_secs(300),
                _ => Duration::from_secs_f64(
                    60.0 * minutes.unwrap_or_default() + seconds.unwrap_or_default(),
                ),
            };
            let seed = seed.unwrap_or_else(new_seed);
            let bound = Duration::from_secs_f64(bound);
            chaos::run(chaos::Chaos { time, seed, workers, green_threads, bound });
        }
        Part::Leaks { tasks } => {
            be_quiet();
            leaks::run(tasks);
        }
        Part::Limits { name: Some(name) } => {
            be_quiet();
            limits::run(name);
        }
        Part::Limits { name: None } => {
            for limit in Limit::value_variants().iter().filter_map(Limit::to_possible_value) {
                part(&["limits", limit.get_name()]);
            }
        }
        Part::Stacks => {
            be_allowed_descriptors();
            stacks::run();
        }
        Part::Short => all("20", "1000000"),
        Part::Long => all("450", "10000000"),
    }
}

/// Each part has a process, and with it a runtime, of its own.
fn all(seconds: &str, tasks: &str) {
    for shortage in [&[][..], &["--green-threads", "64"]] {
        for workers in ["1", "2"] {
            // Known here, too: a crash leaves nobody else to tell it.
            let seed = new_seed().to_string();
            let how = ["chaos", "--seconds", seconds, "--workers", workers, "--seed", &seed];
            part(&[&how[..], shortage].concat());
        }
    }
    part(&["leaks", "--tasks", tasks]);
    part(&["limits"]);
    part(&["stacks"]);
    println!("all is well");
}

fn part(arguments: &[&str]) {
    println!("== {}", arguments.join(" "));
    let program = std::env::current_exe().expect("it runs");
    let status = Command::new(program).args(arguments).status().expect("it can be run again");
    if !status.success() {
        eprintln!("failed ({status}): {}", arguments.join(" "));
        exit(1);
    }
}

/// A seed that no run had.
fn new_seed() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    now.as_nanos() as u64 & 0xFFFF_FFFF
}

/// Has panics that are meant say nothing: those of tasks, and may's, for each stack that it can't
/// have, which the library catches.
fn be_quiet() {
    be_quiet_about("on purpose");
    be_quiet_about("failed to alloc sys stack");
}

/// Panics whose text begins so say nothing.
fn be_quiet_about(beginning: &'static str) {
    let loud = panic::take_hook();
    panic::set_hook(Box::new(move |panic| {
        if !panic.payload_as_str().is_some_and(|text| text.starts_with(beginning)) {
            loud(panic);
        }
    }));
}

fn be_allowed_descriptors() {
    if let Ok((_, most)) = getrlimit(Resource::RLIMIT_NOFILE) {
        let _ = setrlimit(Resource::RLIMIT_NOFILE, most.min(100_000), most);
    }
}

/// Bytes that the process has in memory.
fn resident() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap_or("0");
    line.split_whitespace().next().and_then(|text| text.parse().ok()).unwrap_or(0_u64) * 1024
}
