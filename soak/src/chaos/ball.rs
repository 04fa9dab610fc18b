//! Pairs who pass a ball to and fro for the whole run, each pair with a lock and a condition
//! variable of its own. A pass is notified once, and nobody else notifies: if that is lost, both
//! wait for good. (Whoever else waits for word here would be woken by the next that comes.)

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::SeqCst};
use std::thread;
use std::time::Duration;

use minihuey::green;
use minihuey::sync::{Condvar, Mutex, MutexGuard};

use super::shared::pause;
use crate::account::{Place, problem};
use crate::random::Random;

/// Longer than any run's bound.
const FOREVER: Duration = Duration::from_secs(3600);

/// Of green threads, of OS threads, and of one of each.
const PAIRS: [[bool; 2]; 3] = [[true, true], [false, false], [true, false]];

static PASSES: AtomicU64 = AtomicU64::new(0);
static PLAYING: AtomicUsize = AtomicUsize::new(0);

pub fn passes() -> u64 {
    PASSES.load(SeqCst)
}

/// How many have not ended.
pub fn playing() -> usize {
    PLAYING.load(SeqCst)
}

/// All play until `stop`.
pub fn start(seed: u64, stop: &'static AtomicBool) {
    for (pair, kinds) in PAIRS.into_iter().enumerate() {
        let court = Arc::new(Court { ball: Mutex::default(), passed: Condvar::new() });
        for (side, is_green) in kinds.into_iter().enumerate() {
            let number = 2 * pair + side;
            let kind = if is_green { "a green thread" } else { "an OS thread" };
            let player = Player {
                court: court.clone(),
                side,
                place: Place::of_driver(format!("player {number} ({kind})")),
                random: Random::new(seed ^ (1 << 40) ^ ((number as u64) << 56)),
                _plays: Plays::begin(),
            };
            if is_green {
                drop(green::spawn(move || player.play(stop)));
            } else {
                let builder = thread::Builder::new().name(format!("player {number}"));
                builder.spawn(move || player.play(stop)).expect("there is a thread");
            }
        }
    }
}

struct Court {
    ball: Mutex<Ball>,
    passed: Condvar,
}

#[derive(Default)]
struct Ball {
    /// Whose turn it is.
    side: usize,
    /// It is passed for the last time.
    is_last: bool,
}

struct Player {
    court: Arc<Court>,
    side: usize,
    place: Arc<Place>,
    random: Random,
    _plays: Plays,
}

impl Player {
    fn play(mut self, stop: &AtomicBool) {
        let court = self.court.clone();
        loop {
            let waiting = self.place.waits("the lock of the ball", 0);
            let mut ball = court.ball.lock();
            drop(waiting);
            self.wait_for(&mut ball);
            pause(&self.place, &mut self.random);
            let is_last = ball.is_last || stop.load(SeqCst);
            *ball = Ball { side: 1 - self.side, is_last };
            PASSES.fetch_add(1, SeqCst);
            match self.random.below(4) {
                0 => drop(court.passed.notify_all()),
                1 => drop(court.passed.notify_one()),
                _ => {
                    drop(ball);
                    court.passed.notify_one();
                }
            }
            if is_last {
                return;
            }
            if self.random.once_in(2) {
                green::sleep(Duration::from_micros(self.random.below(1000)));
            }
        }
    }

    fn wait_for(&mut self, ball: &mut MutexGuard<'_, Ball>) {
        let _waiting = self.place.waits("the ball", 0);
        let (passed, side) = (&self.court.passed, self.side);
        let is_away = |ball: &mut Ball| ball.side != side;
        let timed_out = match self.random.below(4) {
            0 => {
                while is_away(ball) {
                    passed.wait(ball);
                }
                false
            }
            1 => {
                while is_away(ball) && !passed.wait_for(ball, FOREVER).timed_out() {}
                is_away(ball)
            }
            2 => {
                passed.wait_while(ball, is_away);
                false
            }
            _ => passed.wait_while_for(ball, is_away, FOREVER).timed_out(),
        };
        if timed_out {
            problem(format!("{FOREVER:?} have passed too early"));
        }
    }
}

/// One of those who play.
struct Plays;

impl Plays {
    fn begin() -> Plays {
        PLAYING.fetch_add(1, SeqCst);
        Plays
    }
}

impl Drop for Plays {
    fn drop(&mut self) {
        if thread::panicking() {
            problem("a player panicked".to_owned());
        }
        PLAYING.fetch_sub(1, SeqCst);
    }
}
