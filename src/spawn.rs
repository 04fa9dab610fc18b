//! Green threads that belong to no huey: [`spawn`], and a handle to wait for what comes of one.
//! Shown as `green::spawn`.

use std::fmt;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};
use std::time::Duration;

use crate::error::{Reason, Rejection, TaskError};
use crate::green::{Pool, Runtime, TaskMeta, probe};
use crate::result::TaskResult;
use crate::task;

static META: TaskMeta = TaskMeta::new("green::spawn");

/// What spawned functions run in.
static POOL: OnceLock<Result<Arc<Pool>, Rejection>> = OnceLock::new();

/// Runs `f` in a green thread of its own: from an OS thread, a green thread or async code.
///
/// It begins when the worker comes to it, and never leaves its worker. It is no task: no huey
/// counts it, limits it or shuts it down. If there are as many green threads as can be it waits for
/// its turn. A panic in it is logged, and given by [`join`](JoinHandle::join).
///
/// ```
/// use minihuey::green;
/// use std::time::Duration;
///
/// let twice = |n: u32| {
///     green::spawn(move || {
///         green::sleep(Duration::from_millis(1));
///         2 * n
///     })
/// };
/// let handles = [twice(1), twice(2)];
/// let sum: u32 = handles.into_iter().map(|handle| handle.join().unwrap()).sum();
/// assert_eq!(sum, 6);
/// ```
pub fn spawn<F, T>(f: F) -> JoinHandle<T>
where
    F: FnOnce() -> T + Send + 'static,
    T: Send + 'static,
{
    let pool = match POOL.get() {
        Some(pool) => pool,
        None => {
            // Out here, because a coroutine of the program's own may be suspended in it, and a
            // stack may overflow.
            let pool = match Runtime::get() {
                Ok(runtime) => Ok(Pool::new(runtime, None, None)),
                Err(why) => Err(Reason::Runtime(why.to_string()).into()),
            };
            probe();
            POOL.get_or_init(|| pool)
        }
    };
    let pool = match pool {
        Ok(pool) => pool,
        Err(why) => return JoinHandle(task::rejected(&META, why.clone())),
    };
    let (job, result) = task::call(&META, pool.id(), || Ok(f()));
    if let Err(refused) = pool.push(job, usize::MAX) {
        refused.shut_down();
    }
    JoinHandle(result)
}

/// A handle to a green thread: to wait for what it gives. Dropping it changes nothing for the
/// thread.
///
/// It is a [`Future`], too, which gives what [`join`](JoinHandle::join) does.
pub struct JoinHandle<T>(TaskResult<T>);

impl<T: Send + 'static> JoinHandle<T> {
    /// Waits until the green thread has ended and gives its value.
    ///
    /// A task that waits here lends its place in its huey's `pool_size` meanwhile.
    ///
    /// # Errors
    /// [`TaskError::Panicked`] with the message and the place, [`TaskError::StackOverflow`],
    /// [`TaskError::Rejected`] if the runtime can't be started, and
    /// [`TaskError::WaitImpossible`] in a destructor while a panic unwinds a green thread.
    ///
    /// ```
    /// use minihuey::{TaskError, green};
    /// let fails = green::spawn(|| panic!("no luck"));
    /// match fails.join() {
    ///     Err(TaskError::Panicked(panic)) => assert_eq!(panic.message(), "no luck"),
    ///     other => panic!("{other:?}"),
    /// }
    /// ```
    pub fn join(self) -> Result<T, TaskError> {
        self.0.get()
    }

    /// Waits for at most `timeout`.
    ///
    /// # Errors
    /// [`TaskError::WaitTimedOut`] if it has not ended by then: the handle stays usable. Else as
    /// [`join`](JoinHandle::join); once it gave the value, [`TaskError::AlreadyTaken`].
    pub fn join_timeout(&mut self, timeout: Duration) -> Result<T, TaskError> {
        self.0.get_timeout(timeout)
    }

    /// Ends the green thread at its next wait, and resolves this to
    /// [`TaskError::Cancelled`] at once: as [`TaskResult::cancel`].
    pub fn cancel(&self) -> bool {
        self.0.cancel()
    }

    /// True once the green thread has ended.
    pub fn is_finished(&self) -> bool {
        self.0.is_ready()
    }
}

impl<T: Send + 'static> Future for JoinHandle<T> {
    type Output = Result<T, TaskError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.0).poll(context)
    }
}

impl<T: Send + 'static> fmt::Debug for JoinHandle<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JoinHandle").field("is_finished", &self.is_finished()).finish()
    }
}
