//! loom models of the hand-made hand-overs: every interleaving, and every value that a weak
//! memory may show, of the very sources that the library is built from, on loom's atomics.
//!
//! Each ordering below was weakened once to see its model fail (`tests/mutations.sh` does it again
//! for most of them):
//! * `publish`'s fetch_or(READY, AcqRel) to Acquire: `a_value_reaches_who_waits_for_it` reports a
//!   race on the content; to Release: on the waiter.
//! * `register`'s fetch_or(WAITING, AcqRel) to Acquire: the same model reports a race on the waiter.
//! * `begin`'s vacant.store(Release) to Relaxed: `only_one_of_runner_and_canceller_decides`.
//! * in `Shared::drop`, load(Acquire) to Relaxed, and fetch_sub(AcqRel) to Acquire or to Release:
//!   `an_objects_last_owner_sees_what_the_others_did` reports a race, as it does if an only owner
//!   is taken for the last one after it looked twice.
//! * in `Backlog::help`, no standby for work that was left behind, and in `Backlog::next`, a runner
//!   that rests without being listed: `work_is_done_even_if_it_blocks_on_later_work` deadlocks.
//! * in `Inbox::take`, the flag cleared after the lock is let go of, and in `Hub::run` (here its
//!   mirror), no look at `has_mail` after arming: `no_letter_is_left_in_the_hubs_inbox` deadlocks.
//! * in `Called`, `call`'s store(Release) or `take`'s load(Acquire) to Relaxed:
//!   `who_is_called_sees_what_was_done_before` reports a race; `end_proxy` without clearing:
//!   `a_call_to_a_proxy_is_spent_by_it` finds a call left over.
//! * in `Quota`, either fence left out, and in `list`, a look at `most_at_ease` whoever asks:
//!   `who_is_refused_a_green_thread_is_asked_again_when_one_ends` deadlocks.
//! * in the mirror of `Poller`, the unpark before the state in `Wait::end`, and no arming anew in
//!   `fired`: `a_wait_for_a_descriptor_ends_when_it_is_closed` and
//!   `an_event_for_one_leaves_the_others_watched` deadlock; there, a `closed` that does nothing:
//!   `a_wait_that_begins_while_its_descriptor_is_closed_ends` deadlocks.
//! * in the mirror of `block`, a wait that takes any wake for its own:
//!   `a_wait_whose_time_runs_out_as_the_value_comes_ends_once` finds no value.
//! * in `Lane::take_place`, a place given beyond the limit:
//!   `offloaded_work_that_waits_for_offloaded_work_has_its_turn` sees two inside; in
//!   `Lane::demand`, nobody called who returns: it deadlocks.
//! * in `Permits`, each ordering that is not Relaxed to Relaxed: a race in a model of the lock; no
//!   QUEUED bit set, seen or cleared, or nobody served when the first gives up: a deadlock there.
//! * in `Exchange`, an end that goes without waking whoever waits at the other, or a message left with
//!   a receiver who gave up: a deadlock or a lost message in the models of the channel.

#[allow(dead_code)]
mod primitives {
    pub use loom::cell::UnsafeCell;
    pub use loom::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicUsize, Ordering, fence};

    /// As parking_lot's: it knows no poison.
    pub struct Mutex<T>(loom::sync::Mutex<T>);

    impl<T> Mutex<T> {
        pub fn new(value: T) -> Mutex<T> {
            Mutex(loom::sync::Mutex::new(value))
        }

        pub fn lock(&self) -> loom::sync::MutexGuard<'_, T> {
            self.0.lock().unwrap()
        }
    }
}

#[allow(dead_code)]
#[path = "../src/slot/cell.rs"]
mod cell;
#[allow(dead_code)]
#[path = "../src/slot/states.rs"]
mod states;

#[allow(dead_code)]
#[path = "../src/green/backlog.rs"]
mod backlog;
#[path = "../src/green/called.rs"]
mod called;
#[path = "../src/green/inbox.rs"]
mod inbox;
#[allow(dead_code)]
#[path = "../src/green/lane.rs"]
mod lane;
#[allow(dead_code)]
#[path = "../src/green/quota.rs"]
mod quota;

#[allow(dead_code)]
#[path = "../src/green/shared.rs"]
mod shared;

/// In place of the real one, whose hand-overs are all under a lock.
mod arena {
    use std::alloc::{Layout, alloc, dealloc};
    use std::ptr::NonNull;

    #[derive(Clone, Copy)]
    pub struct Place;

    pub fn allocate(layout: Layout) -> (NonNull<u8>, Place) {
        // SAFETY: the header alone has a size.
        (NonNull::new(unsafe { alloc(layout) }).expect("some memory"), Place)
    }

    /// # Safety
    /// It came from `allocate`, for this layout.
    pub unsafe fn free(memory: NonNull<u8>, _: Place, layout: impl FnOnce() -> Layout) {
        // SAFETY: the caller's promise.
        unsafe { dealloc(memory.as_ptr(), layout()) };
    }
}

#[allow(dead_code)]
#[path = "../src/green/sync/exchange.rs"]
mod exchange;
#[allow(dead_code)]
#[path = "../src/green/sync/permits.rs"]
mod permits;
#[allow(dead_code)]
#[path = "../src/green/sync/wait_list.rs"]
mod wait_list;

use loom::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use loom::sync::{Arc, Condvar, Mutex};
use loom::thread;

use backlog::{Backlog, Entry, Help, Next};
use called::Called;
use crossbeam_channel::{TryRecvError, TrySendError};
use inbox::Inbox;
use lane::{Demand, Lane, Taken};
use quota::Quota;
use shared::Shared;

type Slot = cell::Slot<(), Counted, Counted, Arc<Bell>>;

/// A park and unpark of one's own: loom's are also what its `join` waits by.
struct Bell {
    rung: Mutex<bool>,
    changed: Condvar,
}

impl Bell {
    fn new() -> Arc<Bell> {
        Arc::new(Bell { rung: Mutex::new(false), changed: Condvar::new() })
    }

