//! What a call costs that does not have to wait, over the system call alone: in a task, and on an
//! OS thread of a patched process.
//!
//! The system call alone is made by `rustix`, which does not go through libc.

#[path = "../../benches/common/mod.rs"]
mod common;

use std::fs::File;
use std::hint::black_box;
use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::time::Instant;

use common::{Fallible, Sorted, print_table};
use minihuey::MiniHuey;
use rustix::net::{RecvFlags, SendFlags};

const ROUNDS: usize = 15;
const CALLS: usize = 50_000;

/// What is called, and how much more than the system call it may cost in a task: nanoseconds.
const KINDS: [(&str, Option<f64>); 3] = [
    ("receive, ready", Some(120.0)),
    ("send, with room", Some(120.0)),
    ("read a file", Some(30.0)),
];

/// Nanoseconds a call: by std, and raw.
type Pair = [f64; 2];

/// One round of each kind, std and raw by turns.
fn round(one: &UnixStream, other: &UnixStream, file: &File) -> io::Result<[Pair; 3]> {
    let mut byte = [0; 1];
    let mut times = [[0.0; 2]; 3];
    // Both ends in one loop, so that there is always a byte to receive and always room for it: the
    // raw half is the same in all three.
    let raw = time(|| {
        rustix::net::send(one, &[1], SendFlags::empty())?;
        rustix::net::recv(other, &mut byte[..], RecvFlags::empty())?;
        Ok(())
    })?;
    let receive = time(|| {
        rustix::net::send(one, &[1], SendFlags::empty())?;
        black_box((&mut &*other).read(&mut byte)?);
        Ok(())
    })?;
    let send = time(|| {
        black_box((&mut &*one).write(&[1])?);
        rustix::net::recv(other, &mut byte[..], RecvFlags::empty())?;
        Ok(())
    })?;
    times[0] = [receive, raw];
    times[1] = [send, raw];
    times[2] = [
        time(|| {
            black_box((&mut &*file).read(&mut byte)?);
            Ok(())
        })?,
        time(|| {
            black_box(rustix::io::read(file, &mut byte[..])?);
            Ok(())
        })?,
    ];
    Ok(times)
}

fn time(mut call: impl FnMut() -> io::Result<()>) -> io::Result<f64> {
    let start = Instant::now();
    for _ in 0..CALLS {
        call()?;
    }
    Ok(start.elapsed().as_nanos() as f64 / CALLS as f64)
}

fn rounds() -> io::Result<Vec<[Pair; 3]>> {
    let (one, other) = UnixStream::pair()?;
    let mut file = tempfile::tempfile()?;
    // Enough for every round's reads.
    file.write_all(&vec![7; 4 * ROUNDS * CALLS])?;
    (0..ROUNDS)
        .map(|_| {
            io::Seek::rewind(&mut &file)?;
            round(&one, &other, &file)
        })
        .collect()
}

fn main() -> Fallible<()> {
    if !common::is_wanted() {
        return Ok(());
    }
    // PATCH minihuey::monkey::patch_all()?;
    let huey = MiniHuey::new("calls");
    let green = huey.try_task("rounds", rounds).call(()).get()?;
    let os = rounds()?;
    let mut rows = Vec::new();
    for (place, (name, wanted)) in KINDS.into_iter().enumerate() {
        for (thread, rounds, wanted) in [("a task", &green, wanted), ("an OS thread", &os, None)] {
            let of = |f: fn(Pair) -> f64| Sorted::new(rounds.iter().map(|round| f(round[place])));
            let over = of(|[std, raw]| std - raw);
            rows.push(vec![
                format!("{name}, in {thread}"),
                common::time(of(|[std, _]| std).median()),
                common::time(of(|[_, raw]| raw).median()),
                format!("{:.0} ns", over.median()),
                over.spread(|nanos| format!("{nanos:.0}")),
                wanted.map(|wanted| format!("{wanted:.0} ns")).unwrap_or_default(),
            ]);
        }
    }
    let title = format!(
        "calls that need not wait: medians of {ROUNDS} rounds of {} (of sockets: of a send and a \
         receive)",
        common::whole(CALLS as f64)
    );
    let head = ["", "by std", "raw", "over it", "lowest–highest", "wanted, at most"];
    print_table(title, &head, &rows);
    Ok(())
}
