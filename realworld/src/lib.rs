//! Real servers for the tests, examples and benches of minihuey: each in a process of its own, on
//! loopback, on a free port, with a directory of its own. Where one is not installed, [`or_skip`]
//! says so. [`report_waits`] is how the examples end.
//!
//! A server ends when it is dropped, and also when the thread that started it ends, however that
//! comes about: the kernel kills it then.

#![deny(unsafe_code)]
#![warn(missing_docs)]

pub mod mariadb;
pub mod origin;
pub mod postgres;
mod process;
pub mod redis;
pub mod smtp;

use std::env;
use std::io::{self, Write};
use std::time::{Duration, Instant};

pub use crate::mariadb::MariaDb;
pub use crate::origin::Origin;
pub use crate::postgres::Postgres;
pub use crate::process::Unavailable;
pub use crate::redis::Redis;
pub use crate::smtp::Smtp;

/// The server, or None, with a line that says so, if it is not installed.
///
/// # Panics
/// If it is installed and does not start. If it is not installed and `CI` is `true`.
#[track_caller]
pub fn or_skip<S>(started: Result<S, Unavailable>) -> Option<S> {
    match started {
        Ok(server) => Some(server),
        Err(why @ Unavailable::NotInstalled { .. }) => {
            assert!(env::var("CI").as_deref() != Ok("true"), "{why}");
            // Not by a macro: what those print in a test that passes is not shown.
            let _ = writeln!(io::stderr(), "skipped: {why}");
            None
        }
        Err(why) => panic!("{why}"),
    }
}

/// Prints what tasks have waited in all, and how long that took them since `start`.
///
/// # Errors
/// If they have not waited at the same time: then it took them as long as their waits in all, or
/// longer.
pub fn report_waits(waits: Duration, start: Instant) -> Result<(), String> {
    let took = start.elapsed();
    println!("waits, one after another:  {:7.2} s", waits.as_secs_f64());
    println!("by the clock on the wall:  {:7.2} s", took.as_secs_f64());
    if took >= waits {
        return Err("the tasks have not waited at the same time".to_owned());
    }
    Ok(())
}
