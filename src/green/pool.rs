//! One backlog, the runners that it is fed to, at most `limit` jobs at a moment, and the books. A
//! job runs in a green thread of its own: if it blocks, another runner goes on. Jobs that are
//! declared to be offloaded run on OS threads, from a lane of their own (see `lane_run`), in the
//! same books.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use super::backlog::{Backlog, Help};
use super::bell::Bell;
use super::job::{Dead, End, JobRef, Ran};
use super::lane::Lane;
use super::lobby::Lobby;
use super::lock::{Mutex, MutexGuard};
use super::offload::{Errand, errand};
use super::post::{Pile, Post};
use super::roster::Roster;
use super::runner::Member;
use super::thread::Green;
use super::{Runtime, Waiter, hub, overflow, panics};

pub(crate) struct Pool {
    pub(super) id: u32,
    pub(super) runtime: &'static Runtime,
    /// There is a limit: places must be lent and taken.
    pub(super) limited: bool,
    pub(super) state: Mutex<State>,
    /// More than one job waits to begin. A hint, written under the lock.
    pub(super) has_choice: AtomicBool,
    /// The same for the lane.
    pub(super) lane_has_choice: AtomicBool,
}

pub(super) struct State {
    pub(super) backlog: Backlog<JobRef, Arc<Green>>,
    /// What runs on OS threads.
    pub(super) lane: Lane<JobRef, Arc<Bell>>,
    /// What each runner, or run of the lane, runs.
    pub(super) roster: Roster<JobRef, Arc<Green>>,
    /// How many of the roster's numbers are the lane's.
    pub(super) offloaded: usize,
    pub(super) books: Books,
    pub(super) closed: bool,
    /// A runner that was needed could not be had, and none since.
    is_short: bool,
    /// It is listed with the runtime, to be looked at when there may be runners again.
    is_listed: bool,
    /// Who waits for the backlog to have room, and who for all jobs to end.
    pub(super) for_room: Lobby<Waiter>,
    pub(super) for_idle: Lobby<Waiter>,
}

impl State {
    pub(super) fn is_idle(&self) -> bool {
        self.books.begun == 0 && self.books.waiting == 0
    }

    /// Has those woken who wait for all jobs to end, if all have.
    #[cold]
    fn greet_idle(&mut self, chores: &mut SomeChores) {
        if self.is_idle() {
            wake_later(chores, self.for_idle.call_all());
        }
    }
}

/// How many jobs are where, and how many ended how.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Books {
    pub(crate) pushed: u64,
    pub(crate) waiting: usize,
    pub(crate) begun: usize,
    pub(crate) finished: u64,
    pub(crate) failed: u64,
    pub(crate) cancelled: u64,
    pub(crate) timed_out: u64,
    pub(crate) abandoned: u64,
    /// How often a job held its worker, and for how long at most.
    pub(crate) held: u64,
    pub(crate) longest_hold: Duration,
}

impl Books {
    pub(crate) fn enter(&mut self, ran: Ran) {
        match ran {
            Ran::Finished => self.finished += 1,
            Ran::Failed => self.failed += 1,
            Ran::Cancelled => self.cancelled += 1,
            Ran::TimedOut => self.timed_out += 1,
            Ran::ShutDown => self.abandoned += 1,
        }
    }
}

/// Why a job was not taken. Gives it back.
pub(crate) enum Refused {
    /// As many wait as may.
    Full(JobRef),
    Closed(JobRef),
}

/// There are as many green threads as there may be.
pub(super) struct Starved;

/// What is left to do without the lock, in the rare case that there is anything.
#[derive(Default)]
pub(super) struct Chores {
    wake: Vec<Waiter>,
    call: Vec<Arc<Green>>,
    call_soon: Vec<Arc<Green>>,
    spawn: Vec<(usize, usize)>,
    pub(super) ring: Vec<Arc<Bell>>,
    pub(super) lane_runs: usize,
}

impl Chores {
    #[cold]
    pub(super) fn run(self, pool: &Arc<Pool>) {
        self.call.into_iter().for_each(|runner| runner.call());
        self.call_soon.into_iter().for_each(|runner| runner.call_soon());
        self.wake.into_iter().for_each(Waiter::wake);
        for (crew, number) in self.spawn {
            let shared = pool.clone();
            pool.runtime.hubs[crew].run_here(move || shared.spawn_runner(crew, number));
        }
        self.ring.into_iter().for_each(|bell| bell.ring());
        for _ in 0..self.lane_runs {
            pool.start_lane_run();
        }
    }
}

/// Made by the first one.
pub(super) type SomeChores = Option<Box<Chores>>;

#[cold]
pub(super) fn call_later(chores: &mut SomeChores, runner: Arc<Green>) {
    chores.get_or_insert_default().call.push(runner);
}

