//! Those who wait for a backlog to have room.
//!
//! Seen to fail, in `Lobby`: one who finds room without a call and stays listed, one who gives up
//! and stays listed, or keeps its call: the last one waits for good.

use loom::sync::{Arc, Mutex};
use loom::thread;

use crate::bell::Bell;
use crate::lobby::{Guest, Lobby};
use crate::preemptions::bounded_model;

/// A backlog with room for one: `Pool::push`, `wait_for_room` and what takes a job, as far as that
/// goes.
struct Backlog(Mutex<State>);

struct State {
    waiting: usize,
    for_room: Lobby<Arc<Bell>>,
}

const ROOM: usize = 1;

impl Backlog {
    fn new() -> Arc<Backlog> {
        Arc::new(Backlog(Mutex::new(State { waiting: 0, for_room: Lobby::new() })))
    }

    fn try_push(&self) -> bool {
        let mut state = self.0.lock().unwrap();
        let has_room = state.waiting < ROOM;
        state.waiting += usize::from(has_room);
        has_room
    }

    /// As a call with `WhenFull::Wait`.
    fn push(&self, bell: &Arc<Bell>) {
        while !self.try_push() {
            let mut guest = Guest::default();
            while !self.look(&mut guest, bell) {
                bell.wait();
            }
        }
    }

    fn look(&self, guest: &mut Guest, bell: &Arc<Bell>) -> bool {
        let mut state = self.0.lock().unwrap();
        let has_room = state.waiting < ROOM;
        state.for_room.look(guest, has_room, || bell.clone())
    }

    /// As a task that waits for room, and is cancelled. Gives true if it had its turn before.
    fn push_or_give_up(&self) -> bool {
        let mut guest = Guest::default();
        if self.try_push() || (self.look(&mut guest, &Bell::new()) && self.try_push()) {
            return true;
        }
        let next = self.0.lock().unwrap().for_room.leave(guest);
        if let Some(next) = next {
            next.ring();
        }
        false
    }

    /// Takes a job, if there is one, as a runner does.
    fn take(&self) -> bool {
        let mut state = self.0.lock().unwrap();
        if state.waiting == 0 {
            return false;
        }
        state.waiting -= 1;
        let called = state.for_room.call();
        drop(state);
        if let Some(called) = called {
            called.ring();
        }
        true
    }

    fn take_all(&self, count: usize) {
        for _ in 0..count {
            while !self.take() {
                thread::yield_now();
            }
        }
    }
}

#[test]
fn who_is_woken_for_nothing_and_finds_room_takes_nobodys_call() {
    bounded_model(|| {
        let backlog = Backlog::new();
        assert!(backlog.try_push());
        let restless = Bell::new();
        let pushers = [restless.clone(), Bell::new()].map(|bell| {
            let backlog = backlog.clone();
            thread::spawn(move || backlog.push(&bell))
        });
        // An unpark that was meant for an earlier wait.
        restless.ring();
        backlog.take_all(3);
        pushers.into_iter().for_each(|pusher| pusher.join().unwrap());
        assert!(backlog.0.lock().unwrap().for_room.is_empty());
    });
}

#[test]
fn a_call_of_one_who_gives_up_is_the_next_one_s() {
    bounded_model(|| {
        let backlog = Backlog::new();
        assert!(backlog.try_push());
        let hasty = thread::spawn({
            let backlog = backlog.clone();
            move || backlog.push_or_give_up()
        });
        let patient = thread::spawn({
            let backlog = backlog.clone();
            move || backlog.push(&Bell::new())
        });
        backlog.take_all(1);
        let had_its_turn = hasty.join().unwrap();
        backlog.take_all(1 + usize::from(had_its_turn));
        patient.join().unwrap();
        assert!(backlog.0.lock().unwrap().for_room.is_empty());
    });
}
