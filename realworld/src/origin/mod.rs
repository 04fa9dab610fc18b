//! An HTTP server that does what it is asked for: late, slow, broken or never. [`Origin`] is the
//! handle to one in a process of its own; [`serve`] is what runs there.

mod request;
mod serve;

use std::env;
use std::fs;
use std::io::{BufRead, BufReader};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use nix::sys::signal::Signal;
use ureq::Agent;
use ureq::tls::{Certificate, RootCerts, TlsConfig};

use crate::process::{self, Process, Unavailable};

pub use request::body;
pub use serve::serve;

/// Asks a program that calls [`be_one_if_asked`] to be a server: with this argument first.
const ASK: &str = "--serve-as-origin";
const PLAIN: &str = "http";
const TLS: &str = "https";
pub(crate) const CERTIFICATE: &str = "certificate.pem";

/// An HTTP server in a process of its own.
///
/// | path                        | answer                                                         |
/// |-----------------------------|----------------------------------------------------------------|
/// | `/?delay=200ms&size=1000`   | 1,000 bytes, see [`body`](fn@body), after 200 ms               |
/// | `/drip?size=100&every=5ms`  | one byte at a time                                             |
/// | `/reset?size=100`           | the head of a body, 100 bytes of it, and a reset               |
/// | `/half?size=100`            | 100 bytes with no length said, and then nothing more; it goes on reading |
/// | `/after-eof`                | how many bytes came in after the head, once the client has no more |
/// | `/never`                    | none                                                           |
///
/// All connections are kept, but for those of the middle four, and where the client says otherwise.
#[derive(Debug)]
pub struct Origin {
    process: Process,
    scheme: &'static str,
    address: SocketAddr,
}

impl Origin {
    /// Starts `program`, which must call [`be_one_if_asked`] first of all.
    ///
    /// # Errors
    /// If it does not start.
    pub fn start(program: impl AsRef<Path>) -> Result<Origin, Unavailable> {
        Origin::start_as(program.as_ref(), PLAIN)
    }

    /// As [`start`](Origin::start), for https, with a certificate of its own.
    ///
    /// # Errors
    /// If it does not start.
    pub fn start_tls(program: impl AsRef<Path>) -> Result<Origin, Unavailable> {
        Origin::start_as(program.as_ref(), TLS)
    }

    fn start_as(program: &Path, scheme: &'static str) -> Result<Origin, Unavailable> {
        let dir = process::directory()?;
        let mut command = Command::new(program);
        command.args([ASK, scheme]).arg(dir.path());
        let mut process = Process::start(&command, Signal::SIGKILL, dir, |command| {
            command.stdout(Stdio::piped());
        })?;
        let mut lines = BufReader::new(process.stdout().expect("a pipe was asked for"));
        let mut line = String::new();
        lines.read_line(&mut line)?;
        // It prints its port when it listens.
        let port: u16 = line
            .trim()
            .parse()
            .map_err(|error| process.failed(format!("{line:?} is no port: {error}")))?;
        Ok(Origin { process, scheme, address: (Ipv4Addr::LOCALHOST, port).into() })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The address of a page, such as `/?delay=200ms`.
    pub fn url(&self, path: &str) -> String {
        format!("{}://localhost:{}{path}", self.scheme, self.address.port())
    }

    /// Something to fetch pages with, that trusts this server.
    ///
    /// # Panics
    /// If the server has put a bad certificate into its directory.
    pub fn agent(&self) -> Agent {
        let config = Agent::config_builder().max_idle_connections(2_000);
        let config = config.max_idle_connections_per_host(2_000);
        let tls = match fs::read(self.process.dir().join(CERTIFICATE)) {
            Err(_) => TlsConfig::default(),
            Ok(pem) => {
                let certificate = Certificate::from_pem(&pem).expect("a certificate");
                let roots = RootCerts::new_with_certs(&[certificate]);
                TlsConfig::builder().root_certs(roots).build()
            }
        };
        config.tls_config(tls).build().into()
    }
}

/// If this process was started to be an [`Origin`], it is one from here on, until it is killed.
///
/// # Panics
/// If it can't.
pub fn be_one_if_asked() {
    let mut args = env::args().skip(1);
    if args.next().is_none_or(|arg| arg != ASK) {
        return;
    }
    let tls = args.next().is_some_and(|scheme| scheme == TLS);
    let directory = args.next().map(PathBuf::from);
    let directory = directory.filter(|_| tls);
    serve(directory.as_deref()).expect("a server that runs until it is killed");
}
