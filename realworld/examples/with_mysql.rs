//! A hundred slow queries to MariaDB at once: the `mysql` crate as it is.
//!
//! ```text
//! cargo run --example with_mysql
//! ```
//!
//! Each task has a connection of its own. `mysql::Pool` waits on a lock that holds the worker.

use std::error::Error;
use std::time::{Duration, Instant};

use minihuey::{MiniHuey, task};
use minihuey_realworld::{MariaDb, or_skip, report_waits};
use mysql::prelude::Queryable;
use mysql::{Conn, Opts};
use once_cell::sync::Lazy;

/// What the server takes for each query.
const DELAY: Duration = Duration::from_millis(200);

static HUEY: Lazy<MiniHuey> = Lazy::new(|| MiniHuey::new("with-mysql"));

#[task(HUEY)]
fn report(options: Opts, year: u32) -> mysql::Result<String> {
    let mut connection = Conn::new(options)?;
    let row = connection.exec_first("SELECT SLEEP(0.2), CONCAT('report of ', ?)", (year,))?;
    let (_slept, text): (u8, String) = row.ok_or(mysql::Error::server_disconnected())?;
    Ok(text)
}

fn main() -> Result<(), Box<dyn Error>> {
    minihuey::monkey::patch_all()?;
    let Some(server) = or_skip(MariaDb::start()) else { return Ok(()) };
    let start = Instant::now();
    let reports = report::map((1925..2025).map(|year| (server.options(), year))).get()?;
    println!("{} queries of {DELAY:?} each, on one thread", reports.len());
    println!("the last: {}", reports.last().ok_or("no report")?);
    report_waits(100 * DELAY, start)?;
    Ok(())
}
