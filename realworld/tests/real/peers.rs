//! Peers that behave badly: what a task sees of them is what an OS thread would.

use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use std::{io, str, thread};

use minihuey_realworld::Origin;
use minihuey_realworld::origin::body;

use crate::support::{LIMIT, origin, patch, together};

/// Sends the head of a request, as bytes on a socket of its own.
fn ask(address: SocketAddr, path: &str) -> io::Result<TcpStream> {
    let mut stream = TcpStream::connect(address)?;
    stream.write_all(format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n").as_bytes())?;
    Ok(stream)
}

/// What comes after the head of an answer that is read to its end.
fn content(answer: &[u8]) -> &str {
    let text = str::from_utf8(answer).unwrap();
    text.split_once("\r\n\r\n").unwrap().1
}

#[test]
fn a_read_time_out_set_through_std_is_honoured() {
    patch();
    const TIMEOUT: Duration = Duration::from_millis(200);
    let origin = origin();
    let address = origin.address();
    let run = together(100, move |_| {
        let mut stream = ask(address, "/never")?;
        stream.set_read_timeout(Some(TIMEOUT))?;
        let start = Instant::now();
        let kind = stream.read(&mut [0; 1]).map_err(|error| error.kind());
        Ok::<_, io::Error>((kind, start.elapsed()))
    });
    run.assert_together(100 * TIMEOUT);
    // How late they are is a matter of load: `cargo bench --bench waits` prints it.
    for (kind, took) in run.values {
        // So std calls it on Unix.
        assert_eq!(kind, Err(ErrorKind::WouldBlock));
        assert!(took >= TIMEOUT, "{took:?}");
    }
}

#[test]
fn a_write_time_out_set_through_std_is_honoured() {
    patch();
    const TIMEOUT: Duration = Duration::from_millis(500);
    // Takes connections by itself, and never reads.
    let deaf = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = deaf.local_addr().unwrap();
    let run = together(40, move |_| {
        let mut stream = TcpStream::connect(address)?;
        stream.set_write_timeout(Some(TIMEOUT))?;
        let start = Instant::now();
        let chunk = vec![7; 1 << 20];
        let error = loop {
            if let Err(error) = stream.write_all(&chunk) {
                break error.kind();
            }
        };
        Ok::<_, io::Error>((error, start.elapsed()))
    });
    run.assert_together(40 * TIMEOUT);
    for (kind, took) in run.values {
        assert_eq!(kind, ErrorKind::WouldBlock);
        assert!(took >= TIMEOUT, "{took:?}");
    }
}

#[test]
fn a_peer_that_resets_is_an_error_in_its_task_and_nobody_else_s() {
    patch();
    let origin = origin();
    let address = origin.address();
    let (agent, good) = (origin.agent(), origin.url("/?delay=100ms&size=1000"));
    let run = together(200, move |number| {
        if number % 2 == 0 {
            let text = agent.get(&good).call()?.body_mut().read_to_string()?;
            assert_eq!(text, body(1_000));
            return Ok(None);
        }
        let mut answer = Vec::new();
        let result = ask(address, "/reset?size=1000")?.read_to_end(&mut answer);
        Ok::<_, ureq::Error>(Some(result.map_err(|error| error.kind())))
    });
    let reset: Vec<_> = run.values.into_iter().flatten().collect();
    assert_eq!(reset, vec![Err(ErrorKind::ConnectionReset); 100]);
}

#[test]
fn a_crate_sees_a_reset_as_its_own_error() {
    patch();
    let origin = origin();
    let (agent, url) = (origin.agent(), origin.url("/reset?size=100000"));
    let run = together(50, move |_| {
        let read = || agent.get(&url).call()?.body_mut().read_to_string();
        Ok::<_, String>(read().map_err(|error| error.to_string()))
    });
    for read in run.values {
        assert!(read.is_err(), "{read:?}");
    }
}

#[test]
fn a_peer_that_half_closes_has_all_it_sent_read() {
    patch();
    let origin = origin();
    let (agent, url) = (origin.agent(), origin.url("/half?size=100000"));
    let run = together(100, move |_| agent.get(&url).call()?.body_mut().read_to_string());
    assert!(run.values.iter().all(|text| *text == body(100_000)));
}

#[test]
fn a_task_that_half_closes_reads_on() {
    patch();
    let origin = origin();
    let address = origin.address();
    let run = together(100, move |number| {
        let mut stream = ask(address, "/after-eof")?;
        stream.write_all(&vec![b'x'; 1_000 + number])?;
        stream.shutdown(Shutdown::Write)?;
        let mut answer = Vec::new();
        // The peer keeps the connection: it ends by what it announced.
        while !answer.ends_with((1_000 + number).to_string().as_bytes()) {
            let mut some = [0; 100];
            let count = stream.read(&mut some)?;
            assert_ne!(count, 0, "ended early: {}", String::from_utf8_lossy(&answer));
            answer.extend_from_slice(&some[..count]);
        }
        Ok::<_, io::Error>(content(&answer).parse::<usize>().unwrap())
    });
    assert_eq!(run.values, (1_000..1_100).collect::<Vec<_>>());
}

#[test]
fn a_peer_that_sends_one_byte_at_a_time_holds_nobody_up() {
    patch();
    const BYTES: usize = 100;
    let origin = origin();
    let (agent, url) = (origin.agent(), origin.url(&format!("/drip?size={BYTES}&every=2ms")));
    let run = together(100, move |_| agent.get(&url).call()?.body_mut().read_to_string());
    run.assert_together(100 * BYTES as u32 * Duration::from_millis(2));
    assert!(run.values.iter().all(|text| *text == body(BYTES)));
}

#[test]
fn a_peer_that_never_answers_holds_nobody_up_and_ends_by_the_crate_s_time_out() {
    patch();
    const TIMEOUT: Duration = Duration::from_millis(500);
    let origin = origin();
    let agent = origin.agent();
    let urls = ["/never", "/?delay=100ms"].map(|path| origin.url(path));
    let run = together(200, move |number| {
        let request = agent.get(&urls[number % 2]).config().timeout_global(Some(LIMIT));
        if number % 2 == 1 {
            return request.build().call().map(|_| None);
        }
        let start = Instant::now();
        let error = request.timeout_global(Some(TIMEOUT)).build().call().map(drop);
        Ok(Some((error, start.elapsed())))
    });
    run.assert_together(100 * TIMEOUT);
    let refused: Vec<_> = run.values.into_iter().flatten().collect();
    assert_eq!(refused.len(), 100);
    for (error, took) in refused {
        assert!(matches!(error, Err(ureq::Error::Timeout(_))), "{error:?}");
        assert!(took >= TIMEOUT, "{took:?}");
    }
}

#[test]
fn a_server_that_dies_is_an_error_in_every_task_that_waits_for_it() {
    patch();
    let origin = origin();
    let address = origin.address();
    let waiting = Arc::new(AtomicUsize::new(0));
    let arrived = waiting.clone();
    let killer = thread::spawn(move || kill_when(origin, &arrived, 100));
    let run = together(100, move |_| {
        let mut stream = ask(address, "/never")?;
        waiting.fetch_add(1, Ordering::SeqCst);
        let result = stream.read(&mut [0; 1]).map_err(|error| error.kind());
        Ok::<_, io::Error>(result)
    });
    for result in run.values {
        assert!(matches!(result, Ok(0) | Err(ErrorKind::ConnectionReset)), "{result:?}");
    }
    killer.join().unwrap();
}

/// Dropping it kills it.
fn kill_when(origin: Origin, arrived: &AtomicUsize, count: usize) {
    let end = Instant::now() + LIMIT;
    while arrived.load(Ordering::SeqCst) < count {
        assert!(Instant::now() < end, "not all asked");
        thread::sleep(Duration::from_millis(1));
    }
    drop(origin);
}

#[test]
fn a_port_where_nobody_listens_refuses_in_the_task() {
    patch();
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let run = together(50, move |number| {
        let result = match number % 2 {
            0 => TcpStream::connect(address),
            _ => TcpStream::connect_timeout(&address, LIMIT),
        };
        Ok::<_, String>(result.map(drop).map_err(|error| error.kind()))
    });
    assert_eq!(run.values, vec![Err(ErrorKind::ConnectionRefused); 50]);
}
