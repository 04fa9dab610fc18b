//! What a call gives back at once: a handle to the value that will come.

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

pub(crate) use crate::clock::deadline;
use crate::error::TaskError;
use crate::green::{self, Job, Waited, Waiter, panics};
use crate::slot::Receiver;

/// Identifies one call of a task within the process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TaskId(pub(crate) u64);

impl fmt::Display for TaskId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "#{}", self.0)
    }
}

/// The result of a called task: to wait for, to look at, or to let go.
///
/// It can be waited for in an OS thread, in another task, or, as a [`Future`], in async code on
/// any executor. Dropping it changes nothing for the task: a value that nobody can ask for any more
/// is dropped by the task itself, at its end. Every result resolves, whatever becomes of the task:
/// see [`TaskError`].
///
/// Inside a task use [`get`](TaskResult::get): a task that runs an executor to await a result keeps
/// its place in the pool meanwhile, and if all of them do, they wait for good.
///
/// In Python a result can be asked for its value again and again. Here the value is moved out,
/// once: `get` takes the handle.
///
/// ```
/// # use minihuey::MiniHuey;
/// # use std::time::Duration;
/// # let huey = MiniHuey::new("results");
/// let add = huey.task("add", |a: i64, b: i64| a + b);
/// assert_eq!(add.call((1, 2)).get()?, 3);
///
/// let mut result = add.call((3, 4));
/// if result.wait_timeout(Duration::from_secs(10)) {
///     assert_eq!(result.try_get().unwrap()?, 7);
/// }
/// # Ok::<(), minihuey::Error>(())
/// ```
#[must_use = "the task runs anyway, but its value and its error are lost; `drop` it if that is meant"]
pub struct TaskResult<T> {
    receiver: Receiver<Result<T, TaskError>>,
}

