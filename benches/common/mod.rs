//! What the benches share: the tasks that they call, a load, and how figures are gathered and
//! shown. No bench judges a time: figures are for people, who know what else the machine did.
#![allow(dead_code, unused_imports, reason = "each bench uses a part of it")]

use std::error::Error;
use std::fmt::Display;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

pub use tasks::{HUEY, SETTINGS, add, fan_out, lateness, nested, spin};

pub type Fallible<T> = Result<T, Box<dyn Error + Send + Sync>>;

/// Every task that a bench calls often is declared here.
mod tasks {
    use std::sync::OnceLock;
    use std::time::{Duration, Instant};

    use minihuey::{Builder, MiniHuey, TaskResult, task};
    use once_cell::sync::Lazy;

    /// What the huey is built with, if that is set before the first use of it.
    pub static SETTINGS: OnceLock<Builder> = OnceLock::new();

    pub static HUEY: Lazy<MiniHuey> =
        Lazy::new(|| SETTINGS.get().cloned().unwrap_or_else(|| MiniHuey::builder("bench")).build());

    #[task(HUEY)]
    pub fn add(a: i64, b: i64) -> i64 {
        a + b
    }

    /// Computes for a microsecond.
    #[task(HUEY)]
    pub fn spin() {
        let start = Instant::now();
        while start.elapsed() < Duration::from_micros(1) {}
    }

    /// How long after `due` it began.
    #[task(HUEY)]
    pub fn lateness(due: Instant) -> Duration {
        due.elapsed()
    }

    /// Calls and gets, `count` times, inside a task. Gives how long that took.
    #[task(HUEY)]
    pub fn nested(count: i64) -> Duration {
        super::one_by_one(count, call, get)
    }

    /// Calls `width` times and then gets, `count` times in all, inside a task. Gives how long
    /// that took.
    #[task(HUEY)]
    pub fn fan_out(count: i64, width: i64) -> Duration {
        super::in_groups(count, width, call, get)
    }

    pub fn call(number: i64) -> TaskResult<i64> {
        add(number, 1)
    }

    pub fn get(result: TaskResult<i64>) -> i64 {
        result.get().expect("an addition that ends well")
    }
}

/// Calls `count` times and then gets. Gives how long that took.
pub fn batch(count: i64) -> Duration {
    all(count, tasks::call, tasks::get)
}

/// Calls `count` times, then gets every result. Gives how long that took.
///
/// What is called must add one to its number: that is checked.
pub fn all<H>(count: i64, call: impl Fn(i64) -> H, get: impl Fn(H) -> i64) -> Duration {
    in_groups(count, count, call, get)
}

/// As [`all`], `width` calls at a time.
pub fn in_groups<H>(
    count: i64,
    width: i64,
    call: impl Fn(i64) -> H,
    get: impl Fn(H) -> i64,
) -> Duration {
    let start = Instant::now();
    let mut sum = 0;
    for first in (0..count).step_by(usize::try_from(width).expect("a width")) {
        let results: Vec<H> = (first..first + width).map(&call).collect();
        sum += results.into_iter().map(&get).sum::<i64>();
    }
    let took = start.elapsed();
    check(count, sum);
    took
}

/// Calls and gets, one after another.
pub fn one_by_one<H>(count: i64, call: impl Fn(i64) -> H, get: impl Fn(H) -> i64) -> Duration {
    let start = Instant::now();
    let sum = (0..count).map(|number| get(call(number))).sum();
    let took = start.elapsed();
    check(count, sum);
    took
}

/// That `sum` is the sum of the first `count` numbers, each plus one.
pub fn check(count: i64, sum: i64) {
    assert_eq!(sum, count * (count + 1) / 2, "a value was lost");
}

/// An OS thread that keeps the pool busy with tasks of a microsecond, of which between three
/// quarters of `most` and `most` wait or run at any moment: or fewer, if the machine gives that
/// thread no processor in time.
pub struct Load {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<LoadReport>,
}

/// What a load amounted to.
pub struct LoadReport {
    called: u64,
    took: Duration,
    refills: u64,
    dry: u64,
}

impl Load {
    /// Returns once the load is there.
    pub fn start(most: usize) -> Load {
        let stop = Arc::new(AtomicBool::new(false));
        let until = stop.clone();
        let thread = std::thread::spawn(move || {
            let start = Instant::now();
            let mut report = LoadReport { called: 0, took: Duration::ZERO, refills: 0, dry: 0 };
            let mut results = Vec::new();
            while !until.load(Ordering::Relaxed) {
                while results.len() < most {
                    results.push(spin());
                    report.called += 1;
                }
                // First come, first served: when the last of these has ended, all have.
                let oldest = results.drain(..most / 4).next_back();
                oldest.expect("more than one").get().expect("a spin that ends well");
                report.refills += 1;
                report.dry += u64::from(HUEY.stats().backlog == 0);
            }
            for result in results {
                result.get().expect("a spin that ends well");
            }
            report.took = start.elapsed();
            report
        });
        std::thread::sleep(Duration::from_millis(100));
        Load { stop, thread }
    }

