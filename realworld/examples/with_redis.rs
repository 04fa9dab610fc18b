//! Tasks that wait for a Redis list, and one that fills it: the `redis` crate as it is.
//!
//! ```text
//! cargo run --example with_redis
//! ```

use std::error::Error;
use std::time::Instant;

use minihuey::{MiniHuey, task};
use minihuey_realworld::{Redis, or_skip};
use once_cell::sync::Lazy;
use redis::{Client, Commands, RedisError};

static HUEY: Lazy<MiniHuey> = Lazy::new(|| MiniHuey::new("with-redis"));

/// Waits until there is a job in the list.
#[task(HUEY)]
fn next_job(client: Client) -> Result<String, RedisError> {
    let mut connection = client.get_connection()?;
    let (_list, job): (String, String) = connection.blpop("jobs", 10.0)?;
    Ok(job)
}

#[task(HUEY)]
fn fill(client: Client, jobs: usize) -> Result<(), RedisError> {
    let mut connection = client.get_connection()?;
    (0..jobs).try_for_each(|job| connection.rpush("jobs", format!("job {job}")))
}

fn main() -> Result<(), Box<dyn Error>> {
    minihuey::monkey::patch_all()?;
    let Some(server) = or_skip(Redis::start()) else { return Ok(()) };
    let start = Instant::now();
    let waiting = next_job::map((0..100).map(|_| (server.client(),)));
    let filled = fill(server.client(), 100);
    let mut jobs = waiting.get()?;
    filled.get()?;
    jobs.sort();
    jobs.dedup();
    println!("100 tasks waited for a job each, on one thread; {} jobs were taken", jobs.len());
    println!("that took {:.3} s", start.elapsed().as_secs_f64());
    Ok(())
}
