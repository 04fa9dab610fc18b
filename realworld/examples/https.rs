//! Many pages over https at once: `ureq` and `rustls` as they are, each task on the stack that it
//! gets by default, in debug and release builds alike. The example starts the server itself.
//!
//! ```text
//! cargo run --example https             # or --release
//! ```

use std::env;
use std::error::Error;
use std::time::{Duration, Instant};

use minihuey::{MiniHuey, task};
use minihuey_realworld::{Origin, origin, report_waits};
use once_cell::sync::Lazy;
use ureq::Agent;

const TASKS: u32 = 200;
const DELAY: Duration = Duration::from_millis(200);
const SIZE: usize = 10_000;

static HUEY: Lazy<MiniHuey> = Lazy::new(|| MiniHuey::new("https"));

/// Connects, shakes hands, checks the server's certificate, and reads the page.
#[task(HUEY)]
fn fetch(agent: Agent, url: String) -> Result<usize, ureq::Error> {
    Ok(agent.get(&url).call()?.body_mut().read_to_string()?.len())
}

fn main() -> Result<(), Box<dyn Error>> {
    origin::be_one_if_asked();
    minihuey::monkey::patch_all()?;

    let origin = Origin::start_tls(env::current_exe()?)?;
    let url = origin.url(&format!("/?delay={}ms&size={SIZE}", DELAY.as_millis()));
    // It trusts the certificate that the server has made for itself.
    let agent = origin.agent();

    let start = Instant::now();
    let sizes = fetch::map((0..TASKS).map(|_| (agent.clone(), url.clone()))).get()?;
    println!("{TASKS} tasks on one thread got a page of {SIZE} bytes each over https");
    report_waits(TASKS * DELAY, start)?;
    if sizes.iter().any(|size| *size != SIZE) {
        return Err("a page came incomplete".into());
    }

    match fetch(Agent::new_with_defaults(), url).get() {
        Err(error) => println!("who does not trust that server gets: {error}"),
        Ok(_) => return Err("a certificate was trusted that nobody vouches for".into()),
    }
    Ok(())
}
