//! A test in a process of its own: because it installs a logger, sets the runtime up otherwise,
//! uses up what the process has, or would abort it if it went wrong.

use std::io::Read;
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;
use std::{env, thread};

const VARIABLE: &str = "MINIHUEY_CASE";
const LIMIT: Duration = Duration::from_secs(60);

/// Runs `body` in a new process that runs nothing but the test `name`, which is the caller.
pub fn run(name: &str, body: impl FnOnce()) {
    match env::var(VARIABLE) {
        Ok(case) if case == name => body(),
        _ => spawn(name),
    }
}

fn spawn(name: &str) {
    let mut child = Command::new(env::current_exe().unwrap())
        .args(["--exact", name, "--nocapture"])
        .env(VARIABLE, name)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // Each pipe has its reader, so that a talkative child is not held up.
    let out = collect(child.stdout.take().unwrap());
    let err = collect(child.stderr.take().unwrap());

    // It closes its output when it ends.
    let in_time = out.recv_timeout(LIMIT);
    if in_time.is_err() {
        child.kill().unwrap();
    }
    let status = child.wait().unwrap();
    let status = in_time.is_ok().then_some(status);
    let out = in_time.or_else(|_| out.recv_timeout(LIMIT)).unwrap_or_default();
    let err = err.recv_timeout(LIMIT).unwrap_or_default();

    let what = match status {
        None => format!("did not end within {LIMIT:?}"),
        Some(status) if !status.success() => format!("failed: {status}"),
        Some(_) if !out.contains("1 passed") => "ran no test of that name".to_owned(),
        Some(_) => return,
    };
    panic!("{name} {what}\n--- stdout\n{out}\n--- stderr\n{err}");
}

fn collect(mut pipe: impl Read + Send + 'static) -> mpsc::Receiver<String> {
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        let mut bytes = Vec::new();
        pipe.read_to_end(&mut bytes).unwrap();
        // Nobody listens any more if the case took too long.
        let _ = sender.send(String::from_utf8_lossy(&bytes).into_owned());
    });
    receiver
}
