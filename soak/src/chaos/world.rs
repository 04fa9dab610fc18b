//! Who there is to call: hueys with their tasks, those that live for the whole run and those that
//! are made and shut down in passing; and the handle of a call, which enters what it sees.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, Mutex, OnceLock, Weak};
use std::task::{Context, Poll};
use std::time::Duration;

use minihuey::{
    Builder, Group, MiniHuey, Period, Task, TaskError, TaskResult, WhenFull, green, group,
};

use super::node;
use super::shared::shared;
use crate::account::{self, Entry, Fate, Place, Tally, Ticket, Value, lock};
use crate::random::Random;

/// What a task is told.
pub struct Order {
    pub ticket: Ticket,
    pub seed: u64,
    pub depth: u32,
    /// The huey that it belongs to.
    pub home: Weak<Family>,
    /// As that of who calls.
    pub called_at: usize,
    pub errand: Option<node::Errand>,
}

/// A huey and its tasks.
pub struct Family {
    pub huey: MiniHuey,
    pub tally: Arc<Tally>,
    tasks: [Task<(Order,), Value>; 4],
}

/// In the order of `Family::tasks`.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Plain,
    /// On an OS thread.
    Offloaded,
    /// With a time-out that some keep and some do not.
    Brief,
    /// With a stack of its own.
    Roomy,
}

pub const KINDS: [Kind; 4] = [Kind::Plain, Kind::Offloaded, Kind::Brief, Kind::Roomy];
const NAMES: [&str; 4] = ["plain", "offloaded", "brief", "roomy"];
const BRIEF: Duration = Duration::from_millis(2);

impl Family {
    fn new(builder: Builder, tally: Tally) -> Arc<Family> {
        let huey = builder.build();
        let task = |kind: Kind| {
            let run = move |order: Order| node::run(kind, order);
            huey.try_task(NAMES[kind as usize], run)
        };
        let tasks = [
            task(Kind::Plain),
            task(Kind::Offloaded).offload(),
            task(Kind::Brief).timeout(BRIEF),
            task(Kind::Roomy).stack_size(1 << 20),
        ];
        Arc::new(Family { tally: Arc::new(tally), huey, tasks })
    }

    /// Calls a task, now or later, and enters that.
    pub fn call(self: &Arc<Family>, caller: Caller<'_>, plan: Plan) -> Called {
        let kind = plan.kind as usize;
        let call = account::Call {
            kind: if plan.errand.is_some() { "errand" } else { NAMES[kind] },
            seed: plan.seed,
            caller: caller.number,
            delay: plan.delay,
            has_timeout: plan.kind == Kind::Brief,
        };
        let entry = Entry::open(&self.tally, call);
        let order = Order {
            ticket: Ticket(entry.clone()),
            seed: plan.seed,
            depth: plan.depth,
            home: Arc::downgrade(self),
            called_at: caller.address,
            errand: plan.errand,
        };
        let unwinds = Unwinds(&entry);
        let waiting = caller.place.waits("room for", entry.number);
        let task = &self.tasks[kind];
        let result = match plan.delay {
            Some(delay) => task.schedule((order,), delay),
            None => task.call((order,)),
        };
        drop(waiting);
        std::mem::forget(unwinds);
        entry.is(result.id());
        Called { entry, result: Some(result) }
    }
}

/// Enters that the caller did not come back from the call.
struct Unwinds<'a>(&'a Entry);

impl Drop for Unwinds<'_> {
    fn drop(&mut self) {
        self.0.decide(Fate::LostInCall);
    }
}

/// Who calls and waits: a driver, or a task.
#[derive(Clone, Copy)]
pub struct Caller<'a> {
    pub place: &'a Place,
    /// Of its entry; 0 for a driver.
    pub number: u64,
    /// Where on its stack it is; 0 for a driver.
    pub address: usize,
}

pub struct Plan {
    pub kind: Kind,
    pub seed: u64,
    pub depth: u32,
    pub delay: Option<Duration>,
    pub errand: Option<node::Errand>,
}

/// The handle of a call. If it is dropped, so is the result, unless nobody could tell then what
/// became of the task: then a callback sees to it.
pub struct Called {
    pub entry: Arc<Entry>,
    result: Option<TaskResult<Value>>,
}