#[cold]
pub(super) fn wake_later(chores: &mut SomeChores, waiters: impl IntoIterator<Item = Waiter>) {
    chores.get_or_insert_default().wake.extend(waiters);
}

/// Has these runners, which do nothing, end.
fn dismiss(idle: Vec<Arc<Green>>) {
    for runner in idle {
        if let Some(member) = &runner.member {
            // ORDERING: Relaxed, `call` orders it.
            member.dismissed.store(true, Ordering::Relaxed);
        }
        runner.call();
    }
}

impl Refused {
    /// Ends the job as one that came too late.
    pub(crate) fn shut_down(self) {
        let (Refused::Full(job) | Refused::Closed(job)) = self;
        job.abandon(End::ShutDown);
    }
}

impl Pool {
    /// `limit` jobs at a moment; `None`: as many as there can be green threads. `offload_limit` for
    /// those that are offloaded; `None`: as many as there may be OS threads for them.
    pub(crate) fn new(
        runtime: &'static Runtime,
        limit: Option<usize>,
        offload_limit: Option<usize>,
    ) -> Arc<Pool> {
        let most_threads = runtime.threads.limit();
        // So the backlog says that there is none.
        let limit = limit.filter(|limit| *limit < usize::MAX);
        static NEXT_ID: AtomicU32 = AtomicU32::new(1);
        let pool = Arc::new(Pool {
            // ORDERING: Relaxed, only uniqueness matters.
            id: NEXT_ID.fetch_add(1, Ordering::Relaxed),
            runtime,
            limited: limit.is_some(),
            state: Mutex::new(State {
                backlog: Backlog::new(runtime.hubs.len(), limit.unwrap_or(usize::MAX)),
                // With more places than threads, its runs would only queue up before those of
                // others.
                lane: Lane::new(offload_limit.map_or(most_threads, |own| own.min(most_threads))),
                roster: Roster::new(),
                offloaded: 0,
                books: Books::default(),
                closed: false,
                is_short: false,
                is_listed: false,
                for_room: Lobby::new(),
                for_idle: Lobby::new(),
            }),
            has_choice: AtomicBool::new(false),
            lane_has_choice: AtomicBool::new(false),
        });
        pool.enlist();
        pool
    }

    pub(crate) fn id(&self) -> u32 {
        self.id
    }

    pub(crate) fn books(&self) -> Books {
        overflow::probe();
        self.state.lock().books
    }

    /// Has `job` run as soon as a place is free, unless `most` jobs wait already. Never blocks.
    #[inline]
    pub(crate) fn push(self: &Arc<Pool>, job: JobRef, most: usize) -> Result<(), Refused> {
        overflow::probe();
        let state = self.state.lock();
        if state.closed {
            return Err(Refused::Closed(job));
        }
        if state.books.waiting >= most {
            return Err(Refused::Full(job));
        }
        self.add(state, job);
        Ok(())
    }

    /// As `push`, of a job that was [kept back](super::Job::claimed) until now. Lets go of `held`,
    /// the lock of where it was kept, only when it is in the backlog: it is always in one of the
    /// two. The caller has probed the stack for that lock.
    pub(crate) fn push_due<T>(
        self: &Arc<Pool>,
        job: JobRef,
        held: MutexGuard<'_, T>,
    ) -> Result<(), Refused> {
        overflow::probe_for_inner_lock();
        let mut state = self.state.lock();
        if state.closed {
            return Err(Refused::Closed(job));
        }
        // ORDERING: Relaxed, the lock orders it.
        job.claimed().store(false, Ordering::Relaxed);
        let chores = self.enter(&mut state, job);
        drop(state);
        drop(held);
        if let Some(chores) = chores {
            chores.run(self);
        }
        Ok(())
    }

    #[inline]
    fn add(self: &Arc<Pool>, mut state: MutexGuard<'_, State>, job: JobRef) {
        let chores = self.enter(&mut state, job);
        drop(state);
        if let Some(chores) = chores {
            chores.run(self);
        }
    }

    #[inline]
    fn enter(self: &Arc<Pool>, state: &mut State, job: JobRef) -> SomeChores {
        state.books.pushed += 1;
        state.books.waiting += 1;
        let mut chores = None;
        if job.meta().offload {
            self.push_to_lane(state, job, &mut chores);
        } else {
            let near = hub::current().map(|hub| hub.index);
            state.backlog.push(job);
            // If there can be no runner more, whoever ends next takes it.
            self.muster(state, near, &mut chores);
        }
        self.note(state);
        chores
    }