    fn ring(&self) {
        *self.rung.lock().unwrap() = true;
        self.changed.notify_one();
    }

    fn wait(&self) {
        let mut rung = self.rung.lock().unwrap();
        while !*rung {
            rung = self.changed.wait(rung).unwrap();
        }
        *rung = false;
    }
}

/// Counts how many of its kind were made and dropped; in a loom cell, so that a value that is
/// handed over without order is a race.
struct Counted {
    value: Box<u32>,
    dropped: Arc<AtomicUsize>,
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.dropped.fetch_add(1, Ordering::Relaxed);
    }
}

struct Count(Arc<AtomicUsize>);

impl Count {
    fn new() -> Count {
        Count(Arc::new(AtomicUsize::new(0)))
    }

    fn make(&self, value: u32) -> Counted {
        Counted { value: Box::new(value), dropped: self.0.clone() }
    }

    fn dropped(&self) -> usize {
        self.0.load(Ordering::SeqCst)
    }
}

fn resolve(slot: &Slot, value: Counted) -> bool {
    if !slot.decide() {
        return false;
    }
    // SAFETY: `decide` gave true.
    if let Some(waiter) = unsafe { slot.publish(value) } {
        waiter.ring();
    }
    true
}

/// Waits as the library does. Only the one receiver may call it.
fn receive(slot: &Slot) -> Counted {
    // SAFETY: each model has one receiver.
    unsafe {
        let bell = Bell::new();
        if slot.register(bell.clone()) {
            bell.wait();
        }
        slot.take().expect("ready, and taken by nobody else")
    }
}

#[test]
fn a_value_reaches_who_waits_for_it() {
    loom::model(|| {
        let count = Count::new();
        let slot = Arc::new(Slot::new((), 0, count.make(1)));
        let runner = thread::spawn({
            let (slot, value) = (slot.clone(), count.make(2));
            move || {
                let work = slot.begin().expect("nobody else begins");
                assert_eq!(*work.value, 1);
                assert!(resolve(&slot, value));
            }
        });
        assert_eq!(*receive(&slot).value, 2);
        runner.join().unwrap();
        drop(slot);
        assert_eq!(count.dropped(), 2);
    });
}

#[test]
fn only_one_of_runner_and_canceller_decides() {
    bounded_model(|| {
        let count = Count::new();
        let slot = Arc::new(Slot::new((), 0, count.make(0)));
        // The canceller may find that the work is just being moved out: then it is too early for
        // it (the library looks again until it is not), and the runner decides.
        let decides = |value: u32, cancels: bool| {
            let (slot, value) = (slot.clone(), count.make(value));
            thread::spawn(move || {
                let work = slot.begin();
                (cancels || work.is_some()) && resolve(&slot, value)
            })
        };
        let runner = decides(1, false);
        let canceller = decides(2, true);
        let value = *receive(&slot).value;
        let (ran, cancelled) = (runner.join().unwrap(), canceller.join().unwrap());
        assert!(ran ^ cancelled, "exactly one decides");
        assert_eq!(value, if ran { 1 } else { 2 });
        drop(slot);
        assert_eq!(count.dropped(), 3);
    });
}

#[test]
fn of_a_runner_and_two_who_end_it_from_outside_one_decides_and_the_fate_says_which() {
    model_with_preemptions(2, || {
        let count = Count::new();
        let slot = Arc::new(Slot::new((), 0, count.make(0)));
        let ends = |fate: u8| {
            let (slot, value) = (slot.clone(), count.make(u32::from(fate)));
            thread::spawn(move || {
                if !slot.discard_work(fate) {
                    return false;
                }
                // If it is too early, as above, the runner decides.
                let decides = slot.decide_for_it(fate);
                if decides {
                    // SAFETY: `decide_for_it` gave true.
                    drop(unsafe { slot.publish(value) });
                }
                decides
            })
        };
        let canceller = ends(states::CANCELLED);
        let shutdown = ends(states::SHUT_DOWN);
        let value = count.make(0);
        let ran = match slot.begin() {
            Some(work) => {
                drop(work);
                resolve(&slot, value)
            }
            None => {
                drop(value);
                false
            }
        };
        let (cancelled, shut_down) = (canceller.join().unwrap(), shutdown.join().unwrap());
        assert_eq!(u8::from(ran) + u8::from(cancelled) + u8::from(shut_down), 1);
        let fate = if ran {
            0
        } else if cancelled {
            states::CANCELLED
        } else {
            states::SHUT_DOWN
        };
        assert_eq!(slot.fate(), fate);
        // SAFETY: this is the one receiver.
        assert_eq!(*unsafe { slot.take() }.expect("decided").value, u32::from(fate));
        drop(slot);
        assert_eq!(count.dropped(), 4);
    });
}

#[test]
fn a_wait_that_times_out_withdraws_its_waiter_or_finds_the_value() {
    loom::model(|| {
        let count = Count::new();
        let slot = Arc::new(Slot::new((), 0, count.make(1)));
        let runner = thread::spawn({
            let (slot, value) = (slot.clone(), count.make(2));
            move || {
                drop(slot.begin());
                assert!(resolve(&slot, value));
            }
        });
        // SAFETY: this is the one receiver.
        unsafe {
            if slot.register(Bell::new()) && slot.unregister() {
                // Timed out; a second wait must work as the first.
                assert_eq!(*receive(&slot).value, 2);
            } else {
                assert_eq!(*slot.take().expect("register or unregister said ready").value, 2);
            }
        }
        runner.join().unwrap();
        drop(slot);
        assert_eq!(count.dropped(), 2);
    });
}

