//! Recycled green threads ("runners") that run the jobs of one backlog, at most `limit` at a
//! moment. A job runs in a green thread of its own: if it blocks, another runner goes on.
//!
//! A job that waits for another ([`Green::lend`]) gives its place to the pool meanwhile, to the job that
//! it waits for first, and takes one again before it runs on.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Instant;

use parking_lot::{Mutex, MutexGuard};

use super::backlog::{Backlog, Entry, Help, Next};
use super::lobby::{Guest, Lobby};
use super::thread::Green;
use super::{Runtime, Waited, Waiter, block_until, hub, overflow, panics};
use crate::error::Rejection;

/// Something to run in a green thread. What comes of it is its own affair; the pool only counts.
pub(crate) trait Job: Send + Sync {
    /// Runs it, unless it has begun. Never unwinds.
    fn run(&self) -> Ran;
    /// Takes its work away, if it has not begun, and decides that it ends so. Gives false if it
    /// has a value, or another end, already.
    fn abandon(&self, end: End) -> bool;
    /// Some runner has it, or it was taken out of the backlog. For the pool alone.
    fn claimed(&self) -> &AtomicBool;
    fn id(&self) -> u64;
    fn name(&self) -> &'static str;
    /// The pool that it was pushed to.
    fn pool(&self) -> u32;
}

/// What became of a job, for the books.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ran {
    Finished,
    /// It gave an error or panicked.
    Failed,
    /// Somebody had abandoned it before.
    NotRun,
}

/// Proof that whoever began a job will never run again.
pub(crate) struct Dead(());

impl Dead {
    /// # Safety
    /// It must be so for the job that the proof is given to.
    unsafe fn new() -> Dead {
        Dead(())
    }
}

/// How a job ends that does not end by itself.
pub(crate) enum End {
    StackOverflow(Dead),
    ShutDown,
    Rejected(Rejection),
}

impl Entry for Arc<dyn Job> {
    fn claim(&self) -> bool {
        // ORDERING: Relaxed, the pool's lock orders it.
        !self.claimed().swap(true, Ordering::Relaxed)
    }
}

/// Idle runners above this number end. Each holds the pages of its stack that it has touched.
const MOST_IDLE: usize = 1_000;

pub(crate) struct Pool {
    id: u32,
    runtime: &'static Runtime,
    /// There is a limit: places must be lent and taken.
    limited: bool,
    state: Mutex<State>,
    /// The last runner that was needed could not be had. Written under the lock.
    starved: AtomicBool,
    /// More than one job waits to begin. A hint, written under the lock.
    has_choice: AtomicBool,
}

struct State {
    backlog: Backlog<Arc<dyn Job>, Arc<Green>>,
    /// What each runner runs, by its number.
    running: Vec<Option<Arc<dyn Job>>>,
    free_numbers: Vec<usize>,
    books: Books,
    closed: bool,
    /// Who waits for the backlog to have room, and who for all jobs to end.
    for_room: Lobby,
    for_idle: Lobby,
}

/// How many jobs are where, and how many ended how.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Books {
    pub(crate) pushed: u64,
    pub(crate) waiting: usize,
    pub(crate) begun: usize,
    pub(crate) finished: u64,
    pub(crate) failed: u64,
    pub(crate) abandoned: u64,
}

/// A runner's place in its pool.
pub(crate) struct Member {
    pool: Arc<Pool>,
    number: usize,
    /// It has one of the pool's places. Touched by the runner itself, or after its end.
    has_place: AtomicBool,
    /// It was called to end, not to work.
    dismissed: AtomicBool,
    /// The numbers of jobs that it runs on top of its own. See [`Pool::run_inline`].
    inline: Mutex<Vec<usize>>,
}

/// Why a job was not taken. Gives it back.
pub(crate) enum Refused {
    /// As many wait as may.
    Full(Arc<dyn Job>),
    Closed(Arc<dyn Job>),
}

/// There are as many green threads as there may be.
struct Starved;

