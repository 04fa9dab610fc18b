//! A server in a process of its own: found, started on a free port, waited for, and stopped by its
//! own process id, whatever becomes of the test that started it.

use std::ffi::OsString;
use std::fmt::{self, Debug, Display};
use std::fs::{self, File};
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus};
use std::thread;
use std::time::{Duration, Instant};
use std::{env, error, io};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tempfile::TempDir;

/// How long a server may take to start, or to stop, before that counts as a failure.
const LIMIT: Duration = Duration::from_secs(60);
/// How often a server is tried on another port, as somebody may have taken the one that was free.
const TRIES: usize = 3;
/// Where Debian puts servers that are not on everybody's path.
const HIDDEN: [&str; 3] = ["/usr/sbin", "/usr/local/sbin", "/usr/local/bin"];
const POSTGRES: &str = "/usr/lib/postgresql";
const LOG: &str = "server.log";

/// Why there is no server. Its `Debug` is the readable text: that is what `main` prints of it.
#[non_exhaustive]
pub enum Unavailable {
    /// A program is not on this machine.
    NotInstalled {
        /// What was looked for.
        program: &'static str,
        /// The Debian package that has it.
        package: &'static str,
    },
    /// It is there, and did not start: why, with what it logged.
    Failed(String),
}

impl Unavailable {
    /// That a program is not on this machine.
    pub fn not_installed(program: &'static str, package: &'static str) -> Unavailable {
        Unavailable::NotInstalled { program, package }
    }
}

impl Display for Unavailable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Unavailable::NotInstalled { program, package } => {
                write!(f, "{program} is not installed (Debian package {package})")
            }
            Unavailable::Failed(why) => f.write_str(why),
        }
    }
}

impl Debug for Unavailable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Display::fmt(self, f)
    }
}

impl error::Error for Unavailable {}

impl From<io::Error> for Unavailable {
    fn from(error: io::Error) -> Unavailable {
        Unavailable::Failed(error.to_string())
    }
}

/// A running server. Dropping it stops it and removes its directory.
///
/// The kernel ends it, too, when the thread that started it does: so it ends with its process.
#[derive(Debug)]
pub struct Process {
    child: Child,
    stop: Signal,
    // After the child: dropped when that is gone.
    dir: TempDir,
}

impl Process {
    /// The directory that is this server's own.
    pub(crate) fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// Where its output goes.
    pub(crate) fn log(&self) -> PathBuf {
        self.dir.path().join(LOG)
    }

    pub(crate) fn stdout(&mut self) -> Option<std::process::ChildStdout> {
        self.child.stdout.take()
    }

    /// Starts `command`, which logs into `dir`; `stop` is the signal that ends it quickly.
    pub(crate) fn start(
        command: &Command,
        stop: Signal,
        dir: TempDir,
        adjust: impl FnOnce(&mut Command),
    ) -> Result<Process, Unavailable> {
        let log = File::options().create(true).append(true).open(dir.path().join(LOG))?;
        // A parent-death signal can't be asked for between fork and exec without unsafe code.
        let mut bound = Command::new("setpriv");
        bound.args(["--pdeathsig", stop.as_str(), "--"]);
        bound.arg(command.get_program()).args(command.get_args());
        bound.stdin(std::process::Stdio::null()).stdout(log.try_clone()?).stderr(log);
        adjust(&mut bound);
        let child = bound.spawn().map_err(|error| {
            Unavailable::Failed(format!("setpriv (Debian package util-linux): {error}"))
        })?;
        Ok(Process { child, stop, dir })
    }

    /// Waits until `ready` says that the server answers.
    pub(crate) fn wait_for(
        &mut self,
        mut ready: impl FnMut() -> Result<(), String>,
    ) -> Result<(), Unavailable> {
        let end = Instant::now() + LIMIT;
        loop {
            let why = match (ready(), self.child.try_wait()?) {
                (Ok(()), None) => return Ok(()),
                (_, Some(status)) => format!("ended: {status}"),
                (Err(why), None) if Instant::now() > end => format!("no answer in time: {why}"),
                (Err(_), None) => {
                    thread::sleep(Duration::from_millis(10));
                    continue;
                }
            };
            return Err(self.failed(why));
        }
    }

    /// Why it did not start, with what it logged.
    pub(crate) fn failed(&self, why: String) -> Unavailable {
        let log = fs::read_to_string(self.log()).unwrap_or_default();
        Unavailable::Failed(format!("{why}\n--- log\n{log}"))
    }

    fn wait(&mut self, limit: Duration) -> io::Result<Option<ExitStatus>> {
        let end = Instant::now() + limit;
        loop {
            let status = self.child.try_wait()?;
            if status.is_some() || Instant::now() > end {
                return Ok(status);
            }
            thread::sleep(Duration::from_millis(2));
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let asked = i32::try_from(self.child.id()).is_ok_and(|id| {
            // Not reaped yet, so the number is still this child's.
            matches!(self.child.try_wait(), Ok(None)) && kill(Pid::from_raw(id), self.stop).is_ok()
        });
        if asked && matches!(self.wait(LIMIT), Ok(Some(_))) {
            return;
        }
        // Gone already, or beyond help: a destructor has nobody to tell.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Starts what `command` makes for a port, on one that is free, and waits until `ready`.
pub(crate) fn on_free_port(
    stop: Signal,
    command: impl Fn(&Path, u16) -> Result<Command, Unavailable>,
    adjust: impl Fn(&mut Command),
    ready: impl Fn(u16) -> Result<(), String>,
) -> Result<(Process, u16), Unavailable> {
    let mut last = None;
    for _ in 0..TRIES {
        let dir = directory()?;
        let port = free_port()?;
        let command = command(dir.path(), port)?;
        let mut process = Process::start(&command, stop, dir, &adjust)?;
        match process.wait_for(|| ready(port)) {
            Ok(()) => return Ok((process, port)),
            Err(error) => last = Some(error),
        }
    }
    Err(last.expect("tried more than once"))
}

/// A new directory, gone with its server.
pub(crate) fn directory() -> Result<TempDir, Unavailable> {
    Ok(tempfile::Builder::new().prefix("minihuey-").tempdir()?)
}

fn free_port() -> io::Result<u16> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port())
}

/// Runs a program to its end, in `dir`. Fails with what it printed.
pub(crate) fn run(command: &mut Command) -> Result<(), Unavailable> {
    let output = command.output()?;
    if output.status.success() {
        return Ok(());
    }
    let text = [output.stdout, output.stderr].concat();
    let text = OsString::from_vec(text).to_string_lossy().into_owned();
    Err(Unavailable::Failed(format!("{:?}: {}\n{text}", command.get_program(), output.status)))
}

/// The directory that has all of `programs`, of which the first names what is missing.
pub(crate) fn find(
    programs: &[&'static str],
    package: &'static str,
) -> Result<PathBuf, Unavailable> {
    let path = env::var_os("PATH").unwrap_or_default();
    // Each version has a directory there.
    let versions = fs::read_dir(POSTGRES).into_iter().flatten().flatten();
    let mut directories = env::split_paths(&path)
        .chain(HIDDEN.iter().map(PathBuf::from))
        .chain(versions.map(|version| version.path().join("bin")));
    directories
        .find(|directory| programs.iter().all(|program| directory.join(program).is_file()))
        .ok_or(Unavailable::NotInstalled { program: programs[0], package })
}
