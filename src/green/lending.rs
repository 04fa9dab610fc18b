//! A job that waits for another gives its place to the pool meanwhile, to the one that it waits for
//! first, and takes one again before it runs on. So a pool of any size runs tasks that wait for
//! each other, and never more than it may at a moment.

use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::backlog::Entry;
use super::bell::Bell;
use super::job::JobRef;
use super::lock::MutexGuard;
use super::offload::{Errand, Offloaded, errand};
use super::pool::{Pool, SomeChores, Starved, State, wake_later};
use super::post::Post;
use super::thread::Green;
use super::{overflow, threads};

/// Gives the place of the job that runs here to its pool while it waits for `awaited`: here is the
/// green thread `me`, or, if that is None, the calling OS thread, which may run what is offloaded.
/// None if there is nothing to give back: it runs no job, or its pool has no limit.
#[inline]
pub(crate) fn lend(me: Option<&Arc<Green>>, awaited: impl FnOnce() -> JobRef) -> Option<Lent> {
    match me {
        Some(green) => green.lend(awaited).then(|| Lent(Lender::Green(green.clone()))),
        None => errand().map(|errand| lend_errand(errand, Some(awaited()))),
    }
}

/// As [`lend`], to whoever is next.
pub(crate) fn lend_to_any(me: Option<&Arc<Green>>) -> Option<Lent> {
    match me {
        Some(_) if std::thread::panicking() => None,
        Some(green) => green.lend_now(None).then(|| Lent(Lender::Green(green.clone()))),
        None => errand().map(|errand| lend_errand(errand, None)),
    }
}

#[cold]
fn lend_errand(errand: Rc<Errand>, awaited: Option<JobRef>) -> Lent {
    let lends = match &*errand {
        Errand::For(green) => green.lend_now(awaited),
        Errand::Task(task) => task.lend(awaited),
    };
    threads::lend_share();
    Lent(Lender::Errand(errand, lends))
}

impl Green {
    /// Gives false if there is nothing to give back.
    #[inline]
    fn lend(self: &Arc<Green>, awaited: impl FnOnce() -> JobRef) -> bool {
        let Some(member) = &self.member else { return false };
        let pool = &member.post.pool;
        // ORDERING: Relaxed: hints. What is awaited was pushed before this look; whatever makes
        // one of them true after it was pushed later, and stands behind.
        let hurry = pool.has_choice.load(Ordering::Relaxed) || pool.runtime.quota.is_short();
        let is_on_top = !member.pile.is_empty();
        if !pool.limited && !hurry && !is_on_top && !pool.lane_has_choice.load(Ordering::Relaxed) {
            return false;
        }
        // While a panic unwinds it will not yield.
        !std::thread::panicking() && self.lend_now(Some(awaited()))
    }

    fn lend_now(self: &Arc<Green>, awaited: Option<JobRef>) -> bool {
        overflow::probe();
        let Some(member) = &self.member else { return false };
        member.with_top(|post| self.lend_at(post, awaited))
    }

    fn lend_at(self: &Arc<Green>, post: &Post, awaited: Option<JobRef>) -> bool {
        let pool = &post.pool;
        let mut state = pool.state.lock();
        let mut chores = None;
        let hurried = awaited.as_ref().filter(|job| pool.hurry(&mut state, job, &mut chores));
        let lends = post.give_place(&mut state, &mut chores);
        pool.bring_for(state, hurried, Some(self), chores);
        if let Some(job) = awaited {
            hurry_elsewhere(pool, &job, Some(self));
        }
        lends
    }

    /// Runs `job`, which waits to begin in `pool`, where there is a place for it.
    fn run_inline(
        self: &Arc<Green>,
        pool: &Arc<Pool>,
        mut state: MutexGuard<'_, State>,
        job: &JobRef,
        mut chores: SomeChores,
    ) {
        let Some(member) = &self.member else { return };
        // Nobody has: whoever hurried it looked, under this very lock.
        job.claim();
        let number = state.roster.number();
        state.roster.begin(number, job.clone());
        state.roster.enter(number, self.clone());
        state.books.waiting -= 1;
        state.books.begun += 1;
        if pool.limited {
            state.backlog.occupy_place();
        }
        wake_later(&mut chores, state.for_room.call());
        drop(state);
        if let Some(chores) = chores {
            chores.run(pool);
        }
        let post = Arc::new(Post::new(pool.clone(), number, pool.limited));
        member.pile.push(post.clone());
        let ran = job.run();
        let mut state = pool.state.lock();
        let mut chores = None;
        let job = pool.settle(&mut state, number, ran, &mut chores);
        state.roster.free(number);
        if post.give_place(&mut state, &mut chores) {
            pool.muster(&mut state, Some(self.hub.index), &mut chores);
        }
        drop(state);
        member.pile.pop();
        if let Some(chores) = chores {
            chores.run(pool);
        }
        // Who waits for it has it, too: so nothing is dropped here but a count.
        drop(job);
    }