/// What a runner does next, without the lock.
enum Do {
    Run(*const dyn Job),
    AskAgain,
    Yield,
    Rest,
    End,
}

/// What is left to do without the lock, in the rare case that there is anything.
#[derive(Default)]
struct Chores {
    wake: Vec<Waiter>,
    call: Vec<Arc<Green>>,
    spawn: Option<(usize, usize)>,
}

impl Chores {
    #[cold]
    fn run(self, pool: &Arc<Pool>) {
        self.call.into_iter().for_each(|runner| runner.call());
        self.wake.into_iter().for_each(Waiter::wake);
        if let Some((crew, number)) = self.spawn {
            let shared = pool.clone();
            pool.runtime.hubs[crew].run_here(move || shared.spawn_runner(crew, number));
        }
    }
}

/// Made by the first one.
type SomeChores = Option<Box<Chores>>;

#[cold]
fn call_later(chores: &mut SomeChores, runner: Arc<Green>) {
    chores.get_or_insert_default().call.push(runner);
}

#[cold]
fn wake_later(chores: &mut SomeChores, waiters: impl IntoIterator<Item = Waiter>) {
    chores.get_or_insert_default().wake.extend(waiters);
}

impl Refused {
    /// Ends the job as one that came too late.
    pub(crate) fn shut_down(self) {
        let (Refused::Full(job) | Refused::Closed(job)) = self;
        job.abandon(End::ShutDown);
    }
}

impl Pool {
    /// `limit` jobs at a moment; `None`: as many as there can be green threads.
    pub(crate) fn new(runtime: &'static Runtime, limit: Option<usize>) -> Arc<Pool> {
        static NEXT_ID: AtomicU32 = AtomicU32::new(1);
        Arc::new(Pool {
            // ORDERING: Relaxed, only uniqueness matters.
            id: NEXT_ID.fetch_add(1, Ordering::Relaxed),
            runtime,
            limited: limit.is_some(),
            state: Mutex::new(State {
                backlog: Backlog::new(runtime.hubs.len(), limit.unwrap_or(usize::MAX)),
                running: Vec::new(),
                free_numbers: Vec::new(),
                books: Books::default(),
                closed: false,
                for_room: Lobby::default(),
                for_idle: Lobby::default(),
            }),
            starved: AtomicBool::new(false),
            has_choice: AtomicBool::new(false),
        })
    }

    pub(crate) fn id(&self) -> u32 {
        self.id
    }

    pub(crate) fn books(&self) -> Books {
        overflow::probe();
        self.state.lock().books
    }

    /// Has `job` run as soon as a place is free, unless `most` jobs wait already. Never blocks.
    pub(crate) fn push(self: &Arc<Pool>, job: Arc<dyn Job>, most: usize) -> Result<(), Refused> {
        overflow::probe();
        let mut state = self.state.lock();
        if state.closed {
            return Err(Refused::Closed(job));
        }
        if state.books.waiting >= most {
            return Err(Refused::Full(job));
        }
        state.books.pushed += 1;
        state.books.waiting += 1;
        let near = hub::current().map(|hub| hub.index);
        state.backlog.push(job);
        let mut chores = None;
        // If there can be no runner more, whoever ends next takes it.
        let _ = self.muster(&mut state, near, &mut chores);
        self.note(&state);
        drop(state);
        if let Some(chores) = chores {
            chores.run(self);
        }
        Ok(())
    }

    /// Blocks until fewer than `limit` jobs wait, lending the caller's place, if it has one.
    pub(crate) fn wait_for_room(&self, limit: usize) -> Waited {
        let me = Green::current();
        let place = me.as_ref().and_then(Green::lend_to_any);
        let mut guest = Guest::default();
        let waited = block_until(me.as_deref(), None, || {
            let mut state = self.state.lock();
            let has_room = state.books.waiting < limit || state.closed;
            if !has_room {
                state.for_room.enter(&mut guest);
            }
            has_room
        });
        if waited != Waited::Ready {
            let mut state = self.state.lock();
            state.for_room.leave(guest);
            // It may have been woken for room that it won't use.
            let next = state.for_room.pop();
            drop(state);
            if let Some(next) = next {
                next.wake();
            }
        }
        if let Some(place) = place {
            place.reclaim();
        }
        waited
    }

