//! Ten thousand connections, opened and closed by a hundred tasks on one thread: the descriptors of
//! those that were closed are used again, and no answer goes to the wrong one. The example starts
//! the server itself.
//!
//! ```text
//! cargo run --example many_connections
//! ```

use std::collections::BTreeSet;
use std::env;
use std::error::Error;
use std::io::{self, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::{AsRawFd, RawFd};
use std::time::{Duration, Instant};

use minihuey::{MiniHuey, task};
use minihuey_realworld::{Origin, origin, report_waits};
use once_cell::sync::Lazy;

const TASKS: u32 = 100;
const EACH: u32 = 100;
const DELAY: Duration = Duration::from_millis(10);

static HUEY: Lazy<MiniHuey> = Lazy::new(|| MiniHuey::new("many-connections"));

/// One connection after another. Gives the descriptors that they had.
#[task(HUEY)]
fn connect_again_and_again(server: SocketAddr, task: u32) -> io::Result<Vec<RawFd>> {
    (0..EACH).map(|turn| connect(server, (task * EACH + turn) as usize)).collect()
}

/// Each connection asks for an answer of another length, so that none can be taken for another's.
fn connect(server: SocketAddr, size: usize) -> io::Result<RawFd> {
    let mut stream = TcpStream::connect(server)?;
    let descriptor = stream.as_raw_fd();
    let page = format!("/?delay={}ms&size={size}", DELAY.as_millis());
    stream.write_all(format!("GET {page} HTTP/1.1\r\nConnection: close\r\n\r\n").as_bytes())?;
    let text = io::read_to_string(stream)?; // and closes it
    match text.split_once("\r\n\r\n") {
        Some((_head, body)) if body.len() == size => Ok(descriptor),
        _ => Err(io::Error::other("the answer to another question")),
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    origin::be_one_if_asked();
    minihuey::monkey::patch_all()?;
    let origin = Origin::start(env::current_exe()?)?;

    let start = Instant::now();
    let tasks = (0..TASKS).map(|task| (origin.address(), task));
    let descriptors = connect_again_and_again::map(tasks).get()?.concat();

    let connections = descriptors.len();
    let different = BTreeSet::from_iter(descriptors);
    let highest = different.last().ok_or("no descriptor")?;
    println!("connections:               {connections:7}, each with an answer of its own");
    println!("descriptors that they had: {:7}", different.len());
    println!("the highest descriptor:    {highest:7}");
    report_waits(TASKS * EACH * DELAY, start)?;
    if different.len() >= connections / 2 {
        return Err("descriptors were not used again".into());
    }
    Ok(())
}
