//! `MiniHuey`: the face of the library.

use std::fmt;
use std::fmt::{Debug, Display};
use std::sync::{Arc, Weak};
use std::time::Duration;

use crate::clock::Clock;
use crate::closure::Task;
use crate::declared::{Declared, Search};
use crate::engine::{Abandoned, Engine, Settings, Stats, WhenFull};
use crate::error::Error;
use crate::green::TaskMeta;
use crate::periodic::{IntoPeriod, Row};
use crate::task::{Ending, TaskFn};

/// Runs tasks in green threads of this process, now, later or again and again.
///
/// A port of huey's `MiniHuey`. There is no separate consumer and no store: what has not run
/// when the process ends is lost. Tasks run whether or not the scheduler does; [`start`] it for
/// those that are scheduled or periodic.
///
/// Clones are the same huey. When the last one is gone, with all its [`Task`]s, tasks that wait
/// still run; those that are scheduled are given up.
///
/// [`start`]: MiniHuey::start
#[derive(Clone)]
pub struct MiniHuey {
    engine: Arc<Engine>,
    declared: Arc<Search>,
}

/// Settings for a [`MiniHuey`]. See [`MiniHuey::builder`].
#[derive(Debug, Clone)]
#[must_use = "the huey is made by `build`"]
pub struct Builder {
    name: String,
    settings: Settings,
}

impl MiniHuey {
    /// A huey with the default settings.
    pub fn new(name: impl Into<String>) -> MiniHuey {
        MiniHuey::builder(name).build()
    }

    /// Settings other than the default ones.
    ///
    /// ```
    /// use minihuey::MiniHuey;
    /// use std::time::Duration;
    /// let huey = MiniHuey::builder("jobs").interval(Duration::from_millis(100)).pool_size(64).build();
    /// ```
    pub fn builder(name: impl Into<String>) -> Builder {
        Builder {
            name: name.into(),
            settings: Settings {
                interval: Duration::from_secs(1),
                pool_size: None,
                offload_size: None,
                backlog: None,
                when_full: WhenFull::default(),
                immediate: false,
                clock: Clock::system(),
            },
        }
    }

    /// The name, which log lines and errors show.
    pub fn name(&self) -> &str {
        &self.engine.name
    }

    /// Declares a closure as a task. If the name is taken, every call of it is rejected, and
    /// [`start`](MiniHuey::start) is an error.
    ///
    /// If the closure returns a `Result`, use [`try_task`](MiniHuey::try_task): only then does an
    /// `Err` count as the task's failure.
    pub fn task<A, F>(&self, name: &str, f: F) -> Task<A, F::Output>
    where
        A: Send + 'static,
        F: TaskFn<A, Output: Send + 'static>,
    {
        Task::new(self.engine.clone(), name, f)
    }

    /// Declares a closure that returns a `Result` as a task: its value is what is in `Ok`; an
    /// `Err` makes the task failed, and comes back from `get` as
    /// [`TaskError::Failed`](crate::TaskError::Failed).
    pub fn try_task<A, F, R, E>(&self, name: &str, f: F) -> Task<A, R>
    where
        A: Send + 'static,
        R: Send + 'static,
        E: Display + Debug + Send + Sync + 'static,
        F: TaskFn<A, Output = Result<R, E>>,
    {
        Task::fallible(self.engine.clone(), name, f)
    }

    /// Has a closure run again and again, by a crontab or a predicate: see
    /// [`Period`](crate::Period). It runs while the scheduler does, for the first time at the first
    /// moment after the start that the period names.
    pub fn periodic_task<R: Ending>(
        &self,
        name: &str,
        period: impl IntoPeriod,
        f: impl Fn() -> R + Send + Sync + 'static,
    ) {
        if self.engine.take_name(name).is_ok() {
            let meta = TaskMeta::leak(name);
            let body = Arc::new(move || f().end(meta.name));
            self.engine.add_row(Row::new(meta, period.into(), body));
        }
    }

    /// Starts the scheduler, and returns at once. Periodic tasks that `#[task]` declares for this
    /// huey, anywhere in the program, run from now on.
    ///
    /// # Errors
    /// [`Error::AlreadyStarted`]; [`Error::ShutDown`]; [`Error::Misconfigured`] if a setting or a
    /// declaration is wrong, with all that is; [`Error::Runtime`] if green threads can't be had.
    pub fn start(&self) -> Result<(), Error> {
        // Before anything can be wrong with the start: what is found now is not found again.
        let found = self.declared.find(&self.engine).unwrap_or_default();
        adopt(&self.engine, &found).into_iter().for_each(|row| self.engine.add_row(row));
        // A huey that starts in its own initialiser can't be found by a declaration yet: the
        // scheduler goes on looking.
        let search = self.declared.clone();
        let engine: Weak<Engine> = Arc::downgrade(&self.engine);
        self.engine.start(Arc::new(move || {
            let engine = engine.upgrade()?;
            let found = search.find(&engine)?;
            Some(adopt(&engine, &found))
        }))
    }

    /// Stops the scheduler. Tasks that run or wait to run are not touched; what is scheduled
    /// stays, and a new start takes it up again.
    ///
    /// # Errors
    /// [`Error::NotStarted`].
    pub fn stop(&self) -> Result<(), Error> {
        self.engine.stop()
    }

    /// True while the scheduler runs.
    pub fn is_started(&self) -> bool {
        self.engine.is_running()
    }

