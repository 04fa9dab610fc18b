//! What one task costs, beside what raw coroutines, tokio and a pool of threads ask for the same.
//!
//! All peers run in one process and in shuffled rounds, so that what else the machine does hits
//! all of them: trust the ratios, which are taken within each round.

mod common;

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdout};
use std::sync::{Barrier, Mutex};
use std::time::{Duration, Instant};

use common::{Fallible, Random, Sorted, add, all, batch, check, fan_out, in_groups, nested};
use crossbeam_channel::{Receiver, Sender, bounded, unbounded};
use tokio::runtime::Handle;
use tokio::task::JoinHandle;

const ROUNDS: usize = 9;
const TASKS: i64 = 200_000;
/// May makes a stack for every coroutine that lives, which takes two memory mappings.
const TASKS_OF_MAY: i64 = 10_000;
/// One wake of a thread there and one back for each, where the others stay in user space.
const TASKS_ACROSS_THREADS: i64 = 2_000;
const WIDTH: i64 = 1_000;
const PRODUCERS: usize = 4;

#[derive(Clone, Copy, PartialEq)]
enum Work {
    Batch,
    Nested,
    FanOut,
    Producers,
}

impl Work {
    const ALL: [Work; 4] = [Work::Batch, Work::Nested, Work::FanOut, Work::Producers];

    fn name(self) -> &'static str {
        match self {
            Work::Batch => "batch",
            Work::Nested => "nested",
            Work::FanOut => "fan-out",
            Work::Producers => "producers",
        }
    }

    fn describe(self) -> &'static str {
        match self {
            Work::Batch => "one OS thread calls all, then gets all",
            Work::Nested => "a task calls and gets, one after another",
            Work::FanOut => "a task calls 1,000, then gets them; again and again",
            Work::Producers => "four OS threads each call their share, then get it",
        }
    }
}

/// Somebody who can run `a + b` elsewhere and hand back what comes of it.
trait Peer {
    fn name(&self) -> &'static str;
    fn tasks(&self, _work: Work) -> i64 {
        TASKS
    }
    fn run(&self, work: Work, count: i64) -> Fallible<Duration>;
}

/// `share` by each of four OS threads at once.
fn producers(count: i64, share: impl Fn(i64) -> Duration + Sync) -> Duration {
    let gate = Barrier::new(PRODUCERS + 1);
    let share_of_each = || {
        gate.wait();
        share(count / PRODUCERS as i64);
    };
    let mut start = Instant::now();
    std::thread::scope(|scope| {
        for _ in 0..PRODUCERS {
            scope.spawn(share_of_each);
        }
        gate.wait();
        start = Instant::now();
    });
    start.elapsed()
}

struct MiniHuey;

impl Peer for MiniHuey {
    fn name(&self) -> &'static str {
        "minihuey"
    }

    fn run(&self, work: Work, count: i64) -> Fallible<Duration> {
        Ok(match work {
            Work::Batch => batch(count),
            Work::Nested => nested(count).get()?,
            Work::FanOut => fan_out(count, WIDTH).get()?,
            Work::Producers => producers(count, batch),
        })
    }
}

/// `may::go!` in this process: with the one worker, and the settings, that minihuey gives it.
struct May;

impl Peer for May {
    fn name(&self) -> &'static str {
        "may::go! as minihuey sets it up"
    }

    fn tasks(&self, _work: Work) -> i64 {
        TASKS_OF_MAY
    }

    fn run(&self, work: Work, count: i64) -> Fallible<Duration> {
        let go = |number| may::go!(move || number + 1);
        let join = |handle: may::coroutine::JoinHandle<i64>| handle.join().expect("an addition");
        let inside = |body: fn(i64, _, _) -> Duration| may::go!(move || body(count, go, join));
        let took = match work {
            Work::Batch => Ok(all(count, go, join)),
            Work::Nested => inside(common::one_by_one).join(),
            Work::FanOut => inside(|count, go, join| in_groups(count, WIDTH, go, join)).join(),
            Work::Producers => Ok(producers(count, |share| all(share, go, join))),
        };
        took.map_err(|_| "a coroutine panicked".into())
    }
}

/// The same in a process of its own: one worker, else may's own settings, of which the larger
/// pool of ready stacks matters. It is told on its standard input what to run.
struct MayAlone(Mutex<(Child, BufReader<ChildStdout>)>);

