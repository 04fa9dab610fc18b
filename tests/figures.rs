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
fn all_was_measured_in_one_run() {
    assert!(
        results().are_of_one_run(),
        "renew all of it: `cargo run --release -p minihuey-compare`"
    );
}

#[test]
fn the_pictures_show_what_was_measured() {
    for chart in report::charts(&results()) {
        let picture = read(&folder().join(&chart.file));
        let shown = format!("<desc>{}</desc>", chart.describe());
        assert!(picture.contains(&shown), "{} differs from the results: {RENEW}", chart.file);
    }
}

/// Results of one work, by two peers: one takes half as long as we, one can't do it.
fn made_up() -> report::Results {
    let peer = |name: &str, samples: &[f64]| {
        let figure =
            serde_json::json!({ "ns": { "samples": samples }, "tasks": { "samples": [5] } });
        serde_json::json!({
            "peer": name, "name": name, "cases": { "batch": figure }, "absent": {}
        })
    };
    let cannot = serde_json::json!({
        "peer": "stone", "name": "stone", "cases": {}, "absent": { "batch": "it has no hands" }
    });
    let results = serde_json::json!({
        "counts": { "batch": 10 },
        "peers": [
            peer("minihuey", &[100.0, 200.0, 400.0]),
            peer("hare", &[50.0, 100.0, 200.0]),
            cannot
        ],
    });
    let folder = new_folder();
    fs::write(folder.join("throughput.json"), results.to_string()).unwrap();
    let results = report::Results::load(&folder).unwrap();
    fs::remove_dir_all(folder).unwrap();
    results
}

fn new_folder() -> PathBuf {
    let folder = std::env::temp_dir().join(format!("minihuey-figures-{}", std::process::id()));
    fs::create_dir_all(&folder).unwrap();
    folder
}

#[test]
fn who_did_better_is_named_and_who_could_not_has_the_reason() {
    let text = report::in_full(&made_up());
    assert!(text.contains("| hare | 100 ns (50 ns–200 ns) × 0.5"), "{text}");
    assert!(text.contains("Better than minihuey here:\n\n- batch: hare (× 0.5)\n"), "{text}");
    assert!(text.contains("| stone | n/a <sup>"), "{text}");
    assert!(text.contains("it has no hands"), "{text}");
    assert!(text.contains("of 5 tasks"), "{text}");
}