    /// Blocks until nothing waits or runs. A caller who runs here would wait for itself: see
    /// [`Pool::runs_caller`].
    pub(crate) fn wait_idle(&self, deadline: Option<Instant>) -> Waited {
        let me = Green::current();
        let place = me.as_ref().and_then(Green::lend_to_any);
        let mut guest = Guest::default();
        let waited = block_until(me.as_deref(), deadline, || {
            let mut state = self.state.lock();
            let idle = state.books.waiting == 0 && state.books.begun == 0;
            if !idle {
                state.for_idle.enter(&mut guest);
            }
            idle
        });
        if waited != Waited::Ready {
            self.state.lock().for_idle.leave(guest);
        }
        if let Some(place) = place {
            place.reclaim();
        }
        waited
    }

    /// True inside a job of this pool.
    pub(crate) fn runs_caller(&self) -> bool {
        Green::current().is_some_and(|green| {
            green.member.as_ref().is_some_and(|member| member.pool.id == self.id)
        })
    }

    /// Takes everything that waits out of the backlog, without running it.
    pub(crate) fn drain(&self) -> Vec<Arc<dyn Job>> {
        let mut state = self.state.lock();
        let (jobs, stale) = state.backlog.drain();
        state.books.waiting -= jobs.len();
        state.books.abandoned += jobs.len() as u64;
        self.note(&state);
        let is_idle = state.books.waiting == 0 && state.books.begun == 0;
        let wake: Vec<_> = if is_idle { state.for_idle.drain().collect() } else { Vec::new() };
        drop(state);
        drop(stale);
        wake.into_iter().for_each(Waiter::wake);
        jobs
    }

    /// What runs now.
    pub(crate) fn running(&self) -> Vec<Arc<dyn Job>> {
        self.state.lock().running.iter().flatten().cloned().collect()
    }

    /// From now on no job is taken, and runners end when there is nothing left to run.
    pub(crate) fn close(&self) {
        let mut state = self.state.lock();
        state.closed = true;
        let idle = state.backlog.drain_idle();
        let for_room: Vec<_> = state.for_room.drain().collect();
        drop(state);
        for runner in idle {
            if let Some(member) = &runner.member {
                // ORDERING: Relaxed, `call` orders it.
                member.dismissed.store(true, Ordering::Relaxed);
            }
            runner.call();
        }
        for_room.into_iter().for_each(Waiter::wake);
    }

    /// Refreshes the hints.
    fn note(&self, state: &State) {
        // ORDERING: Relaxed: hints for `lend`, which acts on them under the lock.
        let has_choice = state.backlog.has_choice();
        if self.has_choice.load(Ordering::Relaxed) != has_choice {
            self.has_choice.store(has_choice, Ordering::Relaxed);
        }
    }

    /// Notes as a chore to bring the runner that the backlog asks for.
    #[inline]
    fn muster(
        self: &Arc<Pool>,
        state: &mut State,
        near: Option<usize>,
        chores: &mut SomeChores,
    ) -> Result<(), Starved> {
        match state.backlog.help(near) {
            Help::None => Ok(()),
            help => self.bring(state, help, chores),
        }
    }