#[test]
fn a_value_that_nobody_takes_is_dropped_once() {
    loom::model(|| {
        let count = Count::new();
        let slot = Arc::new(Slot::new((), 0, count.make(1)));
        let runner = thread::spawn({
            let (slot, value) = (slot.clone(), count.make(2));
            move || {
                drop(slot.begin());
                assert!(resolve(&slot, value));
            }
        });
        // SAFETY: this is the one receiver.
        unsafe { slot.register(Bell::new()) };
        drop(slot);
        runner.join().unwrap();
        assert_eq!(count.dropped(), 2);
    });
}

/// What each owner touched before it let go.
struct Touched {
    by: [loom::cell::UnsafeCell<u32>; 3],
    dropped: Arc<AtomicUsize>,
}

impl Touched {
    fn touch(&self, owner: usize) {
        // SAFETY: each owner has a cell of its own; loom tells if that is not so.
        self.by[owner].with_mut(|cell| unsafe { *cell += 1 });
    }
}

impl Drop for Touched {
    fn drop(&mut self) {
        // SAFETY: nobody else is left; loom tells if that is not so.
        let touches: u32 = self.by.iter().map(|cell| cell.with(|cell| unsafe { *cell })).sum();
        assert_eq!(touches, 3);
        self.dropped.fetch_add(1, Ordering::Relaxed);
    }
}

#[test]
fn an_objects_last_owner_sees_what_the_others_did() {
    bounded_model(|| {
        let dropped = Arc::new(AtomicUsize::new(0));
        let by = std::array::from_fn(|_| loom::cell::UnsafeCell::new(0));
        let (first, second) = Shared::pair(Touched { by, dropped: dropped.clone() });
        let other = thread::spawn(move || {
            // It makes one owner more, and hands that on.
            let third = second.clone();
            let another = thread::spawn(move || third.touch(2));
            second.touch(1);
            drop(second);
            another.join().unwrap();
        });
        first.touch(0);
        drop(first);
        other.join().unwrap();
        assert_eq!(dropped.load(Ordering::Relaxed), 1);
    });
}

/// The pool's hand-over: the backlog under a lock, and runners that rest until they are called.
/// Threads stand for runners, which can do more than runners of one worker can: run in parallel.
struct Pool {
    state: Mutex<(Backlog<Job, Arc<Runner>>, bool)>,
    runners: Mutex<Vec<thread::JoinHandle<()>>>,
}

struct Runner {
    bell: Arc<Bell>,
    dismissed: AtomicBool,
}

type Work = Box<dyn FnOnce() + Send>;

#[derive(Clone)]
struct Job {
    claimed: Arc<AtomicBool>,
    work: Arc<Mutex<Option<Work>>>,
}

impl Job {
    fn new(work: impl FnOnce() + Send + 'static) -> Job {
        let work: Work = Box::new(work);
        Job { claimed: Arc::new(AtomicBool::new(false)), work: Arc::new(Mutex::new(Some(work))) }
    }

    fn run(&self) {
        let work = self.work.lock().unwrap().take();
        work.expect("claimed once, so run once")();
    }
}

impl Entry for Job {
    fn claim(&self) -> bool {
        !self.claimed.swap(true, Ordering::Relaxed)
    }
}

impl Pool {
    fn new(limit: usize) -> Arc<Pool> {
        Arc::new(Pool {
            state: Mutex::new((Backlog::new(1, limit), false)),
            runners: Mutex::new(Vec::new()),
        })
    }

    fn push(this: &Arc<Pool>, job: Job) {
        let help = {
            let mut state = this.state.lock().unwrap();
            state.0.push(job);
            state.0.help(None)
        };
        Pool::send(this, help);
    }

    fn send(this: &Arc<Pool>, help: Help<Arc<Runner>>) {
        match help {
            Help::None => {}
            Help::Wake(runner) => runner.bell.ring(),
            Help::Spawn(_) => {
                let pool = this.clone();
                let runner = thread::spawn(move || Pool::run(&pool));
                this.runners.lock().unwrap().push(runner);
            }
        }
    }

    fn run(this: &Arc<Pool>) {
        let me = Arc::new(Runner { bell: Bell::new(), dismissed: AtomicBool::new(false) });
        let mut standby = true;
        let mut has_place = false;
        loop {
            let mut state = this.state.lock().unwrap();
            if std::mem::take(&mut has_place) && state.0.is_limited() {
                assert!(state.0.give_place().is_none(), "nobody returns in these models");
            }
            match state.0.next(0, &mut standby, &me) {
                Next::Run(job) => {
                    let help = state.0.help(Some(0));
                    drop(state);
                    Pool::send(this, help);
                    job.run();
                    has_place = true;
                }
                Next::Skip(_) => {}
                Next::Call(_) => unreachable!("nobody returns in these models"),
                Next::Yield => {
                    drop(state);
                    thread::yield_now();
                }
                Next::Rest => {
                    if state.1 && state.0.no_rest(0, 0) {
                        return;
                    }
                    drop(state);
                    me.bell.wait();
                    if me.dismissed.load(Ordering::Relaxed) {
                        return;
                    }
                    standby = true;
                }
            }
        }
    }

    fn close(&self) {
        let idle = {
            let mut state = self.state.lock().unwrap();
            state.1 = true;
            state.0.drain_idle()
        };
        for runner in idle {
            runner.dismissed.store(true, Ordering::Relaxed);
            runner.bell.ring();
        }
        loop {
            let runner = self.runners.lock().unwrap().pop();
            let Some(runner) = runner else { return };
            runner.join().unwrap();
        }
    }
}

/// With three threads or more, all interleavings are too many: those with up to three preemptions.
fn bounded_model(model: impl Fn() + Sync + Send + 'static) {
    model_with_preemptions(3, model);
}

fn model_with_preemptions(most: usize, model: impl Fn() + Sync + Send + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(most);
    builder.check(model);
}

#[test]
fn work_is_done_even_if_it_blocks_on_later_work() {
    bounded_model(|| {
        let pool = Pool::new(usize::MAX);
        let done = Bell::new();
        let later = Bell::new();
        Pool::push(
            &pool,
            Job::new({
                let (done, later) = (done.clone(), later.clone());
                move || {
                    later.wait();
                    done.ring();
                }
            }),
        );
        Pool::push(&pool, Job::new(move || later.ring()));
        done.wait();
        pool.close();
    });
}

