//! What threads of all kinds share: one of each of the library's locks, channels and the like, with
//! books of its own. Who holds one waits for no task meanwhile, and a clerk, an OS thread, brings
//! what others wait for without an end: so each wait ends, unless a wake-up is lost.

use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, LazyLock};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use minihuey::green;
use minihuey::sync::channel::{Receiver, RecvError, RecvTimeoutError, Sender, bounded, unbounded};
use minihuey::sync::{
    Barrier, Condvar, Mutex, MutexGuard, Pool, PoolError, Pooled, RwLock, RwLockWriteGuard,
    Semaphore,
};

use crate::account::{Place, problem};
use crate::random::Random;

const PERMITS: usize = 3;
const CONNECTIONS: usize = 3;
/// Messages that the channel without a limit may hold before the clerk takes some.
const MANY: usize = 100;

static SHARED: LazyLock<Shared> = LazyLock::new(Shared::new);

pub fn shared() -> &'static Shared {
    &SHARED
}

/// Made and dropped, of everything that is counted here.
static MADE: AtomicU64 = AtomicU64::new(0);
static DROPPED: AtomicU64 = AtomicU64::new(0);

/// A message, or what a green thread takes along. On the heap, where a drop too many would show.
struct Parcel(#[allow(dead_code, reason = "it only takes memory")] Box<u64>);

impl Parcel {
    fn new(number: u64) -> Parcel {
        MADE.fetch_add(1, SeqCst);
        Parcel(Box::new(number))
    }
}

impl Drop for Parcel {
    fn drop(&mut self) {
        DROPPED.fetch_add(1, SeqCst);
    }
}

/// Adds one if whoever has it unwinds.
struct Unwinds<'a>(&'a AtomicU64);

impl Unwinds<'_> {
    fn did_not(self) {
        std::mem::forget(self);
    }
}

impl Drop for Unwinds<'_> {
    fn drop(&mut self) {
        self.0.fetch_add(1, SeqCst);
    }
}

/// One thread may be here at a moment.
struct Inside<'a>(&'a AtomicBool);

impl<'a> Inside<'a> {
    fn of(flag: &'a AtomicBool, what: &str) -> Inside<'a> {
        if flag.swap(true, SeqCst) {
            problem(format!("two threads have {what}"));
        }
        Inside(flag)
    }
}

impl Drop for Inside<'_> {
    fn drop(&mut self) {
        self.0.store(false, SeqCst);
    }
}

/// So much of something is taken.
struct Taken<'a>(&'a AtomicI64, i64);

impl<'a> Taken<'a> {
    fn of(gauge: &'a AtomicI64, count: usize, most: usize, what: &str) -> Taken<'a> {
        let now = gauge.fetch_add(count as i64, SeqCst) + count as i64;
        if now > most as i64 {
            problem(format!("{now} {what} at a moment, of {most}"));
        }
        Taken(gauge, count as i64)
    }
}

impl Drop for Taken<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(self.1, SeqCst);
    }
}

/// What is written first and second, with a wait between the two that may unwind.
struct Write<'a>(RwLockWriteGuard<'a, (u64, u64)>);

impl Drop for Write<'_> {
    fn drop(&mut self) {
        self.0.1 = self.0.0;
    }
}

struct Channel {
    sender: Sender<Parcel>,
    receiver: Receiver<Parcel>,
    sent: AtomicU64,
    received: AtomicU64,
    /// Of those who were ended while they sent it is not known whether they had.
    unwound: AtomicU64,
    /// Who waits for a message without an end.
    hungry: AtomicI64,
}

impl Channel {
    fn of((sender, receiver): (Sender<Parcel>, Receiver<Parcel>)) -> Channel {
        let zero = AtomicU64::default;
        Channel {
            sender,
            receiver,
            sent: zero(),
            received: zero(),
            unwound: zero(),
            hungry: AtomicI64::new(0),
        }
    }

    fn use_it(&self, place: &Place, random: &mut Random) {
        let patience = micros(random, 1500);
        let unwinds = Unwinds(&self.unwound);
        let parcel = Parcel::new(random.any());
        let lost = match random.below(6) {
            0 => {
                let _waiting = place.waits("room in a channel", 0);
                self.sender.send(parcel).is_err()
            }
            1 => {
                let _waiting = place.waits("a while room in a channel", 0);
                self.sender.send_timeout(parcel, patience).is_err()
            }
            2 => self.sender.try_send(parcel).is_err(),
            kind => {
                drop(parcel);
                unwinds.did_not();
                return self.receive(place, kind, patience);
            }
        };
        unwinds.did_not();
        self.sent.fetch_add(u64::from(!lost), SeqCst);
    }