    #[cold]
    fn bring(
        self: &Arc<Pool>,
        state: &mut State,
        help: Help<Arc<Green>>,
        chores: &mut SomeChores,
    ) -> Result<(), Starved> {
        match help {
            Help::None => {}
            Help::Wake(runner) => call_later(chores, runner),
            Help::Spawn(crew) if self.reserve_green(state) => {
                let number = state.free_numbers.pop().unwrap_or_else(|| {
                    state.running.push(None);
                    state.running.len() - 1
                });
                chores.get_or_insert_default().spawn = Some((crew, number));
            }
            Help::Spawn(crew) => {
                state.backlog.no_help(crew);
                // ORDERING: Relaxed: a hint for `lend`; the runtime's list is under a lock.
                if !self.starved.swap(true, Ordering::Relaxed) {
                    self.runtime.list_starved(self, true);
                }
                return Err(Starved);
            }
        }
        Ok(())
    }

    /// May there be one green thread more, for this pool? Those whom somebody waits for, and the
    /// first of a pool, may be some more than the others.
    fn reserve_green(&self, state: &State) -> bool {
        let is_first = state.running.len() == state.free_numbers.len();
        self.runtime.reserve_green(is_first || state.backlog.has_urgent())
    }

    /// There may be green threads again: looks whether one is needed.
    pub(super) fn relieve(self: &Arc<Pool>) {
        // ORDERING: Relaxed, a hint.
        self.starved.store(false, Ordering::Relaxed);
        let mut state = self.state.lock();
        let mut chores = None;
        let _ = self.muster(&mut state, None, &mut chores);
        drop(state);
        if let Some(chores) = chores {
            chores.run(self);
        }
    }

    /// On the worker that is to have the runner.
    fn spawn_runner(self: Arc<Pool>, crew: usize, number: usize) {
        let pool = self.clone();
        let spawned = self.runtime.spawn_reserved(move |hub, stack_bottom| {
            let member = Member {
                pool,
                number,
                has_place: AtomicBool::new(false),
                dismissed: AtomicBool::new(false),
                inline: Mutex::new(Vec::new()),
            };
            Green::adopt(hub, Some(member), stack_bottom).run_jobs();
        });
        if let Err(error) = spawned {
            log::warn!(
                "no memory mapping for one green thread more ({error}): tasks wait until others end"
            );
            let mut state = self.state.lock();
            state.backlog.no_help(crew);
            state.free_numbers.push(number);
            drop(state);
            // ORDERING: Relaxed, see `bring`.
            if !self.starved.swap(true, Ordering::Relaxed) {
                self.runtime.list_starved(&self, false);
            }
        }
    }

    /// The job with this number ended: enters it in the books. Gives the job, to be let go of
    /// without the lock: its destructor may run foreign code.
    #[inline]
    fn settle(
        &self,
        state: &mut State,
        number: usize,
        ran: Ran,
        chores: &mut SomeChores,
    ) -> Option<Arc<dyn Job>> {
        state.books.begun -= 1;
        match ran {
            Ran::Finished => state.books.finished += 1,
            Ran::Failed => state.books.failed += 1,
            Ran::NotRun => state.books.abandoned += 1,
        }
        if !state.for_idle.is_empty() && state.books.begun == 0 && state.books.waiting == 0 {
            wake_later(chores, state.for_idle.drain());
        }
        state.running[number].take()
    }

    /// The stack of `runner` overflowed: nothing of it will run again.
    fn bury(self: &Arc<Pool>, runner: &Green, member: &Member) {
        let mut state = self.state.lock();
        let mut chores = None;
        let mut dead = Vec::new();
        for number in member.inline.lock().drain(..).chain([member.number]) {
            if state.running[number].is_some() {
                dead.extend(self.settle(&mut state, number, Ran::Failed, &mut chores));
            }
            state.free_numbers.push(number);
        }
        // ORDERING: Relaxed, it was the runner's own and the runner is no more.
        if member.has_place.load(Ordering::Relaxed)
            && let Some(returning) = state.backlog.give_place()
        {
            call_later(&mut chores, returning);
        }
        let _ = self.muster(&mut state, Some(runner.hub.index), &mut chores);
        drop(state);
        // Waiters' callbacks and the logger are foreign code, which must not run in the hub.
        let resolve = |dead: Vec<Arc<dyn Job>>| {
            for job in dead {
                panics::contain(|| {
                    log::error!(
                        "task {} #{} overflowed its stack; its destructors did not run, what it \
                         had allocated is leaked, and locks that it held stay locked",
                        job.name(),
                        job.id(),
                    );
                });
                // SAFETY: the job began in the runner that is being buried.
                job.abandon(End::StackOverflow(unsafe { Dead::new() }));
            }
        };
        let again = dead.clone();
        if self.runtime.spawn_service_here(move || resolve(dead)).is_err() {
            resolve(again);
        }
        if let Some(chores) = chores {
            chores.run(self);
        }
    }

