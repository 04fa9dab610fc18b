//! The account of every task, kept outside of the library: called, started, how it ended, what its
//! caller saw of that, and each drop. An entry is closed, and checked, when the last thing that
//! belongs to it is dropped; what is never dropped shows as an entry that stays open.

use std::collections::{HashMap, HashSet};
use std::fmt::{self, Debug, Display, Write};
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU8, AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, OnceLock, PoisonError, Weak};
use std::time::{Duration, Instant};

use minihuey::{Abandoned, MiniHuey, Stage, TaskError, TaskId};

/// All open entries by number, in parts, for many threads open and close them.
type Part = Mutex<HashMap<u64, Weak<Entry>>>;
static OPEN: LazyLock<Vec<Part>> = LazyLock::new(|| (0..64).map(|_| Mutex::default()).collect());
static NEXT: AtomicU64 = AtomicU64::new(1);
static PROBLEMS: Mutex<Vec<String>> = Mutex::new(Vec::new());
static DRIVERS: Mutex<Vec<(String, Arc<Place>)>> = Mutex::new(Vec::new());

pub fn lock<T: ?Sized>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Notes that something is wrong. The run goes on, and fails at its end.
pub fn problem(text: String) {
    eprintln!("PROBLEM: {text}");
    lock(&PROBLEMS).push(text);
}

pub fn problems() -> usize {
    lock(&PROBLEMS).len()
}

/// What is waited for at this moment, by a task or a driver.
#[derive(Default)]
pub struct Place(Mutex<Option<Wait>>);

#[derive(Clone, Copy)]
struct Wait {
    what: &'static str,
    entry: u64,
    since: Instant,
}

impl Place {
    pub fn of_driver(name: String) -> Arc<Place> {
        let place = Arc::new(Place::default());
        lock(&DRIVERS).push((name, place.clone()));
        place
    }

    /// From now until the guard is dropped `what` is waited for; `entry` is whose, or 0.
    #[must_use]
    pub fn waits(&self, what: &'static str, entry: u64) -> Waiting<'_> {
        let wait = Wait { what, entry, since: Instant::now() };
        Waiting(self, lock(&self.0).replace(wait))
    }

    fn wait(&self) -> Option<Wait> {
        *lock(&self.0)
    }
}

pub struct Waiting<'a>(&'a Place, Option<Wait>);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        *lock(&self.0.0) = self.1;
    }
}

impl Display for Wait {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "waits for {}", self.what)?;
        if self.entry != 0 {
            write!(f, " #{}", self.entry)?;
        }
        write!(f, " since {:.1} s", self.since.elapsed().as_secs_f64())
    }
}

/// How the body of a task ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Ended {
    Not,
    Ok,
    Err,
    Panic,
    Overflow,
    /// By an unwinding that is not its own.
    Unwound,
}

const ENDED: [Ended; 6] =
    [Ended::Not, Ended::Ok, Ended::Err, Ended::Panic, Ended::Overflow, Ended::Unwound];

/// What became of the task, as its caller sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Fate {
    /// The result was dropped unseen.
    Unseen,
    Value,
    Failed,
    Panicked,
    Overflow,
    Cancelled,
    TimedOut,
    ShutDown,
    Rejected,
    /// Its caller was ended from outside while it waited for room in the backlog.
    LostInCall,
}

const FATES: [Fate; 10] = [
    Fate::Unseen,
    Fate::Value,
    Fate::Failed,
    Fate::Panicked,
    Fate::Overflow,
    Fate::Cancelled,
    Fate::TimedOut,
    Fate::ShutDown,
    Fate::Rejected,
    Fate::LostInCall,
];

/// One call of one task.
pub struct Entry {
    pub number: u64,
    pub place: Place,
    pub tally: Arc<Tally>,
    kind: &'static str,
    seed: u64,
    caller: u64,
    called: Instant,
    delay: Option<Duration>,
    has_timeout: bool,
    task: OnceLock<TaskId>,
    started: AtomicU64,
    ended: AtomicU8,
    fate: AtomicU8,
    cancels_won: AtomicU64,
    /// It was cancelled while it was certainly not due, and so never enqueued.
    cancelled_early: AtomicBool,
    tickets_dropped: AtomicU64,
    values_made: AtomicU64,
    values_dropped: AtomicU64,
}

/// What a call is to be entered as.
pub struct Call {
    pub kind: &'static str,
    pub seed: u64,
    /// Who calls: an entry's number, or 0.
    pub caller: u64,
    pub delay: Option<Duration>,
    pub has_timeout: bool,
}

