//! Many waits at once: pages of a slow HTTP server, sleeps, reads that time out. In tasks, in OS
//! threads, and in gevent's greenlets where there is Python.
//!
//! Each contender runs in a process of its own, one after another in every round, so that what
//! else the machine does hits all of them: trust the ratios.

#[path = "../../benches/common/mod.rs"]
mod common;

use std::io::Read;
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};
use std::{fs, io};

use common::{Fallible, Sorted, numbers_of, print_table, spawn_child};
use minihuey::{MiniHuey, green};
use minihuey_realworld::Origin;
use minihuey_realworld::smtp::python_with;
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeValLike;
use ureq::Agent;

const ROUNDS: usize = 5;
const TASKS: usize = 1_000;
const PAGES: usize = 3;
const SLEEPERS: usize = 10_000;
const READERS: usize = 100;
const WAIT: Duration = Duration::from_millis(200);
const LIMIT: Duration = Duration::from_secs(60);
const PYTHON: &str = include_str!("waits.py");
/// Runs nothing but https, to see that a stack of a release build holds it.
const HTTPS: &str = "--https";

const ORIGIN: &str = env!("CARGO_BIN_EXE_origin");

#[derive(Clone, Copy, PartialEq)]
enum Contender {
    Tasks,
    GreenSleep,
    Threads,
    Gevent,
}

#[derive(Clone, Copy, PartialEq)]
enum Work {
    Fetch,
    Sleep,
}

impl Work {
    fn name(self) -> &'static str {
        match self {
            Work::Fetch => "fetch",
            Work::Sleep => "sleep",
        }
    }

    fn contenders(self) -> &'static [Contender] {
        match self {
            Work::Fetch => &[Contender::Tasks, Contender::Threads, Contender::Gevent],
            Work::Sleep => {
                &[Contender::Tasks, Contender::GreenSleep, Contender::Threads, Contender::Gevent]
            }
        }
    }

    fn describe(self) -> String {
        let wait = WAIT.as_millis();
        match self {
            Work::Fetch => format!("{TASKS} at once fetch {PAGES} pages of {wait} ms each"),
            Work::Sleep => format!("{SLEEPERS} at once sleep for {wait} ms"),
        }
    }
}

impl Contender {
    fn name(self) -> &'static str {
        match self {
            Contender::Tasks => "tasks",
            Contender::GreenSleep => "tasks, green::sleep",
            Contender::Threads => "OS threads",
            Contender::Gevent => "gevent",
        }
    }

    /// Seconds on the wall, seconds of processor, and bytes of memory at the peak: its own, and the
    /// kernel's for it.
    fn measure(self, work: Work, url: &str, python: Option<&Path>) -> Fallible<[f64; 4]> {
        let stacks_before = kernel_stacks()?;
        let child = match (self, python) {
            (Contender::Gevent, python) => {
                let mut command = Command::new(python.ok_or("no gevent")?);
                command.args(["-c", PYTHON, work.name(), url]);
                command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn()?
            }
            (_, _) => spawn_child(&["child", self.name(), work.name(), url])?,
        };
        let status = format!("/proc/{}/status", child.id());
        let watches = thread::spawn(move || {
            let mut most = 0.0f64;
            // Until it is gone.
            while let (Ok(tables), Ok(stacks)) = (line_of(&status, "VmPTE:"), kernel_stacks()) {
                most = most.max(tables + stacks - stacks_before);
                thread::sleep(Duration::from_millis(20));
            }
            most
        });
        let numbers = numbers_of(child)?;
        let kernels = watches.join().map_err(|_| "who watched it panicked")?;
        let [wall, processor, peak] = numbers[..] else {
            return Err(format!("not three numbers: {numbers:?}").into());
        };
        Ok([wall, processor, peak, kernels])
    }
}

