//! The servers themselves: that they answer, and that none outlives its test.

use std::io::{BufRead, BufReader};
use std::net::{SocketAddr, TcpStream};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};
use std::{env, thread};

use minihuey_realworld::{Origin, Unavailable, or_skip};

use crate::support::{LIMIT, origin};

const NAME: &str = "servers::a_server_ends_with_the_process_that_started_it";
const VARIABLE: &str = "MINIHUEY_STARTS_A_SERVER";

fn gone(address: SocketAddr) -> bool {
    let end = Instant::now() + LIMIT;
    while TcpStream::connect(address).is_ok() {
        if Instant::now() > end {
            return false;
        }
        thread::sleep(Duration::from_millis(1));
    }
    true
}

#[test]
fn a_server_ends_when_it_is_dropped() {
    let origin = origin();
    let address = origin.address();
    assert!(TcpStream::connect(address).is_ok());
    drop(origin);
    assert!(gone(address));
}

#[test]
fn a_server_ends_with_a_test_that_panics() {
    let (sender, receiver) = std::sync::mpsc::channel();
    let test = thread::spawn(move || {
        let origin = origin();
        sender.send(origin.address()).unwrap();
        panic!("as a test does that fails");
    });
    let address = receiver.recv_timeout(LIMIT).unwrap();
    assert!(test.join().is_err());
    assert!(gone(address));
}

#[test]
fn a_server_ends_with_the_process_that_started_it() {
    if env::var_os(VARIABLE).is_some() {
        let origin = origin();
        println!("\naddress {}", origin.address());
        // Until it is killed, which runs no destructor.
        thread::sleep(LIMIT);
        return;
    }
    // Nobody else removes what a killed process leaves there.
    let dir = tempfile::tempdir().unwrap();
    let mut child = Command::new(env::current_exe().unwrap())
        .args(["--exact", NAME, "--nocapture"])
        .env(VARIABLE, "1")
        .env("TMPDIR", dir.path())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let address = lines.map_while(Result::ok).find_map(|line| {
        line.strip_prefix("address ").map(|address| address.parse::<SocketAddr>().unwrap())
    });
    let address = address.unwrap();
    assert!(TcpStream::connect(address).is_ok());
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(gone(address));
}

#[test]
fn a_server_that_does_not_start_says_why() {
    let started = Origin::start("/bin/false");
    let Err(Unavailable::Failed(why)) = started else { panic!("{started:?}") };
    assert!(why.contains("no port"), "{why}");
}

#[test]
fn a_server_that_is_not_installed_is_skipped_but_not_by_ci() {
    let missing = Unavailable::not_installed("no-such-server", "no-such-package");
    let text = missing.to_string();
    assert_eq!(text, "no-such-server is not installed (Debian package no-such-package)");
    let skipped = std::panic::catch_unwind(|| or_skip::<()>(Err(missing)));
    match env::var("CI").as_deref() {
        Ok("true") => assert!(skipped.is_err()),
        _ => assert!(matches!(skipped, Ok(None))),
    }
}