#[test]
fn work_that_is_added_while_a_runner_goes_to_rest_is_done() {
    bounded_model(|| {
        let pool = Pool::new(1);
        let done = Bell::new();
        for _ in 0..2 {
            let its_done = done.clone();
            Pool::push(&pool, Job::new(move || its_done.ring()));
            done.wait();
        }
        pool.close();
    });
}

#[test]
fn two_callers_work_is_all_done() {
    bounded_model(|| {
        let pool = Pool::new(usize::MAX);
        let count = Arc::new(AtomicUsize::new(0));
        let job = || {
            let count = count.clone();
            Job::new(move || {
                count.fetch_add(1, Ordering::Relaxed);
            })
        };
        let other = thread::spawn({
            let (pool, job) = (pool.clone(), job());
            move || Pool::push(&pool, job)
        });
        Pool::push(&pool, job());
        other.join().unwrap();
        // Closed while work waits: it is done before the runners end.
        pool.close();
        assert_eq!(count.load(Ordering::Relaxed), 2);
    });
}

/// The lane of offloaded work under its lock, with a thread for each run that it demands.
struct Offload {
    lane: Mutex<Lane<Job, Arc<Bell>>>,
    runs: Mutex<Vec<thread::JoinHandle<()>>>,
    /// How many have a place and go on.
    inside: AtomicUsize,
    limit: usize,
}

impl Offload {
    fn new(limit: usize) -> Arc<Offload> {
        Arc::new(Offload {
            lane: Mutex::new(Lane::new(limit)),
            runs: Mutex::new(Vec::new()),
            inside: AtomicUsize::new(0),
            limit,
        })
    }

    /// Does something to the lane, and then what it demands.
    fn with<R>(this: &Arc<Offload>, f: impl FnOnce(&mut Lane<Job, Arc<Bell>>) -> R) -> R {
        let mut lane = this.lane.lock().unwrap();
        let result = f(&mut lane);
        let mut demands = Vec::new();
        loop {
            match lane.demand() {
                Demand::None => break,
                demand => demands.push(demand),
            }
        }
        drop(lane);
        for demand in demands {
            match demand {
                Demand::None => {}
                Demand::Call(returning) => returning.ring(),
                Demand::Run => {
                    let offload = this.clone();
                    let run = thread::spawn(move || Offload::run(&offload));
                    this.runs.lock().unwrap().push(run);
                }
            }
        }
        result
    }

    fn run(this: &Arc<Offload>) {
        let job = Offload::with(this, |lane| {
            loop {
                match lane.take() {
                    Taken::Job(job) => return Some(job),
                    Taken::Stale(_) => {}
                    Taken::Nothing => return None,
                }
            }
        });
        let Some(job) = job else { return };
        this.enter();
        job.run();
        this.leave();
        Offload::with(this, Lane::give_place);
    }

    fn enter(&self) {
        let inside = self.inside.fetch_add(1, Ordering::SeqCst) + 1;
        assert!(inside <= self.limit, "{inside} have a place");
    }

    fn leave(&self) {
        self.inside.fetch_sub(1, Ordering::SeqCst);
    }

    /// What a job does that waits for another.
    fn wait_for(this: &Arc<Offload>, awaited: Job, done: &Bell) {
        this.leave();
        Offload::with(this, |lane| {
            lane.push_urgent(awaited);
            lane.give_place();
        });
        done.wait();
        let bell = Bell::new();
        if !Offload::with(this, |lane| lane.take_place(bell.clone())) {
            bell.wait();
        }
        this.enter();
    }

    fn join(&self) {
        loop {
            let run = self.runs.lock().unwrap().pop();
            let Some(run) = run else { return };
            run.join().unwrap();
        }
    }
}

#[test]
fn offloaded_work_that_waits_for_offloaded_work_has_its_turn() {
    bounded_model(|| {
        let offload = Offload::new(1);
        let done = Bell::new();
        let parent = Job::new({
            let (offload, done) = (offload.clone(), done.clone());
            move || {
                let child_done = Bell::new();
                let its_done = child_done.clone();
                let child = Job::new(move || its_done.ring());
                Offload::with(&offload, |lane| lane.push(child.clone()));
                Offload::wait_for(&offload, child, &child_done);
                done.ring();
            }
        });
        Offload::with(&offload, |lane| lane.push(parent));
        done.wait();
        offload.join();
    });
}

#[test]
fn two_callers_offloaded_work_is_all_done_one_at_a_time() {
    bounded_model(|| {
        let offload = Offload::new(1);
        let count = Arc::new(AtomicUsize::new(0));
        let (first, second) = (Bell::new(), Bell::new());
        let job = |done: Arc<Bell>| {
            let count = count.clone();
            Job::new(move || {
                count.fetch_add(1, Ordering::Relaxed);
                done.ring();
            })
        };
        let other = thread::spawn({
            let (offload, job) = (offload.clone(), job(first.clone()));
            move || Offload::with(&offload, |lane| lane.push(job))
        });
        let job = job(second.clone());
        Offload::with(&offload, |lane| lane.push(job));
        first.wait();
        second.wait();
        other.join().unwrap();
        offload.join();
        assert_eq!(count.load(Ordering::Relaxed), 2);
    });
}

/// A lock made of permits, and what it protects: in a loom cell, so that two who have it, or one who
/// does not see what the last one did, are a race.
struct Lock {
    permits: permits::Permits<Arc<Bell>>,
    value: primitives::UnsafeCell<u32>,
}

impl Lock {
    fn new(free: usize) -> Arc<Lock> {
        let free = primitives::AtomicUsize::new(free * 2);
        let waiting = primitives::Mutex::new(wait_list::WaitList::new());
        Arc::new(Lock {
            permits: permits::Permits::of(free, waiting),
            value: primitives::UnsafeCell::new(0),
        })
    }

