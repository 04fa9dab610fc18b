//! From results to text: reads `benches/results/*.json` and makes the tables of the README, the
//! full report beside the results, and what the pictures show. Measures nothing and needs nothing
//! but JSON, so that a test can see whether the README still says what was measured.

#![allow(dead_code, reason = "the test and the program use different parts of it")]

mod tables;

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::Path;

use serde_json::Value;
pub use tables::TABLES;
pub use tables::Unit;
use tables::{Column, Table};

pub const BEGIN: &str = "<!-- figures: made by `cargo run --release -p minihuey-compare` -->";
pub const END: &str = "<!-- end of figures -->";

/// The one that all others are compared with.
const OURS: &str = "minihuey";

/// Better by less than this is called even: rounds differ by as much.
const MARGIN: f64 = 0.9;

/// The results files, by work.
pub struct Results(BTreeMap<String, Value>);

/// What one contender did in one column.
enum Cell<'a> {
    Figure(Figure),
    /// Why there is none.
    Absent(&'a str),
    /// It does not take part.
    Nothing,
}

struct Figure {
    median: f64,
    least: f64,
    most: f64,
    /// How many times ours, within each round: least, median, most. None where ours is nothing.
    ratio: Option<[f64; 3]>,
    /// Of how many tasks it is, if not of as many as were asked for.
    tasks: Option<f64>,
}

/// A picture: what [`Chart::describe`] says is what it shows.
pub struct Chart {
    pub file: String,
    pub title: String,
    pub heads: Vec<&'static str>,
    /// The one with the smallest first figure first.
    pub rows: Vec<Row>,
    /// One line for each row through all columns, instead of bars in each column.
    pub lines: bool,
}

pub struct Row {
    pub name: String,
    pub ours: bool,
    /// By column, what it is and how that is written.
    pub figures: Vec<Option<(f64, String)>>,
}

impl Results {
    pub fn load(folder: &Path) -> Result<Results, String> {
        let works = TABLES.iter().flat_map(|table| table.columns).map(|column| column.work);
        let mut results = BTreeMap::new();
        for work in works {
            let path = folder.join(format!("{work}.json"));
            // A work that was never measured has no table.
            let Ok(text) = std::fs::read_to_string(&path) else { continue };
            let value =
                serde_json::from_str(&text).map_err(|why| format!("{}: {why}", path.display()))?;
            results.insert(work.to_owned(), value);
        }
        if results.is_empty() {
            return Err(format!("{}: there are no results", folder.display()));
        }
        Ok(Results(results))
    }

    fn peers(&self, work: &str) -> &[Value] {
        self.0.get(work).and_then(|results| results["peers"].as_array()).map_or(&[], Vec::as_slice)
    }

    fn peer(&self, work: &str, peer: &str) -> Option<&Value> {
        self.peers(work).iter().find(|known| known["peer"] == peer)
    }

    fn samples(&self, column: &Column, peer: &str, figure: &str) -> Vec<f64> {
        let samples = self.peer(column.work, peer).map(|p| &p["cases"][column.case][figure]);
        let samples = samples.and_then(|figure| figure["samples"].as_array());
        samples.into_iter().flatten().filter_map(Value::as_f64).collect()
    }