    /// Waits until no task runs or waits to run. Those that are scheduled don't count.
    ///
    /// # Errors
    /// [`Error::JoinTimedOut`] after `timeout`; [`Error::InsideTask`] in a task of this huey.
    pub fn join(&self, timeout: impl Into<Option<Duration>>) -> Result<(), Error> {
        self.engine.join(timeout.into())
    }

    /// Ends this huey, in order: takes no more calls, not even from its own tasks (they resolve
    /// as [`ShutDown`](crate::TaskError::ShutDown)); gives up what is scheduled; lets what runs
    /// and waits go on for at most `patience`; gives up the rest. Every result resolves. Gives
    /// what was abandoned.
    ///
    /// A task that still runs then unwinds at its next wait, as one that is
    /// [cancelled](crate::TaskResult::cancel). One that computes, or holds its worker, can't be
    /// stopped: it goes on, but nobody gets its value.
    ///
    /// ```
    /// # use minihuey::{MiniHuey, Stage, TaskError};
    /// # use std::time::Duration;
    /// let huey = MiniHuey::new("leaving");
    /// let remind = huey.task("remind", || ());
    /// let later = remind.schedule((), Duration::from_secs(3600));
    /// let abandoned = huey.shutdown(Duration::from_secs(5))?;
    /// assert_eq!((abandoned[0].name, abandoned[0].stage), ("remind", Stage::Scheduled));
    /// assert!(matches!(later.get(), Err(TaskError::ShutDown)));
    /// # Ok::<(), minihuey::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::ShutDown`] the second time; [`Error::InsideTask`] in a task of this huey.
    pub fn shutdown(&self, patience: Duration) -> Result<Vec<Abandoned>, Error> {
        self.engine.shutdown(patience)
    }

    /// How many tasks are where, and how many ended how.
    pub fn stats(&self) -> Stats {
        self.engine.stats()
    }

    pub(crate) fn engine(&self) -> &Engine {
        &self.engine
    }

    pub(crate) fn is(&self, engine: &Arc<Engine>) -> bool {
        Arc::ptr_eq(&self.engine, engine)
    }
}

/// Takes in what `#[task]` declared. A name that is taken is remembered as a problem: `start`
/// refuses, or, if it is found later, the log says so.
fn adopt(engine: &Engine, declared: &[&'static Declared]) -> Vec<Row> {
    let named = declared.iter().filter(|declared| engine.take_name(declared.meta.name).is_ok());
    named.filter_map(|declared| declared.row()).collect()
}

impl Debug for MiniHuey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "MiniHuey({:?})", self.name())
    }
}

impl Builder {
    /// The longest that the scheduler sleeps while anything follows the wall clock; 1 s unless
    /// set. It sleeps for less when something is due earlier: a small interval makes nothing more
    /// punctual, it only notices earlier that the wall clock was set or that the machine slept.
    /// (In huey it is how often the schedule is looked at.)
    pub fn interval(mut self, interval: Duration) -> Builder {
        self.settings.interval = interval;
        self
    }

    /// How many tasks run at a moment; unless set, as many as the machine's memory mappings allow:
    /// by the kernel's default settings some 42,000, 55,000 with those that others wait for; half
    /// as many before Linux 6.13. A task that waits for another does not count.
    pub fn pool_size(mut self, pool_size: usize) -> Builder {
        self.settings.pool_size = Some(pool_size);
        self
    }

    /// How many of the tasks that are declared `offload` run at a moment; unless set, as many as
    /// there may be OS threads for the whole process ([`offload_threads`]), of which this is a
    /// share. They don't count for `pool_size`. One that waits for another does not count
    /// meanwhile.
    ///
    /// [`offload_threads`]: crate::RuntimeBuilder::offload_threads
    pub fn offload_size(mut self, offload_size: usize) -> Builder {
        self.settings.offload_size = Some(offload_size);
        self
    }

    /// How many tasks may wait to run, offloaded ones included; no limit unless set. What is due
    /// always gets in.
    pub fn backlog(mut self, backlog: usize) -> Builder {
        self.settings.backlog = Some(backlog);
        self
    }

    /// What happens to a call when the backlog is full; it is rejected unless set.
    pub fn when_full(mut self, when_full: WhenFull) -> Builder {
        self.settings.when_full = when_full;
        self
    }

    /// Runs each task in its caller, before the call returns: for tests. What is scheduled still
    /// waits for its time, as in huey, and then runs in a green thread, as do periodic tasks.
    pub fn immediate(mut self, immediate: bool) -> Builder {
        self.settings.immediate = immediate;
        self
    }

    /// The clock to go by: for tests, a [`ManualClock`](crate::ManualClock).
    pub fn clock(mut self, clock: impl Into<Clock>) -> Builder {
        self.settings.clock = clock.into();
        self
    }

    /// Makes the huey. Wrong settings are reported by [`start`](MiniHuey::start) and by every
    /// call; to have them reported here use [`try_build`](Builder::try_build).
    pub fn build(self) -> MiniHuey {
        MiniHuey {
            engine: Arc::new(Engine::new(self.name, self.settings)),
            declared: Arc::new(Search::new()),
        }
    }

    /// Makes the huey.
    ///
    /// # Errors
    /// [`Error::Misconfigured`] with all that is wrong with the settings.
    pub fn try_build(self) -> Result<MiniHuey, Error> {
        let huey = self.build();
        huey.engine.check()?;
        Ok(huey)
    }
}
