//! One who waits in several lists at once, to be served from one of them: which one is decided
//! here, once. Each of its entries has a [`Choice`], and whoever is to serve that entry claims it
//! first.
//!
//! ```text
//!   Open ──claim(case), by whoever serves──▶ Claimed(case): it goes on there
//!     └────────close(), by itself──────────▶ Closed: it gave up
//! ```
//! Where two such meet, both are claimed at once or neither: with one after the other, each might
//! have claimed itself for a third. Its lock is the innermost: it is taken with a list's lock held,
//! and no lock is taken under it, but for that of a later selection.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::wait_list::Look;
use crate::primitives::Mutex;

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Open,
    Claimed(usize),
    Closed,
}

pub(crate) struct Selection {
    /// In which order two are locked. (Not by their addresses: a model that is run again has
    /// others.)
    number: u64,
    state: Mutex<State>,
}

impl Selection {
    pub(crate) fn new() -> Arc<Selection> {
        static NUMBERS: AtomicU64 = AtomicU64::new(0);
        // ORDERING: Relaxed, all that counts is that no two have the same.
        let number = NUMBERS.fetch_add(1, Ordering::Relaxed);
        Arc::new(Selection { number, state: Mutex::new(State::Open) })
    }

    /// Which of its cases was claimed, if one was.
    pub(crate) fn claimed(&self) -> Option<usize> {
        match *self.state.lock() {
            State::Claimed(case) => Some(case),
            State::Open | State::Closed => None,
        }
    }

    /// From now on nobody can claim it. Gives what `claimed` does.
    pub(crate) fn close(&self) -> Option<usize> {
        let mut state = self.state.lock();
        match *state {
            State::Claimed(case) => Some(case),
            State::Open | State::Closed => {
                *state = State::Closed;
                None
            }
        }
    }
}

/// One of the cases of a selection.
#[derive(Clone)]
pub(crate) struct Choice {
    selection: Arc<Selection>,
    case: usize,
}

impl Choice {
    pub(crate) fn new(selection: &Arc<Selection>, case: usize) -> Choice {
        Choice { selection: selection.clone(), case }
    }

    pub(crate) fn is_open(&self) -> bool {
        *self.selection.state.lock() == State::Open
    }

    /// Gives false if another case was claimed, or it gave up.
    pub(crate) fn claim(&self) -> bool {
        claim(&mut self.selection.state.lock(), self.case)
    }

    fn claim_both(&self, other: &Choice) -> Look {
        let (mine, its) = (&self.selection, &other.selection);
        let (mut my_state, mut its_state);
        match mine.number.cmp(&its.number) {
            std::cmp::Ordering::Equal => return Look::Pass,
            std::cmp::Ordering::Less => {
                my_state = mine.state.lock();
                its_state = its.state.lock();
            }
            std::cmp::Ordering::Greater => {
                its_state = its.state.lock();
                my_state = mine.state.lock();
            }
        }
        match (*my_state, *its_state) {
            (State::Open, State::Open) => {
                *my_state = State::Claimed(self.case);
                *its_state = State::Claimed(other.case);
                Look::Take
            }
            (State::Open, _) => Look::Gone,
            _ => Look::Stop,
        }
    }
}

fn claim(state: &mut State, case: usize) -> bool {
    let is_open = *state == State::Open;
    if is_open {
        *state = State::Claimed(case);
    }
    is_open
}

/// Claims both, for one who comes and one who is listed, as far as they wait at several places.
pub(crate) fn claim_pair(comes: Option<&Choice>, listed: Option<&Choice>) -> Look {
    match (comes, listed) {
        (None, None) => Look::Take,
        (None, Some(listed)) if listed.claim() => Look::Take,
        (None, Some(_)) => Look::Gone,
        (Some(comes), None) if comes.claim() => Look::Take,
        (Some(_), None) => Look::Stop,
        (Some(comes), Some(listed)) => comes.claim_both(listed),
    }
}