    fn cell(&self, column: &Column, peer: &str) -> Cell<'_> {
        let Some(found) = self.peer(column.work, peer) else { return Cell::Nothing };
        if let Some(why) = found["absent"][column.case].as_str() {
            return Cell::Absent(why);
        }
        let own = self.samples(column, peer, column.figure);
        if own.is_empty() {
            return Cell::Nothing;
        }
        let ours = self.samples(column, OURS, column.figure);
        let ratios: Vec<f64> = own.iter().zip(&ours).map(|(own, ours)| own / ours).collect();
        let comparable = peer != OURS
            && column.unit.less_is_better()
            && !ratios.is_empty()
            && ratios.iter().all(|ratio| ratio.is_finite() && *ratio > 0.0);
        let tasks = self.samples(column, peer, "tasks").first().copied();
        let asked = self.0.get(column.work).and_then(|work| work["counts"][column.case].as_f64());
        let (least, median, most) = spread(own);
        Cell::Figure(Figure {
            median,
            least,
            most,
            ratio: comparable.then(|| spread(ratios)).map(|(least, mid, most)| [least, mid, most]),
            tasks: tasks.filter(|tasks| asked.is_some_and(|asked| asked != *tasks)),
        })
    }

    /// Everybody who takes part in a table, in the order of the results.
    fn contenders(&self, table: &Table) -> Vec<(&str, &str)> {
        let mut contenders = Vec::new();
        for column in table.columns {
            for peer in self.peers(column.work) {
                let pair = (
                    peer["peer"].as_str().unwrap_or_default(),
                    peer["name"].as_str().unwrap_or_default(),
                );
                if !contenders.contains(&pair) {
                    contenders.push(pair);
                }
            }
        }
        contenders
    }

    /// What the table says, with the numbers of tasks that were measured.
    fn says(&self, table: &Table) -> String {
        let mut says = table.says.to_owned();
        for (work, results) in &self.0 {
            for (case, count) in results["counts"].as_object().into_iter().flatten() {
                let count = whole(count.as_f64().unwrap_or_default());
                says = says.replace(&format!("{{{work}/{case}}}"), &count);
            }
        }
        says
    }

    /// The fewest and the most rounds that a work had.
    fn rounds(&self) -> (usize, usize) {
        let columns = TABLES.iter().flat_map(|table| table.columns);
        let rounds = columns.map(|column| self.samples(column, OURS, column.figure).len());
        let rounds: Vec<_> = rounds.filter(|rounds| *rounds > 1).collect();
        let of = |end: Option<&usize>| end.copied().unwrap_or_default();
        (of(rounds.iter().min()), of(rounds.iter().max()))
    }

    /// All were measured in one run, on one machine.
    pub fn are_of_one_run(&self) -> bool {
        let mut machines = self.0.values().map(|results| &results["machine"]);
        let first = machines.next();
        machines.all(|machine| Some(machine) == first)
    }

    fn has(&self, table: &Table) -> bool {
        table.columns.iter().any(|column| self.0.contains_key(column.work))
    }
}

/// The least, the median and the most.
fn spread(mut figures: Vec<f64>) -> (f64, f64, f64) {
    figures.sort_by(f64::total_cmp);
    let last = figures.len() - 1;
    let median = f64::midpoint(figures[last / 2], figures[figures.len() / 2]);
    (figures[0], median, figures[last])
}

/// What stands in the README, between the markers.
pub fn section(results: &Results) -> String {
    let mut text = format!("{}\n", preamble(results));
    for table in TABLES.iter().filter(|table| results.has(table)) {
        let _ = write!(text, "\n### {}\n\n{}\n", table.title, results.says(table));
        if !table.drawn.is_empty() {
            let _ = write!(text, "\n![{0}](benches/results/{1}.svg)\n", table.title, table.file);
        }
        let rows = rows(results, table, false);
        let _ = write!(text, "\n<details><summary>The figures</summary>\n\n{rows}\n</details>\n");
        let _ = write!(text, "\n{}\n", verdict(results, table));
    }
    text
}

/// What stands beside the results: every spread.
pub fn in_full(results: &Results) -> String {
    let mut text = format!(
        "# Results\n\n{}\n\nAfter each median, the least and the most of all rounds. {}\n",
        preamble(results),
        "A ratio is to minihuey in the same round: the median of all rounds, the least and the most."
    );
    for table in TABLES.iter().filter(|table| results.has(table)) {
        let _ = write!(text, "\n## {}\n\n{}\n", table.title, results.says(table));
        if !table.drawn.is_empty() {
            let _ = write!(text, "\n![{}]({}.svg)\n", table.title, table.file);
        }
        let _ = write!(text, "\n{}\n{}\n", rows(results, table, true), verdict(results, table));
    }
    text
}