impl<T: Send + 'static> TaskResult<T> {
    pub(crate) fn new(receiver: Receiver<Result<T, TaskError>>) -> TaskResult<T> {
        TaskResult { receiver }
    }

    /// Waits until the task has ended and gives its value.
    ///
    /// A task that waits here for another gives its place in the pool to that one meanwhile: it
    /// never deadlocks, whatever `pool_size` is.
    ///
    /// # Errors
    /// What became of the task instead: see [`TaskError`].
    pub fn get(self) -> Result<T, TaskError> {
        let mut receiver = match self.receiver.into_value() {
            Ok(value) => return value,
            Err(receiver) => receiver,
        };
        let waited = receiver.wait_for_it(None);
        match receiver.into_value() {
            Ok(value) => value,
            Err(receiver) => TaskResult { receiver }.take(waited),
        }
    }

    /// Waits for at most `timeout`.
    ///
    /// # Errors
    /// [`TaskError::WaitTimedOut`] if the task has not ended by then: the result stays usable. Else
    /// as [`get`](TaskResult::get).
    pub fn get_timeout(&mut self, timeout: Duration) -> Result<T, TaskError> {
        let waited = self.receiver.wait(deadline(timeout));
        self.take(waited)
    }

    /// The value, if the task has ended. Never waits.
    ///
    /// The second time, the value is gone: [`TaskError::AlreadyTaken`].
    pub fn try_get(&mut self) -> Option<Result<T, TaskError>> {
        self.is_ready().then(|| self.take(Waited::Ready))
    }

    fn take(&mut self, waited: Waited) -> Result<T, TaskError> {
        match waited {
            Waited::Ready => match self.receiver.take() {
                Some(value) => value,
                None => Err(TaskError::AlreadyTaken),
            },
            Waited::TimedOut => Err(TaskError::WaitTimedOut),
            Waited::Impossible | Waited::Interrupted => Err(TaskError::WaitImpossible),
        }
    }

    /// True once the task has ended.
    pub fn is_ready(&self) -> bool {
        self.receiver.is_ready()
    }

    /// Waits until the task has ended, without taking the value.
    ///
    /// It returns earlier only in a destructor that runs while a panic unwinds in a task, where
    /// waiting is not possible for long.
    pub fn wait(&mut self) {
        self.receiver.wait(None);
    }

    /// Waits for at most `timeout`. Gives true if the task has ended.
    pub fn wait_timeout(&mut self, timeout: Duration) -> bool {
        self.receiver.wait(deadline(timeout)) == Waited::Ready
    }

    /// Has `f` called with what becomes of the task.
    ///
    /// It is called by whichever thread ends the task: in most cases the worker that runs all
    /// others too, after a time-out the one thread that sees to all time-outs, after `cancel` or
    /// `shutdown` their caller; or right here if the task has ended. So it must be short and must
    /// not block. A panic in it is logged and goes no further.
    ///
    /// ```
    /// # use minihuey::MiniHuey;
    /// # let huey = MiniHuey::new("callbacks");
    /// let (sender, receiver) = std::sync::mpsc::channel();
    /// huey.task("answer", || 42).call(()).on_ready(move |value| sender.send(value).unwrap());
    /// assert_eq!(receiver.recv().unwrap()?, 42);
    /// # Ok::<(), minihuey::Error>(())
    /// ```
    pub fn on_ready(self, f: impl FnOnce(Result<T, TaskError>) + Send + 'static) {
        let name = self.name();
        self.receiver.hand_over(move |receiver| {
            let value = TaskResult { receiver }.take(Waited::Ready);
            if let Err(panic) = panics::catch(name, || f(value)) {
                log::error!("on_ready: {panic}");
            }
        });
    }

    /// Cancels the task. Gives true if, because of this call, it will not give its value: the
    /// result is [`TaskError::Cancelled`] from this moment on. Gives false if the task had ended,
    /// or was ended otherwise, before.
    ///
    /// A task that has not begun never does; what it was called with is dropped here. One that
    /// runs unwinds at its next wait in a green thread, as it would from a panic, but silently: in
    /// [`green::sleep`](crate::green::sleep), [`yield_now`](crate::green::yield_now), a wait for
    /// another task. Its destructors run, as soon as the pool has a place for
    /// it, if it lent its own; they should not wait themselves. If it catches that
    /// (`std::panic::catch_unwind`), its next wait unwinds again. What computes or holds its worker
    /// can't be stopped, nor can what runs on an OS thread: nobody gets its value, but it runs on.
    ///
    /// Tasks that it called are not cancelled with it; who waits for the cancelled one gets the
    /// error. Each call looks through all that run: to cancel thousands use
    /// [`Group::cancel`](crate::Group::cancel), which does so once.
    ///
    /// ```
    /// # use minihuey::{MiniHuey, TaskError, green};
    /// # use std::time::Duration;
    /// # let huey = MiniHuey::new("cancelling");
    /// let nap = huey.task("nap", || green::sleep(Duration::from_secs(3600))).call(());
    /// assert!(nap.cancel());
    /// assert!(!nap.cancel());                                  // too late: it is cancelled
    /// assert!(matches!(nap.get(), Err(TaskError::Cancelled)));
    /// ```
    pub fn cancel(&self) -> bool {
        green::cancel(self.job())
    }

    pub(crate) fn job(&self) -> &dyn Job {
        self.receiver.job()
    }

    /// Which call this is.
    pub fn id(&self) -> TaskId {
        TaskId(self.receiver.job().id())
    }

    /// The task's name.
    pub fn name(&self) -> &'static str {
        self.receiver.job().meta().name
    }

    pub(crate) fn receiver(&mut self) -> &mut Receiver<Result<T, TaskError>> {
        &mut self.receiver
    }
}

/// Resolves to what [`TaskResult::get`] gives. Needs no particular executor.
impl<T: Send + 'static> Future for TaskResult<T> {
    type Output = Result<T, TaskError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let waker = Waiter::Task(Box::new(context.waker().clone()));
        if !self.is_ready() && self.receiver.notify(waker) {
            return Poll::Pending;
        }
        Poll::Ready(self.take(Waited::Ready))
    }
}

impl<T: Send + 'static> fmt::Debug for TaskResult<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = match (self.receiver.is_taken(), self.is_ready()) {
            (true, _) => "taken",
            (false, true) => "ready",
            (false, false) => "pending",
        };
        write!(f, "TaskResult({} {} {state})", self.name(), self.id())
    }
}