impl Called {
    /// Waits for the value as long as it takes.
    pub fn get(mut self, caller: Caller<'_>) {
        let _waiting = caller.place.waits("the result of", self.entry.number);
        if self.entry.must_be_seen() || self.entry.number.is_multiple_of(2) {
            // It is still there if the wait unwinds.
            if let Some(result) = &mut self.result {
                result.wait();
            }
            self.look();
        } else if let Some(result) = self.result.take() {
            self.entry.saw(&result.get());
        }
    }

    /// Waits for it for a while; gives whether it came.
    pub fn get_timeout(&mut self, caller: Caller<'_>, timeout: Duration) -> bool {
        let _waiting = caller.place.waits("a while the result of", self.entry.number);
        if let Some(result) = &mut self.result {
            let value = result.get_timeout(timeout);
            self.enter(value);
        }
        self.result.is_none()
    }

    /// Gives whether it has ended.
    pub fn look(&mut self) -> bool {
        if let Some(value) = self.result.as_mut().and_then(TaskResult::try_get) {
            self.enter(value);
        }
        self.result.is_none()
    }

    fn enter(&mut self, value: Result<Value, TaskError>) {
        if matches!(value, Err(TaskError::WaitTimedOut | TaskError::WaitImpossible)) {
            return;
        }
        self.entry.saw(&value);
        self.result = None;
    }

    pub fn cancel(&self) {
        if self.result.as_ref().is_some_and(TaskResult::cancel) {
            self.entry.cancelled();
        }
    }

    /// Has a callback see what becomes of it.
    pub fn hand_over(&mut self) {
        if let Some(result) = self.result.take() {
            let entry = self.entry.clone();
            result.on_ready(move |value| {
                shared().greet();
                entry.saw(&value);
            });
        }
    }
}

impl Drop for Called {
    fn drop(&mut self) {
        if self.entry.must_be_seen() {
            self.hand_over();
        }
    }
}

impl Future for Called {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let Some(result) = &mut self.result else { return Poll::Ready(()) };
        match Pin::new(result).poll(context) {
            Poll::Pending => Poll::Pending,
            Poll::Ready(value) => {
                self.enter(value);
                Poll::Ready(())
            }
        }
    }
}

/// The results of several calls as one of the library's groups, and their entries.
pub fn together(calls: Vec<Called>) -> (Vec<Arc<Entry>>, Group<Value>) {
    let (entries, results): (Vec<_>, Vec<_>) = calls
        .into_iter()
        .filter_map(|mut call| Some((call.entry.clone(), call.result.take()?)))
        .unzip();
    (entries, group(results))
}

/// The hueys of the whole run, and what is left lying about for others.
pub struct World {
    pub families: Vec<Arc<Family>>,
    pub echo: std::net::SocketAddr,
    /// Calls whose handles tasks left to the drivers.
    post: Mutex<VecDeque<Called>>,
    /// Hueys that were shut down, to be compared once all their calls are settled.
    graves: Mutex<Vec<(MiniHuey, Arc<Tally>)>>,
    pub mortals: AtomicU64,
}

static WORLD: OnceLock<World> = OnceLock::new();

pub fn world() -> &'static World {
    WORLD.get().expect("it is made first")
}

/// Without limits; few at a moment; a short backlog that rejects; a short one that has callers
/// wait; and one that runs what is called in its caller.
pub fn make(echo: std::net::SocketAddr) {
    let tally = |huey: &str| Tally::of(huey, false, huey == "strict");
    let families = vec![
        Family::new(MiniHuey::builder("open"), tally("open")),
        Family::new(MiniHuey::builder("narrow").pool_size(3).offload_size(2), tally("narrow")),
        Family::new(MiniHuey::builder("strict").pool_size(8).backlog(16), tally("strict")),
        Family::new(
            MiniHuey::builder("patient").pool_size(4).backlog(8).when_full(WhenFull::Wait),
            tally("patient"),
        ),
        Family::new(
            MiniHuey::builder("immediate").pool_size(8).immediate(true),
            tally("immediate").of_immediate(),
        ),
    ];
    for family in &families {
        let tally = family.tally.clone();
        family.huey.periodic_task("each second", Period::from(every_second()), move || {
            tally.periodic.fetch_add(1, SeqCst);
        });
        let tally = family.tally.clone();
        family.huey.periodic_task("in vain", Period::from(every_second()), move || {
            green::sleep(Duration::from_micros(100));
            tally.periodic_failed.fetch_add(1, SeqCst);
            Err::<(), _>("on purpose")
        });
        family.huey.start().expect("it is started once");
    }
    let made = WORLD.set(World {
        families,
        echo,
        post: Mutex::default(),
        graves: Mutex::default(),
        mortals: AtomicU64::new(0),
    });
    assert!(made.is_ok(), "it is made once");
}

