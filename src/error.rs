//! Every public error, on one screen: [`TaskError`] is what became of a task, [`Error`] what
//! became of a request to the library itself. Nothing here knows who raises what.

use std::any::Any;
use std::error::Error as StdError;
use std::fmt::{self, Debug, Display};

use crate::crontab::CrontabError;

/// Why a task has no value to give.
///
/// Every result resolves: to the task's value, or to exactly one of these. Its `Debug` is the
/// readable text, as that of [`Error`]: `main` prints it, whatever type of error it returns.
///
/// ```
/// # use minihuey::{MiniHuey, TaskError};
/// let huey = MiniHuey::new("errors");
/// let parse = huey.try_task("parse", |text: String| text.parse::<i32>());
/// match parse.call(("forty".into(),)).get() {
///     Err(TaskError::Failed(failure)) => {
///         let original: &std::num::ParseIntError = failure.downcast_ref().unwrap();
///         assert_eq!(original.to_string(), "invalid digit found in string");
///     }
///     other => panic!("{other:?}"),
/// }
/// ```
#[non_exhaustive]
pub enum TaskError {
    /// The task ran and returned `Err`. Holds that error, as it was.
    Failed(Failure),
    /// The task panicked. Holds the message and, where known, the place.
    Panicked(Panic),
    /// The task outgrew its stack. Its destructors did not run, and locks that it held stay
    /// locked; everything else goes on. Give it more with `#[task(…, stack_size = "1MiB")]`, or all
    /// of them with `runtime().stack_size(…)`.
    StackOverflow,
    /// The task was cancelled before it finished: see
    /// [`TaskResult::cancel`](crate::TaskResult::cancel).
    Cancelled,
    /// The task did not finish within its time-out, `#[task(HUEY, timeout = "30s")]` or
    /// [`Task::timeout`](crate::Task::timeout), counted from the moment it began to run.
    ///
    /// The result resolves at the deadline. The task unwinds at its next wait in a green thread,
    /// as one that is [cancelled](crate::TaskResult::cancel); if it computes, holds its worker or
    /// was offloaded, it runs on, and nobody gets its value. Nothing times out in a huey that is
    /// [`immediate`](crate::Builder::immediate).
    TimedOut,
    /// The huey was shut down before the task finished. One that runs is interrupted as one that
    /// is cancelled.
    ShutDown,
    /// The task was never taken on: the backlog is full, or the huey can't run it. Says why.
    Rejected(Rejection),
    /// Not a fate of the task: a wait with a time-out ended first. The result stays usable.
    WaitTimedOut,
    /// Not a fate of the task: this wait can never be served where it was made (in a destructor
    /// while a panic unwinds, where a green thread must not yield). The result stays usable.
    WaitImpossible,
    /// The value has been handed out before, by `try_get`, `get_timeout` or an `await`.
    AlreadyTaken,
}

impl TaskError {
    /// The error that the task returned, if it returned one of type `E`.
    ///
    /// ```
    /// # use minihuey::MiniHuey;
    /// # use std::io;
    /// # let huey = MiniHuey::new("downcast");
    /// let read = huey.try_task("read", |path: String| std::fs::read_to_string(path));
    /// let error = read.call(("/no/such/file".into(),)).get().unwrap_err();
    /// assert_eq!(error.downcast_ref::<io::Error>().unwrap().kind(), io::ErrorKind::NotFound);
    /// ```
    pub fn downcast_ref<E: 'static>(&self) -> Option<&E> {
        match self {
            TaskError::Failed(failure) => failure.downcast_ref(),
            _ => None,
        }
    }

    /// Takes the task's own error out, if it is one of type `E`; else gives this error back.
    pub fn downcast<E: 'static>(self) -> Result<E, TaskError> {
        match self {
            TaskError::Failed(failure) => failure.downcast().map_err(TaskError::Failed),
            other => Err(other),
        }
    }
}

impl Display for TaskError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            TaskError::Failed(failure) => Display::fmt(failure, f),
            TaskError::Panicked(panic) => Display::fmt(panic, f),
            TaskError::StackOverflow => f.write_str(
                "the task overflowed its stack (raise it with #[task(…, stack_size = \"1MiB\")], or for \
                 all with minihuey::runtime().stack_size(bytes), or recurse less)",
            ),
            TaskError::Cancelled => f.write_str("the task was cancelled"),
            TaskError::TimedOut => f.write_str("the task did not finish within its time-out"),
            TaskError::ShutDown => f.write_str("the huey was shut down before the task finished"),
            TaskError::Rejected(why) => write!(f, "the task was not taken on: {why}"),
            TaskError::WaitTimedOut => {
                f.write_str("the task has not finished within the time given to wait")
            }
            TaskError::WaitImpossible => f.write_str(
                "can't wait for a task in a destructor while a panic unwinds in a green thread",
            ),
            TaskError::AlreadyTaken => f.write_str("the task's value has been taken before"),
        }
    }
}