    fn acquire(&self, count: usize) {
        if self.permits.try_acquire(count) {
            return;
        }
        let bell = Bell::new();
        if let Some(ticket) = self.permits.acquire_or_list(count, bell.clone()) {
            while !self.permits.is_granted(ticket) {
                bell.wait();
            }
        }
    }

    /// Gives up at once, if it has to wait.
    fn acquire_or_give_up(&self, count: usize) -> bool {
        match self.permits.acquire_or_list(count, Bell::new()) {
            None => true,
            Some(ticket) => !self.permits.withdraw(ticket, |bell| bell.ring()),
        }
    }

    fn release(&self, count: usize) {
        if !self.permits.try_release(count) {
            self.permits.hand_over(count, |bell| bell.ring());
        }
    }

    fn write(&self) {
        // SAFETY: loom finds out whether the caller is alone.
        self.value.with_mut(|value| unsafe { *value += 1 });
    }
}

#[test]
fn a_lock_is_one_s_at_a_moment_and_comes_to_all_who_wait() {
    bounded_model(|| {
        let lock = Lock::new(1);
        let threads: Vec<_> = (0..2)
            .map(|_| {
                let lock = lock.clone();
                thread::spawn(move || {
                    lock.acquire(1);
                    lock.write();
                    lock.release(1);
                })
            })
            .collect();
        lock.acquire(1);
        lock.write();
        lock.release(1);
        threads.into_iter().for_each(|thread| thread.join().unwrap());
        assert!(lock.permits.try_acquire(1), "it is free again");
        // SAFETY: the others have ended.
        lock.value.with_mut(|value| assert_eq!(unsafe { *value }, 3));
    });
}

#[test]
fn a_lock_is_not_lost_by_one_who_gives_up_as_it_is_handed_over() {
    bounded_model(|| {
        let lock = Lock::new(1);
        let hasty = thread::spawn({
            let lock = lock.clone();
            move || {
                if lock.acquire_or_give_up(1) {
                    lock.write();
                    lock.release(1);
                }
            }
        });
        let patient = thread::spawn({
            let lock = lock.clone();
            move || {
                lock.acquire(1);
                lock.write();
                lock.release(1);
            }
        });
        lock.acquire(1);
        lock.write();
        lock.release(1);
        hasty.join().unwrap();
        patient.join().unwrap();
        assert!(lock.permits.try_acquire(1), "it is free again");
    });
}

#[test]
fn readers_behind_a_writer_who_gives_up_and_a_writer_behind_readers_go_on() {
    bounded_model(|| {
        let lock = Lock::new(2);
        lock.acquire(1);
        let writer = thread::spawn({
            let lock = lock.clone();
            move || {
                if lock.acquire_or_give_up(2) {
                    lock.write();
                    lock.release(2);
                }
            }
        });
        let reader = thread::spawn({
            let lock = lock.clone();
            move || {
                // While the first reads: only a writer who stays may keep it waiting.
                lock.acquire(1);
                lock.release(1);
                lock.acquire(2);
                lock.write();
                lock.release(2);
            }
        });
        lock.release(1);
        writer.join().unwrap();
        reader.join().unwrap();
        assert_eq!(lock.permits.free(), 2);
    });
}

#[test]
fn a_reader_goes_on_when_the_writer_in_front_of_it_gives_up() {
    bounded_model(|| {
        let lock = Lock::new(2);
        lock.acquire(1);
        let writer = thread::spawn({
            let lock = lock.clone();
            move || assert!(!lock.acquire_or_give_up(2), "somebody reads all the time")
        });
        // Nobody lets go of anything before it has read.
        lock.acquire(1);
        writer.join().unwrap();
        lock.release(2);
        assert_eq!(lock.permits.free(), 2);
    });
}

#[test]
fn a_writer_sees_that_all_readers_are_done() {
    bounded_model(|| {
        let lock = Lock::new(2);
        lock.acquire(2);
        let readers: Vec<_> = (0..2)
            .map(|_| {
                let lock = lock.clone();
                thread::spawn(move || {
                    // SAFETY: loom finds out whether somebody writes.
                    lock.value.with(|value| unsafe { *value });
                    lock.release(1);
                })
            })
            .collect();
        lock.acquire(2);
        lock.write();
        lock.release(2);
        readers.into_iter().for_each(|reader| reader.join().unwrap());
    });
}

/// A channel of two ends, as the library's.
struct Channel(primitives::Mutex<exchange::Exchange<Counted, Arc<Bell>>>);

impl Channel {
    fn new(capacity: Option<usize>) -> Arc<Channel> {
        Arc::new(Channel(primitives::Mutex::new(exchange::Exchange::new(capacity))))
    }

    /// Gives the message back if there are no receivers.
    fn send(&self, message: Counted) -> Option<Counted> {
        let bell = Bell::new();
        let mut exchange = self.0.lock();
        let ticket = match exchange.send(message) {
            Ok(receiver) => {
                drop(exchange);
                receiver.inspect(|bell| bell.ring());
                return None;
            }
            Err(TrySendError::Disconnected(message)) => return Some(message),
            Err(TrySendError::Full(message)) => exchange.list_sender(message, bell.clone()),
        };
        drop(exchange);
        while !self.0.lock().is_sender_done(ticket) {
            bell.wait();
        }
        self.0.lock().end_send(ticket)
    }

    /// `None` if all senders are gone, or, in haste, if it would have to wait.
    fn receive(&self, hasty: bool) -> Option<Counted> {
        let bell = Bell::new();
        let mut exchange = self.0.lock();
        let ticket = match exchange.receive() {
            Ok((message, sender)) => {
                drop(exchange);
                sender.inspect(|bell| bell.ring());
                return Some(message);
            }
            Err(TryRecvError::Disconnected) => return None,
            Err(TryRecvError::Empty) => exchange.list_receiver(bell.clone()),
        };
        drop(exchange);
        while !hasty && !self.0.lock().is_receiver_done(ticket) {
            bell.wait();
        }
        self.0.lock().end_receive(ticket)
    }