    /// Waits until the pool has a place for this green thread again: in it, or, with `proxy`, in
    /// the OS thread that runs a part of it.
    fn take_place(self: &Arc<Green>, proxy: Option<Arc<Bell>>) {
        overflow::probe();
        let Some(member) = &self.member else { return };
        if let Some(bell) = &proxy {
            self.set_proxy(bell.clone());
        }
        member.with_top(|post| {
            let has_place = post.pool.state.lock().backlog.take_place(self.clone());
            match &proxy {
                Some(bell) => self.end_proxy(bell, !has_place),
                None if has_place => {}
                None => self.sleep_until_called(),
            }
            // ORDERING: Relaxed, only this green thread touches it, or who runs a part of it.
            post.has_place.store(true, Ordering::Relaxed);
        });
    }
}

/// Has `job`, which somebody in the pool `here` waits for, go first in its own pool, if that is
/// another one and green threads are short. Who waits is `runner`, or an OS thread.
#[inline]
fn hurry_elsewhere(here: &Pool, job: &JobRef, runner: Option<&Arc<Green>>) {
    // ORDERING: Relaxed, a hint, as in `Green::lend`.
    if job.pool() != here.id && here.runtime.quota.is_short() {
        hurry_in_shortage(job, runner);
    }
}

#[cold]
fn hurry_in_shortage(job: &JobRef, runner: Option<&Arc<Green>>) {
    let Some(pool) = Pool::by_id(job.pool()) else { return };
    let mut state = pool.state.lock();
    let mut chores = None;
    if pool.hurry(&mut state, job, &mut chores) {
        pool.bring_for(state, Some(job), runner, chores);
    } else {
        drop(state);
        if let Some(chores) = chores {
            chores.run(&pool);
        }
    }
    pool.runtime.let_go(pool);
}

impl Offloaded {
    /// Gives false if there is nothing to give back.
    fn lend(&self, awaited: Option<JobRef>) -> bool {
        let pool = &self.pool;
        let mut state = pool.state.lock();
        let mut chores = None;
        if awaited.as_ref().is_some_and(|job| pool.hurry(&mut state, job, &mut chores)) {
            // If there can be no runner more, it is run by the next one that is done.
            pool.muster(&mut state, None, &mut chores);
        }
        let lends = self.has_place.replace(false);
        if lends {
            state.lane.give_place();
        }
        pool.staff_lane(&mut state, &mut chores);
        drop(state);
        if let Some(chores) = chores {
            chores.run(pool);
        }
        if let Some(job) = awaited {
            hurry_elsewhere(pool, &job, None);
        }
        lends
    }

    fn take_place(&self) {
        let Some(bell) = threads::own_bell() else { return };
        if !self.pool.state.lock().lane.take_place(bell.clone()) {
            bell.wait();
        }
        self.has_place.set(true);
    }
}

/// A place that was lent. There is no `Drop` that takes it back, because a job that ends while
/// its place is lent does not need it again.
#[must_use]
pub(crate) struct Lent(Lender);

enum Lender {
    Green(Arc<Green>),
    /// An OS thread's share of their limit, and, if so, a place of what it runs.
    Errand(Rc<Errand>, bool),
}

impl Lent {
    /// Waits until the caller has again what it lent.
    pub(crate) fn reclaim(self) {
        match self.0 {
            Lender::Green(green) => green.take_place(None),
            Lender::Errand(errand, lends) => {
                // The place first: nobody keeps a share of the threads, which everybody needs,
                // while it waits for a place.
                match &*errand {
                    _ if !lends => {}
                    Errand::For(green) => green.take_place(threads::own_bell()),
                    Errand::Task(task) => task.take_place(),
                }
                threads::take_share();
            }
        }
    }
}

impl Pool {
    /// Has `job`, which somebody waits for, go first, if it is of this pool and waits to begin.
    /// Gives true if that needs a green thread.
    fn hurry(self: &Arc<Pool>, state: &mut State, job: &JobRef, chores: &mut SomeChores) -> bool {
        // ORDERING: Relaxed, a hint: whoever pops it claims it under the lock.
        if job.claimed().load(Ordering::Relaxed) || job.pool() != self.id {
            return false;
        }
        if !job.meta().offload {
            state.backlog.push_urgent(job.clone());
            return true;
        }
        state.lane.push_urgent(job.clone());
        self.staff_lane(state, chores);
        false
    }

    /// Brings a runner for what waits to begin. If there is none to be had, `hurried`, which is to
    /// go first, runs on top of what `runner`, which is to wait for it, runs, while there is room:
    /// the last resort, for all green threads that there may be may be waiting.
    fn bring_for(
        self: &Arc<Pool>,
        mut state: MutexGuard<'_, State>,
        hurried: Option<&JobRef>,
        runner: Option<&Arc<Green>>,
        mut chores: SomeChores,
    ) {
        let near = runner.map(|green| green.hub.index);
        match (self.try_muster(&mut state, near, &mut chores), hurried, runner) {
            (Err(Starved), Some(job), Some(green))
                if overflow::has_room_for_one_more(job.meta().stack_size) =>
            {
                green.run_inline(self, state, job, chores);
                return;
            }
            (Err(Starved), ..) => Pool::have_return(&mut state, &mut chores),
            (Ok(()), ..) => {}
        }
        drop(state);
        if let Some(chores) = chores {
            chores.run(self);
        }
    }
}
