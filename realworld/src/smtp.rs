//! A mail server: aiosmtpd, which runs in Python.

use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;
use std::{fs, io};

use lettre::SmtpTransport;
use lettre::transport::smtp::client::SmtpConnection;
use lettre::transport::smtp::extension::ClientId;
use nix::sys::signal::Signal;

use crate::process::{self, Process, Unavailable};

const PROGRAM: &str = include_str!("smtp.py");
/// The second is Debian's, where the first is somebody's own.
const PYTHONS: [&str; 2] = ["python3", "/usr/bin/python3"];

/// A mail server of one's own, that takes a while over each mail and then forgets it.
#[derive(Debug)]
pub struct Smtp {
    process: Process,
    port: u16,
}

impl Smtp {
    /// Starts one that takes `delay` for each mail, and returns when it answers.
    ///
    /// # Errors
    /// If it is not installed, or does not start.
    pub fn start(delay: Duration) -> Result<Smtp, Unavailable> {
        let python = python_with("aiosmtpd").ok_or(Unavailable::NotInstalled {
            program: "aiosmtpd",
            package: "python3-aiosmtpd",
        })?;
        let (process, port) = process::on_free_port(
            Signal::SIGKILL,
            |_, port| {
                let mut command = Command::new(&python);
                command.args(["-u", "-c", PROGRAM, &port.to_string()]);
                command.arg(delay.as_secs_f64().to_string());
                Ok(command)
            },
            |_| {},
            |port| {
                let hello = ClientId::Domain("localhost".to_owned());
                let address = ("127.0.0.1", port);
                let connection = SmtpConnection::connect(address, None, &hello, None, None);
                connection
                    .map(|mut connection| connection.abort())
                    .map_err(|error| error.to_string())
            },
        )?;
        Ok(Smtp { process, port })
    }

    /// To send with.
    pub fn transport(&self) -> SmtpTransport {
        SmtpTransport::builder_dangerous("127.0.0.1").port(self.port).build()
    }

    /// To whom the mails went that were taken so far, in order.
    ///
    /// # Errors
    /// If the server's log can't be read.
    pub fn recipients(&self) -> io::Result<Vec<String>> {
        let log = fs::read_to_string(self.process.log())?;
        Ok(log.lines().filter_map(|line| line.strip_prefix("mail ")).map(str::to_owned).collect())
    }
}

/// A Python that has this module.
pub fn python_with(module: &str) -> Option<PathBuf> {
    let has = |python: &&&str| {
        let mut command = Command::new(python);
        command.args(["-c", &format!("import {module}")]).stderr(Stdio::null());
        command.status().is_ok_and(|status| status.success())
    };
    PYTHONS.iter().find(has).map(PathBuf::from)
}
