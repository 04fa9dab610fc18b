//! The figures in the README are those that were measured.

#[path = "../benches/report/mod.rs"]
mod report;

use std::fs;
use std::path::{Path, PathBuf};

const RENEW: &str = "renew it by `cargo run --release -p minihuey-compare -- --report`";

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn folder() -> PathBuf {
    root().join("benches/results")
}

fn results() -> report::Results {
    report::Results::load(&folder()).unwrap()
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|why| panic!("{}: {why}", path.display()))
}

#[test]
fn the_readme_says_what_was_measured() {
    let readme = read(&root().join("README.md"));
    let renewed = report::splice(&readme, &report::section(&results())).unwrap();
    assert!(readme == renewed, "the README differs from benches/results: {RENEW}");
}

#[test]
fn the_full_report_says_what_was_measured() {
    let written = read(&folder().join("README.md"));
    assert!(written == report::in_full(&results()), "benches/results/README.md differs: {RENEW}");
}

#[test]
fn the_pictures_show_what_was_measured() {
    for chart in report::charts(&results()) {
        let picture = read(&folder().join(&chart.file));
        let shown = format!("<desc>{}</desc>", chart.describe());
        assert!(picture.contains(&shown), "{} differs from the results: {RENEW}", chart.file);
    }
}