impl Debug for TaskError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Display::fmt(self, f)
    }
}

// Display already contains the cause's text, so there is no `source`: a reporter that prints
// the chain would print it twice. `downcast_ref` reaches the original.
impl StdError for TaskError {}

/// What a task may return as its error: anything that can be shown and sent. All error types
/// are, as are `String`, `&'static str` and `anyhow::Error`.
trait Cause: Any + Display + Debug + Send + Sync {}
impl<E: Any + Display + Debug + Send + Sync> Cause for E {}

/// The error that a task returned, with the name of the task. See [`TaskError::Failed`].
pub struct Failure(Box<FailureInner>);

struct FailureInner {
    task: &'static str,
    cause: Box<dyn Cause>,
}

impl Failure {
    pub(crate) fn new<E: Display + Debug + Send + Sync + 'static>(
        task: &'static str,
        error: E,
    ) -> Failure {
        Failure(Box::new(FailureInner { task, cause: Box::new(error) }))
    }

    /// The name of the task that failed.
    pub fn task(&self) -> &'static str {
        self.0.task
    }

    /// The original error, if it is an `E`.
    pub fn downcast_ref<E: 'static>(&self) -> Option<&E> {
        let cause: &dyn Any = &*self.0.cause;
        cause.downcast_ref()
    }

    /// Takes the original error out, if it is an `E`; else gives the failure back.
    pub fn downcast<E: 'static>(self) -> Result<E, Failure> {
        let FailureInner { task, cause } = *self.0;
        if (&*cause as &dyn Any).is::<E>() {
            let cause: Box<dyn Any> = cause;
            if let Ok(error) = cause.downcast::<E>() {
                return Ok(*error);
            }
            unreachable!("`is` said that the cause is an E")
        }
        Err(Failure(Box::new(FailureInner { task, cause })))
    }
}

impl Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "task {} failed: {}", self.0.task, self.0.cause)
    }
}

impl Debug for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Failure").field("task", &self.0.task).field("cause", &self.0.cause).finish()
    }
}

/// A panic that ended a task. See [`TaskError::Panicked`].
#[derive(Debug)]
pub struct Panic(Box<PanicInner>);

#[derive(Debug)]
struct PanicInner {
    task: &'static str,
    message: String,
    place: Option<String>,
}

impl Panic {
    pub(crate) fn new(
        task: &'static str,
        payload: &(dyn Any + Send),
        place: Option<String>,
    ) -> Panic {
        let message = if let Some(text) = payload.downcast_ref::<&str>() {
            (*text).to_owned()
        } else if let Some(text) = payload.downcast_ref::<String>() {
            text.clone()
        } else {
            "(a payload that is not text)".to_owned()
        };
        Panic(Box::new(PanicInner { task, message, place }))
    }

    /// The name of the task that panicked.
    pub fn task(&self) -> &'static str {
        self.0.task
    }

    /// What `panic!` was given.
    pub fn message(&self) -> &str {
        &self.0.message
    }

    /// `file:line:column`. None if the program replaced the panic hook after its first task.
    pub fn place(&self) -> Option<&str> {
        self.0.place.as_deref()
    }
}

impl Display for Panic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "task {} panicked: {}", self.0.task, self.0.message)?;
        match &self.0.place {
            Some(place) => write!(f, " (at {place})"),
            None => Ok(()),
        }
    }
}

/// Why a task was not taken on. See [`TaskError::Rejected`].
#[derive(Clone, PartialEq, Eq)]
pub struct Rejection(Box<Reason>);

/// See [`Rejection::reason`].
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Reason {
    /// As many tasks as `backlog` allows are waiting.
    BacklogFull {
        /// The limit that was set.
        limit: usize,
    },
    /// The huey's settings, or the task's declaration, are wrong; says what and what is expected.
    Misconfigured(String),
    /// The green-thread runtime could not be started on this machine.
    Runtime(String),
}

