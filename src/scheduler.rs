//! The loop that hands to the pool what is due: a green thread that sleeps until the next entry,
//! and, while anything follows the wall clock, for no longer than `interval`, because that clock
//! can be set, and goes on while the machine sleeps.

use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use chrono::{DateTime, TimeDelta, Utc};

use crate::clock::{Clock, Eta, nanos};
use crate::green::Mutex;
use crate::green::{
    self, Green, JobRef, Pool, Waiter, block_until, panics, probe, probe_for_inner_lock,
};
use crate::loops::{Loops, Then};
use crate::periodic::{Fired, Look, MOST_MISSED, Row};
use crate::timetable::{Due, Timetable};

/// A wall clock that is set back by less than this is waited for, so that nothing periodic runs
/// twice. One that is set back further was wrong before, and is followed. (Debian's cron does the
/// same.)
const CORRECTION: TimeDelta = TimeDelta::hours(3);

/// How many due entries are handed over before others get to run.
const BATCH: usize = 256;

/// Fewer entries than these are not worth a search for those of cancelled tasks.
const LEAST_SWEPT: usize = 1024;

pub(crate) struct Scheduler(Arc<Shared>);

struct Shared {
    huey: String,
    clock: Clock,
    interval: Duration,
    state: Mutex<State>,
    /// What the clock holds on to, weakly, to tell us that it was turned.
    on_turn: Mutex<Option<Arc<dyn Fn() + Send + Sync>>>,
}

struct State {
    table: Timetable<JobRef>,
    rows: Vec<Arc<Row>>,
    loops: Loops<Waiter>,
    /// Whose zone or predicate which loop asks: it may overflow the stack, which ends the green
    /// thread, and then it is to be named.
    asked: Option<(u64, Arc<Row>)>,
    /// With more entries than this, those of cancelled tasks are looked for.
    sweep_at: usize,
    last_wall: Option<DateTime<Utc>>,
    marks: Marks,
}

/// What the scheduler counts.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Marks {
    pub(crate) missed: u64,
    pub(crate) overlapped: u64,
    pub(crate) worst_late: Duration,
}

/// Gives periodic tasks that were found since it was asked last; None once there can't be more.
pub(crate) type Source = Arc<dyn Fn() -> Option<Vec<Row>> + Send + Sync>;

/// It runs already, or not.
#[derive(Debug)]
pub(crate) struct WrongState;

impl Scheduler {
    pub(crate) fn new(huey: String, clock: Clock, interval: Duration) -> Scheduler {
        Scheduler(Arc::new(Shared {
            huey,
            clock,
            interval,
            state: Mutex::new(State {
                table: Timetable::new(),
                rows: Vec::new(),
                loops: Loops::new(),
                asked: None,
                sweep_at: LEAST_SWEPT,
                last_wall: None,
                marks: Marks::default(),
            }),
            on_turn: Mutex::new(None),
        }))
    }

    /// Starts the loop, which hands what is due to `pool`.
    pub(crate) fn start(
        &self,
        runtime: &'static green::Runtime,
        pool: Arc<Pool>,
        source: Source,
    ) -> Result<(), WrongState> {
        probe();
        let shared = self.0.clone();
        if shared.state.lock().loops.is_running() {
            return Err(WrongState);
        }
        let now = shared.clock.wall();
        // The first look at declarations, here: what is declared already counts from this moment
        // on.
        shared.adopt(&mut Some(&source));
        let this_loop = {
            let mut state = shared.state.lock();
            let this_loop = state.loops.start().ok_or(WrongState)?;
            state.last_wall = Some(now);
            state.rows.iter().for_each(|row| row.start_from(now));
            this_loop
        };
        let watched = Arc::downgrade(&shared);
        let on_turn: Arc<dyn Fn() + Send + Sync> = Arc::new(move || notify(&watched));
        shared.clock.watch(Arc::downgrade(&on_turn));
        *shared.on_turn.lock() = Some(on_turn);
        runtime.keep(Arc::new(move || shared.run(this_loop, &pool, &source)));
        Ok(())
    }

    /// Ends the loop. What is scheduled stays.
    pub(crate) fn stop(&self) -> Result<(), WrongState> {
        probe();
        let sleeper = self.0.state.lock().loops.stop().ok_or(WrongState)?;
        wake(sleeper);
        Ok(())
    }

    pub(crate) fn is_running(&self) -> bool {
        probe();
        self.0.state.lock().loops.is_running()
    }

    /// Schedules `job`. One that is due already is handed over when the loop looks.
    pub(crate) fn insert(&self, eta: Eta, job: JobRef) {
        probe();
        let clock = &self.0.clock;
        let mut state = self.0.state.lock();
        if state.table.len() >= state.sweep_at {
            // Twice as many as were left: so each insertion pays for a few looks, however many.
            state.table.retain(|job| job.abandoned().is_none());
            state.sweep_at = LEAST_SWEPT.max(2 * state.table.len());
        }
        let first = match eta {
            Eta::After(delay) => {
                let due = clock.monotonic().saturating_add(nanos(delay));
                state.table.insert_delay(due, job)
            }
            Eta::At(time) => state.table.insert_eta(time, job),
        };
        if first {
            let sleeper = state.loops.tell();
            drop(state);
            wake(sleeper);
        }
    }