    fn receive(&self, place: &Place, kind: u64, patience: Duration) {
        let parcel = match kind {
            3 => {
                let _hungry = Taken::of(&self.hungry, 1, usize::MAX >> 1, "hungry");
                let _waiting = place.waits("a message", 0);
                self.receiver.recv().ok()
            }
            4 => {
                let _waiting = place.waits("a while a message", 0);
                self.receiver.recv_timeout(patience).ok()
            }
            _ => self.receiver.try_recv().ok(),
        };
        self.received.fetch_add(u64::from(parcel.is_some()), SeqCst);
    }

    /// The clerk's turn: takes what nobody may come for, and brings what nobody may send.
    fn serve(&self) {
        let is_full = match self.receiver.capacity() {
            Some(_) => self.receiver.is_full(),
            None => self.receiver.len() > MANY,
        };
        if is_full && self.receiver.try_recv().is_ok() {
            self.received.fetch_add(1, SeqCst);
        }
        if self.hungry.load(SeqCst) > 0 && self.receiver.is_empty() {
            let sent = self.sender.try_send(Parcel::new(0)).is_ok();
            self.sent.fetch_add(u64::from(sent), SeqCst);
        }
    }

    fn check(&self) {
        let left = self.receiver.try_iter().count() as u64;
        let (sent, received) = (self.sent.load(SeqCst), self.received.load(SeqCst));
        let most = sent + self.unwound.load(SeqCst);
        if !(sent..=most).contains(&(received + left)) {
            let capacity = self.receiver.capacity();
            problem(format!(
                "a channel for {capacity:?}: {sent} to {most} sent, {received} received, {left} left"
            ));
        }
    }
}

/// Where there may be no more than `CONNECTIONS`.
struct Connection {
    uses: u64,
    is_broken: bool,
    is_used: Arc<AtomicBool>,
    _open: Taken<'static>,
    _parcel: Parcel,
}

static OPEN: AtomicI64 = AtomicI64::new(0);

fn connect() -> Result<Connection, &'static str> {
    static ASKED: AtomicU64 = AtomicU64::new(0);
    let number = ASKED.fetch_add(1, SeqCst);
    if number.is_multiple_of(3) {
        green::sleep(Duration::from_micros(number % 300));
    }
    if number.is_multiple_of(11) {
        return Err("refused");
    }
    Ok(Connection {
        uses: 0,
        is_broken: false,
        is_used: Arc::default(),
        _open: Taken::of(&OPEN, 1, CONNECTIONS, "connections"),
        _parcel: Parcel::new(number),
    })
}

pub struct Shared {
    /// Counted once for each time that it was locked.
    lock: Mutex<u64>,
    has_lock: AtomicBool,
    locked: AtomicU64,
    /// Two that are the same wherever nobody writes.
    pair: RwLock<(u64, u64)>,
    written: AtomicU64,
    permits: Semaphore,
    permits_taken: AtomicI64,
    tokens: Mutex<i64>,
    more_tokens: Condvar,
    /// Who waits for a token without an end. Changed with the tokens locked.
    hungry: AtomicI64,
    tokens_made: AtomicI64,
    tokens_taken: AtomicI64,
    channels: [Channel; 3],
    pool: Pool<Connection, &'static str>,
}

impl Shared {
    fn new() -> Shared {
        Shared {
            lock: Mutex::new(0),
            has_lock: AtomicBool::new(false),
            locked: AtomicU64::new(0),
            pair: RwLock::new((0, 0)),
            written: AtomicU64::new(0),
            permits: Semaphore::new(PERMITS),
            permits_taken: AtomicI64::new(0),
            tokens: Mutex::new(0),
            more_tokens: Condvar::new(),
            hungry: AtomicI64::new(0),
            tokens_made: AtomicI64::new(0),
            tokens_taken: AtomicI64::new(0),
            channels: [bounded(4), bounded(0), unbounded()].map(Channel::of),
            pool: Pool::builder(connect)
                .max_size(CONNECTIONS)
                .max_idle(2)
                .idle_timeout(Duration::from_millis(5))
                .is_valid(|connection| connection.uses % 7 != 6)
                .has_broken(|connection| connection.is_broken)
                .build(),
        }
    }

