//! Rounds: every contender does every case of a work, in an order that is shuffled each time, each
//! in a child process. What else the machine does so hits all of them.

use std::collections::BTreeMap;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Map, Value, json};

use crate::foreign::Foreign;
use crate::runtimes::WORKERS;
use crate::server::{PORTS, Server};
use crate::works::{Case, Fallible, How, Random, Work};

/// Whoever takes longer is given up.
const PATIENCE: Duration = Duration::from_secs(90);

/// Under the names that are shown.
pub const PEERS: [(&str, &str); 19] = [
    ("minihuey", "minihuey"),
    ("minihuey-2", "minihuey, two workers"),
    ("minihuey-offload", "minihuey, offload"),
    ("minihuey-crontab", "minihuey, a crontab row"),
    ("may", "may::go!, one worker"),
    ("may-2", "may::go!, two workers"),
    ("tokio-2", "tokio, two workers"),
    ("tokio-1", "tokio, current_thread"),
    ("tokio-blocking", "tokio, spawn_blocking"),
    ("smol", "smol, two threads"),
    ("smol-blocking", "smol, unblock"),
    ("apalis", "apalis, in memory"),
    ("rayon", "rayon"),
    ("threadpool", "threadpool"),
    ("crossbeam", "crossbeam-channel pool"),
    ("threads", "a thread each"),
    ("go", "Go"),
    ("python-minihuey", "Python: MiniHuey on gevent"),
    ("gevent", "Python: gevent alone"),
];

pub fn name_of(peer: &str) -> &str {
    PEERS.iter().find(|(known, _)| *known == peer).map_or(peer, |(_, name)| name)
}

/// What came of one contender, by case.
#[derive(Default)]
pub struct Outcome {
    /// By figure, one of each round.
    pub samples: BTreeMap<String, BTreeMap<String, Vec<f64>>>,
    /// Why there are none.
    pub absent: BTreeMap<String, String>,
}

impl Outcome {
    pub fn add(&mut self, case: &str, figure: &str, value: f64) {
        let case = self.samples.entry(case.to_owned()).or_default();
        case.entry(figure.to_owned()).or_default().push(value);
    }

    /// Once it failed, it has no figures: those of some rounds could be the lucky ones.
    fn fail(&mut self, case: &str, why: String) {
        self.samples.remove(case);
        self.absent.insert(case.to_owned(), why);
    }

    pub fn to_json(&self, peer: &str) -> Value {
        let mut cases = Map::new();
        for (case, figures) in &self.samples {
            let figures = figures.iter().map(|(figure, samples)| {
                (figure.clone(), json!({ "median": median(samples), "samples": samples }))
            });
            cases.insert(case.clone(), Value::Object(figures.collect()));
        }
        json!({ "peer": peer, "name": name_of(peer), "cases": cases, "absent": self.absent })
    }
}

pub fn median(samples: &[f64]) -> f64 {
    let mut sorted = samples.to_vec();
    sorted.sort_by(f64::total_cmp);
    match sorted.len() {
        0 => f64::NAN,
        len if len % 2 == 1 => sorted[len / 2],
        len => f64::midpoint(sorted[len / 2 - 1], sorted[len / 2]),
    }
}

/// All rounds of a work. Gives what the results file has under `peers`.
pub fn run(work: &Work, rounds: usize, quick: bool, foreign: &Foreign) -> Fallible<Value> {
    let mut outcomes: Vec<Outcome> = work.contenders.iter().map(|_| Outcome::default()).collect();
    let mut random = Random::new();
    let mut plan: Vec<(usize, &Case)> = (0..work.contenders.len())
        .flat_map(|contender| work.cases.iter().map(move |case| (contender, case)))
        .collect();
    for round in 1..=rounds {
        let start = Instant::now();
        random.shuffle(&mut plan);
        plan.retain(|(contender, case)| !outcomes[*contender].absent.contains_key(case.name));
        // All at once, or one after another.
        let width = if work.at_once { plan.len() } else { 1 };
        for together in plan.chunks(width.max(1)) {
            let server = work.needs_server.then(Server::start).transpose()?;
            let children: Vec<_> = together
                .iter()
                .map(|(contender, case)| {
                    let (peer, how) = work.contenders[*contender];
                    start_child(work, peer, how, case, quick, foreign, server.as_ref())
                })
                .collect();
            for ((contender, case), child) in together.iter().zip(children) {
                let outcome = &mut outcomes[*contender];
                match child.and_then(figures_of) {
                    Ok(figures) => figures
                        .iter()
                        .for_each(|(figure, value)| outcome.add(case.name, figure, *value)),
                    Err(why) => {
                        let peer = work.contenders[*contender].0;
                        println!("{}: {}, {}: n/a: {why}", work.name, name_of(peer), case.name);
                        outcome.fail(case.name, why);
                    }
                }
            }
        }
        println!("{}: round {round} of {rounds} took {:.1?}", work.name, start.elapsed());
    }
    let peers = work.contenders.iter().zip(&outcomes);
    Ok(peers.map(|((peer, _), outcome)| outcome.to_json(peer)).collect())
}

fn start_child(
    work: &Work,
    peer: &str,
    how: How,
    case: &Case,
    quick: bool,
    foreign: &Foreign,
    server: Option<&Server>,
) -> Result<Child, String> {
    let mut command = match how {
        How::Here(_) => {
            let program = std::env::current_exe().map_err(|why| why.to_string())?;
            let mut command = Command::new(program);
            command.arg("measure");
            command
        }
        How::Python => foreign.python()?,
        How::Go => foreign.go()?,
    };
    let count = if quick { case.quick } else { case.count };
    command.args([work.name, peer, case.name, &count.to_string()]);
    command.env("SMOL_THREADS", WORKERS.to_string()).env("GOMAXPROCS", WORKERS.to_string());
    if let Some(server) = server {
        command.env(PORTS, &server.ports);
    }
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command.spawn().map_err(|why| why.to_string())
}

/// What a child printed, once it has ended: one object of numbers, or why there are none.
fn figures_of(mut child: Child) -> Result<BTreeMap<String, f64>, String> {
    let end = Instant::now() + PATIENCE;
    while child.try_wait().map_err(|why| why.to_string())?.is_none() {
        if Instant::now() > end {
            let _ = child.kill();
            let _ = child.wait();
            return Err(format!("took longer than {PATIENCE:?}"));
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    let output = child.wait_with_output().map_err(|why| why.to_string())?;
    let text = String::from_utf8_lossy(&output.stdout);
    let answer: Option<Value> = text.lines().last().and_then(|l| serde_json::from_str(l).ok());
    let complaint = || {
        let errors = String::from_utf8_lossy(&output.stderr);
        let last = errors.lines().last().unwrap_or_default();
        format!("failed ({}): {last}", output.status)
    };
    let answer = answer.ok_or_else(complaint)?;
    if let Some(why) = answer["absent"].as_str() {
        return Err(why.to_owned());
    }
    let figures = answer.as_object().ok_or_else(complaint)?;
    Ok(figures.iter().map(|(name, value)| (name.clone(), value.as_f64().unwrap_or(0.0))).collect())
}
