//! Starting `may`, once, and what holds for all green threads: how many there may be, the size of
//! their stacks.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Once, OnceLock};
use std::time::Duration;

use super::guard::{self, Guard};
use super::hub::{self, Hub};
use super::lock::Mutex;
use super::pool::Pool;
use super::quota::Quota;
use super::threads::Threads;
use super::watch::Watch;
use super::{overflow, panics, watchdog};
use crate::error::Error;

/// Too small for `format!` of a float, which takes some 10 KiB in a debug build.
const LEAST_STACK: usize = 64 * 1024;

/// Enough for https with rustls. Only the pages that are touched are paid for.
const DEFAULT_STACK: usize = if cfg!(debug_assertions) { 512 * 1024 } else { 256 * 1024 };

/// The largest stack that may be asked for.
const MOST_STACK: usize = 1 << 30;

/// How many OS threads for what is offloaded there may be at a moment. Most of them wait, for a
/// disk or a server: more than there are processors, fewer than the connections and descriptors
/// that such things usually are allowed.
const DEFAULT_THREADS: usize = 128;

/// As many as one can sensibly want: each takes a stack and a process number.
const MOST_THREADS: usize = 10_000;

/// With fewer, what the library itself and each huey keep for themselves would be felt.
const LEAST_GREEN_THREADS: usize = 64;

/// A task that holds its worker for longer than this is worth a warning.
const HOLD_THRESHOLD: Duration = Duration::from_millis(100);

/// To look more often would cost more than it tells.
const LEAST_THRESHOLD: Duration = Duration::from_millis(1);

/// How long to wait for memory before it is asked for again.
const TRY_AGAIN: Duration = Duration::from_millis(500);

/// How many coroutines may keeps ready: as few as it can. Those are for the program's own, and for
/// hubs.
const MAY_POOL: usize = 1;

static RUNTIME: OnceLock<Result<Runtime, String>> = OnceLock::new();

/// The process's green-thread runtime. Started by the first use of it, and never stopped.
pub(crate) struct Runtime {
    pub(crate) hubs: Vec<&'static Hub>,
    /// For what is offloaded.
    pub(crate) threads: Threads,
    stack_size: usize,
    /// How many green threads there may be, and the pools that could not have one. They are kept
    /// alive by it: what waits in them still runs, though they may have neither a runner nor a huey,
    /// and the hub, which looks at them, must not be who drops it.
    pub(super) quota: Quota<Arc<Pool>>,
}

/// Settings for the runtime, which is one for the whole process. See [`runtime`].
#[derive(Debug, Clone)]
#[must_use = "the settings take effect by `start`"]
pub struct RuntimeBuilder {
    workers: usize,
    stack_size: usize,
    green_threads: Option<usize>,
    offload_threads: usize,
    hold_threshold: Option<Duration>,
}

/// Settings for the process's green-thread runtime, to be made before anything else of the
/// library is used. Without them it starts by itself, with the defaults.
///
/// ```
/// minihuey::runtime().stack_size(1024 * 1024).start()?;
/// assert!(minihuey::runtime().start().is_err());           // too late
/// # Ok::<(), minihuey::Error>(())
/// ```
pub fn runtime() -> RuntimeBuilder {
    RuntimeBuilder {
        workers: 1,
        stack_size: DEFAULT_STACK,
        green_threads: None,
        offload_threads: DEFAULT_THREADS,
        hold_threshold: Some(HOLD_THRESHOLD),
    }
}

/// Says what is wrong with a stack of so many bytes.
pub(crate) fn check_stack_size(bytes: usize) -> Result<(), String> {
    if (LEAST_STACK..=MOST_STACK).contains(&bytes) {
        return Ok(());
    }
    Err(format!(
        "stack_size: {bytes} bytes were asked for; expected {LEAST_STACK} (64 KiB) to {MOST_STACK} \
         (1 GiB)"
    ))
}