impl MayAlone {
    fn start() -> Fallible<MayAlone> {
        let mut child = common::spawn_child(&["may"])?;
        let answers = child.stdout.take().ok_or("the child has no output")?;
        Ok(MayAlone(Mutex::new((child, BufReader::new(answers)))))
    }

    /// What the child does.
    fn serve() -> Fallible<()> {
        may::config().set_workers(1);
        for line in std::io::stdin().lines() {
            let line = line?;
            let (name, count) = line.split_once(' ').ok_or("not a request")?;
            let work = Work::ALL.into_iter().find(|work| work.name() == name);
            let took = May.run(work.ok_or("no such work")?, count.parse()?)?;
            println!("{}", took.as_nanos());
        }
        Ok(())
    }
}

impl Peer for MayAlone {
    fn name(&self) -> &'static str {
        "may::go! as it comes, own process"
    }

    fn tasks(&self, _work: Work) -> i64 {
        TASKS_OF_MAY
    }

    fn run(&self, work: Work, count: i64) -> Fallible<Duration> {
        let mut both = self.0.lock().expect("used by one thread");
        let (child, answers) = &mut *both;
        let requests = child.stdin.as_mut().ok_or("the child has no input")?;
        writeln!(requests, "{} {count}", work.name())?;
        let mut answer = String::new();
        answers.read_line(&mut answer)?;
        Ok(Duration::from_nanos(answer.trim().parse()?))
    }
}

impl Drop for MayAlone {
    fn drop(&mut self) {
        if let Ok((child, _)) = self.0.get_mut() {
            drop(child.stdin.take());
            // It ends with its input.
            let _ = child.wait();
        }
    }
}

/// A runtime of tokio, of either kind. It is driven by threads of its own.
struct Tokio {
    name: &'static str,
    handle: Handle,
}

impl Tokio {
    /// The runtime is never stopped: it lives as long as the process.
    fn start(name: &'static str, mut builder: tokio::runtime::Builder) -> Fallible<Tokio> {
        let runtime = builder.build()?;
        let handle = runtime.handle().clone();
        std::thread::spawn(move || runtime.block_on(std::future::pending::<()>()));
        Ok(Tokio { name, handle })
    }

    fn two_workers() -> Fallible<Tokio> {
        let mut builder = tokio::runtime::Builder::new_multi_thread();
        builder.worker_threads(2);
        Tokio::start("tokio::spawn, two workers", builder)
    }

    fn current_thread() -> Fallible<Tokio> {
        Tokio::start("tokio::spawn, current_thread", tokio::runtime::Builder::new_current_thread())
    }

    fn batch(&self, count: i64) -> Duration {
        let start = Instant::now();
        let handles: Vec<JoinHandle<i64>> =
            (0..count).map(|number| self.handle.spawn(async move { number + 1 })).collect();
        let sum = self.handle.block_on(sum_of(handles));
        let took = start.elapsed();
        check(count, sum);
        took
    }
}

async fn sum_of(handles: Vec<JoinHandle<i64>>) -> i64 {
    let mut sum = 0;
    for handle in handles {
        sum += handle.await.expect("an addition");
    }
    sum
}

/// Inside a task.
async fn tokio_in_groups(count: i64, width: i64) -> Duration {
    let start = Instant::now();
    let mut sum = 0;
    for first in (0..count).step_by(width as usize) {
        let spawn = |number| tokio::spawn(async move { number + 1 });
        sum += sum_of((first..first + width).map(spawn).collect()).await;
    }
    let took = start.elapsed();
    check(count, sum);
    took
}

/// Inside a task.
async fn tokio_one_by_one(count: i64) -> Duration {
    let start = Instant::now();
    let mut sum = 0;
    for number in 0..count {
        sum += tokio::spawn(async move { number + 1 }).await.expect("an addition");
    }
    let took = start.elapsed();
    check(count, sum);
    took
}

impl Peer for Tokio {
    fn name(&self) -> &'static str {
        self.name
    }

    fn run(&self, work: Work, count: i64) -> Fallible<Duration> {
        let inside = |task| self.handle.block_on(task);
        Ok(match work {
            Work::Batch => self.batch(count),
            Work::Nested => inside(self.handle.spawn(tokio_one_by_one(count)))?,
            Work::FanOut => inside(self.handle.spawn(tokio_in_groups(count, WIDTH)))?,
            Work::Producers => producers(count, |share| self.batch(share)),
        })
    }
}

