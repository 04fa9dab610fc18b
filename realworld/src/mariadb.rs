//! A MariaDB (or MySQL) server.

use std::fs;
use std::process::Command;

use mysql::{Conn, Opts, OptsBuilder};
use nix::sys::signal::Signal;
use nix::unistd::Uid;

use crate::process::{self, Process, Unavailable};

const PACKAGE: &str = "mariadb-server";
/// What the server does first of all.
const INIT: &str = "CREATE DATABASE tasks;
CREATE USER 'task'@'%' IDENTIFIED BY 'secret';
GRANT ALL ON tasks.* TO 'task'@'%';
";

/// A MariaDB server of one's own, with an empty database.
#[derive(Debug)]
pub struct MariaDb {
    _process: Process,
    options: Opts,
}

impl MariaDb {
    /// Starts one, and returns when it answers.
    ///
    /// # Errors
    /// If it is not installed, or does not start.
    pub fn start() -> Result<MariaDb, Unavailable> {
        let server = process::find(&["mariadbd"], PACKAGE)?.join("mariadbd");
        let install = process::find(&["mariadb-install-db"], PACKAGE)?.join("mariadb-install-db");
        // It runs as root only if told so.
        let user = Uid::effective().is_root().then_some("--user=root");
        let (process, port) = process::on_free_port(
            // Nobody wants its data: it need not put them away.
            Signal::SIGKILL,
            |dir, port| {
                let data = format!("--datadir={}", dir.join("data").display());
                let init = dir.join("init.sql");
                fs::write(&init, INIT)?;
                let mut command = Command::new(&install);
                command.args(["--no-defaults", "--skip-test-db", &data]).args(user);
                command.arg("--auth-root-authentication-method=normal");
                process::run(&mut command)?;

                let mut command = Command::new(&server);
                command.args(["--no-defaults", &data]).args(user);
                command.args(["--bind-address=127.0.0.1", &format!("--port={port}")]);
                command.arg(format!("--socket={}", dir.join("socket").display()));
                command.arg(format!("--pid-file={}", dir.join("pid").display()));
                command.arg(format!("--init-file={}", init.display()));
                command.args(["--skip-name-resolve", "--skip-log-bin", "--max-connections=500"]);
                command.args(["--back-log=500", "--performance-schema=OFF"]);
                Ok(command)
            },
            |_| {},
            |port| Conn::new(options(port)).map(drop).map_err(|error| error.to_string()),
        )?;
        Ok(MariaDb { _process: process, options: options(port) })
    }

    /// To connect with.
    pub fn options(&self) -> Opts {
        self.options.clone()
    }
}

fn options(port: u16) -> Opts {
    OptsBuilder::new()
        .ip_or_hostname(Some("127.0.0.1"))
        .tcp_port(port)
        .user(Some("task"))
        .pass(Some("secret"))
        .db_name(Some("tasks"))
        // Stay on the one connection that was asked for.
        .prefer_socket(false)
        .into()
}