    pub(crate) fn add(&self, row: Row) {
        probe();
        row.start_from(self.0.clock.wall());
        let mut state = self.0.state.lock();
        state.rows.push(Arc::new(row));
        let sleeper = state.loops.tell();
        drop(state);
        wake(sleeper);
    }

    /// Takes out all that is scheduled.
    pub(crate) fn drain(&self) -> Vec<JobRef> {
        probe();
        self.0.state.lock().table.drain().collect()
    }

    pub(crate) fn scheduled(&self) -> usize {
        probe();
        self.0.state.lock().table.len()
    }

    pub(crate) fn marks(&self) -> Marks {
        probe();
        self.0.state.lock().marks
    }
}

fn wake(sleeper: Option<Waiter>) {
    if let Some(sleeper) = sleeper {
        sleeper.wake();
    }
}

/// Has the loop look again.
fn notify(shared: &Weak<Shared>) {
    // Whoever turns a clock, or ends a run, has probed: the loop must hear of it then.
    probe_for_inner_lock();
    let Some(shared) = shared.upgrade() else { return };
    let sleeper = shared.state.lock().loops.tell();
    wake(sleeper);
    // All others may have let go meanwhile. The caller, who may be the watchdog, is not the one to
    // run the destructors of what is foreign in it: a green thread of its own is.
    if let (Some(last), Ok(runtime)) = (Arc::into_inner(shared), green::Runtime::get()) {
        runtime.keep(Arc::new(move || _ = &last));
    }
}

impl Drop for Shared {
    /// What rows are made of is foreign, and so are its destructors: one that panics is to end
    /// neither the others, nor, as the second one to do so, the process.
    fn drop(&mut self) {
        let state = self.state.get_mut();
        state.asked = None;
        for row in state.rows.drain(..) {
            // None if somebody else has it, too.
            if let Some(row) = Arc::into_inner(row) {
                row.let_go();
            }
        }
    }
}

impl Shared {
    /// The loop. If foreign code in it overflows the stack, it goes on here, in another green
    /// thread.
    fn run(self: &Arc<Shared>, this_loop: u64, pool: &Arc<Pool>, source: &Source) {
        let me = Green::current();
        let mut source = Some(source);
        let asked = self.state.lock().asked.take_if(|(by, _)| *by == this_loop);
        if let Some((_, row)) = asked {
            row.tell_of_overflow();
        }
        loop {
            self.state.lock().loops.look(this_loop);
            // What a declaration says of its period is foreign code.
            panics::contain(|| self.adopt(&mut source));
            let wall = self.clock.wall();
            let mut more = false;
            panics::contain(|| self.follow(wall));
            self.fire_rows(this_loop, wall, pool);
            panics::contain(|| more = self.hand_over(this_loop, wall, pool));
            if more {
                green::yield_now();
            }
            let sleep = if more { Some(Duration::ZERO) } else { self.sleep(source.is_some()) };
            let deadline = sleep.and_then(|sleep| Instant::now().checked_add(sleep));
            let mut then = Then::Look;
            block_until(me.as_deref(), deadline, || {
                then = self.state.lock().loops.rest(this_loop, Waiter::current);
                then != Then::Sleep
            });
            if then == Then::End {
                return;
            }
        }
    }

    /// Takes in periodic tasks that were declared in places that we were not told of.
    fn adopt(&self, source: &mut Option<&Source>) {
        let Some(find) = source else { return };
        let Some(rows) = find() else {
            *source = None;
            return;
        };
        let now = self.clock.wall();
        rows.iter().for_each(|row| row.start_from(now));
        self.state.lock().rows.extend(rows.into_iter().map(Arc::new));
    }

    /// Notices that the wall clock was set back.
    fn follow(&self, wall: DateTime<Utc>) {
        let mut state = self.state.lock();
        let Some(last) = state.last_wall.replace(wall) else { return };
        if wall >= last {
            return;
        }
        if last - wall < CORRECTION {
            // Keep the later one: small steps back add up.
            state.last_wall = Some(last);
            return;
        }
        let rows = state.rows.clone();
        drop(state);
        rows.iter().for_each(|row| row.start_from(wall));
        log::warn!(
            "{:?}: the wall clock was set back from {last} to {wall}: periodic tasks go on from there",
            self.huey
        );
    }

    fn fire_rows(self: &Arc<Shared>, this_loop: u64, wall: DateTime<Utc>, pool: &Arc<Pool>) {
        let rows = self.state.lock().rows.clone();
        for row in rows {
            {
                let mut state = self.state.lock();
                // What is due may be the next loop's.
                if !state.loops.runs(this_loop) {
                    return;
                }
                state.asked = Some((this_loop, row.clone()));
            }
            let look = row.look(wall);
            {
                let mut state = self.state.lock();
                // The predicate may have taken its time.
                if !state.loops.runs(this_loop) {
                    return;
                }
                state.asked = None;
            }
            panics::contain(|| self.fire(&row, look, wall, pool));
        }
    }

