//! One byte there and back over a pair of Unix sockets, between two tasks, two of may's
//! coroutines, two tasks of tokio, two OS threads.
//!
//! Each contender runs in a process of its own, one after another in every round, so that what
//! else the machine does hits all of them: trust the ratios, which are taken within each round.

#[path = "../../benches/common/mod.rs"]
mod common;

use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::thread;
use std::time::{Duration, Instant};

use common::{Fallible, Sorted, numbers_of, print_table, spawn_child};
use minihuey::MiniHuey;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

const ROUNDS: usize = 9;
const TRIPS: usize = 20_000;
const CONTENDERS: [&str; 4] = ["tasks", "may's UnixStream", "tokio", "OS threads"];
/// Nobody is slower than this times the fastest.
const WANTED: f64 = 1.3;

/// Sends and waits for the answer. Gives how long that took.
fn ping(mut stream: impl Read + Write) -> io::Result<Duration> {
    let start = Instant::now();
    for _ in 0..TRIPS {
        stream.write_all(&[1])?;
        stream.read_exact(&mut [0])?;
    }
    Ok(start.elapsed())
}

/// Answers until the other end is closed.
fn pong(mut stream: impl Read + Write) -> io::Result<()> {
    let mut byte = [0];
    while stream.read(&mut byte)? > 0 {
        stream.write_all(&byte)?;
    }
    Ok(())
}

fn measure(contender: &str) -> Fallible<Duration> {
    match contender {
        "tasks" => {
            minihuey::monkey::patch_all()?;
            let huey = MiniHuey::new("ping-pong");
            let (one, other) = UnixStream::pair()?;
            let pong = huey.try_task("pong", |stream: UnixStream| pong(stream)).call((other,));
            let took =
                huey.try_task("ping", |stream: UnixStream| ping(stream)).call((one,)).get()?;
            pong.get()?;
            Ok(took)
        }
        "may's UnixStream" => {
            may::config().set_workers(1);
            let (one, other) = may::os::unix::net::UnixStream::pair()?;
            let pong = may::go!(move || pong(other));
            let took = may::go!(move || ping(one)).join().map_err(|_| "a panic")??;
            pong.join().map_err(|_| "a panic")??;
            Ok(took)
        }
        "tokio" => {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
            runtime.block_on(async {
                let (mut one, mut other) = tokio::net::UnixStream::pair()?;
                let pong = tokio::spawn(async move {
                    let mut byte = [0];
                    while other.read(&mut byte).await? > 0 {
                        other.write_all(&byte).await?;
                    }
                    Ok::<_, io::Error>(())
                });
                let start = Instant::now();
                for _ in 0..TRIPS {
                    one.write_all(&[1]).await?;
                    one.read_exact(&mut [0]).await?;
                }
                let took = start.elapsed();
                drop(one);
                pong.await??;
                Ok(took)
            })
        }
        _ => {
            let (one, other) = UnixStream::pair()?;
            let pong = thread::spawn(move || pong(other));
            let took = ping(one)?;
            pong.join().map_err(|_| "a panic")??;
            Ok(took)
        }
    }
}

fn main() -> Fallible<()> {
    if let [kind, contender] = &common::args()[..]
        && kind == "child"
    {
        println!("{}", measure(contender)?.as_nanos() as f64 / TRIPS as f64);
        return Ok(());
    }
    if !common::is_wanted() {
        return Ok(());
    }
    let mut rounds: Vec<Vec<f64>> = Vec::new();
    for _ in 0..ROUNDS {
        let round = CONTENDERS.iter().map(|contender| {
            let numbers = numbers_of(spawn_child(&["child", contender])?)?;
            numbers.first().copied().ok_or_else(|| "no number".into())
        });
        rounds.push(round.collect::<Fallible<_>>()?);
    }
    let best = |round: &[f64]| round.iter().copied().fold(f64::INFINITY, f64::min);
    let rows: Vec<Vec<String>> = CONTENDERS
        .iter()
        .enumerate()
        .map(|(place, name)| {
            let times = Sorted::new(rounds.iter().map(|round| round[place]));
            let ratios = Sorted::new(rounds.iter().map(|round| round[place] / best(round)));
            vec![
                (*name).to_owned(),
                common::time(times.median()),
                times.spread(common::time),
                format!("{:.2}", ratios.median()),
            ]
        })
        .collect();
    let title = format!(
        "a byte there and back over a pair of sockets, {} times: medians of {ROUNDS} rounds",
        common::whole(TRIPS as f64)
    );
    print_table(title, &["", "a round trip", "lowest–highest", "x the best"], &rows);
    println!("  wanted: tasks at most x {WANTED} the best");
    Ok(())
}