    pub fn stop(self) -> LoadReport {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().expect("a load that ends well")
    }
}

impl LoadReport {
    /// The heads of the columns that [`cells`](LoadReport::cells) fills.
    pub const HEAD: [&'static str; 2] = ["load, tasks/s", "ran dry"];

    /// Its rate, and how often the pool had nothing left when the load was filled up.
    pub fn cells(report: Option<LoadReport>) -> [String; 2] {
        let Some(report) = report else { return [String::new(), String::new()] };
        let share = 100.0 * report.dry as f64 / report.refills as f64;
        [whole(report.called as f64 / report.took.as_secs_f64()), format!("{share:.1} %")]
    }
}

/// Figures in order of size, to ask for the one at any place.
pub struct Sorted(Vec<f64>);

impl Sorted {
    /// Of one figure at least.
    pub fn new(figures: impl IntoIterator<Item = f64>) -> Sorted {
        let mut figures: Vec<f64> = figures.into_iter().collect();
        assert!(!figures.is_empty(), "no figures");
        figures.sort_by(f64::total_cmp);
        Sorted(figures)
    }

    /// In nanoseconds.
    pub fn of_times(times: impl IntoIterator<Item = Duration>) -> Sorted {
        Sorted::new(times.into_iter().map(|time| time.as_nanos() as f64))
    }

    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// The figure that this share of all figures is not above.
    pub fn quantile(&self, share: f64) -> f64 {
        self.0[((self.0.len() - 1) as f64 * share).round() as usize]
    }

    pub fn median(&self) -> f64 {
        self.quantile(0.5)
    }

    /// The smallest and the largest one, as `show` shows them.
    pub fn spread(&self, show: impl Fn(f64) -> String) -> String {
        format!("{}–{}", show(self.quantile(0.0)), show(self.quantile(1.0)))
    }
}

/// Nanoseconds, in the unit that suits them.
pub fn time(nanos: f64) -> String {
    match nanos {
        _ if nanos < 1e3 => format!("{nanos:.0} ns"),
        _ if nanos < 1e6 => format!("{:.1} us", nanos / 1e3),
        _ if nanos < 1e9 => format!("{:.1} ms", nanos / 1e6),
        _ => format!("{:.2} s", nanos / 1e9),
    }
}

/// A whole number, with a comma before every three digits.
pub fn whole(number: f64) -> String {
    let digits = format!("{:.0}", number.abs());
    let mut text = String::from(if number < 0.0 { "-" } else { "" });
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Prints rows of cells under a title, the first column to the left, the others to the right.
pub fn print_table(title: impl Display, head: &[&str], rows: &[Vec<String>]) {
    let head: Vec<String> = head.iter().map(ToString::to_string).collect();
    let lines = || std::iter::once(&head).chain(rows);
    let widths: Vec<usize> = (0..head.len())
        .map(|column| lines().map(|cells| cells[column].chars().count()).max().unwrap_or(0))
        .collect();
    println!("\n{title}");
    for cells in lines() {
        let line: String = cells
            .iter()
            .zip(&widths)
            .enumerate()
            .map(|(column, (cell, &width))| match column {
                0 => format!("  {cell:<width$}"),
                _ => format!("  {cell:>width$}"),
            })
            .collect();
        println!("{}", line.trim_end());
    }
}

/// Random numbers that are good enough to shuffle and to spread: xorshift.
pub struct Random(u64);

impl Random {
    /// The same every time: the bench is the same program every time.
    pub fn new() -> Random {
        Random(0x9E37_79B9_7F4A_7C15)
    }

    /// From 0 up to, but not, `end`.
    pub fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % end
    }

    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            items.swap(last, self.below(last as u64 + 1) as usize);
        }
    }
}

/// What `cargo bench` passes, and `cargo test --benches` does not.
const BENCH: &str = "--bench";

/// The arguments, but for what cargo adds.
pub fn args() -> Vec<String> {
    std::env::args().skip(1).filter(|arg| arg != BENCH).collect()
}

/// False, which it says, if this runs as a test: a bench takes its time and proves nothing.
pub fn is_wanted() -> bool {
    let wanted = std::env::args().any(|arg| arg == BENCH);
    if !wanted {
        println!("not measured without {BENCH}, which `cargo bench` passes");
    }
    wanted
}

/// Runs this bench once more, in a process of its own.
pub fn spawn_child(args: &[&str]) -> Fallible<Child> {
    let program = std::env::current_exe()?;
    let mut command = Command::new(program);
    Ok(command.args(args).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?)
}

/// The numbers that a child printed, once it has ended.
pub fn numbers_of(child: Child) -> Fallible<Vec<f64>> {
    let output = child.wait_with_output()?;
    if !output.status.success() {
        return Err(format!("the child process failed: {}", output.status).into());
    }
    let text = String::from_utf8(output.stdout)?;
    text.split_whitespace().map(|word| Ok(word.parse()?)).collect()
}