    /// Uses one of all that there is, as a task or a driver.
    pub fn visit(&self, place: &Place, random: &mut Random) {
        match random.below(9) {
            0 => self.lock(place, random),
            1 => self.read_or_write(place, random),
            2 => self.take_permits(place, random),
            3 => self.take_or_give_a_token(place, random),
            4 | 5 => random.pick(&self.channels).use_it(place, random),
            6 => self.use_a_connection(place, random),
            7 if random.once_in(4) => listen_to_the_end(place, random),
            7 => spawn_one(place, random),
            _ if random.once_in(4) => meet(place, random),
            _ => self.lock(place, random),
        }
    }

    /// As a callback, which must not wait.
    pub fn greet(&self) {
        let channel = &self.channels[2];
        let sent = channel.sender.try_send(Parcel::new(0)).is_ok();
        channel.sent.fetch_add(u64::from(sent), SeqCst);
        if let Some(_permit) = self.permits.try_acquire() {
            let _taken = Taken::of(&self.permits_taken, 1, PERMITS, "permits");
        }
        self.more_tokens.notify_one();
    }

    fn lock(&self, place: &Place, random: &mut Random) {
        let patience = micros(random, 800);
        let waiting = place.waits("the lock", 0);
        let guard = match random.below(5) {
            0 => self.lock.try_lock(),
            1 => self.lock.try_lock_for(patience),
            2 => self.lock.try_lock_until(Instant::now() + patience),
            _ => Some(self.lock.lock()),
        };
        drop(waiting);
        let Some(mut guard) = guard else { return };
        let inside = Inside::of(&self.has_lock, "the lock");
        let before = *guard;
        pause(place, random);
        *guard = before + 1;
        self.locked.fetch_add(1, SeqCst);
        drop(inside);
        match random.below(6) {
            0 => MutexGuard::bump(&mut guard),
            1 => {
                // Without a wait meanwhile, which might unwind: to lock again is impossible then.
                let _waiting = place.waits("the lock, once more", 0);
                MutexGuard::unlocked(&mut guard, || ());
            }
            _ => {}
        }
    }

    fn read_or_write(&self, place: &Place, random: &mut Random) {
        let patience = micros(random, 800);
        let waiting = place.waits("the pair", 0);
        if random.once_in(3) {
            let guard = match random.below(3) {
                0 => self.pair.try_write(),
                1 => self.pair.try_write_for(patience),
                _ => Some(self.pair.write()),
            };
            drop(waiting);
            if let Some(guard) = guard {
                let mut write = Write(guard);
                write.0.0 += 1;
                self.written.fetch_add(1, SeqCst);
                pause(place, random);
            }
            return;
        }
        let guard = match random.below(3) {
            0 => self.pair.try_read(),
            1 => self.pair.try_read_for(patience),
            _ => Some(self.pair.read()),
        };
        drop(waiting);
        if let Some(guard) = guard {
            let before = *guard;
            pause(place, random);
            if before != *guard || before.0 != before.1 {
                problem(format!("{before:?} was read, and then {:?}", *guard));
            }
        }
    }

    fn take_permits(&self, place: &Place, random: &mut Random) {
        let patience = micros(random, 800);
        let waiting = place.waits("permits", 0);
        let (count, permit) = match random.below(6) {
            0 => (1, self.permits.try_acquire()),
            1 => (1, self.permits.try_acquire_for(patience)),
            2 => (2, self.permits.try_acquire_many(2)),
            3 => (PERMITS, Some(self.permits.acquire_many(PERMITS))),
            4 => (2, Some(self.permits.acquire_many(2))),
            _ => (1, Some(self.permits.acquire())),
        };
        drop(waiting);
        if let Some(_permit) = permit {
            let _taken = Taken::of(&self.permits_taken, count, PERMITS, "permits");
            pause(place, random);
        }
    }