fn every_second() -> minihuey::Crontab {
    "* * * * * *".parse().expect("it is a crontab")
}

impl World {
    pub fn post(&self, call: Called) {
        lock(&self.post).push_back(call);
    }

    pub fn collect(&self) -> Option<Called> {
        lock(&self.post).pop_front()
    }

    pub fn posted(&self) -> usize {
        lock(&self.post).len()
    }

    pub fn bury(&self, huey: MiniHuey, tally: Arc<Tally>) {
        lock(&self.graves).push((huey, tally));
    }

    /// Looks at the hueys that are shut down and settled: whose books agree is forgotten. Gives
    /// what the others' say instead; they may need a moment.
    pub fn visit_graves(&self) -> Vec<String> {
        let settled: Vec<_> =
            lock(&self.graves).extract_if(.., |(_, tally)| tally.is_settled()).collect();
        let mut differ = Vec::new();
        for (huey, tally) in settled {
            if let Err(how) = tally.compare(&huey) {
                differ.push(how);
                lock(&self.graves).push((huey, tally));
            }
        }
        differ
    }

    pub fn graves(&self) -> usize {
        lock(&self.graves).len()
    }
}

/// Makes a huey of random limits, calls its tasks, and ends it: by a shutdown, patient or not, or
/// by letting go of it.
pub fn live_and_die(caller: Caller<'_>, random: &mut Random, depth: u32) {
    let number = world().mortals.fetch_add(1, SeqCst);
    let name = format!("mortal {number}");
    let mut builder = MiniHuey::builder(&name);
    if random.once_in(2) {
        builder = builder.pool_size(1 + random.below(4) as usize);
    }
    if random.once_in(3) {
        builder = builder.offload_size(1 + random.below(2) as usize);
    }
    let tally = Tally::of(&name, true, false);
    let family = Family::new(builder, tally);
    if random.once_in(2) {
        family.huey.start().expect("it was not started");
    }
    let mut calls = Vec::new();
    for _ in 0..random.below(8) {
        let delay = random.once_in(3).then(|| Duration::from_micros(random.below(20_000)));
        let kind = *random.pick(&KINDS);
        let plan = Plan { kind, seed: random.any(), depth, delay, errand: None };
        calls.push(family.call(caller, plan));
    }
    if random.once_in(3) {
        for call in &calls {
            call.cancel();
        }
    }
    if random.once_in(8) {
        // What is scheduled is given up, what waits still runs: there is nobody left to ask.
        drop(family);
    } else {
        let patience = match random.below(3) {
            0 => Duration::ZERO,
            1 => Duration::from_micros(random.below(5_000)),
            _ => Duration::from_secs(600),
        };
        let _waiting = caller.place.waits("a shutdown", 0);
        let buried = Buried(&family);
        match family.huey.shutdown(patience) {
            Ok(abandoned) => family.tally.list(&abandoned),
            Err(error) => account::problem(format!("shutdown: {error}")),
        }
        drop(buried);
    }
    for call in calls {
        match random.below(3) {
            0 => drop(call),
            _ => call.get(caller),
        }
    }
}

/// Also if its maker is ended from outside meanwhile.
struct Buried<'a>(&'a Arc<Family>);

impl Drop for Buried<'_> {
    fn drop(&mut self) {
        world().bury(self.0.huey.clone(), self.0.tally.clone());
    }
}