    fn fire(self: &Arc<Shared>, row: &Row, look: Look, wall: DateTime<Utc>, pool: &Arc<Pool>) {
        let ended = |shared: &Arc<Shared>| {
            let shared = Arc::downgrade(shared);
            move || notify(&shared)
        };
        let mut enqueued = Vec::new();
        let (mut overlapped, mut waits) = (0, false);
        let queued = row.fire_queued(pool.id(), ended(self));
        let fired = look.fires.map(|_| row.fire(pool.id(), ended(self)));
        for fired in [queued, fired].into_iter().flatten() {
            match fired {
                Fired::Run(job) => {
                    enqueued.push(job.id());
                    if let Err(refused) = pool.push(job, usize::MAX) {
                        refused.shut_down();
                    }
                }
                Fired::Skipped => overlapped += 1,
                Fired::Queued => waits = true,
            }
        }
        if look.missed + overlapped > 0 {
            let mut state = self.state.lock();
            state.marks.missed += look.missed;
            state.marks.overlapped += overlapped;
        }
        // At the end: a logger is foreign code, and is to take nothing along if it never comes
        // back.
        let name = row.name();
        if look.missed > 0 {
            let count = if look.missed >= MOST_MISSED { "at least " } else { "" };
            panics::contain(|| {
                log::warn!(
                    "{:?}: periodic task {name} missed {count}{} firing(s) before {wall}: nobody was \
                     there for them (sleep, a clock that was set, or a task that held the worker)",
                    self.huey,
                    look.missed
                );
            });
        }
        for id in enqueued {
            panics::contain(|| log::debug!("enqueueing periodic {name} #{id}"));
        }
        if overlapped > 0 {
            log::warn!("periodic task {name} skipped: its last run has not ended");
        }
        if waits {
            log::debug!("periodic {name} waits for its last run to end");
        }
    }

    /// Hands due entries to the pool. Gives true if there may be more.
    fn hand_over(&self, this_loop: u64, wall: DateTime<Utc>, pool: &Arc<Pool>) -> bool {
        let monotonic = self.clock.monotonic();
        for _ in 0..BATCH {
            probe();
            let mut state = self.state.lock();
            if !state.loops.runs(this_loop) {
                return false;
            }
            let Some(Due { job, late }) = state.table.pop_due(monotonic, wall) else {
                return false;
            };
            state.marks.worst_late = state.marks.worst_late.max(Duration::from_nanos(late));
            if job.abandoned().is_some() {
                drop(state);
                panics::contain(|| drop(job));
                continue;
            }
            let (name, id) = (job.meta().name, job.id());
            match pool.push_due(job, state) {
                // The logger is foreign code: it is to take nothing along if it fails or never
                // returns.
                Ok(()) => panics::contain(|| log::debug!("enqueueing scheduled {name} #{id}")),
                Err(refused) => refused.shut_down(),
            }
        }
        true
    }

    /// How long nothing will be due; None: until something changes.
    fn sleep(&self, is_looking: bool) -> Option<Duration> {
        if !self.clock.runs() {
            return None;
        }
        let state = self.state.lock();
        let until_delay = state
            .table
            .next_delay()
            .map(|due| Duration::from_nanos(due.saturating_sub(self.clock.monotonic())));
        let next_row = state.rows.iter().filter_map(|row| row.next()).min();
        let next_wall = state.table.next_eta().into_iter().chain(next_row).min();
        let until_wall = next_wall.map(|due| {
            let left = due - self.clock.wall();
            left.to_std().unwrap_or(Duration::ZERO).min(self.interval)
        });
        let until_search = is_looking.then_some(self.interval);
        [until_delay, until_wall, until_search].into_iter().flatten().min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::green::TaskMeta;
    use crate::task;

    #[test]
    fn interval_bounds_the_sleep_while_something_follows_the_wall_clock() {
        const INTERVAL: Duration = Duration::from_millis(300);
        let scheduler = Scheduler::new("sleeps".to_owned(), Clock::default(), INTERVAL);
        assert_eq!(scheduler.0.sleep(false), None);
        // Made for the timetable alone.
        let job = || task::call(TaskMeta::leak("never"), 0, || Ok(())).0;
        scheduler.insert(Eta::After(Duration::from_secs(3600)), job());
        let until_delay = scheduler.0.sleep(false).unwrap();
        assert!(until_delay > Duration::from_secs(3000), "{until_delay:?}");
        scheduler.insert(Eta::At(Utc::now() + TimeDelta::hours(1)), job());
        assert_eq!(scheduler.0.sleep(false), Some(INTERVAL));
        scheduler.drain();
    }
}