impl Entry {
    pub fn open(tally: &Arc<Tally>, call: Call) -> Arc<Entry> {
        tally.open.fetch_add(1, SeqCst);
        tally.called.fetch_add(1, SeqCst);
        let number = NEXT.fetch_add(1, SeqCst);
        let entry = Arc::new(Entry {
            number,
            place: Place::default(),
            tally: tally.clone(),
            kind: call.kind,
            seed: call.seed,
            caller: call.caller,
            called: Instant::now(),
            delay: call.delay,
            has_timeout: call.has_timeout,
            task: OnceLock::new(),
            started: AtomicU64::new(0),
            ended: AtomicU8::new(0),
            fate: AtomicU8::new(0),
            cancels_won: AtomicU64::new(0),
            cancelled_early: AtomicBool::new(false),
            tickets_dropped: AtomicU64::new(0),
            values_made: AtomicU64::new(0),
            values_dropped: AtomicU64::new(0),
        });
        lock(&OPEN[number as usize % OPEN.len()]).insert(number, Arc::downgrade(&entry));
        entry
    }

    pub fn is(&self, task: TaskId) {
        let _ = self.task.set(task);
    }

    /// Its fate can't be told from what its body did.
    pub fn must_be_seen(&self) -> bool {
        self.has_timeout || self.tally.is_mortal || self.tally.rejects || self.tally.is_immediate
    }

    /// The caller saw what became of it.
    pub fn saw<T>(&self, result: &Result<T, TaskError>) {
        self.decide(match result {
            Ok(_) => Fate::Value,
            Err(TaskError::Failed(_)) => Fate::Failed,
            Err(TaskError::Panicked(panic)) => {
                if self.ended() == Ended::Unwound && !self.tally.is_immediate {
                    problem(format!("not on purpose: {panic}: {self}"));
                }
                Fate::Panicked
            }
            Err(TaskError::StackOverflow) => Fate::Overflow,
            Err(TaskError::Cancelled) => Fate::Cancelled,
            Err(TaskError::TimedOut) => Fate::TimedOut,
            Err(TaskError::ShutDown) => Fate::ShutDown,
            Err(TaskError::Rejected(_)) => Fate::Rejected,
            // These are none.
            Err(TaskError::WaitTimedOut | TaskError::WaitImpossible) => return,
            Err(other) => return problem(format!("{other}: {self}")),
        });
    }

    pub fn decide(&self, fate: Fate) {
        let before = self.fate.swap(fate as u8, SeqCst);
        if before != 0 {
            problem(format!("{fate:?} after {:?}: {self}", FATES[before as usize]));
        }
    }

    /// A call of `cancel` gave true.
    pub fn cancelled(&self) {
        self.cancels_won.fetch_add(1, SeqCst);
        // Counted from before the call, and looked at after the cancel.
        if self.delay.is_some_and(|delay| self.called.elapsed() < delay) {
            self.cancelled_early.store(true, SeqCst);
        }
    }

    fn ended(&self) -> Ended {
        ENDED[self.ended.load(SeqCst) as usize]
    }

    fn fate(&self) -> Fate {
        FATES[self.fate.load(SeqCst) as usize]
    }

    fn is_older_than(&self, bound: Duration) -> bool {
        self.called.elapsed() > bound + self.delay.unwrap_or_default()
    }