/// What a child does: one contender's work, and prints what it took.
fn child(contender: &str, work: &str, url: &str) -> Fallible<()> {
    let (before, start) = (processor()?, Instant::now());
    let (url, agent) = (url.to_owned(), agent());
    let fetch = move || {
        for _ in 0..PAGES {
            let text = agent.get(&url).call()?.body_mut().read_to_string()?;
            assert_eq!(text.len(), 1_000);
        }
        Ok::<(), ureq::Error>(())
    };
    match (contender, work) {
        ("OS threads", "fetch") => {
            let fetch = std::sync::Arc::new(fetch);
            let threads: Vec<_> = (0..TASKS)
                .map(|_| {
                    let fetch = fetch.clone();
                    thread::spawn(move || fetch())
                })
                .collect();
            for thread in threads {
                thread.join().map_err(|_| "a thread panicked")??;
            }
        }
        ("OS threads", _) => {
            let threads: Vec<_> =
                (0..SLEEPERS).map(|_| thread::spawn(|| thread::sleep(WAIT))).collect();
            for thread in threads {
                thread.join().map_err(|_| "a thread panicked")?;
            }
        }
        (_, "fetch") => {
            patch()?;
            let huey = MiniHuey::new("fetch");
            huey.try_task("fetch", fetch).map((0..TASKS).map(|_| ())).get()?;
        }
        (name, _) => {
            patch()?;
            let huey = MiniHuey::new("sleep");
            let sleep = match name {
                "tasks" => huey.task("sleep", || thread::sleep(WAIT)),
                _ => huey.task("sleep", || green::sleep(WAIT)),
            };
            sleep.map((0..SLEEPERS).map(|_| ())).get()?;
        }
    }
    let took = start.elapsed().as_secs_f64();
    println!("{took} {} {}", processor()? - before, line_of("/proc/self/status", "VmHWM:")?);
    Ok(())
}

fn patch() -> Fallible<()> {
    minihuey::monkey::patch_all()?;
    Ok(())
}

fn agent() -> Agent {
    // Its own buffers are 256 KB a connection, beside which no stack would show.
    let config = Agent::config_builder().input_buffer_size(16 << 10).output_buffer_size(16 << 10);
    let config = config.max_idle_connections(2 * TASKS);
    config.max_idle_connections_per_host(2 * TASKS).build().into()
}

/// Seconds of processor that this process has had.
fn processor() -> Fallible<f64> {
    let usage = getrusage(UsageWho::RUSAGE_SELF)?;
    let micros = usage.user_time().num_microseconds() + usage.system_time().num_microseconds();
    Ok(micros as f64 / 1e6)
}

/// The stacks that the kernel keeps for all threads of the machine, in bytes.
fn kernel_stacks() -> Fallible<f64> {
    line_of("/proc/meminfo", "KernelStack:")
}

/// What such a file says in kB, in bytes.
fn line_of(file: &str, key: &str) -> Fallible<f64> {
    let text = fs::read_to_string(file)?;
    let line = text.lines().find_map(|line| line.strip_prefix(key));
    let kilobytes = line.and_then(|line| line.split_whitespace().next());
    Ok(kilobytes.ok_or_else(|| format!("no {key} in {file}"))?.parse::<f64>()? * 1024.0)
}

fn compare(work: Work, url: &str, python: Option<&Path>) -> Fallible<()> {
    let contenders: Vec<Contender> = work
        .contenders()
        .iter()
        .copied()
        .filter(|&contender| contender != Contender::Gevent || python.is_some())
        .collect();
    let mut rounds: Vec<Vec<[f64; 4]>> = Vec::new();
    for _ in 0..ROUNDS {
        let round = contenders.iter().map(|contender| contender.measure(work, url, python));
        rounds.push(round.collect::<Fallible<_>>()?);
    }
    let rows: Vec<Vec<String>> = contenders
        .iter()
        .enumerate()
        .map(|(place, contender)| {
            let figures = |kind: usize| Sorted::new(rounds.iter().map(|round| round[place][kind]));
            let ratios = Sorted::new(rounds.iter().map(|round| round[place][0] / round[0][0]));
            vec![
                contender.name().to_owned(),
                common::time(figures(0).median() * 1e9),
                figures(0).spread(|seconds| format!("{seconds:.2}")),
                format!("{:.2}", ratios.median()),
                common::time(figures(1).median() * 1e9),
                format!("{:.0} MB", figures(2).median() / 1e6),
                format!("{:.0} MB", figures(3).median() / 1e6),
            ]
        })
        .collect();
    let head = ["", "wall", "lowest–highest", "x tasks", "processor", "memory", "kernel's"];
    print_table(format!("{}: medians of {ROUNDS} rounds", work.describe()), &head, &rows);
    println!(
        "  memory: resident, at the peak; kernel's: its stacks and page tables for the process"
    );
    match work {
        Work::Fetch => println!("  wanted: OS threads at least x 0.91, gevent at least x 1.5"),
        Work::Sleep => println!("  wanted: tasks within 500 ms"),
    }
    Ok(())
}

