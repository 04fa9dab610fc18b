//! The scheduler's loop: told that something is due, stopped, and started anew.
//!
//! Seen to fail, in `Loops`: `rest` that looks at no news, `tell` that gives nobody, `stop` that
//! tells nobody, or a loop that is to end and lists itself, or takes the next one's news or sleeper
//! for its own: what is due is never taken.

use loom::sync::{Arc, Mutex};
use loom::thread;

use crate::bell::Bell;
use crate::loops::{Loops, Then};
use crate::preemptions::bounded_model;

/// As `Scheduler`, with a count in place of the timetable.
struct Scheduler {
    state: Mutex<State>,
    /// Rung by who takes the last of what is due.
    all_taken: Arc<Bell>,
}

struct State {
    due: u32,
    to_take: u32,
    loops: Loops<Arc<Bell>>,
}

impl Scheduler {
    fn new(to_take: u32) -> Arc<Scheduler> {
        let state = Mutex::new(State { due: 0, to_take, loops: Loops::new() });
        Arc::new(Scheduler { state, all_taken: Bell::new() })
    }

    fn start(of: &Arc<Scheduler>) -> thread::JoinHandle<()> {
        let this = of.state.lock().unwrap().loops.start().expect("none runs");
        let scheduler = of.clone();
        thread::spawn(move || scheduler.run(this))
    }

    /// As `start`, but the loop's thread is lost amid its second look, and another one goes on.
    fn start_badly(of: &Arc<Scheduler>) -> thread::JoinHandle<()> {
        let this = of.state.lock().unwrap().loops.start().expect("none runs");
        let scheduler = of.clone();
        thread::spawn(move || {
            let bell = Bell::new();
            scheduler.state.lock().unwrap().loops.look(this);
            scheduler.hand_over(this);
            // It sleeps, or wakes by itself.
            let _ = scheduler.state.lock().unwrap().loops.rest(this, || bell.clone());
            scheduler.state.lock().unwrap().loops.look(this);
            scheduler.run(this);
        })
    }

    fn stop(&self) {
        let sleeper = self.state.lock().unwrap().loops.stop().expect("one runs");
        sleeper.iter().for_each(|bell| bell.ring());
    }

    fn insert(&self) {
        let mut state = self.state.lock().unwrap();
        state.due += 1;
        let sleeper = state.loops.tell();
        drop(state);
        sleeper.iter().for_each(|bell| bell.ring());
    }

    fn run(&self, this: u64) {
        let bell = Bell::new();
        loop {
            self.state.lock().unwrap().loops.look(this);
            self.hand_over(this);
            let then = loop {
                match self.state.lock().unwrap().loops.rest(this, || bell.clone()) {
                    Then::Sleep => {}
                    then => break then,
                }
                bell.wait();
            };
            if then == Then::End {
                return;
            }
        }
    }

    fn hand_over(&self, this: u64) {
        let mut state = self.state.lock().unwrap();
        if !state.loops.runs(this) || state.due == 0 {
            return;
        }
        state.to_take -= std::mem::take(&mut state.due);
        if state.to_take == 0 {
            self.all_taken.ring();
        }
    }
}

/// Two come due, from two threads.
fn assert_all_is_taken(scheduler: &Arc<Scheduler>, looping: thread::JoinHandle<()>) {
    let other = thread::spawn({
        let scheduler = scheduler.clone();
        move || scheduler.insert()
    });
    scheduler.insert();
    scheduler.all_taken.wait();
    scheduler.stop();
    looping.join().unwrap();
    other.join().unwrap();
}

#[test]
fn what_is_due_is_taken_whenever_it_comes() {
    bounded_model(|| {
        let scheduler = Scheduler::new(2);
        let looping = Scheduler::start(&scheduler);
        assert_all_is_taken(&scheduler, looping);
    });
}

#[test]
fn a_loop_that_ends_takes_nothing_from_the_next_one() {
    bounded_model(|| {
        let scheduler = Scheduler::new(1);
        let first = Scheduler::start(&scheduler);
        scheduler.stop();
        let second = Scheduler::start(&scheduler);
        scheduler.insert();
        scheduler.all_taken.wait();
        scheduler.stop();
        first.join().unwrap();
        second.join().unwrap();
    });
}

#[test]
fn a_loop_that_is_lost_amid_a_look_is_gone_on_with() {
    bounded_model(|| {
        let scheduler = Scheduler::new(2);
        let looping = Scheduler::start_badly(&scheduler);
        assert_all_is_taken(&scheduler, looping);
    });
}
