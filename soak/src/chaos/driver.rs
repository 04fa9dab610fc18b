//! The threads that keep chaos going: each does one thing after another, as its seed says.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::task::Poll;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use minihuey::Error;

use super::shared::shared;
use super::world::{Called, Caller, Family, KINDS, Kind, Plan, live_and_die, together, world};
use crate::account::{self, Place, problem};
use crate::random::Random;

/// Deeper than this no task calls tasks.
const DEPTH: u32 = 3;
/// With so many calls open it is time to wait for some.
const MOST_OPEN: usize = 2000;
/// How many results a driver holds.
const MOST_HELD: usize = 100;

pub fn start(seed: u64, stop: &'static AtomicBool) -> Vec<JoinHandle<()>> {
    let start = |number: u64| {
        let name = format!("driver {number}");
        let place = Place::of_driver(name.clone());
        let random = Random::new(seed ^ (number << 56));
        let mut driver = Driver { place, random, held: VecDeque::new(), is_async: number == 2 };
        let run = move || {
            while !stop.load(SeqCst) {
                driver.act(number == 0);
            }
            driver.let_go();
        };
        thread::Builder::new().name(name).spawn(run).expect("there is a thread")
    };
    (0..3).map(start).collect()
}

struct Driver {
    place: Arc<Place>,
    random: Random,
    held: VecDeque<Called>,
    /// It awaits results.
    is_async: bool,
}

impl Driver {
    fn act(&mut self, starts_and_stops: bool) {
        if self.held.len() >= MOST_HELD || account::open() > MOST_OPEN {
            self.release();
            return;
        }
        // None is to lie there until it is overdue.
        if world().posted() > MOST_HELD
            && let Some(call) = world().collect()
        {
            self.treat(call);
            return;
        }
        match self.random.below(44) {
            0..=15 => {
                let call = self.call(None);
                self.held.push_back(call);
            }
            16..=20 => {
                let delay = Duration::from_micros(self.random.below(30_000));
                let call = self.call(Some(delay));
                self.held.push_back(call);
            }
            21 => drop(self.call(None)),
            22..=31 => self.release(),
            32 | 33 => self.group(),
            34 => live_and_die(caller(&self.place), &mut self.random, DEPTH - 1),
            35 if self.random.once_in(4) => self.join(),
            36 if starts_and_stops => self.stop_and_start(),
            37 => {
                // An errand to nowhere: a call in a burst, for backlogs to fill.
                let family = self.family();
                let calls: Vec<_> = (0..30).map(|_| self.call_in(&family, None, 0)).collect();
                self.held.extend(calls);
            }
            38 | 39 => {
                if let Some(call) = world().collect() {
                    self.treat(call);
                }
            }
            _ => shared().visit(&self.place, &mut self.random),
        }
    }

    fn family(&mut self) -> Arc<Family> {
        self.random.pick(&world().families).clone()
    }

    fn call(&mut self, delay: Option<Duration>) -> Called {
        let family = self.family();
        self.call_in(&family, delay, DEPTH)
    }

    fn call_in(&mut self, family: &Arc<Family>, delay: Option<Duration>, depth: u32) -> Called {
        let kind = match self.random.below(3) {
            0 => *self.random.pick(&KINDS),
            _ => Kind::Plain,
        };
        let plan = Plan { kind, seed: self.random.any(), depth, delay, errand: None };
        family.call(caller(&self.place), plan)
    }

    fn release(&mut self) {
        let which = self.random.below(self.held.len().max(1) as u64) as usize;
        if let Some(call) = self.held.swap_remove_back(which) {
            self.treat(call);
        }
    }

    /// Has done with a result in one way or another.
    fn treat(&mut self, mut call: Called) {
        let caller = caller(&self.place);
        match self.random.below(10) {
            0 => drop(call),
            1 => call.hand_over(),
            2 | 3 => {
                call.cancel();
                call.cancel();
                call.get(caller);
            }
            4 => {
                let patience = Duration::from_micros(self.random.below(2000));
                if !call.get_timeout(caller, patience) {
                    self.held.push_back(call);
                }
            }
            5 if !call.look() => self.held.push_back(call),
            _ if self.is_async => {
                let number = call.entry.number;
                if self.random.once_in(4) {
                    // It is asked once, and dropped, or awaited by another waker.
                    let ready = pollster::block_on(std::future::poll_fn(|context| {
                        Poll::Ready(Pin::new(&mut call).poll(context).is_ready())
                    }));
                    if ready || self.random.once_in(2) {
                        return;
                    }
                }
                let _waiting = self.place.waits("an await of", number);
                pollster::block_on(call);
            }
            _ => call.get(caller),
        }
    }

    /// Several at once, as a group of the library's.
    fn group(&mut self) {
        let family = self.family();
        let count = self.random.below(8);
        let calls: Vec<_> = (0..count).map(|_| self.call_in(&family, None, 1)).collect();
        let calls = calls.into_iter().filter(|call| !call.entry.must_be_seen()).collect();
        let (entries, mut group) = together(calls);
        let first = entries.first().map_or(0, |entry| entry.number);
        let _waiting = self.place.waits("the members of a group from", first);
        match self.random.below(5) {
            0 => {
                let cancelled = group.cancel();
                let mut seen = 0;
                for (entry, member) in entries.iter().zip(group) {
                    let value = member.get();
                    if matches!(value, Err(minihuey::TaskError::Cancelled)) {
                        entry.cancelled();
                        seen += 1;
                    }
                    entry.saw(&value);
                }
                if cancelled != seen {
                    problem(format!("a group cancelled {cancelled}, {seen} of them are"));
                }
            }
            1 => {
                // Those behind the first error are not waited for.
                drop(group.get());
            }
            2 => drop(group.get_timeout(Duration::from_micros(self.random.below(2000)))),
            3 if self.is_async => drop(pollster::block_on(group)),
            _ => {
                for (index, value) in group.as_completed() {
                    entries[index].saw(&value);
                }
            }
        }
    }

    fn join(&mut self) {
        let family = self.family();
        let _waiting = self.place.waits("a join", 0);
        match family.huey.join(Duration::from_millis(self.random.below(20))) {
            Ok(()) | Err(Error::JoinTimedOut { .. }) => {}
            Err(error) => problem(format!("join: {error}")),
        }
    }

    fn stop_and_start(&mut self) {
        let family = self.family();
        let _waiting = self.place.waits("a stop and a start", 0);
        let stopped = family.huey.stop();
        if self.random.once_in(2) {
            thread::sleep(Duration::from_micros(self.random.below(3000)));
        }
        if let Err(error) = stopped.and_then(|()| family.huey.start()) {
            problem(format!("stop and start: {error}"));
        }
    }

    fn let_go(&mut self) {
        while let Some(call) = self.held.pop_front() {
            if self.random.once_in(2) {
                call.get(caller(&self.place));
            }
        }
    }
}

/// Not a method, so that the rest of the driver stays free.
fn caller(place: &Place) -> Caller<'_> {
    Caller { place, number: 0, address: 0 }
}
