//! A declared task: its name, its function, and what becomes of one call of it. What `#[task]`
//! expands to stands on this, too. Knows nothing of who runs it.

use std::cell::Cell;
use std::fmt::{Debug, Display};
use std::marker::PhantomData;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Instant;

use crate::error::{Failure, Rejection, TaskError};
use crate::green::{self, Dead, End, Job, JobRef, Ran, TaskMeta, Waiter, panics};
use crate::result::TaskResult;
use crate::slot::states::{CANCELLED, OVERFLOWED, SHUT_DOWN, TIMED_OUT};
use crate::slot::{self, Ended, Slot};

/// What every call carries beside its work.
pub(crate) struct Header {
    meta: &'static TaskMeta,
    id: u64,
}

/// Makes one call of a task, for the pool with this number. It runs when the job does.
pub(crate) fn call<F, T>(meta: &'static TaskMeta, pool: u32, work: F) -> (JobRef, TaskResult<T>)
where
    F: FnOnce() -> Result<T, Failure> + Send + 'static,
    T: Send + 'static,
{
    let header = Header { meta, id: next_id() };
    if size_of::<F>() > BIG {
        // Whoever takes it moves it, and a runner's stack may be smaller than it is.
        let work: Box<dyn FnOnce() -> Result<T, Failure> + Send> = Box::new(work);
        let (slot, receiver) = slot::slot(header, pool, work);
        return (slot, TaskResult::new(receiver));
    }
    let (slot, receiver) = slot::slot(header, pool, work);
    (slot, TaskResult::new(receiver))
}

impl<T> Ended for Result<T, TaskError> {
    #[cold]
    #[inline(never)]
    fn ended(fate: u8) -> Result<T, TaskError> {
        Err(match fate {
            CANCELLED => TaskError::Cancelled,
            TIMED_OUT => TaskError::TimedOut,
            OVERFLOWED => TaskError::StackOverflow,
            _ => TaskError::ShutDown,
        })
    }
}

/// Work of more bytes than these has an allocation of its own.
const BIG: usize = 1024;

/// Numbers are dealt to threads in blocks, for a counter that all of them touch would slow down
/// all of them.
fn next_id() -> u64 {
    const BLOCK: u64 = 256;
    static BLOCKS: AtomicU64 = AtomicU64::new(0);
    thread_local! {
        static NEXT: Cell<u64> = const { Cell::new(0) };
    }
    NEXT.with(|next| {
        let mut id = next.get();
        if id % BLOCK == 0 {
            // ORDERING: Relaxed, only uniqueness matters.
            id = BLOCKS.fetch_add(1, Ordering::Relaxed) * BLOCK;
        }
        next.set(id + 1);
        id + 1
    })
}

/// The logger wants to hear which task ran for how long.
#[inline]
fn is_told_of_ends() -> bool {
    let mut is_told = false;
    // Looked at first, to be quick where nobody is.
    if log::Level::Debug <= log::max_level() {
        // To ask the logger is to run foreign code.
        panics::contain(|| is_told = log::log_enabled!(log::Level::Debug));
    }
    is_told
}

impl<F, T> Job for Slot<Header, F, Result<T, TaskError>>
where
    F: FnOnce() -> Result<T, Failure> + Send + 'static,
    T: Send + 'static,
{
    fn run(&self) -> Ran {
        let Header { meta, id } = self.header;
        let mut ran = Ran::ShutDown;
        let work = |work: F| {
            let deadline = meta.timeout.map(|timeout| green::set_deadline(self.pool, id, timeout));
            let start = is_told_of_ends().then(Instant::now);
            // What comes of a task that was ended from outside is no news.
            let report = |error: &dyn Display| {
                let level = self.abandoned().map_or(log::Level::Error, |_| log::Level::Debug);
                panics::contain(|| log::log!(level, "{error} (call #{id})"));
            };
            let value;
            (value, ran) = match panics::catch(meta.name, work) {
                Ok(Ok(value)) => (Ok(value), Ran::Finished),
                Ok(Err(failure)) => {
                    report(&failure);
                    (Err(TaskError::Failed(failure)), Ran::Failed)
                }
                Err(panic) => {
                    report(&panic);
                    (Err(TaskError::Panicked(panic)), Ran::Failed)
                }
            };
            drop(deadline);
            if let Some(start) = start {
                let seconds = start.elapsed().as_secs_f64();
                panics::contain(|| log::debug!("executed {} #{id} in {seconds:.6} s", meta.name));
            }
            value
        };
        // A value's destructor is foreign code, which may wait, overflow its stack or take long: here
        // it belongs to the task, which still counts as running.
        match self.carry_out(work, |unwanted| panics::contain(|| drop(unwanted))) {
            Some(true) => ran,
            Some(false) | None => self.abandoned().unwrap_or(ran),
        }
    }

    fn end(&self, end: End) -> Option<Option<Waiter>> {
        let fate = match end {
            End::Cancelled => CANCELLED,
            End::TimedOut => TIMED_OUT,
            End::ShutDown => SHUT_DOWN,
            End::Rejected(why) => {
                let mut unused = None;
                let refuse = |work| {
                    unused = Some(work);
                    Err(TaskError::Rejected(why))
                };
                let refused = self.carry_out(refuse, drop);
                panics::contain(|| drop(unused));
                return (refused == Some(true)).then_some(None);
            }
        };
        Slot::end(self, fate)
    }

    fn discard(&self) {
        Slot::discard(self);
    }

    fn is_empty(&self) -> bool {
        Slot::is_empty(self)
    }

    fn doom(&self, proof: &Dead) {
        self.doom_by(proof);
    }

    fn bury(&self) {
        if let Some(waiter) = self.bury_doomed() {
            slot::wake(waiter);
        }
    }

    #[inline]
    fn abandoned(&self) -> Option<Ran> {
        match self.fate() {
            0 => None,
            CANCELLED => Some(Ran::Cancelled),
            TIMED_OUT => Some(Ran::TimedOut),
            OVERFLOWED => Some(Ran::Failed),
            _ => Some(Ran::ShutDown),
        }
    }

    fn claimed(&self) -> &AtomicBool {
        &self.claimed
    }

    fn id(&self) -> u64 {
        self.header.id
    }

    fn meta(&self) -> &'static TaskMeta {
        self.header.meta
    }

    fn pool(&self) -> u32 {
        self.pool
    }
}

