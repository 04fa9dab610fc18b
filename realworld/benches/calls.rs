//! What a call costs that does not have to wait, over the system call alone: in a task, and on an
//! OS thread of a patched process.
//!
//! The system call alone is made by libc's `syscall`, which nobody interposes, and which costs what
//! libc's own function for it does.

#[path = "../../benches/common/mod.rs"]
mod common;

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::time::Instant;

use common::{Fallible, Sorted, print_table};
use minihuey::MiniHuey;

/// Short ones, so that what else the machine does hits few of them, and many.
const ROUNDS: usize = 2_000;
const CALLS: usize = 500;

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
    // Both ends in one loop, so that there is always a byte to receive and always room for it: the
    // raw half is the same in all three.
    let raw = time(|| {
        write_alone(one.as_fd())?;
        receive_alone(other.as_fd())
    })?;
    let receive = time(|| {
        write_alone(one.as_fd())?;
        (&mut &*other).read(&mut byte).and_then(one_byte)
    })?;
    let send = time(|| {
        (&mut &*one).write(&byte).and_then(one_byte)?;
        receive_alone(other.as_fd())
    })?;
    let file = [
        time(|| (&mut &*file).read(&mut byte).and_then(one_byte))?,
        time(|| read_alone(file.as_fd()))?,
    ];
    Ok([[receive, raw], [send, raw], file])
}

/// What every call here gives.
fn one_byte(count: usize) -> io::Result<()> {
    match count {
        1 => Ok(()),
        _ => Err(io::Error::other(format!("{count} bytes"))),
    }
}

/// What a system call gave.
fn given(count: libc::c_long) -> io::Result<()> {
    usize::try_from(count).map_err(|_| io::Error::last_os_error()).and_then(one_byte)
}

fn write_alone(to: BorrowedFd<'_>) -> io::Result<()> {
    let byte = [1_u8; 1];
    // SAFETY: there is one byte to read from.
    given(unsafe { libc::syscall(libc::SYS_write, to.as_raw_fd(), byte.as_ptr(), 1_usize) })
}

fn read_alone(from: BorrowedFd<'_>) -> io::Result<()> {
    let mut byte = [0_u8; 1];
    // SAFETY: there is room for the one byte that is asked for.
    given(unsafe { libc::syscall(libc::SYS_read, from.as_raw_fd(), byte.as_mut_ptr(), 1_usize) })
}

fn receive_alone(from: BorrowedFd<'_>) -> io::Result<()> {
    let mut byte = [0_u8; 1];
    let nobody = std::ptr::null_mut::<u8>();
    // SAFETY: there is room for the one byte that is asked for, and no address is.
    given(unsafe {
        let (from, byte) = (from.as_raw_fd(), byte.as_mut_ptr());
        libc::syscall(libc::SYS_recvfrom, from, byte, 1_usize, 0, nobody, nobody)
    })
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
    file.write_all(&vec![7; 2 * ROUNDS * CALLS])?;
    io::Seek::rewind(&mut file)?;
    (0..ROUNDS).map(|_| round(&one, &other, &file)).collect()
}

fn main() -> Fallible<()> {
    if !common::is_wanted() {
        return Ok(());
    }
    minihuey::monkey::patch_all()?;
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
                format!("{:.0}–{:.0}", over.quantile(0.25), over.quantile(0.75)),
                wanted.map(|wanted| format!("{wanted:.0} ns")).unwrap_or_default(),
            ]);
        }
    }
    let title = format!(
        "calls that need not wait: medians of {} rounds of {CALLS} (of sockets: of a send and a \
         receive)",
        common::whole(ROUNDS as f64)
    );
    let head = ["", "by std", "raw", "over it", "25th–75th", "wanted, at most"];
    print_table(title, &head, &rows);
    Ok(())
}