    fn take_or_give_a_token(&self, place: &Place, random: &mut Random) {
        let patience = micros(random, 1500);
        let waiting = place.waits("the lock of the tokens", 0);
        let mut tokens = self.tokens.lock();
        drop(waiting);
        let _waiting = place.waits("a token", 0);
        match random.below(4) {
            0 if *tokens < 2 => {
                *tokens += 1;
                self.tokens_made.fetch_add(1, SeqCst);
                self.more_tokens.notify_one();
                return;
            }
            0 | 1 => {
                let none = |tokens: &mut i64| *tokens == 0;
                if self.more_tokens.wait_while_for(&mut tokens, none, patience).timed_out() {
                    return;
                }
            }
            _ => {
                // Counted while the lock is had: the guard of a wait that unwinds has it, too.
                let hungry = Taken::of(&self.hungry, 1, usize::MAX >> 1, "hungry");
                self.more_tokens.wait_while(&mut tokens, |tokens| *tokens == 0);
                drop(hungry);
            }
        }
        *tokens -= 1;
        self.tokens_taken.fetch_add(1, SeqCst);
    }

    fn use_a_connection(&self, place: &Place, random: &mut Random) {
        let patience = micros(random, 800);
        let waiting = place.waits("a connection", 0);
        let lent = match random.below(3) {
            0 => self.pool.try_get(),
            1 => self.pool.get_timeout(patience).map(Some),
            _ => self.pool.get().map(Some),
        };
        drop(waiting);
        let mut connection = match lent {
            Ok(Some(connection)) => connection,
            Ok(None) | Err(PoolError::Connect("refused") | PoolError::TimedOut) => return,
            // Those who may not wait for long.
            Err(PoolError::WaitImpossible) => return,
            Err(error) => return problem(format!("a pool of connections: {error}")),
        };
        connection.uses += 1;
        let is_used = connection.is_used.clone();
        let inside = Inside::of(&is_used, "one connection");
        pause(place, random);
        connection.is_broken = random.once_in(12);
        drop(inside);
        if random.once_in(12) {
            Pooled::discard(connection);
        }
    }

    /// What an OS thread does until `stop`, now and then.
    fn serve(&self) {
        self.channels.iter().for_each(Channel::serve);
        let mut tokens = self.tokens.lock();
        let missing = self.hungry.load(SeqCst) - *tokens;
        if missing > 0 {
            *tokens += missing;
            self.tokens_made.fetch_add(missing, SeqCst);
            for _ in 0..missing {
                self.more_tokens.notify_one();
            }
        }
    }

    /// Once nobody uses them any more: whether all books balance.
    pub fn check(&self, deadline: Instant) {
        self.channels.iter().for_each(Channel::check);
        let state = self.pool.state();
        let is_kept = || MADE.load(SeqCst) - DROPPED.load(SeqCst);
        // Green threads that nobody waits for may need a moment.
        while is_kept() != state.idle as u64 && Instant::now() < deadline {
            thread::sleep(Duration::from_millis(5));
        }
        let pair = *self.pair.read();
        let written = self.written.load(SeqCst);
        let balance = [
            ("locked", *self.lock.lock(), self.locked.load(SeqCst)),
            ("first of the pair", pair.0, written),
            ("second of the pair", pair.1, written),
            ("permits", self.permits.available_permits() as u64, PERMITS as u64),
            (
                "tokens",
                (*self.tokens.lock() + self.tokens_taken.load(SeqCst)) as u64,
                self.tokens_made.load(SeqCst) as u64,
            ),
            ("connections", state.connections as u64, state.idle as u64),
            ("open connections", OPEN.load(SeqCst) as u64, state.idle as u64),
            ("made and not dropped", is_kept(), state.idle as u64),
        ];
        for (what, is, should_be) in balance {
            if is != should_be {
                problem(format!("shared: {what}: {is}, not {should_be}"));
            }
        }
    }

    pub fn report(&self) {
        let count = |counter: &AtomicU64| counter.load(SeqCst);
        let messages: u64 = self.channels.iter().map(|channel| count(&channel.received)).sum();
        println!(
            "  shared: locked {} times, written {}, {} tokens, {messages} messages; {} made and dropped",
            count(&self.locked),
            count(&self.written),
            self.tokens_taken.load(SeqCst),
            count(&DROPPED),
        );
    }
}

/// Starts the clerk, who works until `stop`.
pub fn start_clerk(stop: &'static AtomicBool) -> JoinHandle<()> {
    let place = Place::of_driver("the clerk".to_owned());
    let work = move || {
        while !stop.load(SeqCst) {
            let waiting = place.waits("a lock, as the clerk", 0);
            shared().serve();
            drop(waiting);
            thread::sleep(Duration::from_millis(1));
        }
    };
    thread::Builder::new().name("clerk".to_owned()).spawn(work).expect("there is a thread")
}

