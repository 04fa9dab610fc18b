//! One socket and several threads of both kinds; look-ups of names.

use std::io::{self, Read, Write};
use std::net::{Shutdown, ToSocketAddrs};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use minihuey::MiniHuey;

use crate::support::{LIMIT, patch, together, value};

const BYTES: usize = 1 << 20;

#[test]
fn a_green_thread_reads_from_a_socket_that_an_os_thread_writes_to() {
    patch();
    let (one, other) = UnixStream::pair().unwrap();
    let one = Arc::new(one);
    let huey = MiniHuey::new("duplex");
    // What is written on one end comes back: more than fits into the socket's buffers.
    let echo = huey.try_task("echo", |stream: UnixStream| {
        let copied = io::copy(&mut &stream, &mut &stream)?;
        stream.shutdown(Shutdown::Write)?;
        Ok::<_, io::Error>(copied)
    });
    let read = huey.try_task("read", |stream: Arc<UnixStream>| {
        let mut bytes = Vec::new();
        (&*stream).read_to_end(&mut bytes).map(|_| bytes)
    });
    let echo = echo.call((other,));
    let read = read.call((one.clone(),));
    let writer = thread::spawn(move || {
        let bytes: Vec<u8> = (0..BYTES).map(|number| (number % 251) as u8).collect();
        (&*one).write_all(&bytes).unwrap();
        one.shutdown(Shutdown::Write).unwrap();
        bytes
    });
    let written = writer.join().unwrap();
    assert!(value(read) == written, "other bytes came back");
    assert_eq!(value(echo), BYTES as u64);
}

#[test]
fn what_comes_in_on_a_socket_goes_to_the_threads_of_both_kinds_that_wait_for_it() {
    patch();
    let (one, mut other) = UnixStream::pair().unwrap();
    one.set_read_timeout(Some(LIMIT)).unwrap();
    let one = Arc::new(one);
    // Each takes bytes until it gets a zero.
    fn take(stream: &UnixStream) -> io::Result<usize> {
        let mut count = 0;
        loop {
            let mut byte = [0];
            (&*stream).read_exact(&mut byte)?;
            match byte {
                [0] => return Ok(count),
                _ => count += 1,
            }
        }
    }
    let huey = MiniHuey::new("readers");
    let green = huey.try_task("green", |stream: Arc<UnixStream>| take(&stream));
    let greens: Vec<_> = (0..2).map(|_| green.call((one.clone(),))).collect();
    let threads: Vec<_> = (0..2)
        .map(|_| {
            let one = one.clone();
            thread::spawn(move || take(&one).unwrap())
        })
        .collect();
    for _ in 0..1_000 {
        other.write_all(&[1; 10]).unwrap();
    }
    other.write_all(&[0; 4]).unwrap();
    let greens: usize = greens.into_iter().map(value).sum();
    let threads: usize = threads.into_iter().map(|thread| thread.join().unwrap()).sum();
    println!("green threads took {greens}, OS threads {threads}");
    assert_eq!(greens + threads, 10_000);
}

#[test]
fn a_thousand_tasks_look_up_localhost() {
    patch();
    let run = together(1_000, |number| {
        let port = 1 + u16::try_from(number).unwrap();
        let addresses: Vec<_> = ("localhost", port).to_socket_addrs()?.collect();
        assert!(addresses.iter().all(|address| address.ip().is_loopback()));
        assert!(addresses.iter().all(|address| address.port() == port));
        Ok::<_, io::Error>(addresses.len())
    });
    println!("1,000 look-ups in {:?}", run.took);
    assert!(run.values.iter().all(|&count| count > 0));
}

#[test]
fn a_name_that_does_not_exist_is_an_error_in_the_task() {
    patch();
    let run = together(10, |_| {
        let found = "no-such-host.invalid:80".to_socket_addrs();
        Ok::<_, String>(found.map(|addresses| addresses.count()).is_err())
    });
    assert_eq!(run.values, vec![true; 10]);
}

#[test]
fn std_s_sleep_lets_others_run() {
    patch();
    const NAP: Duration = Duration::from_millis(200);
    let run = together(1_000, |_| {
        thread::sleep(NAP);
        Ok::<_, String>(())
    });
    run.assert_together(1_000 * NAP);
}
