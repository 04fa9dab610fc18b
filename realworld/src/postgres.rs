//! A PostgreSQL server.

use std::os::unix::fs::chown;
use std::os::unix::process::CommandExt;
use std::process::Command;

use nix::sys::signal::Signal;
use nix::unistd::{Uid, User};
use postgres::{Client, Config, NoTls};

use crate::process::{self, Process, Unavailable};

/// A PostgreSQL server of one's own, with an empty database.
#[derive(Debug)]
pub struct Postgres {
    _process: Process,
    config: Config,
}

impl Postgres {
    /// Starts one, and returns when it answers.
    ///
    /// # Errors
    /// If it is not installed, or does not start.
    pub fn start() -> Result<Postgres, Unavailable> {
        let programs = process::find(&["postgres", "initdb"], "postgresql")?;
        let user = unprivileged()?;
        let as_user = |command: &mut Command| {
            if let Some(user) = &user {
                command.uid(user.uid.as_raw()).gid(user.gid.as_raw());
            }
        };
        let (process, port) = process::on_free_port(
            // Its way to stop at once that leaves no shared memory behind.
            Signal::SIGQUIT,
            |dir, port| {
                if let Some(user) = &user {
                    chown(dir, Some(user.uid.as_raw()), Some(user.gid.as_raw()))?;
                }
                let data = dir.join("data");
                let mut command = Command::new(programs.join("initdb"));
                command.current_dir(dir).arg("--pgdata").arg(&data);
                command.args(["--username=task", "--auth=trust", "--no-sync", "--no-locale"]);
                command.args(["--encoding=UTF8"]);
                as_user(&mut command);
                process::run(&mut command)?;

                let mut command = Command::new(programs.join("postgres"));
                command.arg("-D").arg(&data).arg("-k").arg(dir);
                command.args(["-h", "127.0.0.1", "-p", &port.to_string()]);
                command.args(["-c", "max_connections=300", "-c", "fsync=off"]);
                Ok(command)
            },
            as_user,
            |port| config(port).connect(NoTls).map(drop).map_err(|error| error.to_string()),
        )?;
        Ok(Postgres { _process: process, config: config(port) })
    }

    /// Connects. This blocks the thread, as all of that crate does: it has a runtime inside.
    ///
    /// # Errors
    /// If the server does not take the connection.
    pub fn connect(&self) -> Result<Client, postgres::Error> {
        self.config.connect(NoTls)
    }

    /// To connect with.
    pub fn config(&self) -> Config {
        self.config.clone()
    }
}

/// The server refuses to run as root.
fn unprivileged() -> Result<Option<User>, Unavailable> {
    if !Uid::effective().is_root() {
        return Ok(None);
    }
    for name in ["postgres", "nobody"] {
        if let Ok(Some(user)) = User::from_name(name) {
            return Ok(Some(user));
        }
    }
    Err(Unavailable::Failed("neither a user postgres nor one called nobody".to_owned()))
}

fn config(port: u16) -> Config {
    let mut config = Config::new();
    config.host("127.0.0.1").port(port).user("task").dbname("postgres");
    config
}
