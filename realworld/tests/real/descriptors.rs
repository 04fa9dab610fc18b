//! Descriptors: used again and again, and used up.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;
use std::sync::mpsc;

use minihuey::MiniHuey;
use minihuey_realworld::origin::body;
use nix::errno::Errno;
use nix::sys::resource::{Resource, getrlimit, setrlimit};

use crate::child;
use crate::support::{LIMIT, origin, patch, together, value};

#[test]
fn ten_thousand_connections_reuse_their_descriptors_and_never_mix_up() {
    patch();
    const TASKS: usize = 100;
    const EACH: usize = 100;
    let origin = origin();
    let address = origin.address();
    let run = together(TASKS, move |number| {
        let mut highest = 0;
        for turn in 0..EACH {
            let size = number * EACH + turn;
            let mut stream = TcpStream::connect(address)?;
            highest = highest.max(stream.as_raw_fd());
            // Some are left before they have answered: nothing of that may reach the next one.
            let delay = if turn % 10 == 0 { 50 } else { 0 };
            let head = format!("GET /?size={size}&delay={delay}ms HTTP/1.1\r\n");
            stream.write_all(head.as_bytes())?;
            stream.write_all(b"Connection: close\r\n\r\n")?;
            if delay > 0 {
                continue;
            }
            let mut text = String::new();
            stream.read_to_string(&mut text)?;
            assert!(text.ends_with(&format!("Content-Length: {size}\r\n\r\n{}", body(size))));
        }
        Ok::<_, io::Error>(highest)
    });
    let highest = run.values.into_iter().max().unwrap();
    println!("{} connections in {:?}, the highest descriptor: {highest}", TASKS * EACH, run.took);
    assert!(usize::try_from(highest).unwrap() < TASKS * EACH / 2, "{highest}");
}

#[test]
fn a_task_that_gets_no_descriptor_gets_the_error_and_nothing_is_lost() {
    child::run(
        "descriptors::a_task_that_gets_no_descriptor_gets_the_error_and_nothing_is_lost",
        || {
            patch();
            const MOST: u64 = 20_000;
            let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
            let limit = hard.min(MOST);
            setrlimit(Resource::RLIMIT_NOFILE, limit, limit).unwrap();
            let tasks = u32::try_from(limit / 2 + 500).unwrap();
            let huey = MiniHuey::new("many");
            let (sender, receiver) = mpsc::channel();
            // Two descriptors for each that gets them.
            let hold = huey.try_task("hold", move |number: u32| {
                let (mut mine, other) = match UnixStream::pair() {
                    Ok(pair) => pair,
                    Err(error) => {
                        let _ = sender.send(None);
                        return Err(error);
                    }
                };
                sender.send(Some((number, other))).map_err(io::Error::other)?;
                let mut bytes = [0; 4];
                mine.read_exact(&mut bytes)?;
                Ok(u32::from_ne_bytes(bytes))
            });
            let results: Vec<_> = (0..tasks).map(|number| hold.call((number,))).collect();
            let messages: Vec<_> =
                (0..tasks).map(|_| receiver.recv_timeout(LIMIT).unwrap()).collect();
            let mut got = Vec::new();
            for (number, mut other) in messages.into_iter().flatten() {
                other.write_all(&number.to_ne_bytes()).unwrap();
                got.push(number);
            }
            let mut refused = 0;
            for (number, mut result) in (0..).zip(results) {
                match result.get_timeout(LIMIT) {
                    Ok(value) => assert_eq!(value, number),
                    Err(error) => {
                        let error = error.downcast_ref::<io::Error>().unwrap();
                        assert_eq!(error.raw_os_error(), Some(Errno::EMFILE as i32));
                        refused += 1;
                    }
                }
            }
            println!("{} got theirs, {refused} were refused", got.len());
            assert!(refused >= 500);
            assert_eq!(got.len() + refused, tasks as usize);
        },
    );
}

#[test]
fn all_works_again_after_descriptors_were_used_up() {
    child::run("descriptors::all_works_again_after_descriptors_were_used_up", || {
        patch();
        let origin = origin();
        // Long enough for more to be there at once than there are descriptors.
        let (agent, url) = (origin.agent(), origin.url("/?delay=3000ms"));
        // All is there that a task needs besides its own socket.
        let huey = MiniHuey::new("fetch");
        let fetch = huey.try_task("fetch", move || agent.get(&url).call().map(drop));
        value(fetch.call(()));
        setrlimit(Resource::RLIMIT_NOFILE, 300, 1_000).unwrap();
        let results: Vec<_> = (0..500).map(|_| fetch.call(())).collect();
        let results: Vec<_> =
            results.into_iter().map(|mut result| result.get_timeout(LIMIT)).collect();
        let refused = results.iter().filter(|result| result.is_err()).count();
        println!("{refused} of {} were refused", results.len());
        assert!((1..500).contains(&refused), "{refused}");

        let results: Vec<_> = (0..200).map(|_| fetch.call(())).collect();
        results.into_iter().for_each(value);
    });
}
