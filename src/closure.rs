//! A task made at run time, of a closure: what `#[task]` is for functions.

use std::fmt;
use std::fmt::{Debug, Display};
use std::sync::Arc;
use std::time::Duration;

use crate::clock::Eta;
use crate::engine::Engine;
use crate::error::{Failure, Rejection};
use crate::green::{TaskMeta, check_stack_size};
use crate::group::{Group, group};
use crate::result::TaskResult;
use crate::task::{self, TaskFn};

/// A task declared at run time. `A` is the tuple of its arguments, `R` what it gives.
///
/// Clones are the same task.
///
/// ```
/// # use minihuey::MiniHuey;
/// # use std::time::Duration;
/// let huey = MiniHuey::new("jobs");
/// let add = huey.task("add", |a: i64, b: i64| a + b);
/// assert_eq!(add.call((1, 2)).get()?, 3);
/// assert_eq!(add.call_local((1, 2))?, 3);
/// # huey.start()?;
/// assert_eq!(add.schedule((1, 2), Duration::from_millis(5)).get()?, 3);
/// # Ok::<(), minihuey::Error>(())
/// ```
pub struct Task<A, R> {
    engine: Arc<Engine>,
    meta: &'static TaskMeta,
    function: Arc<Function<A, R>>,
    /// Why it can't be called, if it can't.
    refused: Option<Arc<Rejection>>,
}

type Function<A, R> = dyn Fn(A) -> Result<R, Failure> + Send + Sync;

impl<A: Send + 'static, R: Send + 'static> Task<A, R> {
    pub(crate) fn new(
        engine: Arc<Engine>,
        name: &str,
        f: impl TaskFn<A, Output = R>,
    ) -> Task<A, R> {
        Task::declare(engine, name, |_| Arc::new(move |args| Ok(f.call(args))))
    }

    pub(crate) fn fallible<E: Display + Debug + Send + Sync + 'static>(
        engine: Arc<Engine>,
        name: &str,
        f: impl TaskFn<A, Output = Result<R, E>>,
    ) -> Task<A, R> {
        Task::declare(engine, name, |meta| {
            Arc::new(move |args| f.call(args).map_err(|error| Failure::new(meta.name, error)))
        })
    }

    fn declare(
        engine: Arc<Engine>,
        name: &str,
        function: impl FnOnce(&'static TaskMeta) -> Arc<Function<A, R>>,
    ) -> Task<A, R> {
        let refused = engine.take_name(name).err().map(Arc::new);
        let meta = TaskMeta::leak(name);
        Task { engine, meta, function: function(meta), refused }
    }

    /// Has it run on an OS thread, as `#[task(HUEY, offload)]`, beside all green threads: for what
    /// would hold them up. What [`offload`](crate::offload()) says of stacks and threads holds;
    /// how many run at a moment is [`offload_size`](crate::Builder::offload_size).
    pub fn offload(self) -> Task<A, R> {
        self.with(TaskMeta::offload)
    }

    /// Gives it only so long to run, as `#[task(HUEY, timeout = "30s")]`: see
    /// [`TaskError::TimedOut`](crate::TaskError::TimedOut). With no time at all every call is
    /// rejected, and [`start`](crate::MiniHuey::start) is an error.
    ///
    /// ```
    /// # use minihuey::{MiniHuey, TaskError, green};
    /// # use std::time::Duration;
    /// # let huey = MiniHuey::new("patient");
    /// let nap = huey.task("nap", || green::sleep(Duration::from_secs(3600)));
    /// let nap = nap.timeout(Duration::from_millis(10));
    /// assert!(matches!(nap.call(()).get(), Err(TaskError::TimedOut)));
    /// ```
    pub fn timeout(mut self, timeout: Duration) -> Task<A, R> {
        if timeout.is_zero() {
            let name = self.meta.name;
            let why = format!("the time-out of {name:?} is 0; expected a positive duration");
            self.refused.get_or_insert(Arc::new(self.engine.refuse(&why)));
        }
        self.with(|meta| meta.timeout(timeout))
    }

    /// Gives it a stack of so many bytes, as `#[task(HUEY, stack_size = "1MiB")]`; from 64 KiB to
    /// 1 GiB, else every call of it is rejected, and [`start`](crate::MiniHuey::start) is an error.
    /// The same if it is offloaded: it has an OS thread's stack then.
    ///
    /// Only what is more than the runtime's own [`stack_size`](crate::RuntimeBuilder::stack_size)
    /// makes a difference. Pages that the task never touches take no memory, but such a stack is
    /// made anew for most calls, for some 20 µs.
    pub fn stack_size(self, bytes: usize) -> Task<A, R> {
        self.with(|meta| meta.stack_size(bytes))
    }

    fn with(mut self, option: impl FnOnce(TaskMeta) -> TaskMeta) -> Task<A, R> {
        let meta = option(self.meta.clone());
        if let (None, Some(problem)) = (&self.refused, problem(&meta)) {
            self.refused = Some(Arc::new(self.engine.refuse(&problem)));
        }
        self.meta = Box::leak(Box::new(meta));
        self
    }

    /// Enqueues the task with these arguments and returns at once.
    pub fn call(&self, args: A) -> TaskResult<R> {
        match &self.refused {
            None => self.engine.call(self.meta, self.work(args)),
            Some(why) => task::rejected(self.meta, (**why).clone()),
        }
    }

    /// Has the task run with these arguments when `eta` comes: a delay or a time. See [`Eta`].
    ///
    /// One that is due already runs at once. For any other the huey must be started.
    pub fn schedule(&self, args: A, eta: impl Into<Eta>) -> TaskResult<R> {
        match &self.refused {
            None => self.engine.schedule(self.meta, eta.into(), self.work(args)),
            Some(why) => task::rejected(self.meta, (**why).clone()),
        }
    }

    /// Enqueues the task once for each of several arguments.
    pub fn map(&self, args: impl IntoIterator<Item = A>) -> Group<R> {
        group(args.into_iter().map(|args| self.call(args)))
    }

    /// Calls the closure itself, here and now.
    ///
    /// # Errors
    /// The error that it returns, as [`TaskError::Failed`](crate::TaskError::Failed).
    pub fn call_local(&self, args: A) -> Result<R, crate::TaskError> {
        (self.function)(args).map_err(crate::TaskError::Failed)
    }

    fn work(&self, args: A) -> impl FnOnce() -> Result<R, Failure> + Send + 'static {
        let function = self.function.clone();
        move || function(args)
    }
}

/// What is wrong with the options of a task. (`#[task]` finds the same when it is compiled.)
fn problem(meta: &TaskMeta) -> Option<String> {
    let bytes = meta.stack_size?;
    if meta.offload {
        return Some(format!(
            "task {:?} is offloaded, and so has the stack of an OS thread; expected offload or \
             stack_size, not both",
            meta.name
        ));
    }
    let wrong = check_stack_size(bytes).err()?;
    Some(format!("task {:?}: {wrong}", meta.name))
}

impl<A, R> Task<A, R> {
    /// The name that it was declared with.
    pub fn name(&self) -> &'static str {
        self.meta.name
    }
}

impl<A, R> Clone for Task<A, R> {
    fn clone(&self) -> Task<A, R> {
        Task {
            engine: self.engine.clone(),
            meta: self.meta,
            function: self.function.clone(),
            refused: self.refused.clone(),
        }
    }
}

impl<A, R> fmt::Debug for Task<A, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Task({})", self.meta.name)
    }
}
