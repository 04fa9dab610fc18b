//! Takes calls: to the pool now, or to the timetable for later. What a huey is, but for its face:
//! the settings, the pool, the scheduler, and what is refused.

use std::collections::HashSet;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use crate::clock::{Clock, Eta};
use crate::error::{Error, Failure, Reason, Rejection};
use crate::green::Mutex;
use crate::green::{
    Books, End, JobRef, Pool, Refused, Runtime, TaskMeta, Waited, Waiter, panics, probe, wake_all,
};
use crate::periodic::Row;
use crate::result::{TaskId, TaskResult, deadline};
use crate::scheduler::{Scheduler, Source};
use crate::task;

/// What happens to a call when as many tasks wait as `backlog` allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum WhenFull {
    /// The call returns at once; its result is [`TaskError::Rejected`](crate::TaskError::Rejected).
    #[default]
    Reject,
    /// The caller waits until there is room: an OS thread blocks, a task lends its place
    /// meanwhile. Async code should not use this, it would block its executor.
    Wait,
}

/// As the user gave them; [`Settings::problems`] says what is wrong with them.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    pub(crate) interval: Duration,
    pub(crate) pool_size: Option<usize>,
    pub(crate) offload_size: Option<usize>,
    pub(crate) backlog: Option<usize>,
    pub(crate) when_full: WhenFull,
    pub(crate) immediate: bool,
    pub(crate) clock: Clock,
}

impl Settings {
    fn problems(&self) -> Vec<String> {
        let mut problems = Vec::new();
        if self.interval.is_zero() {
            problems.push("interval is 0; expected a positive duration, such as 1 s".to_owned());
        }
        if self.pool_size == Some(0) {
            problems.push("pool_size is 0: no task could ever run; expected at least 1".to_owned());
        }
        if self.offload_size == Some(0) {
            problems.push(
                "offload_size is 0: no offloaded task could ever run; expected at least 1"
                    .to_owned(),
            );
        }
        if self.backlog == Some(0) {
            problems.push("backlog is 0: no task could ever wait; expected at least 1".to_owned());
        }
        problems
    }
}

pub(crate) struct Engine {
    pub(crate) name: String,
    settings: Settings,
    /// What is wrong with the settings and the declarations: while there is anything, the
    /// scheduler does not start.
    problems: Mutex<Vec<String>>,
    /// What is wrong with the settings alone: if there is anything, no call is taken.
    wrong_settings: Option<String>,
    names: Mutex<HashSet<String>>,
    /// Made by the first call, so that the runtime can still be configured before.
    pool: OnceLock<Result<Arc<Pool>, Rejection>>,
    scheduler: Scheduler,
    shut_down: OnceLock<()>,
    /// Held to make the pool and to begin a shutdown, so that it finds the pool, or the pool is
    /// closed before anybody has it.
    gate: Mutex<()>,
    /// How many calls the backlog had no room for.
    rejected: AtomicU64,
    /// Of calls that ran in their callers.
    immediate: Mutex<Books>,
}

/// A task that a shutdown ended before it had.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Abandoned {
    /// Which call.
    pub id: TaskId,
    /// Its task's name.
    pub name: &'static str,
    /// How far it had come.
    pub stage: Stage,
}

/// Where a task was when it was abandoned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// It was scheduled for later.
    Scheduled,
    /// It waited to run.
    Queued,
    /// It was running. Its result has resolved, and it unwinds at its next wait; if it computes, or
    /// holds its worker, it runs on until then.
    Running,
}

/// How many tasks are where, and how many ended how, since the huey was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Stats {
    /// Calls that were taken on to run, those of due and periodic tasks included.
    pub enqueued: u64,
    /// Tasks that have begun and not ended, those that wait for something included.
    pub running: usize,
    /// Tasks that wait to begin.
    pub backlog: usize,
    /// Tasks that are scheduled for later. One that is cancelled may count until it would be due.
    pub scheduled: usize,
    /// Tasks that gave their value.
    pub finished: u64,
    /// Tasks that gave an error, panicked or overflowed their stack.
    pub failed: u64,
    /// Tasks that were enqueued, but cancelled before they ended.
    pub cancelled: u64,
    /// Tasks that did not end within their time-out.
    pub timed_out: u64,
    /// Tasks that were enqueued, but ended by a shutdown before they ended themselves, or because
    /// the system refused the stack or the thread that they ask for.
    pub abandoned: u64,
    /// Calls that were not taken on because the backlog was full. They are not enqueued.
    pub rejected: u64,
    /// How often a task was found to hold its worker for longer than the runtime's
    /// `hold_threshold`; see [`runtime`](crate::runtime).
    pub held: u64,
    /// The longest that a task which was found so held its worker.
    pub longest_hold: Duration,
    /// Firings of periodic tasks that did not run: nobody was there, or the last run had not
    /// ended and its overlap is `Skip`. Of the former no more than 10,000 at a time are counted.
    pub skipped: u64,
    /// The most that a due task was handed over late.
    pub worst_lateness: Duration,
}

