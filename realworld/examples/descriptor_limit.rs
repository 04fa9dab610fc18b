//! More sockets than the process may have: the tasks that get none get the error, all others go on,
//! and when sockets are closed, all is as before.
//!
//! ```text
//! cargo run --example descriptor_limit
//! ```

use std::error::Error;
use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::time::Instant;

use minihuey::sync::channel::{self, Sender};
use minihuey::{MiniHuey, task};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use once_cell::sync::Lazy;

/// Or as many as the system lets it be.
const LIMIT: u64 = 20_000;

static HUEY: Lazy<MiniHuey> = Lazy::new(|| MiniHuey::new("descriptor-limit"));

/// Takes two descriptors, hands one to `main`, and waits on the other for its own number.
#[task(HUEY)]
fn hold(number: u32, ends: Sender<(u32, UnixStream)>) -> io::Result<u32> {
    let (mut mine, other) = UnixStream::pair()?;
    ends.send((number, other)).map_err(io::Error::other)?;
    drop(ends);
    let mut bytes = [0; 4];
    mine.read_exact(&mut bytes)?;
    Ok(u32::from_be_bytes(bytes))
}

/// Calls `count` tasks that all hold their sockets at the same time. Gives how many of them got
/// their number, and the errors of the others.
fn hold_at_once(count: u32) -> Result<(usize, Vec<io::Error>), Box<dyn Error>> {
    let (sender, ends) = channel::unbounded();
    let results: Vec<_> = (0..count).map(|number| hold(number, sender.clone())).collect();
    drop(sender);
    // This ends when the last task has its sockets, or its error.
    let ends: Vec<_> = ends.iter().collect();
    for (number, mut end) in ends {
        end.write_all(&number.to_be_bytes())?;
    }
    let mut errors = Vec::new();
    for (number, result) in (0..).zip(results) {
        match result.get() {
            Ok(got) if got == number => {}
            Ok(got) => return Err(format!("task {number} got the number of task {got}").into()),
            Err(error) => errors.push(error.downcast::<io::Error>()?),
        }
    }
    Ok((count as usize - errors.len(), errors))
}

fn main() -> Result<(), Box<dyn Error>> {
    minihuey::monkey::patch_all()?;
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
    let limit = hard.min(LIMIT);
    setrlimit(Resource::RLIMIT_NOFILE, limit, hard)?;
    println!("this process may have {limit} descriptors");

    let start = Instant::now();
    let tasks = u32::try_from(limit / 2 + 500)?;
    let (got, errors) = hold_at_once(tasks)?;
    println!("{tasks:6} tasks want two each, at the same time");
    println!("{got:6} got theirs, and what was sent to them");
    let error = errors.first().ok_or("the limit is not where it was set")?;
    println!("{:6} got the error: {error}", errors.len());

    let again = u32::try_from(got)?;
    let (got, errors) = hold_at_once(again)?;
    println!("{again:6} tasks want two each, once those are closed");
    println!("{got:6} got theirs, and what was sent to them");
    println!("took {:.2} s, on one thread", start.elapsed().as_secs_f64());
    match errors.into_iter().next() {
        Some(error) => Err(error.into()),
        None => Ok(()),
    }
}
