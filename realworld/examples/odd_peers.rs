//! Peers that behave oddly, and what tasks see of each: an HTTP client's error, std's error, or all
//! the same a value. The example starts the server itself.
//!
//! ```text
//! cargo run --example odd_peers
//! ```

use std::env;
use std::error::Error;
use std::io::{self, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use minihuey::{MiniHuey, task};
use minihuey_realworld::{Origin, origin};
use once_cell::sync::Lazy;
use ureq::Agent;

const CROWD: usize = 200;
const PATIENCE: Duration = Duration::from_secs(3);
/// What the peer does, how it is asked for that, and whether one gets an answer from it.
const PEERS: [(&str, &str, bool); 5] = [
    ("answers after half a second", "/?delay=500ms&size=100", true),
    ("sends one byte at a time", "/drip?size=100&every=2ms", true),
    ("answers, then half-closes", "/half?size=100", true),
    ("resets amid its answer", "/reset?size=100", false),
    ("never answers", "/never", false),
];

static HUEY: Lazy<MiniHuey> = Lazy::new(|| MiniHuey::new("odd-peers"));

#[task(HUEY)]
fn by_ureq(agent: Agent, url: String) -> Result<String, ureq::Error> {
    let request = agent.get(&url).config().timeout_global(Some(PATIENCE)).build();
    request.call()?.body_mut().read_to_string()
}

#[task(HUEY)]
fn by_std(server: SocketAddr, path: &'static str) -> io::Result<String> {
    let mut stream = TcpStream::connect(server)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.write_all(format!("GET {path} HTTP/1.1\r\nConnection: close\r\n\r\n").as_bytes())?;
    let text = io::read_to_string(stream)?;
    let (_head, body) = text.split_once("\r\n\r\n").ok_or(io::ErrorKind::InvalidData)?;
    Ok(body.to_owned())
}

fn main() -> Result<(), Box<dyn Error>> {
    origin::be_one_if_asked();
    minihuey::monkey::patch_all()?;
    let origin = Origin::start(env::current_exe()?)?;
    let server = origin.address();

    let start = Instant::now();
    // A crowd that talks to the server as it should be, beside all the others.
    let crowd = by_std::map([(server, "/?delay=500ms&size=100"); CROWD]);
    let mut asked = Vec::new();
    for (does, path, answers) in PEERS {
        asked.push((does, by_ureq(origin.agent(), origin.url(path)), answers));
        asked.push((does, by_std(server, path), answers));
    }
    asked.push(("is not there at all", by_std((Ipv4Addr::LOCALHOST, 1).into(), "/"), false));
    for (does, result, answers) in asked {
        let name = result.name();
        let result = result.get();
        match &result {
            Ok(body) => println!("{does:29}task {name} gave {} bytes", body.len()),
            Err(error) => println!("{does:29}{error}"),
        }
        if result.ok() != answers.then(|| origin::body(100)) {
            return Err("that is not what should have come of it".into());
        }
    }
    let good = crowd.get()?.into_iter().filter(|body| *body == origin::body(100)).count();
    println!("{:29}{good} other tasks, beside all these: 100 bytes each", "answers as it should");
    println!("all that took {:.2} s, on one thread", start.elapsed().as_secs_f64());
    if good == CROWD { Ok(()) } else { Err("an answer came incomplete".into()) }
}