    fn lose_senders(&self) {
        let receivers = self.0.lock().lose_senders();
        receivers.iter().for_each(|bell| bell.ring());
    }

    fn lose_receivers(&self) {
        let (messages, senders) = self.0.lock().lose_receivers();
        senders.iter().for_each(|bell| bell.ring());
        drop(messages);
    }
}

#[test]
fn every_message_comes_once_though_a_receiver_gives_up() {
    for capacity in [Some(0), Some(1), None] {
        bounded_model(move || {
            let count = Count::new();
            let channel = Channel::new(capacity);
            let sender = thread::spawn({
                let (channel, messages) = (channel.clone(), [count.make(1), count.make(2)]);
                move || {
                    for message in messages {
                        assert!(channel.send(message).is_none());
                    }
                    channel.lose_senders();
                }
            });
            let hasty = thread::spawn({
                let channel = channel.clone();
                move || channel.receive(true).map_or(0, |message| *message.value)
            });
            let patient: u32 =
                std::iter::from_fn(|| channel.receive(false)).map(|message| *message.value).sum();
            sender.join().unwrap();
            assert_eq!(patient + hasty.join().unwrap(), 3);
            assert_eq!(count.dropped(), 2);
        });
    }
}

#[test]
fn a_sender_has_its_message_back_or_it_was_received_or_dropped_when_the_receiver_is_gone() {
    for capacity in [Some(0), Some(1)] {
        bounded_model(move || {
            let count = Count::new();
            let channel = Channel::new(capacity);
            let sender = thread::spawn({
                let (channel, messages) = (channel.clone(), [count.make(1), count.make(2)]);
                move || messages.map(|message| channel.send(message).is_none())
            });
            let received = channel.receive(true).is_some();
            channel.lose_receivers();
            let sent = sender.join().unwrap();
            assert!(sent[0] || !received);
            assert_eq!(count.dropped(), 2);
        });
    }
}

/// As `Hub` in `src/green/hub.rs`, with its `run`, `post`, `arm` and `wake` line by line: the inbox
/// is the real one.
struct Hub {
    inbox: Inbox<u32>,
    timer: Timer,
}

/// The timerfd, and the selector that waits for it: told once that it fired, unless it was set to
/// something later before that.
struct Timer {
    fires: Mutex<bool>,
    changed: Condvar,
}

impl Timer {
    fn set(&self, fires: bool) {
        *self.fires.lock().unwrap() = fires;
        self.changed.notify_one();
    }

    fn wait(&self) {
        let mut fires = self.fires.lock().unwrap();
        while !*fires {
            fires = self.changed.wait(fires).unwrap();
        }
        *fires = false;
    }
}

impl Hub {
    fn new() -> Hub {
        let timer = Timer { fires: Mutex::new(false), changed: Condvar::new() };
        Hub { inbox: Inbox::new(), timer }
    }

    fn run(&self, letters: usize) -> u32 {
        let mut taken = Vec::new();
        loop {
            taken.extend(self.inbox.take());
            if taken.len() == letters {
                return taken.iter().sum();
            }
            // Arms: some green thread sleeps for long.
            self.timer.set(false);
            if self.inbox.has_mail() {
                continue;
            }
            self.timer.wait();
        }
    }

    fn post(&self, letter: u32) {
        if self.inbox.post(letter) {
            self.timer.set(true);
        }
    }
}

#[test]
fn no_letter_is_left_in_the_hubs_inbox() {
    bounded_model(|| {
        let hub = Arc::new(Hub::new());
        let worker = thread::spawn({
            let hub = hub.clone();
            move || hub.run(3)
        });
        let other = thread::spawn({
            let hub = hub.clone();
            move || hub.post(1)
        });
        hub.post(2);
        hub.post(4);
        other.join().unwrap();
        assert_eq!(worker.join().unwrap(), 7);
    });
}

/// A green thread as far as calls go: `Green::sleep_until_called` and `Green::call`, with a bell for
/// what parks and unparks it.
struct Sleeper {
    called: Called<Bell>,
    parking: Arc<Bell>,
    /// What a caller does before it calls.
    deed: loom::cell::UnsafeCell<u32>,
}

impl Sleeper {
    fn new() -> Arc<Sleeper> {
        Arc::new(Sleeper {
            called: Called::new(),
            parking: Bell::new(),
            deed: loom::cell::UnsafeCell::new(0),
        })
    }

    fn sleep_until_called(&self) {
        while !self.called.take() {
            self.parking.wait();
        }
    }

    fn call(&self) {
        if let Some(proxy) = self.called.call() {
            proxy.ring();
        }
        self.parking.ring();
    }
}

#[test]
fn who_is_called_sees_what_was_done_before() {
    bounded_model(|| {
        let sleeper = Sleeper::new();
        let caller = thread::spawn({
            let sleeper = sleeper.clone();
            move || {
                // SAFETY: the sleeper does not look before it is called; loom tells if it does.
                sleeper.deed.with_mut(|deed| unsafe { *deed = 1 });
                sleeper.call();
            }
        });
        // Somebody else unparks it, for a timer that it had once.
        let stray = thread::spawn({
            let sleeper = sleeper.clone();
            move || sleeper.parking.ring()
        });
        sleeper.sleep_until_called();
        // SAFETY: the caller is done with it; loom tells if it is not.
        assert_eq!(sleeper.deed.with(|deed| unsafe { *deed }), 1);
        caller.join().unwrap();
        stray.join().unwrap();
    });
}