/// The problems of the huey with this name, as one text; None if there are none.
fn all(name: &str, problems: &[String]) -> Option<String> {
    (!problems.is_empty()).then(|| format!("{name:?}: {}", problems.join("; ")))
}

impl Engine {
    pub(crate) fn new(name: String, settings: Settings) -> Engine {
        let problems = settings.problems();
        problems.iter().for_each(|problem| log::error!("{name:?}: {problem}"));
        Engine {
            scheduler: Scheduler::new(name.clone(), settings.clock.clone(), settings.interval),
            wrong_settings: all(&name, &problems),
            name,
            settings,
            problems: Mutex::new(problems),
            names: Mutex::default(),
            pool: OnceLock::new(),
            shut_down: OnceLock::new(),
            gate: Mutex::new(()),
            rejected: AtomicU64::new(0),
            immediate: Mutex::default(),
        }
    }

    /// Everything that is wrong, as one error.
    pub(crate) fn check(&self) -> Result<(), Error> {
        probe();
        all(&self.name, &self.problems.lock()).map_or(Ok(()), |all| Err(Error::Misconfigured(all)))
    }

    /// Takes a name, which must be new.
    ///
    /// # Errors
    /// Says so if it is not. Calls of that task are to be refused; `start` refuses, too.
    pub(crate) fn take_name(&self, name: &str) -> Result<(), Rejection> {
        probe();
        if self.names.lock().insert(name.to_owned()) {
            return Ok(());
        }
        let problem = format!("two tasks are called {name:?}; expected a name of its own for each");
        Err(self.refuse(&problem))
    }

    /// Notes that a declaration is wrong, and gives what calls of that task are refused with.
    pub(crate) fn refuse(&self, problem: &str) -> Rejection {
        probe();
        let named = format!("{:?}: {problem}", self.name);
        log::error!("{named}");
        probe();
        self.problems.lock().push(problem.to_owned());
        Reason::Misconfigured(named).into()
    }

    #[inline]
    fn pool(&self) -> Result<&Arc<Pool>, &Rejection> {
        self.pool.get().unwrap_or_else(|| self.make_pool()).as_ref()
    }

    #[cold]
    fn make_pool(&self) -> &Result<Arc<Pool>, Rejection> {
        // Out here, because a coroutine of the program's own may be suspended in it.
        let runtime = match &self.wrong_settings {
            Some(problem) => Err(Reason::Misconfigured(problem.clone())),
            None => Runtime::get().map_err(|why| Reason::Runtime(why.to_string())),
        };
        let pool = runtime
            .map(|runtime| Pool::new(runtime, self.settings.pool_size, self.settings.offload_size));
        probe();
        let _gate = self.gate.lock();
        if self.shut_down.get().is_some()
            && let Ok(pool) = &pool
        {
            pool.close();
        }
        self.pool.get_or_init(|| pool.map_err(Rejection::from))
    }

    fn made_pool(&self) -> Option<&Arc<Pool>> {
        self.pool.get().and_then(|pool| pool.as_ref().ok())
    }