impl RuntimeBuilder {
    /// How many OS threads run green threads; 1 unless set.
    ///
    /// With one, only one task runs at any moment: tasks that share data never run in parallel,
    /// and waking another costs no system call. With more, tasks run in parallel; each stays on
    /// the worker it began on. Before you ask for more, see whether what computes is better
    /// off on OS threads.
    pub fn workers(mut self, workers: usize) -> RuntimeBuilder {
        self.workers = workers;
        self
    }

    /// Bytes of stack for each task; 256 KiB unless set, 512 KiB in debug builds. Rounded up to
    /// whole pages. Pages that a task never touches take no memory.
    pub fn stack_size(mut self, bytes: usize) -> RuntimeBuilder {
        self.stack_size = bytes;
        self
    }

    /// How many green threads there may be at a moment, and so how many tasks can be under way; 64
    /// or more. Unless set, as many as the system has room for, by its `vm.max_map_count`: some
    /// 55,000 by default, half as many before Linux 6.13.
    ///
    /// Each takes as much memory as it has touched of its stack, 5 KB at least. What can't begin
    /// waits. A quarter of them are kept for tasks that other tasks wait for; when those are used
    /// up, too, such a task runs on the stack of the one that waits for it, while there is room.
    pub fn green_threads(mut self, most: usize) -> RuntimeBuilder {
        self.green_threads = Some(most);
        self
    }

    /// How many OS threads at a moment run what is offloaded; 128 unless set, 1 to 10,000.
    ///
    /// They are made when they are needed, end when they were idle for 10 s, and are called
    /// `minihuey-offload`. One that waits for a task's result does not count meanwhile, so that
    /// what it waits for can run.
    pub fn offload_threads(mut self, threads: usize) -> RuntimeBuilder {
        self.offload_threads = threads;
        self
    }

    /// How long a task may hold its worker before the log warns of it; 100 ms unless set, None for
    /// never.
    ///
    /// A task holds its worker while it computes, or waits in a way that is not a green thread's:
    /// all other tasks of that worker stand still. The warning names the task, says for how long
    /// so far, what it does, and what to do about it; a second one says for how long in all. They
    /// come from an OS thread that looks at workers while they have something to do, twice in
    /// this time; so what they say is that exact, and a hold that is a little longer than this may
    /// go unnoticed. [`Stats`](crate::Stats) counts them.
    pub fn hold_threshold(mut self, threshold: impl Into<Option<Duration>>) -> RuntimeBuilder {
        self.hold_threshold = threshold.into();
        self
    }

    /// Starts the runtime.
    ///
    /// # Errors
    /// [`Error::Misconfigured`] for no workers, no threads to offload to, a stack under 64 KiB or
    /// over 1 GiB, fewer than 64 green threads or more than there is room for, or a
    /// `hold_threshold` under 1 ms; [`Error::Runtime`] if it runs already, or can't be started.
    pub fn start(self) -> Result<(), Error> {
        if self.workers == 0 || self.workers > 1024 {
            return Err(Error::Misconfigured(format!(
                "workers: {} were asked for; expected 1 to 1024",
                self.workers
            )));
        }
        check_stack_size(self.stack_size).map_err(Error::Misconfigured)?;
        if let Some(most) = self.green_threads {
            let room = room_for_green_threads();
            if !(LEAST_GREEN_THREADS..=room).contains(&most) {
                return Err(Error::Misconfigured(format!(
                    "green_threads: {most} were asked for; expected {LEAST_GREEN_THREADS} to {room}, \
                     for which the system's vm.max_map_count has room"
                )));
            }
        }
        if !(1..=MOST_THREADS).contains(&self.offload_threads) {
            return Err(Error::Misconfigured(format!(
                "offload_threads: {} were asked for; expected 1 to {MOST_THREADS}",
                self.offload_threads
            )));
        }
        if self.hold_threshold.is_some_and(|threshold| threshold < LEAST_THRESHOLD) {
            return Err(Error::Misconfigured(format!(
                "hold_threshold: {:?} was asked for; expected {LEAST_THRESHOLD:?} or more, or None",
                self.hold_threshold.unwrap_or_default()
            )));
        }
        let mut ours = false;
        let runtime = RUNTIME.get_or_init(|| {
            ours = true;
            Runtime::start(&self)
        });
        match runtime {
            Err(why) => Err(Error::Runtime(why.clone())),
            Ok(_) if ours => Ok(()),
            Ok(runtime) => Err(Error::Runtime(format!(
                "the runtime runs already, with {} worker(s) and {} bytes of stack: its settings \
                 must be made before the first use of a task",
                runtime.hubs.len(),
                runtime.stack_size
            ))),
        }
    }
}