/// Two OS threads that take boxed jobs from one channel and answer each on one of its own.
struct Threads(Sender<Box<dyn FnOnce() + Send>>);

impl Threads {
    fn start() -> Threads {
        let (sender, receiver) = unbounded::<Box<dyn FnOnce() + Send>>();
        for _ in 0..2 {
            let jobs = receiver.clone();
            std::thread::spawn(move || jobs.iter().for_each(|job| job()));
        }
        Threads(sender)
    }

    fn call(&self, number: i64) -> Receiver<i64> {
        let (reply, result) = bounded(1);
        let job = move || reply.send(number + 1).expect("somebody waits");
        self.0.send(Box::new(job)).expect("the threads live");
        result
    }
}

impl Peer for Threads {
    fn name(&self) -> &'static str {
        "two threads, crossbeam-channel"
    }

    fn tasks(&self, work: Work) -> i64 {
        if work == Work::Nested { TASKS_ACROSS_THREADS } else { TASKS }
    }

    /// A job that waited for another would hold one of the two threads, and two such jobs would
    /// wait for ever: nested work and fan-out are called from outside.
    fn run(&self, work: Work, count: i64) -> Fallible<Duration> {
        let call = |number| self.call(number);
        let get = |result: Receiver<i64>| result.recv().expect("an answer");
        Ok(match work {
            Work::Batch => all(count, call, get),
            Work::Nested => common::one_by_one(count, call, get),
            Work::FanOut => in_groups(count, WIDTH, call, get),
            Work::Producers => producers(count, |share| all(share, call, get)),
        })
    }
}

fn main() -> Fallible<()> {
    if common::args() == ["may"] {
        return MayAlone::serve();
    }
    if !common::is_wanted() {
        return Ok(());
    }
    // First of all, so that may runs with one worker.
    add(1, 1).get()?;
    let peers: [Box<dyn Peer>; 6] = [
        Box::new(MiniHuey),
        Box::new(May),
        Box::new(MayAlone::start()?),
        Box::new(Tokio::two_workers()?),
        Box::new(Tokio::current_thread()?),
        Box::new(Threads::start()),
    ];
    let mut random = Random::new();
    let mut work_order = Work::ALL;
    let mut peer_order: Vec<usize> = (0..peers.len()).collect();
    // By work, by peer: the figure of each round.
    let mut figures = vec![vec![Vec::with_capacity(ROUNDS); peers.len()]; Work::ALL.len()];
    for round in 0..=ROUNDS {
        random.shuffle(&mut work_order);
        for work in work_order {
            random.shuffle(&mut peer_order);
            for &peer in &peer_order {
                let count = peers[peer].tasks(work);
                let took = peers[peer].run(work, count)?;
                // The first round warms up.
                if round > 0 {
                    figures[work as usize][peer].push(took.as_nanos() as f64 / count as f64);
                }
            }
        }
    }
    println!("peers: ns a task, medians of {ROUNDS} shuffled rounds; ratios within each round");
    for work in Work::ALL {
        let figures = &figures[work as usize];
        let rows: Vec<Vec<String>> = peers
            .iter()
            .zip(figures)
            .map(|(peer, own)| {
                let ratios = Sorted::new(own.iter().zip(&figures[0]).map(|(own, ours)| own / ours));
                let times = Sorted::new(own.iter().copied());
                let outside = peer.tasks(Work::Nested) == TASKS_ACROSS_THREADS
                    && matches!(work, Work::Nested | Work::FanOut);
                vec![
                    format!("{}{}", peer.name(), if outside { " *" } else { "" }),
                    common::whole(peer.tasks(work) as f64),
                    common::whole(times.median()),
                    times.spread(common::whole),
                    format!("{:.2}", ratios.median()),
                    ratios.spread(|ratio| format!("{ratio:.2}")),
                ]
            })
            .collect();
        let title = format!("{}: {}", work.name(), work.describe());
        let head = ["", "tasks", "ns/task", "min–max", "x minihuey", "min–max"];
        common::print_table(title, &head, &rows);
    }
    println!("\n* called from an OS thread: a job that waits would hold one of the two threads");
    println!(
        "may::go! gives a coroutine its stack when it is spawned, not when it runs: where more"
    );
    println!("wait than stacks are kept ready (16 here, 1,000 as it comes) each maps a new one");
    Ok(())
}