    /// Checks that the entry makes sense, and enters it into the tally of its huey.
    fn close(&self) -> Result<(), &'static str> {
        let (ended, count) = (self.ended(), |counter: &AtomicU64| counter.load(SeqCst));
        let (started, won) = (count(&self.started), count(&self.cancels_won));
        let early = self.cancelled_early.load(SeqCst);
        let fate = match (self.fate(), ended) {
            (Fate::Unseen, _) if won > 0 => Fate::Cancelled,
            (Fate::Unseen, _) if self.must_be_seen() => return Err("its fate was not seen"),
            (Fate::Unseen, Ended::Ok) => Fate::Value,
            (Fate::Unseen, Ended::Err) => Fate::Failed,
            (Fate::Unseen, Ended::Panic) => Fate::Panicked,
            (Fate::Unseen, Ended::Overflow) => Fate::Overflow,
            (Fate::Unseen, Ended::Unwound) => return Err("it was unwound and nobody did that"),
            (Fate::Unseen, Ended::Not) => return Err("it never began"),
            (seen, _) => seen,
        };
        let tally = &*self.tally;
        let (good, counter) = match fate {
            Fate::Unseen => unreachable!("it was replaced"),
            Fate::Value => (ended == Ended::Ok, &tally.finished),
            Fate::Failed => (ended == Ended::Err, &tally.failed),
            Fate::Panicked => {
                let with_its_caller = tally.is_immediate && ended == Ended::Unwound;
                (ended == Ended::Panic || with_its_caller, &tally.failed)
            }
            Fate::Overflow => (ended == Ended::Overflow, &tally.failed),
            Fate::Cancelled if early => (started == 0, &tally.cancelled_early),
            Fate::Cancelled if started == 0 && self.delay.is_some() => {
                (true, &tally.cancelled_maybe_enqueued)
            }
            Fate::Cancelled => (true, &tally.cancelled),
            Fate::TimedOut => (self.has_timeout && started == 1, &tally.timed_out),
            Fate::ShutDown => (tally.is_mortal, &tally.shut_down),
            Fate::Rejected => (tally.rejects && started == 0, &tally.rejected),
            Fate::LostInCall => (started == 0, &tally.lost),
        };
        counter.fetch_add(1, SeqCst);
        tally.started.fetch_add(started, SeqCst);
        if fate == Fate::ShutDown {
            tally.shut_down_begun.fetch_add(started, SeqCst);
        }
        if let (Fate::ShutDown, Some(task)) = (fate, self.task.get()) {
            lock(&tally.shut_down_tasks).insert(*task, started > 0);
        }
        let checks = [
            (good, "its fate does not fit its end"),
            (won == u64::from(fate == Fate::Cancelled), "cancelled, and not by one `cancel`"),
            (started <= 1, "it began twice"),
            ((started == 1) == (ended != Ended::Not), "it began and did not end"),
            (count(&self.tickets_dropped) == 1, "its argument was not dropped once"),
            (
                count(&self.values_made) == count(&self.values_dropped),
                "values made are not values dropped",
            ),
        ];
        checks.into_iter().find(|(good, _)| !good).map_or(Ok(()), |(_, why)| Err(why))
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        lock(&OPEN[self.number as usize % OPEN.len()]).remove(&self.number);
        if let Err(why) = self.close() {
            problem(format!("{why}: {self}"));
        }
        self.tally.open.fetch_sub(1, SeqCst);
    }
}

impl Display for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Entry { number, kind, seed, .. } = self;
        write!(f, "#{number} {}/{kind}", self.tally.huey)?;
        if let Some(task) = self.task.get() {
            write!(f, " (the library's {task})")?;
        }
        write!(f, " seed {seed:x}, called by #{} ", self.caller)?;
        write!(f, "{:.1} s ago", self.called.elapsed().as_secs_f64())?;
        if let Some(delay) = self.delay {
            write!(f, " for {delay:?} later")?;
        }
        match (self.started.load(SeqCst), self.ended()) {
            (0, _) if self.tickets_dropped.load(SeqCst) > 0 => f.write_str(": never began")?,
            (0, _) => f.write_str(": has not begun")?,
            (_, Ended::Not) => f.write_str(": runs")?,
            (_, ended) => write!(f, ": ended by {ended:?}")?,
        }
        let [won, tickets, made, dropped] =
            [&self.cancels_won, &self.tickets_dropped, &self.values_made, &self.values_dropped]
                .map(|counter| counter.load(SeqCst));
        write!(f, "; fate {:?}, cancels won {won}; ", self.fate())?;
        write!(f, "argument dropped {tickets}, values {made} made, {dropped} dropped")?;
        match self.place.wait() {
            Some(wait) => write!(f, "; {wait}"),
            None => Ok(()),
        }
    }
}

/// What a task is called with; its drop is counted.
pub struct Ticket(pub Arc<Entry>);

impl Drop for Ticket {
    fn drop(&mut self) {
        self.0.tickets_dropped.fetch_add(1, SeqCst);
    }
}

/// What a task gives, as its value, its error or its panic; its drop is counted.
pub struct Value(Arc<Entry>);

impl Drop for Value {
    fn drop(&mut self) {
        self.0.values_dropped.fetch_add(1, SeqCst);
    }
}

impl Debug for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Value(#{})", self.0.number)
    }
}

impl Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the planned error of #{}", self.0.number)
    }
}

/// The body of a task, while it runs.
pub struct Body(pub Arc<Entry>);

impl Body {
    pub fn begin(entry: &Arc<Entry>) -> Body {
        entry.started.fetch_add(1, SeqCst);
        Body(entry.clone())
    }