#[test]
fn a_call_to_a_proxy_is_spent_by_it() {
    bounded_model(|| {
        let sleeper = Sleeper::new();
        // As `take_place` of the backlog, under the pool's lock: is it free, and who waits for it?
        let place = Arc::new(Mutex::new((false, false)));
        let caller = thread::spawn({
            let (sleeper, place) = (sleeper.clone(), place.clone());
            move || {
                let is_listed = {
                    let mut place = place.lock().unwrap();
                    place.0 = !place.1;
                    place.1
                };
                if is_listed {
                    sleeper.call();
                }
            }
        });
        let bell = std::sync::Arc::new(Bell { rung: Mutex::new(false), changed: Condvar::new() });
        sleeper.called.set_proxy(bell.clone());
        let has_place = {
            let mut place = place.lock().unwrap();
            place.1 = !place.0;
            place.0
        };
        if !has_place {
            bell.wait();
        }
        sleeper.called.end_proxy(!has_place);
        caller.join().unwrap();
        assert!(!sleeper.called.take(), "a call is left over");
    });
}

/// A pool as far as green threads are concerned that it can't have: `Pool::bring` and
/// `Pool::relieve`, with the real quota.
struct Hungry {
    quota: Quota<Arc<Hungry>>,
    /// It needs a green thread. Stands for all that is under the pool's lock.
    needs_one: Mutex<bool>,
    starved: AtomicBool,
    served: Arc<Bell>,
    is_waited_for: bool,
}

impl Hungry {
    fn bring(this: &Arc<Hungry>) {
        let relieved = {
            let mut needs_one = this.needs_one.lock().unwrap();
            if !*needs_one {
                return;
            }
            if this.quota.reserve(this.is_waited_for) {
                *needs_one = false;
                this.served.ring();
                return;
            }
            if this.starved.swap(true, Ordering::Relaxed) {
                return;
            }
            this.quota.list(this.clone(), this.is_waited_for)
        };
        Hungry::relieve(relieved);
    }

    /// The hub does it later: so not under the lock.
    fn relieve(relieved: Vec<Arc<Hungry>>) {
        for pool in relieved {
            pool.starved.store(false, Ordering::Relaxed);
            Hungry::bring(&pool);
        }
    }
}

#[test]
fn who_is_refused_a_green_thread_is_asked_again_when_one_ends() {
    for (is_waited_for, others) in [(false, 0), (true, 0), (false, 1), (true, 1)] {
        bounded_model(move || {
            let quota = Quota::new(2, 1);
            // All that it may have are there, and one ends.
            for _ in 0..if is_waited_for { 2 } else { 1 } {
                assert!(quota.reserve(true));
            }
            let pool = Arc::new(Hungry {
                quota,
                needs_one: Mutex::new(true),
                starved: AtomicBool::new(false),
                served: Bell::new(),
                is_waited_for,
            });
            let ends = thread::spawn({
                let pool = pool.clone();
                move || Hungry::relieve(pool.quota.release())
            });
            // While another job of the pool asks for the same, or not.
            let others: Vec<_> = (0..others)
                .map(|_| {
                    let pool = pool.clone();
                    thread::spawn(move || Hungry::bring(&pool))
                })
                .collect();
            Hungry::bring(&pool);
            pool.served.wait();
            ends.join().unwrap();
            others.into_iter().for_each(|other| other.join().unwrap());
            // Who is listed still is its own owner.
            drop(pool.quota.release());
        });
    }
}

/// `Poller` of `src/green/poller.rs` for one descriptor, line by line, with a kernel that watches
/// it for one event at a time. The hub is a thread of its own, which can do more than the real one,
/// that shares a thread with those who wait.
struct Poller {
    watched: Mutex<Vec<Watch>>,
    kernel: Mutex<Kernel>,
    changed: Condvar,
    waits: AtomicUsize,
}

#[derive(Default)]
struct Kernel {
    /// What is asked for, once; zero if the descriptor is not watched.
    armed: u32,
    ready: u32,
    closed: bool,
    /// The model ends.
    over: bool,
}

struct Watch {
    events: u32,
    wait: Arc<Wait>,
}

struct Wait {
    state: loom::sync::atomic::AtomicU32,
    parking: Arc<Bell>,
}

const PENDING: u32 = 0;
const READY: u32 = 1;
const CLOSED: u32 = 2;
const STALE: u32 = 3;

impl Wait {
    fn new() -> Arc<Wait> {
        let state = loom::sync::atomic::AtomicU32::new(PENDING);
        Arc::new(Wait { state, parking: Bell::new() })
    }

    fn end(&self, state: u32) {
        let _ = self.state.compare_exchange(PENDING, state, Ordering::Relaxed, Ordering::Relaxed);
        self.parking.ring();
    }

    /// `wait_for` between `enter` and `leave`.
    fn park(&self) -> u32 {
        loop {
            let state = self.state.load(Ordering::Relaxed);
            if state != PENDING {
                return state;
            }
            self.parking.wait();
        }
    }
}

impl Poller {
    fn new() -> Arc<Poller> {
        Arc::new(Poller {
            watched: Mutex::new(Vec::new()),
            kernel: Mutex::new(Kernel::default()),
            changed: Condvar::new(),
            waits: AtomicUsize::new(0),
        })
    }

    fn with_kernel(&self, f: impl FnOnce(&mut Kernel)) {
        f(&mut self.kernel.lock().unwrap());
        self.changed.notify_one();
    }

    fn arm(&self, watches: &[Watch]) {
        let wanted = watches.iter().fold(0, |events, watch| events | watch.events);
        self.with_kernel(|kernel| kernel.armed = wanted);
    }

    fn enter(&self, events: u32, wait: &Arc<Wait>) {
        let mut watched = self.watched.lock().unwrap();
        watched.push(Watch { events, wait: wait.clone() });
        self.arm(&watched);
    }

    fn leave(&self, wait: &Arc<Wait>) {
        self.watched.lock().unwrap().retain(|watch| !Arc::ptr_eq(&watch.wait, wait));
    }

    fn fired(&self, events: u32) {
        let mut watched = self.watched.lock().unwrap();
        if watched.is_empty() {
            return;
        }
        let woken: Vec<Watch> =
            watched.extract_if(.., |watch| watch.events & events != 0).collect();
        if !watched.is_empty() {
            self.arm(&watched);
        }
        drop(watched);
        woken.iter().for_each(|watch| watch.wait.end(READY));
    }

