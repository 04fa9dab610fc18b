//! A hundred slow queries to PostgreSQL at once. The `postgres` crate has a runtime of its own
//! inside, which would hold the worker: so it is called through `offload`, on OS threads.
//!
//! ```text
//! cargo run --example with_postgres
//! ```

use std::error::Error;
use std::time::{Duration, Instant};

use minihuey::{MiniHuey, task};
use minihuey_realworld::{Postgres, or_skip, report_waits};
use once_cell::sync::Lazy;
use postgres::{Config, NoTls};

/// What the server takes for each query.
const DELAY: Duration = Duration::from_millis(200);

static HUEY: Lazy<MiniHuey> = Lazy::new(|| MiniHuey::new("with-postgres"));

fn query(config: &Config, number: i32) -> Result<i32, postgres::Error> {
    let mut client = config.connect(NoTls)?;
    client.query_one("SELECT $1 * 2, pg_sleep(0.2)", &[&number])?.try_get(0)
}

/// The whole task runs on an OS thread.
#[task(HUEY, offload)]
fn double(config: Config, number: i32) -> Result<i32, postgres::Error> {
    query(&config, number)
}

/// Only this part of the task does.
#[task(HUEY)]
fn double_and_add(config: Config, number: i32) -> Result<i32, postgres::Error> {
    let double = minihuey::offload(|| query(&config, number))?;
    Ok(double + 1)
}

fn main() -> Result<(), Box<dyn Error>> {
    let Some(server) = or_skip(Postgres::start()) else { return Ok(()) };
    let start = Instant::now();
    let doubled = double::map((0..50).map(|number| (server.config(), number)));
    let added = double_and_add::map((0..50).map(|number| (server.config(), number)));
    let sum: i32 = doubled.get()?.into_iter().chain(added.get()?).sum();
    println!("100 queries of {DELAY:?} each, on OS threads; their sum is {sum}");
    report_waits(100 * DELAY, start)?;
    if sum != 4_950 {
        return Err("it should be 4950".into());
    }
    Ok(())
}