/// Runs it in a green thread, or in an OS thread.
fn beside(random: &mut Random, work: impl FnOnce() + Send + 'static) {
    if random.once_in(4) {
        let spawned = thread::Builder::new().spawn(work);
        if let Err(error) = spawned {
            problem(format!("no thread: {error}"));
        }
    } else {
        drop(green::spawn(work));
    }
}

/// One sends some messages and goes, another one hears them all, in their order.
fn listen_to_the_end(place: &Place, random: &mut Random) {
    let (sender, receiver) =
        if random.once_in(4) { unbounded() } else { bounded(random.below(3) as usize) };
    let count = random.below(12);
    beside(random, move || {
        for number in 0..count {
            if sender.send((number, Parcel::new(number))).is_err() {
                // The other one was ended.
                return;
            }
        }
    });
    let _waiting = place.waits("all messages of somebody", 0);
    let mut next = 0;
    let error = loop {
        match receiver.recv_timeout(Duration::from_secs(600)) {
            Ok((number, _)) if number == next => next += 1,
            Ok((number, _)) => problem(format!("message {number} came, not {next}")),
            Err(error) => break error,
        }
        pause(place, random);
    };
    if error != RecvTimeoutError::Disconnected || next != count {
        problem(format!("{next} of {count} messages, then {error}"));
    }
    if receiver.recv().map(drop) != Err(RecvError) {
        problem("a message after the last".to_owned());
    }
}

/// A green thread of no huey, which is joined, cancelled or left alone.
fn spawn_one(place: &Place, random: &mut Random) {
    let (nap, parcel) = (micros(random, 1000), Parcel::new(0));
    let mut handle = green::spawn(move || {
        green::sleep(nap);
        drop(parcel);
    });
    let _waiting = place.waits("a green thread of no huey", 0);
    match random.below(4) {
        0 => {}
        1 => drop(handle.join_timeout(nap / 2)),
        2 => {
            let cancelled = handle.cancel();
            let ended = handle.join();
            if cancelled != matches!(ended, Err(minihuey::TaskError::Cancelled)) {
                problem(format!("cancelled {cancelled}, ended {ended:?}"));
            }
        }
        _ => {
            if let Err(error) = handle.join() {
                problem(format!("a green thread of no huey: {error}"));
            }
        }
    }
}

/// Some who wait for each other, once.
struct Round {
    barrier: Barrier,
    size: u64,
    came: AtomicU64,
    led: AtomicU64,
}

impl Round {
    fn come(&self) {
        let leads = self.barrier.wait().is_leader();
        self.led.fetch_add(u64::from(leads), SeqCst);
        self.came.fetch_add(1, SeqCst);
    }
}

impl Drop for Round {
    fn drop(&mut self) {
        let (came, led) = (*self.came.get_mut(), *self.led.get_mut());
        if (came, led) != (self.size, 1) {
            problem(format!("{came} of {} came to a barrier, {led} led", self.size));
        }
    }
}

/// Comes in the destructor, if it unwinds: the others wait for it.
struct Comes<'a>(&'a Round);

impl Drop for Comes<'_> {
    fn drop(&mut self) {
        self.0.come();
    }
}

fn meet(place: &Place, random: &mut Random) {
    let others = random.below(3);
    let size = others + 1;
    let barrier = Barrier::new(size as usize);
    let (came, led) = (AtomicU64::new(0), AtomicU64::new(0));
    let round = Arc::new(Round { barrier, size, came, led });
    for _ in 0..others {
        let (its, nap) = (round.clone(), micros(random, 300));
        beside(random, move || {
            if nap.subsec_micros() % 2 == 0 {
                green::sleep(nap);
            }
            its.come();
        });
    }
    let _waiting = place.waits("others at a barrier", 0);
    let comes = Comes(&round);
    pause(place, random);
    round.come();
    std::mem::forget(comes);
}

/// Lets others run, or waits, with whatever it has.
pub fn pause(place: &Place, random: &mut Random) {
    match random.below(6) {
        0 => {
            let _waiting = place.waits("a sleep with something held", 0);
            green::sleep(micros(random, 300));
        }
        1 => {
            let _waiting = place.waits("a sleep of std's with something held", 0);
            thread::sleep(micros(random, 200));
        }
        2 => green::yield_now(),
        _ => {}
    }
}

fn micros(random: &mut Random, most: u64) -> Duration {
    Duration::from_micros(random.below(most))
}