    /// Runs `job`, which the calling runner waits for, on top of what it runs: the last resort
    /// when there are as many green threads as there may be, and all of them may be waiting.
    fn run_inline(
        self: &Arc<Pool>,
        mut state: MutexGuard<'_, State>,
        member: &Member,
        job: &Arc<dyn Job>,
    ) {
        if !job.claim() {
            return;
        }
        let number = state.free_numbers.pop().unwrap_or_else(|| {
            state.running.push(None);
            state.running.len() - 1
        });
        state.running[number] = Some(job.clone());
        state.books.waiting -= 1;
        state.books.begun += 1;
        let for_room = state.for_room.pop();
        drop(state);
        if let Some(waiter) = for_room {
            waiter.wake();
        }
        member.inline.lock().push(number);
        let ran = job.run();
        let mut state = self.state.lock();
        let mut chores = None;
        let job = self.settle(&mut state, number, ran, &mut chores);
        state.free_numbers.push(number);
        drop(state);
        member.inline.lock().retain(|inline| *inline != number);
        drop(job);
        if let Some(chores) = chores {
            chores.run(self);
        }
    }
}

impl Member {
    pub(super) fn bury(&self, runner: &Green) {
        self.pool.bury(runner, self);
    }
}

impl Green {
    /// The life of a runner.
    fn run_jobs(self: Arc<Green>) {
        let Some(member) = &self.member else { return };
        let pool = &member.pool;
        let crew = self.hub.index;
        let mut standby = true;
        let mut ran = None;
        loop {
            let mut chores = None;
            let mut done = None;
            let mut state = pool.state.lock();
            if let Some(ran) = ran.take() {
                done = pool.settle(&mut state, member.number, ran, &mut chores);
                // ORDERING: Relaxed, here and below: only this green thread touches it.
                if pool.limited
                    && member.has_place.swap(false, Ordering::Relaxed)
                    && let Some(returning) = state.backlog.give_place()
                {
                    call_later(&mut chores, returning);
                }
            }
            let next = state.backlog.next(crew, &mut standby, &self);
            let next = match next {
                Next::Run(job) => {
                    let running: *const dyn Job = &*job;
                    state.running[member.number] = Some(job);
                    state.books.waiting -= 1;
                    state.books.begun += 1;
                    if !state.for_room.is_empty() {
                        wake_later(&mut chores, state.for_room.pop());
                    }
                    // If there can be no runner more, this one goes on after this job.
                    let _ = pool.muster(&mut state, Some(crew), &mut chores);
                    pool.note(&state);
                    Do::Run(running)
                }
                Next::Skip(job) => {
                    done = Some(job);
                    Do::AskAgain
                }
                Next::Call(runner) => {
                    call_later(&mut chores, runner);
                    Do::AskAgain
                }
                Next::Yield => Do::Yield,
                Next::Rest => {
                    let most = if state.closed { 0 } else { MOST_IDLE };
                    if state.backlog.no_rest(crew, most) {
                        state.free_numbers.push(member.number);
                        Do::End
                    } else {
                        Do::Rest
                    }
                }
            };
            drop(state);
            drop(done);
            if let Some(chores) = chores {
                chores.run(pool);
            }
            match next {
                Do::Run(job) => {
                    if pool.limited {
                        member.has_place.store(true, Ordering::Relaxed);
                    }
                    overflow::enter(&self);
                    // SAFETY: the pool holds the job in `running` until this runner settles it,
                    // which is the next thing it does, or until the runner is dead.
                    ran = Some(unsafe { (*job).run() });
                    self.hub.come_home(&self.coroutine);
                    if self.hub.tick() {
                        pool.state.lock().backlog.step_aside(crew);
                        self.hub.yield_now();
                        pool.state.lock().backlog.step_back(crew);
                    }
                }
                Do::AskAgain => {}
                Do::Yield => self.hub.yield_now(),
                Do::Rest => {
                    self.sleep_until_called();
                    // ORDERING: Relaxed, the call that ended the sleep orders it.
                    if member.dismissed.load(Ordering::Relaxed) {
                        pool.state.lock().free_numbers.push(member.number);
                        return;
                    }
                    standby = true;
                }
                Do::End => return,
            }
        }
    }