    /// What it gives in the end.
    pub fn value(&self) -> Value {
        self.0.values_made.fetch_add(1, SeqCst);
        Value(self.0.clone())
    }

    pub fn ends(self, how: Ended) {
        self.0.ended.store(how as u8, SeqCst);
    }
}

impl Drop for Body {
    fn drop(&mut self) {
        if self.0.ended() == Ended::Not {
            self.0.ended.store(Ended::Unwound as u8, SeqCst);
        }
    }
}

/// The sums of one huey, to be compared with its own.
#[derive(Default)]
pub struct Tally {
    pub huey: String,
    /// It is shut down while others use it.
    pub is_mortal: bool,
    /// Calls that its backlog has no room for are rejected.
    pub rejects: bool,
    /// What is called runs in its caller, and unwinds with that.
    pub is_immediate: bool,
    open: AtomicI64,
    called: AtomicU64,
    started: AtomicU64,
    finished: AtomicU64,
    failed: AtomicU64,
    /// Those that were certainly enqueued: called to run at once, or begun.
    cancelled: AtomicU64,
    /// Those that certainly were not: they were not due yet.
    cancelled_early: AtomicU64,
    /// Those that were scheduled, and cancelled when they may have been due, but never began. Only
    /// the library knows whether its scheduler had enqueued them by then.
    cancelled_maybe_enqueued: AtomicU64,
    timed_out: AtomicU64,
    shut_down: AtomicU64,
    /// Of these, those that had begun, and so were enqueued.
    shut_down_begun: AtomicU64,
    rejected: AtomicU64,
    lost: AtomicU64,
    /// Runs of the periodic task, which nobody calls.
    pub periodic: AtomicU64,
    /// Of the other one, which fails.
    pub periodic_failed: AtomicU64,
    /// Whose results were ShutDown, and whether they had begun.
    shut_down_tasks: Mutex<HashMap<TaskId, bool>>,
    /// What `shutdown` gave.
    abandoned: Mutex<HashSet<(TaskId, bool)>>,
    /// `shutdown` has given it, or the huey was not shut down while anything was left.
    pub is_listed: AtomicBool,
}

impl Tally {
    pub fn of(huey: &str, is_mortal: bool, rejects: bool) -> Tally {
        Tally { huey: huey.to_owned(), is_mortal, rejects, ..Tally::default() }
    }

    pub fn of_immediate(self) -> Tally {
        Tally { is_immediate: true, ..self }
    }

    pub fn is_settled(&self) -> bool {
        self.open.load(SeqCst) == 0
    }

    pub fn calls(&self) -> u64 {
        self.called.load(SeqCst)
    }

    pub fn list(&self, abandoned: &[Abandoned]) {
        lock(&self.abandoned).extend(
            abandoned.iter().map(|abandoned| (abandoned.id, abandoned.stage != Stage::Scheduled)),
        );
        self.is_listed.store(true, SeqCst);
    }