    fn close(&self) {
        let watches = std::mem::take(&mut *self.watched.lock().unwrap());
        self.with_kernel(|kernel| kernel.armed = 0);
        watches.iter().for_each(|watch| watch.wait.end(CLOSED));
    }

    /// As `closed`, once the kernel has closed it.
    fn closed(&self) {
        loom::sync::atomic::fence(Ordering::SeqCst);
        if self.waits.load(Ordering::Relaxed) > 0 {
            let watches = std::mem::take(&mut *self.watched.lock().unwrap());
            watches.iter().for_each(|watch| watch.wait.end(STALE));
        }
    }

    /// As `wait_for`. Gives None if the kernel says that it is closed.
    fn wait_for(&self, events: u32) -> Option<u32> {
        loop {
            let wait = Wait::new();
            self.waits.fetch_add(1, Ordering::Relaxed);
            loom::sync::atomic::fence(Ordering::SeqCst);
            self.enter(events, &wait);
            let is_closed = self.kernel.lock().unwrap().closed;
            let ended = (!is_closed).then(|| wait.park());
            self.leave(&wait);
            self.waits.fetch_sub(1, Ordering::Relaxed);
            if ended != Some(STALE) {
                return ended;
            }
        }
    }

    /// The hub: takes events until the model is over.
    fn turn(&self) {
        loop {
            let mut kernel = self.kernel.lock().unwrap();
            let events = loop {
                let events = kernel.armed & kernel.ready;
                if events != 0 {
                    break events;
                }
                if kernel.over {
                    return;
                }
                kernel = self.changed.wait(kernel).unwrap();
            };
            kernel.armed = 0;
            drop(kernel);
            self.fired(events);
        }
    }
}

#[test]
fn a_wait_for_a_descriptor_ends_when_it_is_closed() {
    for ready in [0, 1] {
        model_with_preemptions(2, move || {
            let poller = Poller::new();
            poller.with_kernel(|kernel| kernel.ready = ready);
            let hub = thread::spawn({
                let poller = poller.clone();
                move || poller.turn()
            });
            let wait = Wait::new();
            poller.enter(1, &wait);
            let closer = thread::spawn({
                let poller = poller.clone();
                move || poller.close()
            });
            let ended = wait.park();
            poller.leave(&wait);
            assert!(ended == CLOSED || (ended == READY && ready == 1));
            closer.join().unwrap();
            assert!(poller.watched.lock().unwrap().is_empty());
            poller.with_kernel(|kernel| kernel.over = true);
            hub.join().unwrap();
        });
    }
}

#[test]
fn a_wait_that_begins_while_its_descriptor_is_closed_ends() {
    loom::model(|| {
        let poller = Poller::new();
        let closer = thread::spawn({
            let poller = poller.clone();
            move || {
                poller.close();
                poller.with_kernel(|kernel| (kernel.closed, kernel.armed) = (true, 0));
                poller.closed();
            }
        });
        assert!(matches!(poller.wait_for(1), None | Some(CLOSED)));
        closer.join().unwrap();
        assert!(poller.watched.lock().unwrap().is_empty());
    });
}

#[test]
fn an_event_for_one_leaves_the_others_watched() {
    for reader_gives_up in [false, true] {
        model_with_preemptions(2, move || {
            let poller = Poller::new();
            let hub = thread::spawn({
                let poller = poller.clone();
                move || poller.turn()
            });
            let writer = thread::spawn({
                let poller = poller.clone();
                move || {
                    let wait = Wait::new();
                    poller.enter(2, &wait);
                    assert_eq!(wait.park(), READY);
                    poller.leave(&wait);
                }
            });
            let wait = Wait::new();
            poller.enter(1, &wait);
            poller.with_kernel(|kernel| kernel.ready = 1);
            if !reader_gives_up {
                assert_eq!(wait.park(), READY);
            }
            poller.leave(&wait);
            poller.with_kernel(|kernel| kernel.ready = 3);
            writer.join().unwrap();
            poller.with_kernel(|kernel| kernel.over = true);
            hub.join().unwrap();
        });
    }
}

/// `block` of `src/green/waiter.rs`, line by line, without its care for panics. A timer is over
/// before it unparks anybody.
fn block(parking: &Bell, timer: Option<&AtomicBool>, done: impl Fn() -> bool) -> bool {
    loop {
        if done() {
            return true;
        }
        if timer.is_some_and(|timer| timer.load(Ordering::Relaxed)) {
            return false;
        }
        parking.wait();
    }
}

#[test]
fn a_wait_whose_time_runs_out_as_the_value_comes_ends_once() {
    bounded_model(|| {
        let count = Count::new();
        let slot = Arc::new(Slot::new((), 0, count.make(1)));
        // All wakes of a green thread end the same park.
        let parking = Bell::new();
        let timer = Arc::new(AtomicBool::new(false));
        let runner = thread::spawn({
            let (slot, value) = (slot.clone(), count.make(2));
            move || {
                drop(slot.begin());
                assert!(resolve(&slot, value));
            }
        });
        let hub = thread::spawn({
            let (timer, parking) = (timer.clone(), parking.clone());
            move || {
                timer.store(true, Ordering::Relaxed);
                parking.ring();
            }
        });
        // SAFETY: this is the one receiver.
        unsafe {
            if slot.register(parking.clone())
                && !block(&parking, Some(&timer), || slot.is_ready())
                && slot.unregister()
                && slot.register(parking.clone())
            {
                // It timed out, and waits again, for as long as it takes: a wake that was meant for
                // the first wait may come now.
                assert!(block(&parking, None, || slot.is_ready()));
            }
            assert_eq!(*slot.take().expect("some wait said so").value, 2);
        }
        runner.join().unwrap();
        hub.join().unwrap();
        drop(slot);
        assert_eq!(count.dropped(), 2);
    });
}
