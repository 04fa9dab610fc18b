//! What a peer costs before it has done anything: a smallest program of each, built from nothing in
//! a directory of its own, run until it has printed its first result.

use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use serde_json::Value;

use crate::foreign::{self, Foreign};
use crate::machine::output;
use crate::rounds::Outcome;
use crate::works::{Fallible, Random, nanos};

pub const NAME: &str = "startup";
const CASE: &str = "startup";

struct Program {
    peer: &'static str,
    /// Lines of Cargo.toml; `{root}` is the workspace's directory.
    dependencies: &'static str,
    source: &'static str,
}

const PROGRAMS: [Program; 9] = [
    Program {
        peer: "minihuey",
        dependencies: "minihuey = { path = \"{root}\" }\nonce_cell = \"1\"",
        source: "
            use minihuey::{MiniHuey, task};
            use once_cell::sync::Lazy;
            static HUEY: Lazy<MiniHuey> = Lazy::new(|| MiniHuey::new(\"startup\"));
            #[task(HUEY)]
            fn add(a: i64, b: i64) -> i64 { a + b }
            fn main() { println!(\"{}\", add(1, 2).get().unwrap()); }",
    },
    Program {
        peer: "may",
        dependencies: "may = \"0.3\"",
        source: "fn main() { println!(\"{}\", may::go!(|| 1 + 2).join().unwrap()); }",
    },
    Program {
        peer: "tokio-2",
        dependencies: "tokio = { version = \"1\", features = [\"net\", \"rt-multi-thread\", \"time\"] }",
        source: "
            fn main() {
                let mut builder = tokio::runtime::Builder::new_multi_thread();
                let runtime = builder.worker_threads(2).enable_all().build().unwrap();
                println!(\"{}\", runtime.block_on(runtime.spawn(async { 1 + 2 })).unwrap());
            }",
    },
    Program {
        peer: "smol",
        dependencies: "smol = \"2\"",
        source: "fn main() { println!(\"{}\", smol::block_on(smol::spawn(async { 1 + 2 }))); }",
    },
    Program {
        peer: "apalis",
        dependencies: "apalis = \"1\"\ntokio = { version = \"1\", features = [\"rt-multi-thread\"] }",
        source: "
            use apalis::prelude::*;
            async fn add(task: (i64, i64), worker: WorkerContext) {
                println!(\"{}\", task.0 + task.1);
                worker.stop().unwrap();
            }
            fn main() {
                let mut builder = tokio::runtime::Builder::new_multi_thread();
                let runtime = builder.worker_threads(2).enable_all().build().unwrap();
                runtime.block_on(async {
                    let mut storage = MemoryStorage::new();
                    storage.push((1, 2)).await.unwrap();
                    WorkerBuilder::new(\"startup\").backend(storage).build(add).run().await.unwrap();
                });
            }",
    },
    Program {
        peer: "rayon",
        dependencies: "rayon = \"1\"",
        source: "
            fn main() {
                let pool = rayon::ThreadPoolBuilder::new().num_threads(2).build().unwrap();
                println!(\"{}\", pool.install(|| 1 + 2));
            }",
    },
    Program {
        peer: "threadpool",
        dependencies: "threadpool = \"1\"",
        source: "
            fn main() {
                let (sender, receiver) = std::sync::mpsc::channel();
                threadpool::ThreadPool::new(2).execute(move || sender.send(1 + 2).unwrap());
                println!(\"{}\", receiver.recv().unwrap());
            }",
    },
    Program {
        peer: "crossbeam",
        dependencies: "crossbeam-channel = \"0.5\"",
        source: "
            fn main() {
                let (jobs, queue) = crossbeam_channel::unbounded::<Box<dyn FnOnce() + Send>>();
                std::thread::spawn(move || queue.iter().for_each(|job| job()));
                let (sender, receiver) = crossbeam_channel::bounded(1);
                jobs.send(Box::new(move || sender.send(1 + 2).unwrap())).unwrap();
                println!(\"{}\", receiver.recv().unwrap());
            }",
    },
    Program {
        peer: "threads",
        dependencies: "",
        source: "fn main() { println!(\"{}\", std::thread::spawn(|| 1 + 2).join().unwrap()); }",
    },
];

/// How each is started.
type Start = Box<dyn Fn() -> Command>;

pub fn run(rounds: usize, foreign: &Foreign) -> Fallible<Value> {
    let mut contenders: Vec<(&str, Outcome, Option<Start>)> = Vec::new();
    for program in &PROGRAMS {
        let mut outcome = Outcome::default();
        let start = match build(program, &mut outcome) {
            Ok(path) => Some(Box::new(move || Command::new(&path)) as Start),
            Err(why) => {
                println!("{NAME}: {}: n/a: {why}", program.peer);
                outcome.absent.insert(CASE.to_owned(), "could not be built".to_owned());
                None
            }
        };
        contenders.push((program.peer, outcome, start));
    }
    contenders.extend(in_other_languages(foreign));
    let mut random = Random::new();
    let mut order: Vec<usize> = (0..contenders.len()).collect();
    // The first round has the files read from the disk.
    for round in 0..=rounds {
        random.shuffle(&mut order);
        for &contender in &order {
            let (_, outcome, start) = &mut contenders[contender];
            let Some(start) = start else { continue };
            let begun = Instant::now();
            let result = output(start().stdin(Stdio::null()))?;
            let took = begun.elapsed();
            if result != "3" {
                return Err(format!("the program printed {result:?}").into());
            }
            if round > 0 {
                outcome.add(CASE, "start", nanos(took));
            }
        }
    }
    Ok(contenders.iter().map(|(peer, outcome, _)| outcome.to_json(peer)).collect())
}

/// Builds a program from nothing. Gives where it is.
fn build(program: &Program, outcome: &mut Outcome) -> Fallible<PathBuf> {
    let place = foreign::workshop()?.join(NAME).join(program.peer);
    // What an earlier run built would make this one look fast.
    if place.exists() {
        fs::remove_dir_all(&place)?;
    }
    fs::create_dir_all(place.join("src"))?;
    let root = crate::root();
    let dependencies = program.dependencies.replace("{root}", &root.display().to_string());
    // A workspace of its own, although it lies within another one.
    let manifest = format!(
        "[workspace]\n[package]\nname = \"first\"\nedition = \"2024\"\n[dependencies]\n{dependencies}\n"
    );
    fs::write(place.join("Cargo.toml"), manifest)?;
    fs::write(place.join("src/main.rs"), program.source)?;
    // So that they are the versions that all else is measured with.
    fs::copy(root.join("Cargo.lock"), place.join("Cargo.lock"))?;
    output(cargo(&place).arg("fetch"))?;
    println!("{NAME}: building {} from nothing", program.peer);
    let begun = Instant::now();
    output(cargo(&place).args(["build", "--release", "--offline"]))?;
    outcome.add(CASE, "build", nanos(begun.elapsed()));
    let path = place.join("target/release/first");
    outcome.add(CASE, "size", fs::metadata(&path)?.len() as f64);
    let tree = output(cargo(&place).args(["tree", "-e", "normal,build", "--prefix", "none"]))?;
    let packages: HashSet<_> = tree.lines().filter_map(|line| line.split_once(" v")).collect();
    let names: HashSet<(&str, &str)> = packages
        .into_iter()
        .map(|(name, rest)| (name, rest.split_whitespace().next().unwrap_or_default()))
        .collect();
    // Itself is one of them.
    outcome.add(CASE, "dependencies", names.len() as f64 - 1.0);
    Ok(path)
}

fn cargo(place: &Path) -> Command {
    let mut command = Command::new("cargo");
    command.current_dir(place).env("CARGO_TARGET_DIR", place.join("target"));
    // As a user's would be.
    for setting in ["RUSTFLAGS", "CARGO_PROFILE_RELEASE_LTO", "CARGO_PROFILE_RELEASE_CODEGEN_UNITS"]
    {
        command.env_remove(setting);
    }
    command
}

fn in_other_languages(foreign: &Foreign) -> Vec<(&'static str, Outcome, Option<Start>)> {
    let mut go = Outcome::default();
    let start_go = foreign.go().map(|command| {
        let path = PathBuf::from(command.get_program());
        if let Ok(metadata) = fs::metadata(&path) {
            go.add(CASE, "size", metadata.len() as f64);
        }
        Box::new(move || {
            let mut command = Command::new(&path);
            command.arg("startup");
            command
        }) as Start
    });
    let mut python = Outcome::default();
    let start_python = foreign.python().map(|command| {
        if let Ok(packages) = foreign.python_packages() {
            python.add(CASE, "dependencies", packages as f64);
        }
        let path = PathBuf::from(command.get_program());
        let script: Vec<_> = command.get_args().map(ToOwned::to_owned).collect();
        Box::new(move || {
            let mut command = Command::new(&path);
            command.args(&script).args(["startup", "python-minihuey"]);
            command
        }) as Start
    });
    [("go", go, start_go), ("python-minihuey", python, start_python)]
        .into_iter()
        .map(|(peer, mut outcome, start)| {
            if let Err(why) = &start {
                outcome.absent.insert(CASE.to_owned(), why.clone());
            }
            (peer, outcome, start.ok())
        })
        .collect()
}