    /// Once it is settled: whether the huey's own books say the same.
    pub fn compare(&self, huey: &MiniHuey) -> Result<(), String> {
        let (stats, count) = (huey.stats(), |counter: &AtomicU64| counter.load(SeqCst));
        let sum = stats.finished + stats.failed + stats.cancelled + stats.timed_out;
        let mut wrong = String::new();
        let mut equal = |what: &str, theirs: u64, ours: u64| {
            if theirs != ours {
                let _ = write!(wrong, "{what}: {theirs} by the library, {ours} by the account; ");
            }
        };
        let fates = [
            &self.finished,
            &self.failed,
            &self.cancelled,
            &self.cancelled_early,
            &self.cancelled_maybe_enqueued,
            &self.timed_out,
            &self.shut_down,
            &self.rejected,
            &self.lost,
        ];
        equal("calls", fates.into_iter().map(count).sum(), count(&self.called));
        equal("enqueued, by how they ended", stats.enqueued, sum + stats.abandoned);
        equal("running", stats.running as u64, 0);
        equal("backlog", stats.backlog as u64, 0);
        equal("finished", stats.finished, count(&self.finished) + count(&self.periodic));
        equal("failed", stats.failed, count(&self.failed) + count(&self.periodic_failed));
        equal("timed out", stats.timed_out, count(&self.timed_out));
        equal("rejected", stats.rejected, count(&self.rejected));
        let (sure, maybe) = (count(&self.cancelled), count(&self.cancelled_maybe_enqueued));
        equal("cancelled", stats.cancelled, stats.cancelled.clamp(sure, sure + maybe));
        let (begun, shut_down) = (count(&self.shut_down_begun), count(&self.shut_down));
        equal("abandoned", stats.abandoned, stats.abandoned.clamp(begun, shut_down));
        // Of those that only it knows of, the library must have enqueued as many as it says of how
        // they ended.
        let not_enqueued = [
            count(&self.rejected),
            count(&self.lost),
            count(&self.cancelled_early),
            (sure + maybe).saturating_sub(stats.cancelled),
            shut_down.saturating_sub(stats.abandoned),
        ];
        let all = count(&self.called) + count(&self.periodic) + count(&self.periodic_failed);
        let enqueued = all.saturating_sub(not_enqueued.into_iter().sum());
        equal("enqueued", stats.enqueued, enqueued);
        if self.is_listed.load(SeqCst) {
            let abandoned = lock(&self.abandoned);
            let enqueued = abandoned.iter().filter(|(_, enqueued)| *enqueued).count();
            equal("abandoned, by the list", stats.abandoned, enqueued as u64);
            equal("scheduled", stats.scheduled as u64, 0);
            let seen = lock(&self.shut_down_tasks);
            let unseen = abandoned.iter().filter(|(task, _)| !seen.contains_key(task)).count();
            equal("abandoned and not resolved so", unseen as u64, 0);
            let unnamed =
                seen.iter().filter(|(task, began)| **began && !abandoned.contains(&(**task, true)));
            equal("begun, resolved so and not in the list", 0, unnamed.count() as u64);
        }
        if wrong.is_empty() { Ok(()) } else { Err(format!("{}: {wrong}{self}", self.huey)) }
    }
}

impl Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let counts = [
            ("called", &self.called),
            ("started", &self.started),
            ("finished", &self.finished),
            ("failed", &self.failed),
            ("cancelled", &self.cancelled),
            ("cancelled before they were due", &self.cancelled_early),
            ("cancelled, maybe before they were enqueued", &self.cancelled_maybe_enqueued),
            ("timed out", &self.timed_out),
            ("shut down", &self.shut_down),
            ("rejected", &self.rejected),
            ("lost in the call", &self.lost),
            ("periodic", &self.periodic),
            ("periodic that failed", &self.periodic_failed),
        ];
        write!(f, "{} open", self.open.load(SeqCst))?;
        for (name, count) in counts {
            let count = count.load(SeqCst);
            if count > 0 {
                write!(f, ", {count} {name}")?;
            }
        }
        Ok(())
    }
}

pub fn open() -> usize {
    OPEN.iter().map(|part| lock(part).len()).sum()
}

fn open_entries() -> Vec<Arc<Entry>> {
    let parts = OPEN.iter();
    let mut entries: Vec<_> = parts
        .flat_map(|part| lock(part).values().filter_map(Weak::upgrade).collect::<Vec<_>>())
        .collect();
    entries.sort_by_key(|entry| entry.number);
    entries
}

/// Who has waited for longer than `bound`, or was called longer ago and is not settled.
pub fn overdue(bound: Duration) -> Option<String> {
    let waits_long = |place: &Place| place.wait().filter(|wait| wait.since.elapsed() > bound);
    for (name, place) in lock(&DRIVERS).iter() {
        if let Some(wait) = waits_long(place) {
            return Some(format!("{name} {wait}"));
        }
    }
    let overdue =
        |entry: &&Arc<Entry>| waits_long(&entry.place).is_some() || entry.is_older_than(bound);
    open_entries().iter().find(overdue).map(|entry| entry.to_string())
}

/// Who waits for what.
pub fn dump() -> String {
    let mut text = String::new();
    for (name, place) in lock(&DRIVERS).iter() {
        let wait = place.wait().map_or("waits for nothing".to_owned(), |wait| wait.to_string());
        let _ = writeln!(text, "{name}: {wait}");
    }
    // Those that ended hang on somebody who did not.
    let (running, others): (Vec<_>, Vec<_>) = open_entries().into_iter().partition(|entry| {
        let has_begun = entry.started.load(SeqCst) > 0;
        entry.place.wait().is_some() || has_begun && entry.ended() == Ended::Not
    });
    for (entries, which) in [(running, "run or wait"), (others, "are open beside them")] {
        let _ = writeln!(text, "{} entries {which}, the oldest first:", entries.len());
        for entry in entries.iter().take(300) {
            let _ = writeln!(text, "  {entry}");
        }
    }
    text
}
