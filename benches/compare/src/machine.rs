//! What the figures were measured on and with, to be kept beside them.

use std::fs;
use std::process::Command;

use serde_json::{Map, Value, json};

use crate::foreign::Foreign;
use crate::works::Fallible;

/// The crates whose versions are told.
const CRATES: [&str; 10] = [
    "minihuey",
    "may",
    "tokio",
    "smol",
    "blocking",
    "apalis",
    "rayon",
    "threadpool",
    "crossbeam-channel",
    "generator",
];

pub fn facts() -> Fallible<Value> {
    let processor = fs::read_to_string("/proc/cpuinfo")?;
    let model = processor
        .lines()
        .find_map(|line| line.strip_prefix("model name")?.split_once(": "))
        .map_or("unknown", |(_, model)| model);
    Ok(json!({
        "cores": std::thread::available_parallelism()?.get(),
        "processor": model.trim(),
        "kernel": fs::read_to_string("/proc/sys/kernel/osrelease")?.trim(),
        "rustc": output(Command::new("rustc").arg("--version"))?,
        "date": chrono::Local::now().format("%Y-%m-%d").to_string(),
        // Which run it is: all results that are published are of one.
        "began": chrono::Local::now().to_rfc3339(),
        "commit": commit(),
    }))
}

/// What was measured, where git can tell.
fn commit() -> String {
    let mut git = Command::new("git");
    git.args(["describe", "--always", "--dirty"]).current_dir(crate::root());
    output(&mut git).unwrap_or_else(|_| "unknown".to_owned())
}

/// Of the peers, as the lock file and the other languages' tools tell them.
pub fn versions(foreign: &Foreign) -> Fallible<Value> {
    let lock = fs::read_to_string(crate::root().join("Cargo.lock"))?;
    let mut versions = Map::new();
    for name in CRATES {
        let entry = format!("name = \"{name}\"\nversion = \"");
        let version = lock.split_once(&entry).and_then(|(_, rest)| rest.split_once('"'));
        if let Some((version, _)) = version {
            versions.insert(name.to_owned(), json!(version));
        }
    }
    versions.extend(foreign.versions().into_iter().map(|(name, text)| (name, json!(text))));
    Ok(Value::Object(versions))
}

/// What a command prints, in one line; an error if it fails.
pub fn output(command: &mut Command) -> Fallible<String> {
    let output = command.output().map_err(|why| format!("{command:?}: {why}"))?;
    if !output.status.success() {
        let complaint = String::from_utf8_lossy(&output.stderr);
        return Err(format!("{command:?}: {}\n{complaint}", output.status).into());
    }
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}
