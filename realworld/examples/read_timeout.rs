//! A server that never answers, and tasks that wait for it no longer than `set_read_timeout` of
//! std says. The other tasks go on meanwhile.
//!
//! ```text
//! cargo run --example read_timeout
//! ```

use std::error::Error;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use minihuey::{MiniHuey, task};
use minihuey_realworld::report_waits;
use once_cell::sync::Lazy;

const TASKS: u32 = 20;
const TIMEOUTS: [u64; 5] = [50, 100, 200, 500, 1_000];

static HUEY: Lazy<MiniHuey> = Lazy::new(|| MiniHuey::new("read-timeout"));
static DONE: AtomicBool = AtomicBool::new(false);

/// Asks, and waits for an answer. Gives how long it waited in vain, and the error of the read: on
/// Unix std gives `WouldBlock` when the time is out, with the text of `EAGAIN`.
#[task(HUEY)]
fn ask(server: SocketAddr, timeout: Duration) -> io::Result<(Duration, io::Error)> {
    let mut stream = TcpStream::connect(server)?;
    stream.set_read_timeout(Some(timeout))?;
    stream.write_all(b"Is anybody there?")?;
    let start = Instant::now();
    match stream.read_exact(&mut [0]) {
        Ok(()) => Err(io::Error::other("an answer from one that never answers")),
        Err(error) => Ok((start.elapsed(), error)),
    }
}

/// Another task. It counts how often it wakes.
#[task(HUEY)]
fn tick() -> u32 {
    let mut ticks = 0;
    while !DONE.load(Ordering::Relaxed) {
        thread::sleep(Duration::from_millis(10));
        ticks += 1;
    }
    ticks
}

fn main() -> Result<(), Box<dyn Error>> {
    minihuey::monkey::patch_all()?;
    // It listens, so that one can connect; and then does nothing more.
    let silent = TcpListener::bind("localhost:0")?;
    let server = silent.local_addr()?;

    let start = Instant::now();
    let ticks = tick();
    let timeouts = TIMEOUTS.map(Duration::from_millis);
    let asked = timeouts.map(|timeout| ask::map((0..TASKS).map(|_| (server, timeout))));
    println!("   asked  tasks    shortest     longest  the error");
    for (timeout, results) in timeouts.into_iter().zip(asked) {
        let mut waited = results.get()?;
        waited.sort_by_key(|(waited, _)| *waited);
        let ((shortest, error), (longest, _)) = (&waited[0], &waited[waited.len() - 1]);
        let [asked, least, most] = [&timeout, shortest, longest].map(|t| t.as_secs_f64() * 1e3);
        println!("{asked:5.0} ms  {TASKS:5}  {least:7.1} ms  {most:7.1} ms  {error}");
        // Late by some milliseconds; by a second is more than a busy machine explains.
        if *shortest < timeout || *longest > timeout + Duration::from_secs(1) {
            return Err("a read did not end at its time-out".into());
        }
    }
    DONE.store(true, Ordering::Relaxed);
    report_waits(timeouts.iter().sum::<Duration>() * TASKS, start)?;
    println!("another task, which sleeps 10 ms again and again, woke {} times", ticks.get()?);
    Ok(())
}
