//! A thousand tasks, each of which gets three pages, one after another, with a blocking HTTP
//! client, on one thread. The server takes 200 ms over each page; the example starts it itself.
//!
//! ```text
//! cargo run --example fetch             # or --release
//! ```

use std::env;
use std::error::Error;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};
use minihuey::{MiniHuey, group, task};
use minihuey_realworld::{Origin, origin, report_waits};
use once_cell::sync::Lazy;
use ureq::Agent;

const TASKS: u32 = 1_000;
const PAGES: u32 = 3;
const DELAY: Duration = Duration::from_millis(200);

static HUEY: Lazy<MiniHuey> = Lazy::new(|| MiniHuey::new("fetch"));
static AGENT: OnceLock<Agent> = OnceLock::new();

/// Blocking code as it always was. Its waits let the other tasks run.
#[task(HUEY)]
fn fetch(urls: Vec<String>) -> Result<usize, ureq::Error> {
    let agent = AGENT.get_or_init(Agent::new_with_defaults);
    let mut bytes = 0;
    for url in urls {
        bytes += agent.get(&url).call()?.body_mut().read_to_string()?.len();
    }
    Ok(bytes)
}

fn main() -> Result<(), Box<dyn Error>> {
    origin::be_one_if_asked();
    minihuey::monkey::patch_all()?;

    let origin = Origin::start(env::current_exe()?)?;
    AGENT.get_or_init(|| origin.agent());
    let url = |size| origin.url(&format!("/?delay={}ms&size={size}", DELAY.as_millis()));
    let urls = |task| (1..=PAGES).map(|page| url(task + page)).collect();

    let start = Instant::now();
    let fetched = group((0..TASKS).map(|task| fetch(urls(task))));
    let style = ProgressStyle::with_template("{bar:40} {pos}/{len} tasks, {msg}, {elapsed}")?;
    let bar = ProgressBar::new(TASKS.into()).with_style(style);
    let mut bytes = 0;
    for (_, size) in fetched.as_completed() {
        bytes += size?;
        bar.set_message(format!("{} KB", bytes / 1_000));
        bar.inc(1);
    }
    bar.finish();

    println!("{TASKS} tasks on one thread got {PAGES} pages each, {} KB in all", bytes / 1_000);
    report_waits(TASKS * PAGES * DELAY, start)?;
    let expected: u32 = (0..TASKS).flat_map(|task| (1..=PAGES).map(move |page| task + page)).sum();
    if bytes != expected as usize {
        return Err(format!("{expected} bytes were to come").into());
    }
    Ok(())
}
