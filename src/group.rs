//! The results of several calls, as one.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use crate::arrivals::Arrivals;
use crate::error::TaskError;
use crate::green::Mutex;
use crate::green::{self, Green, Waited, Waiter};
use crate::result::{TaskResult, deadline};

/// Several results, to be waited for together. Made by [`group`] and by a task's `map`.
///
/// ```
/// # use minihuey::{MiniHuey, group};
/// # let huey = MiniHuey::new("groups");
/// let double = huey.task("double", |n: u32| 2 * n);
/// assert_eq!(double.map([1, 2, 3].map(|n| (n,))).get()?, [2, 4, 6]);
///
/// let mixed = group([double.call((5,)), double.call((6,))]);
/// for (index, value) in mixed.as_completed() {
///     println!("number {index} gave {}", value?);
/// }
/// # Ok::<(), minihuey::Error>(())
/// ```
#[must_use = "the tasks run anyway, but their values and errors are lost"]
pub struct Group<T> {
    members: Vec<TaskResult<T>>,
}

/// Makes one of several results. See [`Group`].
pub fn group<T: Send + 'static>(results: impl IntoIterator<Item = TaskResult<T>>) -> Group<T> {
    Group { members: results.into_iter().collect() }
}

impl<T: Send + 'static> Group<T> {
    /// Waits for all members and gives their values, in order.
    ///
    /// # Errors
    /// The first error in order; members behind it are not waited for, but run on. To have each
    /// member's own, iterate over the group, or use [`as_completed`](Group::as_completed).
    pub fn get(self) -> Result<Vec<T>, TaskError> {
        self.members.into_iter().map(TaskResult::get).collect()
    }

    /// Waits for at most `timeout`, for all members together.
    ///
    /// # Errors
    /// [`TaskError::WaitTimedOut`] if some have not ended by then: the group stays usable, no
    /// value is lost. Else as [`get`](Group::get), and the values of the others are gone.
    pub fn get_timeout(&mut self, timeout: Duration) -> Result<Vec<T>, TaskError> {
        let deadline = deadline(timeout);
        for member in &mut self.members {
            match member.receiver().wait(deadline) {
                Waited::Ready => {}
                Waited::TimedOut => return Err(TaskError::WaitTimedOut),
                Waited::Impossible | Waited::Interrupted => return Err(TaskError::WaitImpossible),
            }
        }
        self.take_all()
    }

    fn take_all(&mut self) -> Result<Vec<T>, TaskError> {
        let taken = self.members.iter_mut().map(TaskResult::try_get);
        taken.map(|value| value.unwrap_or(Err(TaskError::WaitTimedOut))).collect()
    }

    /// Cancels all members that have not ended. Gives how many those are. See
    /// [`TaskResult::cancel`].
    pub fn cancel(&self) -> usize {
        green::cancel_all(self.members.iter().map(TaskResult::job))
    }

    /// True once all members have ended.
    pub fn is_ready(&self) -> bool {
        self.members.iter().all(TaskResult::is_ready)
    }

    /// How many members there are.
    pub fn len(&self) -> usize {
        self.members.len()
    }

    /// True if there are no members.
    pub fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    /// The members' values as they come: each with its place in the group. The iterator waits.
    pub fn as_completed(self) -> AsCompleted<T> {
        let arrivals = Arc::new(Mutex::new(Arrivals::<Waiter>::new()));
        let members = self.members.into_iter().enumerate().map(|(index, mut member)| {
            let its_arrivals = arrivals.clone();
            let arrive = move || {
                let waiter = its_arrivals.lock().arrive(index);
                if let Some(waiter) = waiter {
                    waiter.wake();
                }
            };
            member.receiver().notify_or_run(arrive);
            Some(member)
        });
        AsCompleted { members: members.collect(), arrivals }
    }
}

/// The members one by one, each to be waited for or let go.
impl<T> IntoIterator for Group<T> {
    type Item = TaskResult<T>;
    type IntoIter = std::vec::IntoIter<TaskResult<T>>;

    fn into_iter(self) -> Self::IntoIter {
        self.members.into_iter()
    }
}

/// Resolves to what [`Group::get`] gives.
impl<T: Send + 'static> Future for Group<T> {
    type Output = Result<Vec<T>, TaskError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        for member in &mut self.members {
            // One that has not ended is enough to wait for: it will have us polled again.
            let waker = Waiter::Task(Box::new(context.waker().clone()));
            if !member.is_ready() && member.receiver().notify(waker) {
                return Poll::Pending;
            }
        }
        Poll::Ready(self.take_all())
    }
}

impl<T: Send + 'static> fmt::Debug for Group<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(&self.members).finish()
    }
}

/// The place of a member in its group, and what became of it.
pub type Completed<T> = (usize, Result<T, TaskError>);

/// Iterates over a group in the order in which its members end. See [`Group::as_completed`].
pub struct AsCompleted<T> {
    /// None once it was given.
    members: Vec<Option<TaskResult<T>>>,
    arrivals: Arc<Mutex<Arrivals<Waiter>>>,
}

impl<T: Send + 'static> AsCompleted<T> {
    /// As `next`, but waits for at most `timeout`.
    ///
    /// # Errors
    /// [`TaskError::WaitTimedOut`] if no member more has ended by then; the iterator stays usable.
    pub fn next_timeout(&mut self, timeout: Duration) -> Result<Option<Completed<T>>, TaskError> {
        self.next_until(deadline(timeout))
    }

    fn next_until(&mut self, deadline: Option<Instant>) -> Result<Option<Completed<T>>, TaskError> {
        green::probe();
        let Some(awaited) = self.members.iter_mut().flatten().next() else {
            return Ok(None);
        };
        let awaited = awaited.receiver().as_job();
        let mut first = self.arrivals.lock().take();
        if first.is_none() {
            let me = Green::current();
            let place = green::lend(me.as_ref(), || awaited);
            let waited = green::block_or_interrupted(me.as_deref(), deadline, || {
                first = self.arrivals.lock().next(Waiter::current);
                first.is_some()
            });
            if let Some(place) = place {
                place.reclaim();
            }
            match waited.or_unwind() {
                Waited::Ready => {}
                Waited::TimedOut => return Err(TaskError::WaitTimedOut),
                Waited::Impossible | Waited::Interrupted => return Err(TaskError::WaitImpossible),
            }
        }
        let member = first.and_then(|index| Some((index, self.members.get_mut(index)?.take()?)));
        Ok(member.map(|(index, mut member)| {
            let value = member.try_get().unwrap_or(Err(TaskError::WaitTimedOut));
            (index, value)
        }))
    }
}

impl<T: Send + 'static> Iterator for AsCompleted<T> {
    type Item = Completed<T>;

    /// Waits for the next member to end. In a destructor while a panic unwinds in a task it may
    /// give None early.
    fn next(&mut self) -> Option<Self::Item> {
        self.next_until(None).ok().flatten()
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let left = self.members.iter().flatten().count();
        (left, Some(left))
    }
}
