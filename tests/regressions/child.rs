//! A test in a process of its own: because it installs a logger, sets the runtime up otherwise,
//! uses up what the process has, or would abort it if it went wrong.

use std::io::Read;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};
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

    let end = Instant::now() + LIMIT;
    let status = loop {
        if let Some(status) = child.try_wait().unwrap() {
            break Some(status);
        }
        if Instant::now() > end {
            child.kill().unwrap();
            child.wait().unwrap();
            break None;
        }
        thread::sleep(Duration::from_millis(5));
    };
    let (out, err) = (out.join().unwrap(), err.join().unwrap());

    let what = match status {
        None => format!("did not end within {LIMIT:?}"),
        Some(status) if !status.success() => format!("failed: {status}"),
        Some(_) if !out.contains("1 passed") => "ran no test of that name".to_owned(),
        Some(_) => return,
    };
    panic!("{name} {what}\n--- stdout\n{out}\n--- stderr\n{err}");
}

fn collect(mut pipe: impl Read + Send + 'static) -> thread::JoinHandle<String> {
    thread::spawn(move || {
        let mut bytes = Vec::new();
        pipe.read_to_end(&mut bytes).unwrap();
        String::from_utf8_lossy(&bytes).into_owned()
    })
}
