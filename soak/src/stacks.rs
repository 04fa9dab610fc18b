//! Stacks: what a task takes of memory while it waits on a socket. A frame that grows by a page, in
//! whatever of the library is below such a wait, would cost every task that page, and show nowhere
//! else.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::process::exit;
use std::thread;
use std::time::{Duration, Instant};

use minihuey::MiniHuey;

use crate::resident;

const TASKS: u64 = 2_000;

/// In bytes: two pages of its stack, which it only begins, and its part of the heap.
const MAY_TAKE: u64 = 9 << 10;

const LIMIT: Duration = Duration::from_secs(60);

pub fn run() {
    minihuey::monkey::patch_all().expect("it is linked into the program");
    let huey = MiniHuey::new("stacks");
    let ask = huey.task("ask", |server: SocketAddr| {
        let mut stream = TcpStream::connect(server).unwrap();
        stream.read_exact(&mut [0]).unwrap();
    });
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("there is a port");
    let server = listener.local_addr().expect("it is bound");
    let accept = |count| -> Vec<TcpStream> {
        let accepted = listener.incoming().take(count).collect::<Result<_, _>>();
        accepted.expect("there are descriptors for all")
    };
    let answer = |stream: &mut TcpStream| stream.write_all(&[1]).expect("somebody waits for it");

    // The first makes ready what is made once.
    let mut first = ask.call((server,));
    accept(1).iter_mut().for_each(answer);
    first.get_timeout(LIMIT).expect("it was answered");

    let before = resident();
    let results = ask.map((0..TASKS).map(|_| (server,)));
    let mut streams = accept(TASKS as usize);
    let deadline = Instant::now() + LIMIT;
    while huey.stats().running < TASKS as usize {
        assert!(Instant::now() < deadline, "not all have begun: {:?}", huey.stats());
        thread::sleep(Duration::from_millis(1));
    }
    let each = resident().saturating_sub(before) / TASKS;
    streams.iter_mut().for_each(answer);
    { results }.get_timeout(LIMIT).expect("all were answered");
    println!("a task that waits on a socket takes {each} bytes");
    if cfg!(debug_assertions) {
        println!("(in a debug build, whose frames are as large as they come out)");
    } else if each > MAY_TAKE {
        eprintln!("PROBLEM: it may take {MAY_TAKE}; does some frame take a page of its own?");
        exit(1);
    }
}
