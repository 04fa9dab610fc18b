//! Chaos: threads that call, wait, cancel, stop and start at random, tasks that do the same, and
//! one that looks whether anybody waits for too long.

mod ball;
mod driver;
mod echo;
mod node;
mod shared;
mod world;

use std::fmt::{self, Display};
use std::process::exit;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::thread;
use std::time::{Duration, Instant};

use self::shared::shared;
use self::world::world;
use crate::account;

/// Settings of a run.
#[derive(Clone, Copy)]
pub struct Chaos {
    pub time: Duration,
    pub seed: u64,
    pub workers: usize,
    /// As many as there is room for, if that is None.
    pub green_threads: Option<usize>,
    /// Who waits for longer than this was not woken.
    pub bound: Duration,
}

/// The command that runs the same again.
impl Display for Chaos {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Chaos { time, seed, workers, green_threads, bound } = self;
        let (time, bound) = (time.as_secs_f64(), bound.as_secs_f64());
        f.write_str("cargo run --release -p minihuey-soak -- chaos")?;
        write!(f, " --seed {seed} --workers {workers} --seconds {time} --bound {bound}")?;
        green_threads.map_or(Ok(()), |most| write!(f, " --green-threads {most}"))
    }
}

pub fn run(chaos: Chaos) {
    let Chaos { time, seed, workers, green_threads, bound } = chaos;
    println!("chaos on {workers} worker(s) for {time:?} with seed {seed}; again:\n  {chaos}");
    // With a stack as in release: tasks do nothing deep but overflow it.
    let mut runtime = minihuey::runtime().workers(workers).stack_size(256 * 1024);
    if let Some(most) = green_threads {
        runtime = runtime.green_threads(most);
    }
    if let Err(error) = runtime.start() {
        eprintln!("{error}");
        exit(2);
    }
    minihuey::monkey::patch_all().expect("it is linked into the program");
    world::make(echo::start().expect("there is a port"));

    let flag = || -> &'static AtomicBool { Box::leak(Box::new(AtomicBool::new(false))) };
    let (stop, no_more) = (flag(), flag());
    let clerk = shared::start_clerk(no_more);
    let start = Instant::now();
    let mut drivers = driver::start(seed, stop);
    ball::start(seed, stop);
    let mut next_line = Duration::from_secs(10);
    while start.elapsed() < time && account::problems() == 0 {
        thread::sleep(Duration::from_millis(200));
        fail_if_overdue(chaos);
        world().visit_graves();
        if start.elapsed() > next_line {
            report(start);
            next_line += Duration::from_secs(10);
        }
    }
    stop.store(true, SeqCst);
    let deadline = Instant::now() + bound;
    // What drivers and tasks still hold is let go, then all is settled.
    while !drivers.iter().all(|driver| driver.is_finished()) {
        pause(chaos, deadline, "a driver does not end");
    }
    for driver in drivers.drain(..) {
        if driver.join().is_err() {
            account::problem("a driver panicked".to_owned());
        }
    }
    while ball::playing() > 0 {
        pause(chaos, deadline, "a player does not end");
    }
    while let Some(call) = world().collect() {
        drop(call);
    }
    while account::open() > 0 {
        while let Some(call) = world().collect() {
            drop(call);
        }
        pause(chaos, deadline, "something is never settled");
    }
    // Nobody is left whom it might serve.
    no_more.store(true, SeqCst);
    if clerk.join().is_err() {
        account::problem("the clerk panicked".to_owned());
    }
    settle(deadline);
    shared().check(deadline);
    report(start);
    shared().report();
    println!("  {} passes of a ball", ball::passes());
    for family in &world().families {
        println!("  {}: {}", family.tally.huey, family.tally);
    }
    if account::problems() > 0 {
        eprintln!("{} problem(s)", account::problems());
        give_up(chaos);
    }
    println!("the books balance: {workers} worker(s), {time:?}, seed {seed}");
}

/// All books must agree: those of hueys that are gone, and those that are shut down now.
fn settle(deadline: Instant) {
    loop {
        let differ = world().visit_graves();
        if differ.is_empty() && world().graves() == 0 {
            break;
        }
        if Instant::now() > deadline {
            differ.into_iter().for_each(account::problem);
            return;
        }
        thread::sleep(Duration::from_millis(10));
    }
    for family in &world().families {
        let huey = &family.huey;
        match huey.shutdown(deadline.saturating_duration_since(Instant::now())) {
            Ok(abandoned) if abandoned.is_empty() => {}
            other => account::problem(format!("shutdown: {other:?}")),
        }
        loop {
            match family.tally.compare(huey) {
                Ok(()) => break,
                Err(how) if Instant::now() > deadline => {
                    account::problem(how);
                    break;
                }
                Err(_) => thread::sleep(Duration::from_millis(10)),
            }
        }
    }
}

fn pause(chaos: Chaos, deadline: Instant, what: &str) {
    fail_if_overdue(chaos);
    if Instant::now() > deadline {
        fail(chaos, what);
    }
    thread::sleep(Duration::from_millis(10));
}

fn fail_if_overdue(chaos: Chaos) {
    if let Some(who) = account::overdue(chaos.bound) {
        fail(chaos, &format!("for more than {:?}: {who}", chaos.bound));
    }
}

/// Says who waits for what, and ends the process.
fn fail(chaos: Chaos, what: &str) -> ! {
    eprintln!("PROBLEM: {what}\n{}", account::dump());
    for family in &world().families {
        eprintln!("{}: {}\n  {:?}", family.tally.huey, family.tally, family.huey.stats());
    }
    world().visit_graves().iter().for_each(|grave| eprintln!("{grave}"));
    // Once more, for the first line is far up by now.
    eprintln!("PROBLEM: {what}");
    give_up(chaos);
}

/// Says at the very end, where it is found, how to see the same again, and ends the process.
fn give_up(chaos: Chaos) -> ! {
    eprintln!("failed with seed {}; again:\n  {chaos}", chaos.seed);
    exit(1);
}

fn report(start: Instant) {
    let calls: u64 = world().families.iter().map(|family| family.tally.calls()).sum();
    println!(
        "{:4.0} s: {calls} calls to those that stay, {} that came and went; {} open",
        start.elapsed().as_secs_f64(),
        world().mortals.load(SeqCst),
        account::open()
    );
}
