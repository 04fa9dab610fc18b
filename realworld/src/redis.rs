//! A Redis server.

use std::process::Command;

use nix::sys::signal::Signal;

use crate::process::{self, Process, Unavailable};

/// A Redis server of one's own, that keeps nothing.
#[derive(Debug)]
pub struct Redis {
    _process: Process,
    client: redis::Client,
}

impl Redis {
    /// Starts one, and returns when it answers.
    ///
    /// # Errors
    /// If it is not installed, or does not start.
    pub fn start() -> Result<Redis, Unavailable> {
        let program = process::find(&["redis-server"], "redis-server")?.join("redis-server");
        let (process, port) = process::on_free_port(
            Signal::SIGTERM,
            |dir, port| {
                let mut command = Command::new(&program);
                command.args(["--bind", "127.0.0.1", "--port", &port.to_string()]);
                command.args(["--save", "", "--appendonly", "no", "--tcp-backlog", "4096"]);
                command.arg("--dir").arg(dir);
                Ok(command)
            },
            |_| {},
            |port| {
                let mut connection = client(port)?.get_connection().map_err(text)?;
                redis::cmd("PING").query(&mut connection).map_err(text)
            },
        )?;
        let client = client(port).map_err(Unavailable::Failed)?;
        Ok(Redis { _process: process, client })
    }

    /// To connect with.
    pub fn client(&self) -> redis::Client {
        self.client.clone()
    }
}

fn client(port: u16) -> Result<redis::Client, String> {
    redis::Client::open(format!("redis://127.0.0.1:{port}/")).map_err(text)
}

fn text(error: redis::RedisError) -> String {
    error.to_string()
}