/// A function that a task can be made of: it takes the elements of the tuple `A`, up to eight.
///
/// Implemented for all functions and closures that can be called again and again, from any
/// thread, with arguments that can be sent to one.
#[diagnostic::on_unimplemented(
    message = "this is not a function that a task can be made of",
    label = "expected a function or closure with up to eight arguments of its own types",
    note = "a task may run in another thread, and many times: it must be `Fn + Send + Sync + \
            'static`, so it can't borrow, and what it shares must be shared by `Arc`"
)]
pub trait TaskFn<A>: Send + Sync + 'static {
    /// What the function gives.
    type Output;
    #[doc(hidden)]
    fn call(&self, args: A) -> Self::Output;
}

macro_rules! task_fn {
    ($($arg:ident)*) => {
        impl<Function, Output, $($arg),*> TaskFn<($($arg,)*)> for Function
        where
            Function: Fn($($arg),*) -> Output + Send + Sync + 'static,
        {
            type Output = Output;

            #[allow(non_snake_case, reason = "the types' names serve as the variables'")]
            fn call(&self, ($($arg,)*): ($($arg,)*)) -> Output {
                self($($arg),*)
            }
        }
    };
}

task_fn!();
task_fn!(A);
task_fn!(A B);
task_fn!(A B C);
task_fn!(A B C D);
task_fn!(A B C D E);
task_fn!(A B C D E F);
task_fn!(A B C D E F G);
task_fn!(A B C D E F G H);

/// What a periodic task may give: nothing, or a `Result` whose error is logged.
#[diagnostic::on_unimplemented(
    message = "a periodic task returns `()` or a `Result`, not `{Self}`: nobody is there to get it"
)]
pub trait Ending {
    #[doc(hidden)]
    fn end(self, task: &'static str) -> Result<(), Failure>;
}

impl Ending for () {
    fn end(self, _task: &'static str) -> Result<(), Failure> {
        Ok(())
    }
}

impl<T, E: Display + Debug + Send + Sync + 'static> Ending for Result<T, E> {
    fn end(self, task: &'static str) -> Result<(), Failure> {
        self.map(drop).map_err(|error| Failure::new(task, error))
    }
}

/// Tells at compile time whether a type is a `Result`: `Probe::<R>::IS_RESULT` is the inherent
/// constant if it is, and, with [`NotResult`] in scope, the trait's if it is not.
#[doc(hidden)]
pub struct Probe<R>(PhantomData<R>);

impl<T, E> Probe<Result<T, E>> {
    pub const IS_RESULT: bool = true;
}

#[doc(hidden)]
pub trait NotResult {
    const IS_RESULT: bool = false;
}

impl<R> NotResult for Probe<R> {}

/// Picks, by what the probe says, what a task that returns `R` gives: `T` for a `Result<T, E>`,
/// whatever the program calls it, and `R` itself for anything else.
#[doc(hidden)]
pub struct Gives<const IS_RESULT: bool>;

#[doc(hidden)]
#[diagnostic::on_unimplemented(
    message = "the error type of a task must be `Display + Debug + Send + Sync + 'static`",
    note = "that is so for all that implement `std::error::Error` and can be sent, for `String` \
            and for `anyhow::Error`; it lets `get()` give the error back as it was"
)]
pub trait Outcome<R> {
    type Value;
    fn outcome(task: &'static str, returned: R) -> Result<Self::Value, Failure>;
}

#[diagnostic::do_not_recommend]
impl<T, E: Display + Debug + Send + Sync + 'static> Outcome<Result<T, E>> for Gives<true> {
    type Value = T;

    fn outcome(task: &'static str, returned: Result<T, E>) -> Result<T, Failure> {
        returned.map_err(|error| Failure::new(task, error))
    }
}

impl<R> Outcome<R> for Gives<false> {
    type Value = R;

    fn outcome(_task: &'static str, returned: R) -> Result<R, Failure> {
        Ok(returned)
    }
}

/// For a call that can't be taken on.
pub(crate) fn rejected<T: Send + 'static>(
    meta: &'static TaskMeta,
    why: Rejection,
) -> TaskResult<T> {
    log::error!("task {} was not taken on: {why}", meta.name);
    let (job, result) = call(meta, 0, || unreachable!("it is abandoned before it can run"));
    job.abandon(End::Rejected(why));
    result
}
