//! RELIABILITY.md names a test for each promise: each must exist. And it says that mutations break
//! the library, not what stands for it in a model.

use std::fs;
use std::path::Path;

/// The pieces between backquotes.
fn quoted(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2)
}

#[test]
fn every_promise_names_tests_that_exist() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let text = fs::read_to_string(root.join("RELIABILITY.md")).unwrap();
    let promised = text.split("\n## ").find(|part| part.starts_with("Promised")).unwrap();
    let rows: Vec<_> = promised.lines().filter(|line| line.starts_with("| ")).skip(1).collect();
    assert!(rows.len() > 10, "the table is not where it was");
    for row in rows {
        let shown_by = row.trim_end_matches('|').rsplit('|').next().unwrap();
        let mut source: Option<(&str, String)> = None;
        let mut tests = 0;
        for name in quoted(shown_by) {
            if name.ends_with(".rs") {
                let text = fs::read_to_string(root.join(name));
                source = Some((name, text.unwrap_or_else(|why| panic!("{name}: {why}"))));
                continue;
            }
            let (path, text) = source.as_ref().unwrap_or_else(|| panic!("whose is {name}?"));
            // A test of that very name, and nothing that only begins so.
            let test = text.split("#[test]").skip(1).any(|after| {
                after.split_once("fn ").is_some_and(|(_, rest)| {
                    rest.strip_prefix(name).is_some_and(|rest| rest.starts_with('('))
                })
            });
            assert!(test, "{path} has no test {name}");
            tests += 1;
        }
        assert!(tests > 0, "no test for: {row}");
    }
}

#[test]
fn every_mutation_breaks_the_library_and_no_mirror_of_it() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mutations = fs::read_to_string(root.join("tests/mutations.sh")).unwrap();
    let mut count = 0;
    for line in mutations.lines() {
        let Some((name, file)) =
            line.strip_prefix("mutate \"").and_then(|rest| rest.split_once('"'))
        else {
            continue;
        };
        count += 1;
        assert!(!file.starts_with(" tests/"), "{name:?} breaks a model");
    }
    assert!(count > 100, "they are not where they were");
}