fn preamble(results: &Results) -> String {
    let Some(any) = results.0.values().next() else { return String::new() };
    let machine = &any["machine"];
    let (least, most) = results.rounds();
    let fact = |name: &str| machine[name].as_str().unwrap_or("unknown").to_owned();
    let versions = any["versions"].as_object().into_iter().flatten();
    let versions: Vec<String> = versions
        .map(|(name, version)| format!("{name} {}", version.as_str().unwrap_or("unknown")))
        .collect();
    let mut text = format!(
        "On {} cores ({}), Linux {}, {}, on {}; {}; minihuey as of commit {}. Medians of {least} to \
         {most} shuffled rounds, each measurement in a process of its own; × is how many times ours \
         in the same round.",
        machine["cores"],
        fact("processor"),
        fact("kernel"),
        fact("rustc"),
        fact("date"),
        versions.join(", "),
        fact("commit"),
    );
    if !results.are_of_one_run() {
        text += "\n\n**From several runs: not all of it was measured as just said.**";
    }
    let quick: Vec<&str> = results
        .0
        .iter()
        .filter(|(_, results)| results["quick"] == true)
        .map(|(work, _)| work.as_str())
        .collect();
    if !quick.is_empty() {
        let _ = write!(
            text,
            "\n\n**From a run with `--quick`, which shows that it works, and no more: {}.**",
            quick.join(", ")
        );
    }
    text
}

/// A table, and the notes below it.
fn rows(results: &Results, table: &Table, in_full: bool) -> String {
    let mut notes: Vec<String> = Vec::new();
    let mut note = |text: String| {
        let known = notes.iter().position(|known| *known == text);
        let place = known.unwrap_or_else(|| {
            notes.push(text);
            notes.len() - 1
        });
        format!("<sup>{}</sup>", place + 1)
    };
    let heads: Vec<&str> = table.columns.iter().map(|column| column.head).collect();
    let mut text = format!("| | {} |\n|---|{}\n", heads.join(" | "), "---:|".repeat(heads.len()));
    for (peer, name) in results.contenders(table) {
        let _ = write!(text, "| {name} |");
        for column in table.columns {
            let cell = match results.cell(column, peer) {
                Cell::Nothing => String::new(),
                Cell::Absent(why) => format!("n/a {}", note(why.to_owned())),
                Cell::Figure(figure) => {
                    let mut cell = figure.show(column.unit, in_full);
                    if let Some(tasks) = figure.tasks {
                        cell += &note(format!("of {} tasks", whole(tasks)));
                    }
                    cell
                }
            };
            let _ = write!(text, " {cell} |");
        }
        text.push('\n');
    }
    for (place, note) in notes.iter().enumerate() {
        let _ =
            write!(text, "{}<sup>{}</sup> {note}", if place == 0 { "\n" } else { "; " }, place + 1);
    }
    if !notes.is_empty() {
        text.push_str(".\n");
    }
    text
}

impl Figure {
    fn show(&self, unit: Unit, in_full: bool) -> String {
        let mut text = unit.show(self.median);
        if in_full && self.least < self.most {
            let _ = write!(text, " ({}–{})", unit.show(self.least), unit.show(self.most));
        }
        if let Some([least, ratio, most]) = self.ratio {
            let _ = write!(text, " × {}", short(ratio));
            if in_full && least < most {
                let _ = write!(text, " ({}–{})", short(least), short(most));
            }
        }
        text
    }
}

/// Who did better than we, in which column and by how much.
fn verdict(results: &Results, table: &Table) -> String {
    let mut lines = String::new();
    for column in table.columns {
        let mut better: Vec<(f64, &str)> = Vec::new();
        for (peer, name) in results.contenders(table) {
            if peer.starts_with(OURS) {
                continue;
            }
            if let Cell::Figure(Figure { ratio: Some([_, ratio, _]), .. }) =
                results.cell(column, peer)
                && ratio < MARGIN
            {
                better.push((ratio, name));
            }
        }
        better.sort_by(|a, b| a.0.total_cmp(&b.0));
        if !better.is_empty() {
            let names: Vec<String> = better
                .iter()
                .map(|(ratio, name)| format!("{name} (× {})", short(*ratio)))
                .collect();
            let _ = write!(lines, "\n- {}: {}", column.head, names.join("; "));
        }
    }
    if lines.is_empty() {
        return "Better than minihuey here: nobody.".to_owned();
    }
    format!("Better than minihuey here:\n{lines}")
}

