//! loom models of the hand-made hand-overs: every interleaving, and every value that a weak
//! memory may show, of the very sources that the library is built from, on loom's atomics.
//!
//! Each ordering below was weakened once to see its model fail:
//! * `publish`'s fetch_or(READY, AcqRel) to Acquire: `a_value_reaches_who_waits_for_it` reports a
//!   race on the content; to Release: on the waiter.
//! * `register`'s fetch_or(WAITING, AcqRel) to Acquire: the same model reports a race on the waiter.
//! * `begin`'s vacant.store(Release) to Relaxed: `only_one_of_runner_and_canceller_decides`.
//! * in `Backlog::help`, no standby for work that was left behind, and in `Backlog::next`, a runner
//!   that rests without being listed: `work_is_done_even_if_it_blocks_on_later_work` deadlocks.
//! * in `Permits`, each ordering that is not Relaxed to Relaxed: a race in a model of the lock; no
//!   QUEUED bit set, seen or cleared, or nobody served when the first gives up: a deadlock there.
//! * in `Exchange`, an end that goes without waking whoever waits at the other, or a message left with
//!   a receiver who gave up: a deadlock or a lost message in the models of the channel.

#[allow(dead_code)]
mod primitives {
    pub use loom::cell::UnsafeCell;
    pub use loom::sync::atomic::{AtomicBool, AtomicU8, AtomicUsize, Ordering};

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
#[path = "../src/slot/states.rs"]
mod states;

#[allow(dead_code)]
#[path = "../src/green/backlog.rs"]
mod backlog;

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
use crossbeam_channel::{TryRecvError, TrySendError};

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
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(3);
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
