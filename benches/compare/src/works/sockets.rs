//! Tasks that each open a connection and wait 200 ms for its answer: wall time, processor time and
//! the most memory, of the side that waits.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::time::Instant;

use minihuey::{TaskResult, task};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::{Case, Fallible, Figures, How, Work, nanos};
use crate::runtimes::{self, Apalis, CrossbeamPool, HUEY, answered};
use crate::{process, server};

/// Threads of the pools: as many as somebody would dare who knows that his tasks wait.
const POOL: usize = 1_000;

pub const WORK: Work = Work {
    name: "sockets",
    rounds: 3,
    at_once: false,
    needs_server: true,
    cases: &[
        Case { name: "1000", count: 1_000, quick: 50 },
        Case { name: "10000", count: 10_000, quick: 500 },
    ],
    contenders: &[
        ("minihuey", How::Here(minihuey)),
        ("may", How::Here(may)),
        ("tokio-2", How::Here(tokio_two)),
        ("tokio-1", How::Here(tokio_current_thread)),
        ("tokio-blocking", How::Here(tokio_blocking)),
        ("smol", How::Here(smol)),
        ("smol-blocking", How::Here(smol_blocking)),
        ("apalis", How::Here(apalis)),
        ("rayon", How::Here(rayon)),
        ("threadpool", How::Here(threadpool)),
        ("crossbeam", How::Here(crossbeam)),
        ("threads", How::Here(threads)),
        ("go", How::Go),
        ("python-minihuey", How::Python),
        ("gevent", How::Python),
    ],
};

type Io = std::io::Result<()>;

/// Plain blocking code. What it blocks is up to who runs it.
fn ask(port: u16) -> Io {
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
    stream.write_all(&[1])?;
    stream.read_exact(&mut [0])
}

async fn ask_on_tokio(port: u16) -> Io {
    let mut stream = tokio::net::TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await?;
    stream.write_all(&[1]).await?;
    stream.read_exact(&mut [0]).await?;
    Ok(())
}

async fn ask_on_smol(port: u16) -> Io {
    use smol::io::{AsyncReadExt, AsyncWriteExt};
    let mut stream = smol::net::TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await?;
    stream.write_all(&[1]).await?;
    stream.read_exact(&mut [0]).await
}

/// Calls all, then gets all.
fn measure<H>(
    count: u64,
    call: impl Fn(u16) -> H,
    get: impl Fn(H) -> Fallible<()>,
) -> Fallible<Figures> {
    process::raise_descriptors()?;
    let ports = server::ports()?;
    // The first makes ready what is made once.
    get(call(ports[0]))?;
    let (start, cpu) = (Instant::now(), process::cpu()?);
    let results: Vec<H> =
        ports.iter().cycle().take(count as usize).map(|&port| call(port)).collect();
    for result in results {
        get(result)?;
    }
    let (wall, cpu) = (start.elapsed(), process::cpu()? - cpu);
    Ok(vec![("wall", nanos(wall)), ("cpu", nanos(cpu)), ("peak", process::peak()?)])
}

#[task(HUEY)]
fn ask_task(port: u16) -> Io {
    ask(port)
}

fn minihuey(_case: &str, count: u64) -> Fallible<Figures> {
    minihuey::monkey::patch_all()?;
    measure(count, ask_task, |result: TaskResult<()>| Ok(result.get()?))
}

fn may(_case: &str, count: u64) -> Fallible<Figures> {
    runtimes::may(1);
    let ask = |port| -> Io {
        let mut stream = may::net::TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
        stream.write_all(&[1])?;
        stream.read_exact(&mut [0])
    };
    measure(
        count,
        |port| may::go!(move || ask(port)),
        |handle| Ok(handle.join().map_err(|_| "a coroutine panicked")??),
    )
}

fn tokio_two(_case: &str, count: u64) -> Fallible<Figures> {
    tokio(runtimes::tokio_two()?, count)
}

fn tokio_current_thread(_case: &str, count: u64) -> Fallible<Figures> {
    tokio(runtimes::tokio_current_thread()?, count)
}

fn tokio(handle: tokio::runtime::Handle, count: u64) -> Fallible<Figures> {
    measure(count, |port| handle.spawn(ask_on_tokio(port)), |task| Ok(handle.block_on(task)??))
}

fn tokio_blocking(_case: &str, count: u64) -> Fallible<Figures> {
    let handle = runtimes::tokio_two()?;
    let call = |port| handle.spawn_blocking(move || ask(port));
    measure(count, call, |task| Ok(handle.block_on(task)??))
}

fn smol(_case: &str, count: u64) -> Fallible<Figures> {
    measure(count, |port| smol::spawn(ask_on_smol(port)), |task| Ok(smol::block_on(task)?))
}

fn smol_blocking(_case: &str, count: u64) -> Fallible<Figures> {
    let call = |port| smol::unblock(move || ask(port));
    measure(count, call, |task| Ok(smol::block_on(task)?))
}

fn apalis(_case: &str, count: u64) -> Fallible<Figures> {
    let handle = runtimes::tokio_two()?;
    let apalis = Apalis::start(&handle);
    let call = |port| apalis.call(ask_on_tokio(port));
    measure(count, call, |result| Ok(handle.block_on(result)?))
}

fn rayon(_case: &str, count: u64) -> Fallible<Figures> {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(POOL).build()?;
    pool_of_threads(count, |job| pool.spawn(job))
}

fn threadpool(_case: &str, count: u64) -> Fallible<Figures> {
    let pool = threadpool::ThreadPool::new(POOL);
    pool_of_threads(count, |job| pool.execute(job))
}

fn crossbeam(_case: &str, count: u64) -> Fallible<Figures> {
    let pool = CrossbeamPool::start(POOL);
    pool_of_threads(count, |job| pool.run(job))
}

fn pool_of_threads(count: u64, run: impl Fn(Box<dyn FnOnce() + Send>)) -> Fallible<Figures> {
    measure(count, |port| answered(&run, move || ask(port)), |result| Ok(result.recv()??))
}

fn threads(_case: &str, count: u64) -> Fallible<Figures> {
    let call = |port| std::thread::Builder::new().spawn(move || ask(port));
    measure(count, call, |thread| Ok(thread?.join().map_err(|_| "a thread panicked")??))
}
