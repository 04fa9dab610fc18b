//! One socket, and threads of both kinds: an OS thread writes to it while a task reads from it, and
//! then the other way about.
//!
//! ```text
//! cargo run --example shared_socket
//! ```

use std::error::Error;
use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::thread;
use std::time::Instant;

use minihuey::{MiniHuey, task};
use once_cell::sync::Lazy;

/// Far more than the buffers of a socket take: who writes must wait for who reads.
const MEGABYTES: usize = 16;

static HUEY: Lazy<MiniHuey> = Lazy::new(|| MiniHuey::new("shared-socket"));

#[task(HUEY)]
fn write(socket: Arc<TcpStream>, bytes: Vec<u8>) -> io::Result<()> {
    (&*socket).write_all(&bytes)
}

#[task(HUEY)]
fn read(socket: Arc<TcpStream>, count: usize) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; count];
    (&*socket).read_exact(&mut bytes)?;
    Ok(bytes)
}

/// The peer: it sends back what comes in.
#[task(HUEY)]
fn echo(listener: TcpListener) -> io::Result<u64> {
    let (stream, _) = listener.accept()?;
    io::copy(&mut &stream, &mut &stream)
}

fn main() -> Result<(), Box<dyn Error>> {
    minihuey::monkey::patch_all()?;
    let listener = TcpListener::bind("localhost:0")?;
    let socket = Arc::new(TcpStream::connect(listener.local_addr()?)?);
    let echoed = echo(listener);
    let bytes: Vec<u8> = (0..250).collect::<Vec<u8>>().repeat(MEGABYTES * 4_000);
    let count = bytes.len();

    let start = Instant::now();
    let (mine, sent) = (socket.clone(), bytes.clone());
    let writer = thread::spawn(move || write::call_local(mine, sent)); // the plain function
    let received = read(socket.clone(), count).get()?;
    writer.join().map_err(|_| "the writer panicked")??;
    report("an OS thread wrote, a task read:", start, received == bytes)?;

    let start = Instant::now();
    let mine = socket.clone();
    let reader = thread::spawn(move || read::call_local(mine, count));
    write(socket.clone(), bytes.clone()).get()?;
    let received = reader.join().map_err(|_| "the reader panicked")??;
    report("a task wrote, an OS thread read:", start, received == bytes)?;

    socket.shutdown(Shutdown::Write)?;
    println!("the peer, another task, sent back: {} MB", echoed.get()? / 1_000_000);
    Ok(())
}

fn report(what: &str, start: Instant, same: bool) -> Result<(), String> {
    let took = start.elapsed().as_secs_f64();
    println!("{what:34} {MEGABYTES} MB in {took:.2} s");
    if same { Ok(()) } else { Err("what came back is not what was sent".to_owned()) }
}
