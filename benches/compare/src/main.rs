//! Measures minihuey beside its peers, each measurement in a process of its own, and draws what
//! came of it: see the README. This file has the commands.

mod draw;
mod foreign;
mod machine;
mod process;
#[path = "../../report/mod.rs"]
mod report;
mod rounds;
mod runtimes;
mod server;
mod startup;
mod works;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Instant;

use clap::builder::PossibleValuesParser;
use clap::{Parser, Subcommand};
use serde_json::{Value, json};
use works::Fallible;

/// Measures minihuey beside its peers: writes the results and draws them, and renews the section
/// "Figures" of the README.
#[derive(Parser)]
struct Options {
    /// Few tasks and two rounds: to see that everything works, not to measure. Some minutes.
    #[arg(long)]
    quick: bool,
    /// Only these works, separated by commas; the results of others stay.
    #[arg(long, value_delimiter = ',', value_parser = PossibleValuesParser::new(names()))]
    only: Vec<String>,
    /// So many rounds, whatever the work.
    #[arg(long)]
    rounds: Option<usize>,
    /// Where results are written: benches/results unless set. Elsewhere, the README stays as it is.
    #[arg(long)]
    out: Option<PathBuf>,
    /// Measure nothing: draw and write anew what is in the results.
    #[arg(long)]
    report: bool,
    #[command(subcommand)]
    role: Option<Role>,
}

/// What a child process of this program does. Not for direct use.
#[derive(Subcommand)]
#[command(hide = true)]
enum Role {
    #[command(hide = true)]
    Measure { work: String, peer: String, case: String, count: u64 },
    #[command(hide = true)]
    Serve,
}

/// The directory of the workspace.
fn root() -> &'static Path {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.ancestors().nth(2).unwrap_or(here)
}

fn main() -> Fallible<()> {
    let options = Options::parse();
    match &options.role {
        Some(Role::Serve) => return server::serve(),
        Some(Role::Measure { work, peer, case, count }) => {
            match works::measure(work, peer, case, *count) {
                Ok(figures) => println!("{}", figures_to_json(figures)),
                // Not as an error of this program: it is an answer.
                Err(why) => println!("{}", json!({ "absent": why.to_string() })),
            }
            // Threads that never end, and destructors of a million tasks, are not waited for.
            std::process::exit(0);
        }
        None => {}
    }
    let published = root().join("benches/results");
    let out = options.out.as_ref().unwrap_or(&published);
    fs::create_dir_all(out)?;
    if !options.report {
        measure(&options, out)?;
    }
    write_report(out)?;
    if *out == published || fs::canonicalize(out)? == fs::canonicalize(&published)? {
        renew_readme(out)?;
    }
    Ok(())
}

fn figures_to_json(figures: works::Figures) -> Value {
    figures.into_iter().map(|(name, value)| (name.to_owned(), json!(value))).collect()
}

/// What can be measured.
fn names() -> impl Iterator<Item = &'static str> {
    works::ALL.iter().map(|work| work.name).chain([startup::NAME])
}

fn measure(options: &Options, out: &Path) -> Fallible<()> {
    let wanted = |name: &str| options.only.is_empty() || options.only.iter().any(|n| n == name);
    let start = Instant::now();
    let machine = machine::facts()?;
    let foreign = foreign::Foreign::find();
    let write = |name: &str, counts: Value, peers: Value| -> Fallible<()> {
        let results = json!({
            "work": name,
            "quick": options.quick,
            "machine": machine,
            "versions": machine::versions(&foreign)?,
            "counts": counts,
            "peers": peers,
        });
        let file = out.join(format!("{name}.json"));
        fs::write(&file, format!("{results:#}\n"))?;
        println!("{name}: written to {} after {:.0?}", file.display(), start.elapsed());
        Ok(())
    };
    for work in works::ALL.into_iter().filter(|work| wanted(work.name)) {
        let rounds = options.rounds.unwrap_or(if options.quick { 2 } else { work.rounds });
        let counts = work.cases.iter().map(|case| {
            (case.name.to_owned(), json!(if options.quick { case.quick } else { case.count }))
        });
        write(work.name, counts.collect(), rounds::run(work, rounds, options.quick, &foreign)?)?;
    }
    if wanted(startup::NAME) {
        let rounds = options.rounds.unwrap_or(if options.quick { 3 } else { 20 });
        write(startup::NAME, json!({}), startup::run(rounds, &foreign)?)?;
    }
    Ok(())
}

fn write_report(out: &Path) -> Fallible<()> {
    let results = report::Results::load(out)?;
    for chart in report::charts(&results) {
        fs::write(out.join(&chart.file), draw::svg(&chart)?)?;
    }
    fs::write(out.join("README.md"), report::in_full(&results))?;
    Ok(())
}

#[test]
fn the_pictures_are_drawn_from_the_results() {
    let folder = root().join("benches/results");
    for chart in report::charts(&report::Results::load(&folder).unwrap()) {
        let drawn = draw::svg(&chart).unwrap();
        assert!(fs::read_to_string(folder.join(&chart.file)).unwrap() == drawn, "{}", chart.file);
    }
}

fn renew_readme(results: &Path) -> Fallible<()> {
    let results = report::Results::load(results)?;
    let readme = root().join("README.md");
    let text = report::splice(&fs::read_to_string(&readme)?, &report::section(&results))?;
    fs::write(readme, text)?;
    println!("README.md: its section is renewed");
    Ok(())
}
