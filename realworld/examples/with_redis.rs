//! Two hundred tasks that wait for a Redis list, and one that fills it after a second: the `redis`
//! crate as it is.
//!
//! ```text
//! cargo run --example with_redis
//! ```

use std::collections::BTreeSet;
use std::error::Error;
use std::thread;
use std::time::{Duration, Instant};

use minihuey::{MiniHuey, task};
use minihuey_realworld::{Redis, or_skip, report_waits};
use once_cell::sync::Lazy;
use redis::{Client, Commands, RedisError};

const TASKS: usize = 200;
const DELAY: Duration = Duration::from_secs(1);

static HUEY: Lazy<MiniHuey> = Lazy::new(|| MiniHuey::new("with-redis"));

/// Waits until there is a job in the list.
#[task(HUEY)]
fn next_job(client: Client) -> Result<String, RedisError> {
    let mut connection = client.get_connection()?;
    let (_list, job): (String, String) = connection.blpop("jobs", 60.0)?;
    Ok(job)
}

#[task(HUEY)]
fn fill(client: Client, jobs: usize) -> Result<(), RedisError> {
    thread::sleep(DELAY); // lets the other tasks run
    let mut connection = client.get_connection()?;
    (0..jobs).try_for_each(|job| connection.rpush("jobs", format!("job {job}")))
}

fn main() -> Result<(), Box<dyn Error>> {
    minihuey::monkey::patch_all()?;
    let Some(server) = or_skip(Redis::start()) else { return Ok(()) };
    let start = Instant::now();
    let waiting = next_job::map((0..TASKS).map(|_| (server.client(),)));
    let filled = fill(server.client(), TASKS);
    let jobs = BTreeSet::from_iter(waiting.get()?);
    filled.get()?;
    println!("{TASKS} tasks on one thread waited for a job each, and took {} jobs", jobs.len());
    report_waits(TASKS as u32 * DELAY, start)?;
    if jobs.len() != TASKS {
        return Err("some jobs were taken twice".into());
    }
    Ok(())
}