/// All pictures.
pub fn charts(results: &Results) -> Vec<Chart> {
    let tables = TABLES.iter().filter(|table| !table.drawn.is_empty() && results.has(table));
    tables.map(|table| chart(results, table)).collect()
}

fn chart(results: &Results, table: &Table) -> Chart {
    let columns = || table.drawn.iter().map(|&column| &table.columns[column]);
    let row = |(peer, name): (&str, &str)| {
        let figures = columns().map(|column| match results.cell(column, peer) {
            Cell::Figure(figure) => Some((figure.median, column.unit.show(figure.median))),
            Cell::Absent(_) | Cell::Nothing => None,
        });
        Row { name: name.to_owned(), ours: peer.starts_with(OURS), figures: figures.collect() }
    };
    let mut rows: Vec<Row> = results.contenders(table).into_iter().map(row).collect();
    rows.retain(|row| row.figures.iter().any(Option::is_some));
    let first = |row: &Row| row.figures.iter().flatten().next().map_or(f64::MAX, |figure| figure.0);
    rows.sort_by(|a, b| {
        let in_first = |row: &Row| row.figures[0].is_none();
        in_first(a).cmp(&in_first(b)).then(first(a).total_cmp(&first(b)))
    });
    Chart {
        file: format!("{}.svg", table.file),
        title: table.title.to_owned(),
        heads: columns().map(|column| column.head).collect(),
        rows,
        lines: table.lines,
    }
}

impl Chart {
    /// All that it shows, in words: also for those who can't see it.
    pub fn describe(&self) -> String {
        let rows: Vec<String> = self
            .rows
            .iter()
            .map(|row| {
                let texts = row.figures.iter().map(|figure| match figure {
                    Some((_, text)) => text.as_str(),
                    None => "n/a",
                });
                format!("{}: {}", row.name, texts.collect::<Vec<_>>().join(", "))
            })
            .collect();
        format!("{} ({}). {}.", self.title, self.heads.join(", "), rows.join("; "))
    }
}

/// `readme` with `section` between the markers.
pub fn splice(readme: &str, section: &str) -> Result<String, String> {
    let missing = |marker: &str| format!("the README lacks the line {marker}");
    let (before, rest) = readme.split_once(BEGIN).ok_or_else(|| missing(BEGIN))?;
    let (_, after) = rest.split_once(END).ok_or_else(|| missing(END))?;
    Ok(format!("{before}{BEGIN}\n{section}{END}{after}"))
}

impl Unit {
    fn less_is_better(self) -> bool {
        !matches!(self, Unit::Plain)
    }

    pub fn show(self, value: f64) -> String {
        let scaled = |steps: &[(f64, &str)]| {
            let suiting = steps.iter().rev().find(|(size, _)| value.abs() >= *size * 0.9995);
            let (size, name) = suiting.unwrap_or(&steps[0]);
            format!("{} {name}", short(value / size))
        };
        match self {
            Unit::Nanos => scaled(&[(1.0, "ns"), (1e3, "µs"), (1e6, "ms"), (1e9, "s")]),
            Unit::Bytes => scaled(&[(1.0, "B"), (1e3, "KB"), (1e6, "MB"), (1e9, "GB")]),
            Unit::Count | Unit::Plain => short(value),
        }
    }
}

/// Three digits, or all of a whole number's.
fn short(value: f64) -> String {
    match value.abs() {
        size if size >= 99.95 => whole(value),
        size if size >= 9.995 => trimmed(format!("{value:.1}")),
        0.0 => "0".to_owned(),
        _ => trimmed(format!("{value:.2}")),
    }
}

fn trimmed(text: String) -> String {
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// A whole number, with a comma before every three digits.
pub fn whole(value: f64) -> String {
    let digits = format!("{:.0}", value.abs());
    let mut text = String::from(if value < 0.0 { "-" } else { "" });
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}
