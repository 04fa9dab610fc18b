//! Downloads many pages at once with a blocking HTTP client, on one thread, from a server that
//! takes its time over each. It starts that server itself.
//!
//! ```text
//! cargo run --example fetch             # or --release; then: number of pages, --tls
//! ```

use std::env;
use std::error::Error;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};
use minihuey::{MiniHuey, group, task};
use minihuey_realworld::origin::{self, Origin};
use once_cell::sync::Lazy;
use ureq::Agent;

static HUEY: Lazy<MiniHuey> = Lazy::new(|| MiniHuey::new("fetch"));
static AGENT: OnceLock<Agent> = OnceLock::new();

/// Blocking code as it always was. Its waits let the other tasks run.
#[task(HUEY)]
fn fetch(url: String) -> Result<usize, ureq::Error> {
    let agent = AGENT.get_or_init(Agent::new_with_defaults);
    let text = agent.get(&url).call()?.body_mut().read_to_string()?;
    Ok(text.len())
}

fn main() -> Result<(), Box<dyn Error>> {
    origin::be_one_if_asked();
    minihuey::monkey::patch_all()?;

    let args: Vec<String> = env::args().skip(1).collect();
    let pages = args.iter().find_map(|arg| arg.parse().ok()).unwrap_or(1_000);
    let program = env::current_exe()?;
    let origin = match args.iter().any(|arg| arg == "--tls") {
        false => Origin::start(program)?,
        true => Origin::start_tls(program)?,
    };
    AGENT.get_or_init(|| origin.agent());
    // From 100 to 500 ms each, of 1 to 50 KB.
    let delay = |page: u64| Duration::from_millis(100 + page * 37 % 401);
    let url = |page: u64| {
        let (delay, size) = (delay(page).as_millis(), 1_000 + page * 7_919 % 49_001);
        origin.url(&format!("/?delay={delay}ms&size={size}"))
    };

    let start = Instant::now();
    let fetched = group((0..pages).map(|page| fetch(url(page))));
    let style = ProgressStyle::with_template("{bar:40} {pos}/{len} pages, {msg}, {elapsed}")?;
    let bar = ProgressBar::new(pages).with_style(style);
    let mut bytes = 0;
    for (_, size) in fetched.as_completed() {
        bytes += size?;
        bar.set_message(format!("{} KB", bytes / 1_000));
        bar.inc(1);
    }
    let took = start.elapsed();
    bar.finish();

    println!("{pages} pages, {} KB, from {}", bytes / 1_000, origin.address());
    let waits: Duration = (0..pages).map(delay).sum();
    println!("the server's time for them, in all: {:7.2} s", waits.as_secs_f64());
    println!("by the clock on the wall:           {:7.2} s, on one thread", took.as_secs_f64());
    Ok(())
}
