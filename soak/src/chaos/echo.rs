//! A server on OS threads that echoes what it hears; or hangs up, or resets, before or amid it.

use std::io::{self, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::thread;
use std::time::Duration;

use nix::libc::linger;
use nix::sys::socket::{setsockopt, sockopt::Linger};

use super::node::hear;

pub fn start() -> io::Result<SocketAddr> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let address = listener.local_addr()?;
    thread::spawn(move || {
        for stream in listener.incoming() {
            match stream {
                // What it said decides what it hears.
                Ok(stream) => drop(thread::Builder::new().spawn(|| serve(stream))),
                // No descriptor is to be had: later.
                Err(_) => thread::sleep(Duration::from_millis(10)),
            }
        }
    });
    Ok(address)
}

fn serve(mut stream: TcpStream) -> io::Result<()> {
    let heard = hear(&mut stream)?;
    let half = &heard[..heard.len() / 2];
    match heard.last().map_or(0, |last| last % 8) {
        0 => reset(stream),
        1 => {
            stream.write_all(half)?;
            reset(stream)
        }
        2 => stream.write_all(half),
        3 => {
            thread::sleep(Duration::from_millis(1));
            stream.write_all(&heard)
        }
        _ => stream.write_all(&heard),
    }
}

fn reset(stream: TcpStream) -> io::Result<()> {
    setsockopt(&stream, Linger, &linger { l_onoff: 1, l_linger: 0 })?;
    Ok(())
}