    /// True inside a job of this pool.
    pub(crate) fn runs_caller(&self) -> bool {
        let is_runner = |green: &Green| {
            let member = green.member.as_ref();
            member.is_some_and(|member| member.has_post(|post| post.pool.id == self.id))
        };
        if let Some(green) = Green::current() {
            return is_runner(&green);
        }
        errand().is_some_and(|errand| match &*errand {
            Errand::For(green) => is_runner(green),
            Errand::Task(task) => task.pool.id == self.id,
        })
    }

    /// Takes everything that waits out of the backlog, and ends it as shut down. Gives what ended
    /// so: some may have been ended otherwise, and not have been withdrawn yet. It is to be
    /// discarded, and those to be woken who wait for it: see [`Job::end`](super::Job::end).
    pub(crate) fn abandon_waiting(&self, waiters: &mut Vec<Waiter>) -> Vec<JobRef> {
        overflow::probe();
        let mut state = self.state.lock();
        let (mut jobs, mut stale) = state.backlog.drain();
        let (offloaded, stale_too) = state.lane.drain();
        jobs.extend(offloaded);
        stale.extend(stale_too);
        self.note(&state);
        drop(state);
        drop(stale);
        let mut abandoned = Vec::new();
        for job in &jobs {
            if let Some(waiter) = job.end(End::ShutDown) {
                waiters.extend(waiter);
                abandoned.push(job.clone());
            }
        }
        // Not before: only now it is decided how each of them ends.
        let mut state = self.state.lock();
        state.books.waiting -= jobs.len();
        for job in &jobs {
            state.books.enter(job.abandoned().unwrap_or(Ran::ShutDown));
        }
        let wake = if state.is_idle() { state.for_idle.call_all() } else { Vec::new() };
        drop(state);
        wake.into_iter().for_each(Waiter::wake);
        abandoned
    }

    /// The last owner of a job lets go of it: in a green thread of its own, if the destructor of
    /// something foreign is to run, which may wait, or overflow the stack.
    #[inline]
    pub(super) fn drop_last(&self, job: JobRef) {
        if !job.is_empty() {
            self.runtime.serve_here(move || drop(job));
        }
    }

    /// What runs now.
    pub(crate) fn running(&self) -> Vec<JobRef> {
        overflow::probe();
        self.state.lock().roster.jobs().cloned().collect()
    }

    /// From now on no job is taken, and runners end when there is nothing left to run.
    pub(crate) fn close(&self) {
        overflow::probe();
        let mut state = self.state.lock();
        state.closed = true;
        let idle = state.backlog.drain_idle(0);
        let for_room = state.for_room.call_all();
        drop(state);
        dismiss(idle);
        for_room.into_iter().for_each(Waiter::wake);
    }

    /// There are too few green threads: those that do nothing here end, but for one.
    pub(super) fn spare_idle(&self) {
        let idle = self.state.lock().backlog.drain_idle(1);
        dismiss(idle);
    }

    /// Refreshes the hints.
    pub(super) fn note(&self, state: &State) {
        // ORDERING: Relaxed: hints for `lend`, which acts on them under the lock.
        self.has_choice.store(state.backlog.has_choice(), Ordering::Relaxed);
    }

    /// Notes as chores to bring the runners that the backlog asks for: one of each worker that has
    /// none on standby, for any of them may be held by what runs there. If there can be none, those
    /// who return have the places.
    #[inline]
    pub(super) fn muster(
        self: &Arc<Pool>,
        state: &mut State,
        near: Option<usize>,
        chores: &mut SomeChores,
    ) {
        if let Err(Starved) = self.try_muster(state, near, chores) {
            Pool::have_return(state, chores);
        }
    }

    /// There is no runner more: what waits to run waits on, but not who can go on without one.
    #[cold]
    pub(super) fn have_return(state: &mut State, chores: &mut SomeChores) {
        while let Some(returning) = state.backlog.return_instead() {
            call_later(chores, returning);
        }
    }

    /// As `muster`, for a caller who can do without: it must `have_return` those who do, unless it
    /// keeps the place that it had.
    #[inline]
    pub(super) fn try_muster(
        self: &Arc<Pool>,
        state: &mut State,
        near: Option<usize>,
        chores: &mut SomeChores,
    ) -> Result<(), Starved> {
        let mut somebody_comes = false;
        loop {
            match state.backlog.help(near) {
                Help::None => return Ok(()),
                help => match self.bring(state, help, chores) {
                    Err(Starved) if !somebody_comes => return Err(Starved),
                    Err(Starved) => return Ok(()),
                    Ok(()) => somebody_comes = true,
                },
            }
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
            Help::WakeSoon(runner) => chores.get_or_insert_default().call_soon.push(runner),
            Help::Spawn(crew) => {
                let is_waited_for = Pool::is_waited_for(state);
                if self.runtime.reserve_green(is_waited_for) {
                    let number = state.roster.number();
                    chores.get_or_insert_default().spawn.push((crew, number));
                    return Ok(());
                }
                if let Some(runner) = state.backlog.no_help(crew) {
                    call_later(chores, runner);
                    return Ok(());
                }
                if self.starve(state) {
                    self.runtime.list_starved(self, is_waited_for);
                }
                return Err(Starved);
            }
        }
        Ok(())
    }