impl Runtime {
    /// The runtime; starts it if it does not run yet.
    pub(crate) fn get() -> Result<&'static Runtime, Error> {
        // may's test leaks a context in an OS thread: so only before the start.
        if RUNTIME.get().is_none() && may::coroutine::is_coroutine() {
            Runtime::start_from_coroutine();
        }
        RUNTIME
            .get_or_init(|| Runtime::start(&runtime()))
            .as_ref()
            .map_err(|why| Error::Runtime(why.clone()))
    }

    /// A coroutine of the program's own must not hold its worker, which is to run the hub.
    #[cold]
    fn start_from_coroutine() {
        static STARTED: Once = Once::new();
        STARTED.call_once(|| {
            let start = || {
                RUNTIME.get_or_init(|| Runtime::start(&runtime()));
            };
            if let Err(error) = std::thread::Builder::new().spawn(start) {
                let _ = RUNTIME.set(Err(error.to_string()));
            }
        });
        // Yielding would keep the worker busy, and its selector from running.
        while RUNTIME.get().is_none() {
            may::coroutine::sleep(Duration::from_millis(1));
        }
        // Back from the thread of may's timers.
        may::coroutine::yield_now();
    }

    fn start(settings: &RuntimeBuilder) -> Result<Runtime, String> {
        panics::install_hook();
        // A panic of may's means that the system refused a thread or a descriptor.
        let started = catch_unwind(|| Runtime::start_workers(settings));
        let runtime = started.unwrap_or_else(|_| {
            Err("the green-thread runtime can't be started: the system refuses a thread, a \
                 descriptor or memory (see the panic on standard error)"
                .to_owned())
        })?;
        if let Some(threshold) =
            settings.hold_threshold.filter(|threshold| *threshold < Duration::MAX)
        {
            watchdog::start(Watch::new(threshold, &runtime.hubs));
        }
        Ok(runtime)
    }

    fn start_workers(settings: &RuntimeBuilder) -> Result<Runtime, String> {
        let workers = settings.workers;
        let stack_size = settings.stack_size.next_multiple_of(page_size());
        // May uses a stack again if it is of this very size, so none of ours is: on top of one
        // that overflowed there is more of generator's after each time, so it would become smaller
        // and smaller, and its bottom would not be where `spawn_counted` takes it to be. (We
        // recycle green threads ourselves.)
        let mays_stack_size = stack_size - page_size();
        may::config()
            .set_workers(workers)
            .set_stack_size(mays_stack_size / size_of::<usize>())
            .set_pool_capacity(MAY_POOL)
            // Pinning would be inherited by every thread that a task starts.
            .set_worker_pin(false);
        let refused = |what: &str, why: &dyn std::fmt::Display| {
            format!("the green-thread runtime can't be started: {what}: {why}")
        };
        // may's channel, because we might be in a coroutine that the program made.
        let (sender, receiver) = may::sync::mpsc::channel();
        let mut hubs = Vec::new();
        for index in 0..workers {
            let hub = Hub::new(index, workers).map_err(|why| refused("no timer", &why))?;
            let hub: &'static Hub = Box::leak(Box::new(hub));
            hubs.push(hub);
            let sender = sender.clone();
            let body = move || {
                overflow::install_handler();
                hub.run(|ready| {
                    // The receiver is there until all have reported.
                    let _ = sender.send(ready.map(|()| std::thread::current().id()));
                });
            };
            // SAFETY: the hub's own code fits its stack, and uses thread-locals only between two
            // waits; it stays on this worker, because only that resumes it (see `Hub::wake`).
            unsafe { may::coroutine::Builder::new().id(index).spawn(body) }
                .map_err(|why| refused("no coroutine", &why))?;
        }
        // Is there one worker more than we asked for? It would be given this number.
        let probe = move || drop(sender.send(Ok(std::thread::current().id())));
        // SAFETY: it fits any stack, and uses no thread-local of ours.
        unsafe { may::coroutine::Builder::new().id(workers).spawn(probe) }
            .map_err(|why| refused("no coroutine", &why))?;
        let mut threads = std::collections::HashSet::new();
        for _ in 0..=workers {
            let ready = receiver.recv().map_err(|why| refused("a worker ended", &why))?;
            threads.insert(ready.map_err(|why| refused("no selector", &why))?);
        }
        if threads.len() != workers {
            return Err(format!(
                "the green-thread runtime can't be started with {workers} worker(s): `may` was \
                 started before, with another number of them; call minihuey::runtime() or a task \
                 before anything of `may`'s"
            ));
        }
        // SAFETY: it fits any stack, and reads thread-locals only on the thread it means.
        unsafe { may::coroutine::spawn(hub::mark_mays_timer) };
        let most = settings.green_threads.unwrap_or_else(room_for_green_threads);
        overflow::make_registry(most);
        Ok(Runtime {
            hubs,
            threads: Threads::new(settings.offload_threads),
            stack_size,
            quota: Quota::new(most, most / 4 * 3),
        })
    }

    pub(super) fn stack_size(&self) -> usize {
        self.stack_size
    }

    /// How many bytes of stack `asked` for is, if that is more than `has`: in whole pages.
    #[inline]
    pub(super) fn larger_stack(asked: Option<usize>, has: usize) -> Option<usize> {
        let asked = asked?.next_multiple_of(page_size());
        (asked > has).then_some(asked)
    }

    /// Counts one green thread more, if there may be one.
    pub(super) fn reserve_green(&self, is_waited_for: bool) -> bool {
        self.quota.reserve(is_waited_for)
    }

    /// A green thread ended: one that could not be had may be had now.
    pub(super) fn release_green(&'static self) {
        self.relieve(self.quota.release());
    }

    /// Has `pool`, which `reserve_green` refused one, looked at again when a green thread has
    /// ended, or if one ended just now.
    pub(super) fn list_starved(&'static self, pool: &Arc<Pool>, is_waited_for: bool) {
        self.relieve(self.quota.list(pool.clone(), is_waited_for));
        self.spare_idle();
    }

    /// As `list_starved`, if it was memory that was missing: then it is looked at again after a
    /// while, too. On a worker.
    pub(super) fn list_without_memory(&'static self, pool: &Arc<Pool>) {
        if self.quota.list_for_later(pool.clone())
            && let Some(hub) = hub::current()
        {
            hub.run_after(TRY_AGAIN, || self.relieve(self.quota.look_after()));
        }
        self.spare_idle();
    }

    /// Has green threads end that do nothing in one pool, for another one needs some.
    fn spare_idle(&'static self) {
        // Not here: the caller holds the lock of a pool.
        if let Some(hub) = self.hubs.first() {
            hub.run_later(move || {
                for pool in Pool::all() {
                    pool.spare_idle();
                    self.let_go(pool);
                }
            });
        }
    }

    #[inline]
    fn relieve(&'static self, starved: Vec<Arc<Pool>>) {
        for pool in starved {
            // Not here: whoever ends may be in the middle of something.
            if let Some(hub) = self.hubs.first() {
                hub.run_later(move || {
                    pool.relieve();
                    self.let_go(pool);
                });
            }
        }
    }

    /// Drops what may be the last owner of a pool: it has nothing to run, but what was ended may lie
    /// in it still, and have a foreign destructor. From any thread.
    pub(super) fn let_go(&'static self, pool: Arc<Pool>) {
        if let Some(pool) = Arc::into_inner(pool)
            && let Some(hub) = self.hubs.first()
        {
            hub.run_later(move || self.serve_here(move || drop(pool)));
        }
    }

    /// Makes the green thread that `reserve_green` counted, on the calling worker. `body` gets
    /// its hub, and the lowest address and the size of its stack.
    pub(super) fn spawn_reserved(
        &'static self,
        body: impl FnOnce(&'static Hub, (usize, usize)) -> Left + Send + 'static,
    ) -> Result<(), String> {
        self.spawn_counted(self.stack_size, body).inspect_err(|_| self.quota.undo())
    }

    /// Makes a green thread with a stack of `size` bytes, in whole pages, in place of the calling
    /// one, which then must end as [`Left::Successor`].
    pub(super) fn spawn_successor(
        &'static self,
        size: usize,
        body: impl FnOnce(&'static Hub, (usize, usize)) -> Left + Send + 'static,
    ) -> Result<(), String> {
        self.spawn_counted(size, body)
    }

    /// As `spawn_reserved`, but leaves the count to the caller.
    fn spawn_counted(
        &'static self,
        size: usize,
        body: impl FnOnce(&'static Hub, (usize, usize)) -> Left + Send + 'static,
    ) -> Result<(), String> {
        let Some(hub) = hub::current() else {
            unreachable!("green threads are made on the worker that they run on");
        };
        let start = move || {
            // It was resumed on top of whoever makes it: wait for the worker's own turn.
            may::coroutine::park();
            let here = 0u8;
            // Above this frame are some hundred bytes of generator's: less than a page.
            let top = (&raw const here as usize).next_multiple_of(page_size());
            // SAFETY: below `size` bytes are those that were asked for besides.
            let _guard = unsafe { Guard::below(top - size) };
            let mut end = EndOfGreen(self, Left::Nobody);
            end.1 = body(hub, (top - size, size));
        };
        // SAFETY: green threads never leave their worker (every unpark goes through the hub's own
        // thread), so thread-locals are sound; a stack overflow is caught by the guard.
        let spawned = catch_unwind(AssertUnwindSafe(|| unsafe {
            let with_guard = size + guard::SIZE;
            let builder = may::coroutine::Builder::new();
            builder.stack_size(with_guard / size_of::<usize>()).spawn_local(start)
        }));
        match spawned {
            Ok(Ok(handle)) => {
                handle.coroutine().unpark();
                Ok(())
            }
            failed => {
                let why = failed.map(|spawned| spawned.map(drop));
                Err(match why {
                    Ok(Err(error)) => error.to_string(),
                    _ => "may panicked when it allocated a stack".to_owned(),
                })
            }
        }
    }

    /// Runs `service` in a green thread of its own on the first worker, as soon as there is memory
    /// for one; and again, in another one, if it overflows its stack.
    pub(crate) fn keep(&'static self, service: Service) {
        let Some(hub) = self.hubs.first() else { return };
        hub.run_here(move || self.keep_here(hub, service));
    }

    fn keep_here(&'static self, hub: &'static Hub, service: Service) {
        let body = service.clone();
        let Err(error) = self.spawn_own(Some(service.clone()), move || body()) else { return };
        hub.run_after(TRY_AGAIN, move || self.keep_here(hub, service));
        // Last, for a logger is foreign code, which may never come back.
        panics::contain(|| {
            log::error!(
                "no memory for a green thread of the library's own ({error}): scheduled and periodic \
                 tasks wait until there is"
            );
        });
    }

    /// Runs `body` in a green thread of its own on the calling worker.
    pub(super) fn spawn_service_here(
        &'static self,
        body: impl FnOnce() + Send + 'static,
    ) -> Result<(), String> {
        self.spawn_own(None, body)
    }

    /// As `spawn_service_here`; if there is no memory for it, as soon as there is: what is foreign
    /// must not run on the hub, and a caller may be that.
    pub(super) fn serve_here(&'static self, body: impl FnOnce() + Send + 'static) {
        let serve: Service = {
            let body = Mutex::new(Some(body));
            Arc::new(move || {
                let body = body.lock().take();
                if let Some(body) = body {
                    body();
                }
            })
        };
        self.try_to_serve(serve);
    }

    fn try_to_serve(&'static self, serve: Service) {
        let body = serve.clone();
        if self.spawn_service_here(move || body()).is_err()
            && let Some(hub) = hub::current()
        {
            hub.run_after(TRY_AGAIN, move || self.try_to_serve(serve));
        }
    }

    fn spawn_own(
        &'static self,
        service: Option<Service>,
        body: impl FnOnce() + Send + 'static,
    ) -> Result<(), String> {
        // The few services of the library know no limit.
        self.quota.add();
        self.spawn_reserved(move |hub, stack| {
            let green = super::Green::adopt(hub, None, service, stack);
            overflow::enter(&green);
            panics::contain(body);
            green.hub.come_home(&green.coroutine);
            // Taken out first: a destructor in it that overflows the stack must not have it run
            // again. Dropped here, because what may drops after the end of a coroutine, it drops on
            // the worker's own stack, where a panic would end the worker, and a wait hold it.
            let service = green.service.lock().take();
            if let Some(service) = service {
                overflow::enter(&green);
                panics::contain(|| drop(service));
                green.hub.come_home(&green.coroutine);
            }
            Left::Nobody
        })
    }
}

/// What a green thread of the library's own does, for as long as it is needed.
pub(crate) type Service = Arc<dyn Fn() + Send + Sync>;

/// Who is there in place of a green thread that ends.
#[derive(PartialEq, Eq)]
pub(super) enum Left {
    Nobody,
    /// One with another stack, which is counted from now on.
    Successor,
}

/// To be dropped when a green thread ends, however it does (but for an overflow).
struct EndOfGreen(&'static Runtime, Left);

impl Drop for EndOfGreen {
    fn drop(&mut self) {
        overflow::leave();
        if self.1 == Left::Nobody {
            self.0.release_green();
        }
    }
}

/// No hubs if it was not started.
#[cfg(feature = "monkey")]
pub(super) fn hubs_if_started() -> &'static [&'static Hub] {
    RUNTIME.get().and_then(|runtime| runtime.as_ref().ok()).map_or(&[], |runtime| &runtime.hubs)
}

/// The runtime that `hub` belongs to: the process's.
pub(crate) fn runtime_of(_hub: &Hub) -> &'static Runtime {
    match RUNTIME.get() {
        Some(Ok(runtime)) => runtime,
        _ => unreachable!("a hub runs, so the runtime was started"),
    }
}

/// Each takes one or two memory mappings, of which the kernel allows a process a certain number;
/// some are left to the program.
fn room_for_green_threads() -> usize {
    let mappings = std::fs::read_to_string("/proc/sys/vm/max_map_count")
        .ok()
        .and_then(|text| text.trim().parse().ok())
        .unwrap_or(65_530_usize);
    (mappings / 20 * 17 / guard::mappings_of_one()).max(LEAST_GREEN_THREADS)
}

pub(crate) fn page_size() -> usize {
    static PAGE: OnceLock<usize> = OnceLock::new();
    *PAGE.get_or_init(|| {
        // SAFETY: no memory is involved.
        let size = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
        usize::try_from(size).unwrap_or(4096)
    })
}