    /// Runs `work` as soon as there is a place for it.
    pub(crate) fn call<F, T>(&self, meta: &'static TaskMeta, work: F) -> TaskResult<T>
    where
        F: FnOnce() -> Result<T, Failure> + Send + 'static,
        T: Send + 'static,
    {
        if self.settings.immediate {
            return self.call_here(meta, work);
        }
        let pool = match self.pool() {
            Ok(pool) => pool,
            Err(why) => return task::rejected(meta, why.clone()),
        };
        let (job, result) = task::call(meta, pool.id(), work);
        log::debug!("enqueueing {} {}", meta.name, result.id());
        self.push(pool, job);
        result
    }

    #[inline]
    fn push(&self, pool: &Arc<Pool>, job: JobRef) {
        let limit = self.settings.backlog.unwrap_or(usize::MAX);
        if let Err(refused) = pool.push(job, limit) {
            self.push_later_or_never(pool, limit, refused);
        }
    }

    #[cold]
    fn push_later_or_never(&self, pool: &Arc<Pool>, limit: usize, mut refused: Refused) {
        let waits = self.settings.when_full == WhenFull::Wait;
        let job = loop {
            match refused {
                Refused::Closed(job) => {
                    job.abandon(End::ShutDown);
                    return;
                }
                Refused::Full(job) if waits && pool.wait_for_room(limit) == Waited::Ready => {
                    match pool.push(job, limit) {
                        Ok(()) => return,
                        Err(again) => refused = again,
                    }
                }
                Refused::Full(job) => break job,
            }
        };
        // ORDERING: Relaxed, a count.
        let before = self.rejected.fetch_add(1, Ordering::Relaxed);
        let (name, id) = (job.meta().name, job.id());
        if before == 0 {
            log::warn!(
                "{:?}: the backlog is full ({limit}): calls are rejected from now on, as often as \
                 it is; stats() counts them",
                self.name
            );
        }
        log::debug!("{name} #{id} rejected: the backlog is full");
        job.abandon(End::Rejected(Reason::BacklogFull { limit }.into()));
    }

    /// Runs `work` in the caller: for tests.
    fn call_here<F, T>(&self, meta: &'static TaskMeta, work: F) -> TaskResult<T>
    where
        F: FnOnce() -> Result<T, Failure> + Send + 'static,
        T: Send + 'static,
    {
        if let Some(problem) = &self.wrong_settings {
            return task::rejected(meta, Reason::Misconfigured(problem.clone()).into());
        }
        let (job, result) = task::call(meta, 0, work);
        if self.shut_down.get().is_some() {
            job.abandon(End::ShutDown);
            return result;
        }
        probe();
        panics::install_hook();
        let ran = job.run();
        probe();
        // Both now, so that they balance: if the task overflows the stack, it ends its caller with
        // itself, and nobody comes back here.
        let mut books = self.immediate.lock();
        books.pushed += 1;
        books.enter(ran);
        drop(books);
        result
    }

    /// Runs `work` when it is due.
    pub(crate) fn schedule<F, T>(&self, meta: &'static TaskMeta, eta: Eta, work: F) -> TaskResult<T>
    where
        F: FnOnce() -> Result<T, Failure> + Send + 'static,
        T: Send + 'static,
    {
        let now = match eta {
            Eta::After(delay) => delay.is_zero(),
            Eta::At(time) => time <= self.settings.clock.wall(),
        };
        if now {
            return self.call(meta, work);
        }
        let pool = match self.pool() {
            Ok(pool) => pool,
            Err(why) => return task::rejected(meta, why.clone()),
        };
        let (job, result) = task::call(meta, pool.id(), work);
        if self.shut_down.get().is_some() {
            job.abandon(End::ShutDown);
            return result;
        }
        // ORDERING: Relaxed, nobody else has it yet. A task that waits for it must not run it now.
        job.claimed().store(true, Ordering::Relaxed);
        log::debug!("scheduling {} {}", meta.name, result.id());
        self.scheduler.insert(eta, job);
        if self.shut_down.get().is_some() {
            // It slipped in while a shutdown was taking everything out.
            self.abandon_scheduled();
        }
        result
    }

    pub(crate) fn add_row(&self, row: Row) {
        self.scheduler.add(row);
    }

    pub(crate) fn start(&self, source: Source) -> Result<(), Error> {
        self.check()?;
        if self.shut_down.get().is_some() {
            return Err(Error::ShutDown { huey: self.name.clone() });
        }
        let pool = self.pool().map_err(|why| Error::Runtime(why.to_string()))?;
        self.scheduler
            .start(Runtime::get()?, pool.clone(), source)
            .map_err(|_| Error::AlreadyStarted { huey: self.name.clone() })?;
        if self.shut_down.get().is_some() {
            // It slipped in while a shutdown was stopping it, which somebody else may have done
            // since.
            let _ = self.scheduler.stop();
            return Err(Error::ShutDown { huey: self.name.clone() });
        }
        log::info!("{:?} started", self.name);
        Ok(())
    }

    pub(crate) fn stop(&self) -> Result<(), Error> {
        self.scheduler.stop().map_err(|_| Error::NotStarted { huey: self.name.clone() })?;
        log::info!("{:?} stopped; {} stay scheduled", self.name, self.scheduler.scheduled());
        Ok(())
    }

    pub(crate) fn is_running(&self) -> bool {
        self.scheduler.is_running()
    }

    pub(crate) fn join(&self, timeout: Option<Duration>) -> Result<(), Error> {
        let Some(Ok(pool)) = self.pool.get() else { return Ok(()) };
        if pool.runs_caller() {
            return Err(Error::InsideTask);
        }
        match pool.wait_idle(timeout.and_then(deadline)) {
            Waited::Ready => Ok(()),
            Waited::TimedOut | Waited::Impossible | Waited::Interrupted => {
                let books = pool.books();
                Err(Error::JoinTimedOut { running: books.begun, backlog: books.waiting })
            }
        }
    }

    pub(crate) fn shutdown(&self, patience: Duration) -> Result<Vec<Abandoned>, Error> {
        if self.made_pool().is_some_and(|pool| pool.runs_caller()) {
            return Err(Error::InsideTask);
        }
        probe();
        let is_first = {
            let _gate = self.gate.lock();
            self.shut_down.set(()).is_ok()
        };
        if !is_first {
            return Err(Error::ShutDown { huey: self.name.clone() });
        }
        // Contained, for nobody else can go on if the logger panics.
        panics::contain(|| log::info!("{:?} is shutting down", self.name));
        // It may have been stopped, or never started.
        let _ = self.scheduler.stop();
        let (mut waiters, mut abandoned) = (Vec::new(), Vec::new());
        let scheduled = end_all(self.scheduler.drain(), &mut waiters);
        let pool = self.made_pool();
        if let Some(pool) = pool {
            pool.close();
        }
        abandoned.extend(tell(waiters, vec![(scheduled, Stage::Scheduled)]));
        let mut ended = None;
        if let Some(pool) = pool {
            // The caller's own task may be ended while it waits here, which unwinds. That must wait
            // until all is done, for nobody else can finish what is begun.
            let waited = catch_unwind(AssertUnwindSafe(|| pool.wait_idle(deadline(patience))));
            if !matches!(waited, Ok(Waited::Ready)) {
                let mut waiters = Vec::new();
                let queued = pool.abandon_waiting(&mut waiters);
                let running = end_all(pool.running(), &mut waiters);
                pool.interrupt(running.iter().map(|job| job.id()).collect());
                let all = vec![(queued, Stage::Queued), (running, Stage::Running)];
                abandoned.extend(tell(waiters, all));
            }
            ended = waited.err();
        }
        let count = abandoned.len();
        panics::contain(|| {
            log::info!("{:?} is shut down; {count} task(s) were abandoned", self.name);
        });
        if let Some(payload) = ended {
            resume_unwind(payload);
        }
        Ok(abandoned)
    }

    fn abandon_scheduled(&self) {
        let mut waiters = Vec::new();
        let scheduled = end_all(self.scheduler.drain(), &mut waiters);
        tell(waiters, vec![(scheduled, Stage::Scheduled)]);
    }

    pub(crate) fn stats(&self) -> Stats {
        let pooled = self.made_pool().map(|pool| pool.books()).unwrap_or_default();
        probe();
        let immediate = *self.immediate.lock();
        let marks = self.scheduler.marks();
        Stats {
            enqueued: pooled.pushed + immediate.pushed,
            running: pooled.begun,
            backlog: pooled.waiting,
            scheduled: self.scheduler.scheduled(),
            finished: pooled.finished + immediate.finished,
            failed: pooled.failed + immediate.failed,
            cancelled: pooled.cancelled + immediate.cancelled,
            timed_out: pooled.timed_out + immediate.timed_out,
            abandoned: pooled.abandoned + immediate.abandoned,
            rejected: self.rejected.load(Ordering::Relaxed),
            held: pooled.held,
            longest_hold: pooled.longest_hold,
            skipped: marks.missed + marks.overlapped,
            worst_lateness: marks.worst_late,
        }
    }
}

/// Ends jobs as shut down; gives those that have ended so, and who waits for them.
fn end_all(mut jobs: Vec<JobRef>, waiters: &mut Vec<Waiter>) -> Vec<JobRef> {
    jobs.retain(|job| {
        let ended = job.end(End::ShutDown);
        let is_ended = ended.is_some();
        waiters.extend(ended.flatten());
        is_ended
    });
    jobs
}

/// What is left to do for jobs that were ended, when all is in order: the callbacks of those who
/// wait for them, and destructors of what they were called with, are foreign, and may never come
/// back.
fn tell(waiters: Vec<Waiter>, ended: Vec<(Vec<JobRef>, Stage)>) -> Vec<Abandoned> {
    wake_all(waiters);
    let entry = |job: JobRef, stage| {
        job.discard();
        Abandoned { id: TaskId(job.id()), name: job.meta().name, stage }
    };
    let all = ended.into_iter();
    all.flat_map(|(jobs, stage)| jobs.into_iter().map(move |job| entry(job, stage))).collect()
}

impl Drop for Engine {
    /// Nobody can call, start or stop it any more: what waits still runs, what is scheduled never
    /// would.
    fn drop(&mut self) {
        let _ = self.scheduler.stop();
        if let Some(Ok(pool)) = self.pool.get() {
            pool.close();
        }
        // Last, for callbacks and destructors are foreign.
        self.abandon_scheduled();
    }
}
