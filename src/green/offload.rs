//! `offload`: a part of a green thread that runs on an OS thread while the green thread is parked;
//! and on whose behalf an OS thread runs, so that its waits lend what the other one has.
//!
//! ```text
//!   green thread   probe ── submit ──▶ parked, whatever happens ─────────────▶ takes the outcome
//!                              │                                    ▲
//!   OS thread                  └─▶ f(), which may borrow from there ─┴ outcome, then wake
//! ```

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;

use super::lock::Mutex;
use super::panics::{self, Carried};
use super::pool::Pool;
use super::threads::Work;
use super::{Green, Runtime, Waited, block_uninterrupted, overflow};

/// Runs `f` on an OS thread and gives what it gives, while other green threads go on.
///
/// For what would hold them up inside a task: files, SQLite, clients that block on their own
/// threads, number crunching. To run a whole task so, declare it `#[task(HUEY, offload)]`.
///
/// `f` may borrow from the caller, who does not go on before it has ended. Thread-locals are
/// those of the other thread. If `f` waits for a task, it lends the calling task's place in its
/// pool meanwhile, as the task itself would.
///
/// On an OS thread, and in a destructor while a panic unwinds, `f` simply runs here. There are up
/// to [`offload_threads`] threads for the whole process; more calls than that wait for their turn,
/// first in, first out. If the system refuses a thread, and none is at work that could take `f`
/// later, it runs here, with a warning in the log.
///
/// `f` can't be stopped. It has the stack of an OS thread (2 MiB, or what `RUST_MIN_STACK` says):
/// if it overflows that, the process ends, as always in Rust.
///
/// [`offload_threads`]: crate::RuntimeBuilder::offload_threads
///
/// # Panics
/// If `f` does, with the same payload.
///
/// ```
/// # use minihuey::MiniHuey;
/// let huey = MiniHuey::new("files");
/// let size = huey.try_task("size", |path: String| {
///     let text = minihuey::offload(|| std::fs::read_to_string(&path))?;     // borrows `path`
///     Ok::<_, std::io::Error>(text.len())
/// });
/// assert!(size.call(("Cargo.toml".into(),)).get()? > 0);
/// # Ok::<(), minihuey::Error>(())
/// ```
pub fn offload<F, R>(f: F) -> R
where
    F: FnOnce() -> R + Send,
    R: Send,
{
    let Some(me) = Green::current() else { return f() };
    if std::thread::panicking() {
        return f();
    }
    let Ok(runtime) = Runtime::get() else { return f() };
    // So that the stack can't overflow while somebody else uses what is on it.
    overflow::probe_any(&me);
    let outcome = Arc::new(Mutex::new(None));
    let work: Box<dyn FnOnce() + Send + '_> = {
        let (outcome, waiter, errand) = (outcome.clone(), me.waiter(), Errand::For(me.clone()));
        Box::new(move || {
            let result = as_errand(Rc::new(errand), || panics::carry(f));
            *outcome.lock() = Some(result);
            drop(outcome);
            waiter.wake();
        })
    };
    // SAFETY: whatever `f`, `R` and what they borrow may point to outlives this call of `offload`,
    // so it must be out of the other thread's hands when the call ends. It is once the outcome is
    // there: `f` was consumed by then, its result was moved into `outcome`, and the only other
    // thing of that lifetime, `R`, is moved out of there by this thread alone, before it goes on:
    // so whichever thread drops the Arc last finds it empty. Until the outcome is there the
    // caller can't go on:
    // - it does not return before `through` does, which looks for it;
    // - if `may` has cancelled it, it unwinds out of its `yield_now`: `through` then holds the
    //   worker, in its destructor, until it is there;
    // - its stack can't overflow, which would end it without destructors: `probe_any` has made
    //   sure of more room than parking takes;
    // - a coroutine that is parked is never freed: whoever unparks it has it (see `may`), and the
    //   outcome is what it is unparked for.
    // The work itself is run exactly once, or given back: see `Threads`.
    let work = unsafe { std::mem::transmute::<Box<dyn FnOnce() + Send + '_>, Work>(work) };
    let through = Through(&outcome);
    if let Err(work) = runtime.threads.submit(work) {
        panics::contain(|| {
            log::warn!(
                "the system refuses a thread: what is offloaded runs in the green thread, \
                 and holds all others up"
            );
        });
        work();
    }
    while block_uninterrupted(Some(&me), || outcome.lock().is_some()) != Waited::Ready {
        me.yield_now();
    }
    drop(through);
    let result = outcome.lock().take();
    match result {
        Some(Ok(value)) => value,
        Some(Err(panic)) => panic.resume(),
        None => unreachable!("it was waited for"),
    }
}

/// Has `work`, which waits most of the time, run on an OS thread; nobody waits for it. Gives it
/// back if there is none. Once it runs, it is not one of those that may run at a moment.
#[cfg(feature = "monkey")]
pub(crate) fn leave_to_a_thread(me: &Green, work: Work) -> Result<(), Work> {
    let waits = Box::new(move || {
        // What it waits for may need it.
        super::threads::lend_share();
        work();
    });
    super::runtime_of(me.hub).threads.submit(waits)
}

/// What `f` gave, once it has ended.
type Outcome<R> = Mutex<Option<Result<R, Carried>>>;

/// Does not let the caller unwind before the outcome is there.
struct Through<'a, R>(&'a Outcome<R>);

impl<R> Drop for Through<'_, R> {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            return;
        }
        // A green thread that unwinds must not yield: this holds the worker.
        while self.0.lock().is_none() {
            std::thread::sleep(std::time::Duration::from_micros(100));
        }
        let unseen = self.0.lock().take();
        // The value's destructor must not panic in a destructor that runs while a panic unwinds.
        panics::contain(|| drop(unseen));
    }
}

/// On whose behalf an OS thread runs what it runs.
pub(super) enum Errand {
    /// A green thread's, which is parked.
    For(Arc<Green>),
    /// A pool's: a task that is offloaded.
    Task(Offloaded),
}

/// A task that runs on an OS thread.
pub(super) struct Offloaded {
    pub(super) pool: Arc<Pool>,
    /// It has one of the lane's places.
    pub(super) has_place: Cell<bool>,
}

thread_local! {
    static ERRAND: RefCell<Option<Rc<Errand>>> = const { RefCell::new(None) };
}

/// Runs `f`, which must not unwind, as part of `errand`; that may be on top of another one.
pub(super) fn as_errand<R>(errand: Rc<Errand>, f: impl FnOnce() -> R) -> R {
    let below = ERRAND.replace(Some(errand));
    let result = f();
    ERRAND.set(below);
    result
}

/// What the calling OS thread runs, if it is offloaded.
pub(super) fn errand() -> Option<Rc<Errand>> {
    // It may be gone, in a thread that ends.
    ERRAND.try_with(|errand| errand.borrow().clone()).ok().flatten()
}
