//! Chaos, leaks and limits for some seconds each: the program as CI runs it, only shorter.

use std::fs::{self, File};
use std::path::PathBuf;
use std::process::Command;

/// Runs the program; on a failure shows all that it printed but what every overflow prints.
#[track_caller]
fn soak(name: &str, arguments: &[&str]) {
    let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}.txt"));
    let file = File::create(&path).unwrap();
    let status = Command::new(env!("CARGO_BIN_EXE_minihuey-soak"))
        .args(arguments)
        .env("RUST_BACKTRACE", "0")
        .stdout(file.try_clone().unwrap())
        .stderr(file)
        .status()
        .unwrap();
    let text = fs::read_to_string(&path).unwrap_or_default();
    let dull = |line: &&str| line.is_empty() || line.contains("has overflowed its stack");
    let lines: Vec<_> = text.lines().filter(|line| !dull(line)).collect();
    assert!(status.success(), "{status}\n{}", lines.join("\n"));
}

#[test]
fn chaos_on_one_worker_leaves_the_books_balanced() {
    soak("one", &["chaos", "--seconds", "5"]);
}

#[test]
fn chaos_on_two_workers_leaves_the_books_balanced() {
    soak("two", &["chaos", "--seconds", "5", "--workers", "2"]);
}

#[test]
fn chaos_with_few_green_threads_leaves_the_books_balanced() {
    for workers in ["1", "2"] {
        soak("few", &["chaos", "--seconds", "3", "--workers", workers, "--green-threads", "64"]);
    }
}

#[test]
fn after_many_tasks_nothing_is_kept() {
    soak("leaks", &["leaks", "--tasks", "300000"]);
}

#[test]
fn what_the_system_refuses_is_an_error_where_it_belongs() {
    soak("limits", &["limits"]);
}
