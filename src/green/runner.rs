//! A runner: a green thread that runs one job of its pool after another.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::backlog::Next;
use super::job::{End, Job, JobRef, Ran};
use super::pool::{call_later, wake_later};
use super::post::{Pile, Post};
use super::runtime::{Left, Runtime};
use super::thread::Green;
use super::{overflow, panics, watchdog};
use crate::error::Reason;

/// Idle runners above this number end. Each holds the pages of its stack that it has touched.
const MOST_IDLE: usize = 1_000;

/// A runner's place in its pool.
pub(crate) struct Member {
    pub(super) post: Post,
    /// Those of the jobs that it runs on top of its own. See [`Green::run_inline`].
    pub(super) pile: Pile,
    /// It was called to end, not to work.
    pub(super) dismissed: AtomicBool,
}

impl Member {
    /// For whoever goes on in its place.
    fn inherit(&self) -> Member {
        Member { post: self.post.inherit(), pile: Pile::new(), dismissed: AtomicBool::new(false) }
    }
}

/// What a runner does next, without the lock.
enum Do {
    Run(*const dyn Job),
    AskAgain,
    Yield,
    Rest,
    End,
}

impl Green {
    /// The life of a runner, which may begin with a job that it inherited.
    pub(super) fn run_jobs(self: Arc<Green>, first: Option<JobRef>) -> Left {
        let Some(member) = &self.member else { return Left::Nobody };
        let (post, pool) = (&member.post, &member.post.pool);
        let crew = self.hub.index;
        let is_oversized = self.stack_size > pool.runtime.stack_size();
        let mut standby = first.is_none();
        let mut ran = None;
        pool.state.lock().roster.enter(post.number, self.clone());
        watchdog::note_work();
        if let Some(job) = first {
            let running: *const dyn Job = &*job;
            // If the stack overflows, what is on it is never dropped.
            drop(job);
            overflow::enter(&self);
            // SAFETY: as below.
            ran = Some(unsafe { &*running }.run());
            self.hub.come_home(&self.coroutine);
        }
        loop {
            let mut chores = None;
            let mut done = None;
            let mut state = pool.state.lock();
            if let Some(ran) = ran.take() {
                done = pool.settle(&mut state, post.number, ran, &mut chores);
                self.interrupted.clear();
                post.give_place(&mut state, &mut chores);
            }
            let next = state.backlog.next(crew, &mut standby, &self);
            let next = match next {
                Next::Run(job) => {
                    let running: *const dyn Job = &*job;
                    state.roster.begin(post.number, job);
                    state.books.waiting -= 1;
                    state.books.begun += 1;
                    if !state.for_room.is_empty() {
                        wake_later(&mut chores, state.for_room.call());
                    }
                    // If there can be no runner more, this one goes on after this job.
                    pool.muster(&mut state, Some(crew), &mut chores);
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
                    // A large stack is not kept for what comes next: it may not need one.
                    let most = if state.closed || is_oversized { 0 } else { MOST_IDLE };
                    if state.backlog.no_rest(crew, most) {
                        state.roster.free(post.number);
                        Do::End
                    } else {
                        Do::Rest
                    }
                }
            };
            drop(state);
            if let Some(chores) = chores {
                chores.run(pool);
            }
            if let Some(last) = done.and_then(JobRef::into_last) {
                pool.drop_last(last);
            }
            match next {
                Do::Run(job) => {
                    if pool.limited {
                        // ORDERING: Relaxed, only this green thread touches it.
                        post.has_place.store(true, Ordering::Relaxed);
                    }
                    // SAFETY: the pool holds the job in its roster until this runner settles it,
                    // which is the next thing it does, or until the runner, or the successor that
                    // it leaves the job to, is dead.
                    let job = unsafe { &*job };
                    if let Some(size) =
                        Runtime::larger_stack(job.meta().stack_size, self.stack_size)
                    {
                        if Green::leave_to_successor(member, job, size) {
                            return Left::Successor;
                        }
                        // Refused, or ended otherwise meanwhile.
                        ran = Some(job.abandoned().unwrap_or(Ran::ShutDown));
                        continue;
                    }
                    overflow::enter(&self);
                    ran = Some(job.run());
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
                        pool.state.lock().roster.free(post.number);
                        return Left::Nobody;
                    }
                    standby = true;
                }
                Do::End => return Left::Nobody,
            }
        }
    }

    /// Has another runner, with a stack of `size` bytes, go on in place of this one, with its
    /// number, its place, and the job that it is to run. Gives false if that stack can't be had:
    /// then the job is refused.
    #[cold]
    fn leave_to_successor(member: &Member, job: &dyn Job, size: usize) -> bool {
        let pool = &member.post.pool;
        let first = member.post.job(&pool.state.lock());
        let heir = member.inherit();
        let spawned = pool.runtime.spawn_successor(size, move |hub, stack| {
            Green::adopt(hub, Some(heir), None, stack).run_jobs(first)
        });
        let Err(why) = spawned else { return true };
        let why = format!("no stack of {size} bytes can be had: {why}");
        panics::contain(|| {
            log::error!("task {} #{} was not taken on: {why}", job.meta().name, job.id());
        });
        job.abandon(End::Rejected(Reason::Runtime(why).into()));
        false
    }
}