impl Rejection {
    /// The reason.
    pub fn reason(&self) -> &Reason {
        &self.0
    }
}

impl From<Reason> for Rejection {
    fn from(reason: Reason) -> Rejection {
        Rejection(Box::new(reason))
    }
}

impl Display for Rejection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &*self.0 {
            Reason::BacklogFull { limit } => {
                write!(f, "the backlog is full ({limit} tasks are waiting)")
            }
            Reason::Misconfigured(what) | Reason::Runtime(what) => f.write_str(what),
        }
    }
}

impl Debug for Rejection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Debug::fmt(&self.0, f)
    }
}

/// Why a [`Pool`](crate::sync::Pool) lends no connection.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum PoolError<E> {
    /// No connection could be made. Holds the error of `connect`, as it was.
    Connect(E),
    /// All connections that there may be were lent, and none came back in time.
    TimedOut,
    /// This wait can never be served where it was made (in a destructor while a panic unwinds,
    /// where a green thread must not yield).
    WaitImpossible,
    /// A setting is wrong; says what and what is expected.
    Misconfigured(String),
}

impl<E: Display> Display for PoolError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PoolError::Connect(error) => write!(f, "can't connect: {error}"),
            PoolError::TimedOut => {
                f.write_str("no connection came back to the pool within the time given to wait")
            }
            PoolError::WaitImpossible => f.write_str(
                "can't wait for a connection in a destructor while a panic unwinds in a green \
                 thread",
            ),
            PoolError::Misconfigured(what) => f.write_str(what),
        }
    }
}

// As for TaskError: the text is whole, so there is no `source`.
impl<E: Display + Debug> StdError for PoolError<E> {}

// The value of a called task lives in the task's one allocation: an error must not enlarge it.
const _: () = assert!(size_of::<Result<u64, TaskError>>() == 16);

/// What went wrong in the library, as opposed to in a task. The return type for `main`.
///
/// Its `Debug` is the readable text, because that is what a `main` that returns it prints.
#[non_exhaustive]
pub enum Error {
    /// `start` on a huey whose scheduler runs already.
    AlreadyStarted {
        /// The huey's name.
        huey: String,
    },
    /// `stop` on a huey whose scheduler does not run.
    NotStarted {
        /// The huey's name.
        huey: String,
    },
    /// The huey was shut down; that is final.
    ShutDown {
        /// The huey's name.
        huey: String,
    },
    /// A setting, or a task's declaration, is wrong; says what and what is expected.
    Misconfigured(String),
    /// The green-thread runtime could not be started, or was started before it was configured.
    Runtime(String),
    /// `monkey::patch_all` can't make blocking calls cooperate here; says why.
    NotPatched(String),
    /// `join` gave up: tasks were still running or waiting to run.
    JoinTimedOut {
        /// How many had begun.
        running: usize,
        /// How many were waiting to begin.
        backlog: usize,
    },
    /// `join` or `shutdown` was called inside a task of the same huey: it would wait for itself.
    InsideTask,
    /// A crontab that can't be read.
    Crontab(CrontabError),
    /// A task gave no value.
    Task(TaskError),
}

impl Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::AlreadyStarted { huey } => {
                write!(f, "the scheduler of {huey:?} runs already; stop it before the next start")
            }
            Error::NotStarted { huey } => {
                write!(f, "the scheduler of {huey:?} does not run; start it before you stop it")
            }
            Error::ShutDown { huey } => {
                write!(f, "{huey:?} was shut down, which is final; make a new MiniHuey")
            }
            Error::Misconfigured(what) | Error::Runtime(what) => f.write_str(what),
            Error::NotPatched(why) => write!(f, "blocking calls can't be made to cooperate: {why}"),
            Error::JoinTimedOut { running, backlog } => {
                write!(f, "join timed out with {running} running and {backlog} waiting to run")
            }
            Error::InsideTask => f.write_str(
                "join and shutdown wait for every task to end: inside a task of the same huey \
                 they would wait for themselves",
            ),
            Error::Crontab(error) => Display::fmt(error, f),
            Error::Task(error) => Display::fmt(error, f),
        }
    }
}

impl Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Display::fmt(self, f)
    }
}

// As for TaskError: the text is whole, so there is no `source`.
impl StdError for Error {}

impl From<TaskError> for Error {
    fn from(error: TaskError) -> Error {
        Error::Task(error)
    }
}

impl From<CrontabError> for Error {
    fn from(error: CrontabError) -> Error {
        Error::Crontab(error)
    }
}