    /// A runner that was needed can't be had. Gives true if the pool is to be listed with the
    /// runtime.
    fn starve(&self, state: &mut State) -> bool {
        if !std::mem::replace(&mut state.is_short, true) {
            self.runtime.quota.begin_shortage();
        }
        !std::mem::replace(&mut state.is_listed, true)
    }

    /// Green threads whom somebody waits for, and the first of a pool, may be some more than the
    /// others.
    fn is_waited_for(state: &State) -> bool {
        let is_first = state.roster.numbers() == state.offloaded;
        is_first || state.backlog.has_urgent()
    }

    /// There may be green threads again: looks whether one is needed.
    pub(super) fn relieve(self: &Arc<Pool>) {
        let mut state = self.state.lock();
        let mut chores = None;
        state.is_listed = false;
        self.muster(&mut state, None, &mut chores);
        // If it was refused again it is listed again. It is short all the while: whoever would wait
        // for one of its jobs must not take it for helped.
        if !state.is_listed && std::mem::take(&mut state.is_short) {
            self.runtime.quota.end_shortage();
        }
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
                post: Post::new(pool, number, false),
                pile: Pile::new(),
                dismissed: AtomicBool::new(false),
            };
            Green::adopt(hub, Some(member), None, stack_bottom).run_jobs(None)
        });
        if let Err(error) = spawned {
            let mut state = self.state.lock();
            let mut chores = None;
            state.roster.free(number);
            match state.backlog.no_help(crew) {
                Some(runner) => call_later(&mut chores, runner),
                None => {
                    Pool::have_return(&mut state, &mut chores);
                    if self.starve(&mut state) {
                        self.runtime.list_without_memory(&self);
                    }
                }
            }
            drop(state);
            if let Some(chores) = chores {
                chores.run(&self);
            }
            // Last, for a logger is foreign code, which may never come back.
            panics::contain(|| {
                log::warn!(
                    "no memory mapping for one green thread more ({error}): tasks wait until there \
                     is, or others end"
                );
            });
        }
    }

    /// The job with this number ended: enters it in the books. Gives the job, to be let go of when
    /// all else is done: its destructor may run foreign code.
    #[inline]
    pub(super) fn settle(
        &self,
        state: &mut State,
        number: usize,
        ran: Ran,
        chores: &mut SomeChores,
    ) -> Option<JobRef> {
        state.books.begun -= 1;
        state.books.enter(ran);
        if !state.for_idle.is_empty() {
            state.greet_idle(chores);
        }
        state.roster.end(number)
    }

    /// Nothing of who ran at this post will run again: its stack, of the worker `near`, overflowed.
    /// Gives the job that it ran, if it did, which is to be resolved.
    fn bury(self: &Arc<Pool>, post: &Post, near: usize) -> Option<JobRef> {
        let mut state = self.state.lock();
        let mut chores = None;
        let mut dead = None;
        if let Some(job) = post.job(&state) {
            // Before the books say how it ended: what else might end it comes too late now.
            // SAFETY: the job began on the stack that is being buried.
            job.doom(&unsafe { Dead::new() });
            let ran = job.abandoned().unwrap_or(Ran::Failed);
            dead = self.settle(&mut state, post.number, ran, &mut chores);
        }
        state.roster.free(post.number);
        post.give_place(&mut state, &mut chores);
        self.muster(&mut state, Some(near), &mut chores);
        drop(state);
        if let Some(chores) = chores {
            chores.run(self);
        }
        dead
    }
}

impl Green {
    /// Its stack overflowed: ends all that it ran.
    pub(super) fn bury(&self, member: &Member) {
        let posts = member.pile.take();
        let all = posts.iter().map(|post| &**post).chain([&member.post]);
        let dead: Vec<_> = all.filter_map(|post| post.pool.bury(post, self.hub.index)).collect();
        // Waiters' callbacks and the logger are foreign code, which must not run in the hub.
        let resolve = |dead: Vec<JobRef>| {
            // First, for the logger may never come back.
            dead.iter().for_each(|job| job.bury());
            for job in dead {
                panics::contain(|| {
                    log::error!(
                        "task {} #{} overflowed its stack; its destructors did not run, what it \
                         had allocated is leaked, and locks that it held stay locked",
                        job.meta().name,
                        job.id(),
                    );
                });
            }
        };
        if !dead.is_empty() {
            // The posts, too, may own a pool that nobody else does.
            member.post.pool.runtime.serve_here(move || {
                resolve(dead);
                drop(posts);
            });
        }
    }
}