/// How late a read ends that times out, when many do at the same time.
fn time_outs(address: SocketAddr) -> Fallible<()> {
    patch()?;
    let huey = MiniHuey::new("time-outs");
    let read = huey.try_task("read", move || {
        let mut stream = TcpStream::connect(address)?;
        stream.set_read_timeout(Some(WAIT))?;
        let start = Instant::now();
        match stream.read(&mut [0; 1]) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(start.elapsed() - WAIT),
            other => Err(io::Error::other(format!("{other:?}"))),
        }
    });
    let mut late = Vec::new();
    for _ in 0..ROUNDS {
        late.extend(read.map((0..READERS).map(|_| ())).get_timeout(LIMIT)?);
    }
    let late = Sorted::of_times(late);
    let row = vec![
        format!("{READERS} tasks at once, {ROUNDS} times"),
        common::time(late.median()),
        common::time(late.quantile(0.99)),
        common::time(late.quantile(1.0)),
    ];
    let title = format!("how late a read ends that times out after {} ms", WAIT.as_millis());
    print_table(title, &["", "median", "99th", "max"], &[row]);
    println!("  wanted: within 20 ms");
    Ok(())
}

fn https() -> Fallible<()> {
    patch()?;
    let origin = Origin::start_tls(ORIGIN)?;
    let (agent, url) = (origin.agent(), origin.url("/?delay=200ms&size=50000"));
    let huey = MiniHuey::new("https");
    let fetch = huey.try_task("fetch", move || agent.get(&url).call()?.body_mut().read_to_string());
    let start = Instant::now();
    let mut fetched = fetch.map((0..TASKS).map(|_| ()));
    let pages = fetched.get_timeout(LIMIT)?;
    assert!(pages.iter().all(|page| page.len() == 50_000));
    println!("{} pages by https, each in a task with the default stack:", pages.len());
    println!("  {}", common::time(start.elapsed().as_nanos() as f64));
    Ok(())
}

/// A Python that has gevent, installed under `target` if need be.
fn gevent() -> Option<PathBuf> {
    let home = Path::new(env!("CARGO_TARGET_TMPDIR")).join("gevent");
    let python = home.join("bin/python3");
    let run = |program: &Path, args: &[&str]| {
        let mut command = Command::new(program);
        command.args(args).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        command.status().is_ok_and(|status| status.success())
    };
    if run(&python, &["-c", "import gevent"]) {
        return Some(python);
    }
    let made = run(Path::new("python3"), &["-m", "venv", home.to_str()?])
        && run(&python, &["-m", "pip", "install", "-q", "gevent"]);
    match made {
        true => Some(python),
        false => python_with("gevent"),
    }
}

fn main() -> Fallible<()> {
    let args = common::args();
    if let [kind, contender, work, url] = &args[..]
        && kind == "child"
    {
        return child(contender, work, url);
    }
    if !common::is_wanted() {
        return Ok(());
    }
    if args.iter().any(|arg| arg == HTTPS) {
        return https();
    }
    let origin = Origin::start(ORIGIN)?;
    let url = origin.url(&format!("/?delay={}ms&size=1000", WAIT.as_millis()));
    let python = gevent();
    if python.is_none() {
        println!("no gevent to compare with: no Python, or it can't be installed");
    }
    for work in [Work::Fetch, Work::Sleep] {
        compare(work, &url, python.as_deref())?;
    }
    time_outs(origin.address())?;
    https()
}
