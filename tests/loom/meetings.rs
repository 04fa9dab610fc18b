//! A barrier: the last who comes lets the others go.
//!
//! Seen to fail: in `Meeting`, the list looked at and entered under two locks: all wait in
//! `who_meets_goes_on_and_sees_what_the_others_did`.

use loom::sync::Arc;
use loom::thread;

use crate::bell::Bell;
use crate::meeting::Meeting;
use crate::preemptions::bounded_model;
use crate::{primitives, wait_list};

struct Barrier {
    meeting: Meeting<Arc<Bell>>,
    /// What each does before it comes.
    deeds: [primitives::UnsafeCell<u32>; 3],
}

impl Barrier {
    fn new(size: usize) -> Arc<Barrier> {
        let there = primitives::Mutex::new(wait_list::WaitList::new());
        let deeds = [0; 3].map(primitives::UnsafeCell::new);
        Arc::new(Barrier { meeting: Meeting::of(size, there), deeds })
    }

    /// `Barrier::wait`; gives true to the last.
    fn wait(&self) -> bool {
        let bell = Bell::new();
        let Some(ticket) = self.meeting.come(bell.clone(), |other| other.ring()) else {
            return true;
        };
        while !self.meeting.is_over(ticket) {
            bell.wait();
        }
        false
    }

    fn act(&self, who: usize) {
        // SAFETY: each has one of its own; loom finds out whether another looks meanwhile.
        self.deeds[who].with_mut(|deed| unsafe { *deed += 1 });
    }

    fn deeds(&self, of: usize) -> u32 {
        // SAFETY: all have met; loom finds out whether one acts still.
        self.deeds[..of].iter().map(|deed| deed.with(|deed| unsafe { *deed })).sum()
    }
}

#[test]
fn who_meets_goes_on_and_sees_what_the_others_did() {
    bounded_model(|| {
        let barrier = Barrier::new(3);
        let meet = |who| {
            let barrier = barrier.clone();
            move || {
                barrier.act(who);
                let leads = barrier.wait();
                assert_eq!(barrier.deeds(3), 3);
                u32::from(leads)
            }
        };
        let others = [thread::spawn(meet(1)), thread::spawn(meet(2))];
        let mut leaders = meet(0)();
        leaders += others.into_iter().map(|other| other.join().unwrap()).sum::<u32>();
        assert_eq!(leaders, 1);
    });
}

#[test]
fn who_was_let_go_and_comes_again_waits_for_the_next_round() {
    bounded_model(|| {
        let barrier = Barrier::new(2);
        let meet = |who| {
            let barrier = barrier.clone();
            move || {
                for round in 1..=2 {
                    barrier.act(who);
                    barrier.wait();
                    assert_eq!(barrier.deeds(2), 2 * round);
                    // So that nobody acts while the other looks.
                    barrier.wait();
                }
            }
        };
        let other = thread::spawn(meet(1));
        meet(0)();
        other.join().unwrap();
    });
}