    /// Gives the place of the job that runs here to its pool while it waits for `awaited`. None
    /// if there is nothing to give back: it runs no job, or its pool has no limit.
    #[inline]
    pub(crate) fn lend(self: &Arc<Green>, awaited: impl FnOnce() -> Arc<dyn Job>) -> Option<Lent> {
        let pool = &self.member.as_ref()?.pool;
        // ORDERING: Relaxed: hints. What is awaited was pushed before this look; whatever makes
        // either true after it was pushed later, and stands behind.
        let hurry = pool.has_choice.load(Ordering::Relaxed) || pool.starved.load(Ordering::Relaxed);
        if !pool.limited && !hurry {
            return None;
        }
        self.lend_now(Some(awaited()))
    }

    /// As [`lend`](Green::lend), to whoever is next.
    pub(crate) fn lend_to_any(self: &Arc<Green>) -> Option<Lent> {
        self.lend_now(None)
    }

    fn lend_now(self: &Arc<Green>, awaited: Option<Arc<dyn Job>>) -> Option<Lent> {
        if std::thread::panicking() {
            return None;
        }
        overflow::probe();
        let member = self.member.as_ref()?;
        let pool = &member.pool;
        // ORDERING: Relaxed, only this green thread touches it.
        let lends = pool.limited && member.has_place.load(Ordering::Relaxed);
        // ORDERING: Relaxed, a hint: whoever pops it claims it under the lock.
        let awaited =
            awaited.filter(|job| !job.claimed().load(Ordering::Relaxed) && job.pool() == pool.id);
        let mut state = pool.state.lock();
        if let Some(job) = &awaited {
            state.backlog.push_urgent(job.clone());
        }
        let mut chores = None;
        if lends && let Some(returning) = state.backlog.give_place() {
            call_later(&mut chores, returning);
        }
        match (pool.muster(&mut state, Some(self.hub.index), &mut chores), awaited) {
            (Err(Starved), Some(job)) if overflow::has_room_for_one_more() => {
                if lends {
                    state.backlog.keep_place();
                }
                pool.run_inline(state, member, &job);
                return None;
            }
            _ => {
                if lends {
                    // ORDERING: Relaxed, only this green thread touches it.
                    member.has_place.store(false, Ordering::Relaxed);
                }
                drop(state);
                if let Some(chores) = chores {
                    chores.run(pool);
                }
            }
        }
        lends.then(|| Lent(self.clone()))
    }
}

/// A place that was lent. There is no `Drop` that takes it back, because a job that ends while
/// its place is lent does not need it again.
#[must_use]
pub(crate) struct Lent(Arc<Green>);

impl Lent {
    /// Waits until the pool has a place for the caller again.
    pub(crate) fn reclaim(self) {
        overflow::probe();
        let Lent(green) = self;
        let Some(member) = &green.member else { return };
        if !member.pool.state.lock().backlog.take_place(green.clone()) {
            green.sleep_until_called();
        }
        // ORDERING: Relaxed, only this green thread touches it.
        member.has_place.store(true, Ordering::Relaxed);
    }
}
