//! A periodic task's runs that follow each other: one that is due while the last one runs begins
//! when that ends, and sees what it did.
//!
//! Seen to fail: the Acquire or the Release weakened to Relaxed, or what is owed taken while the
//! last one runs: a race on what the runs do. In `Ends::end`, the scheduler told first: it never
//! hears of the end.

use loom::sync::Arc;
use loom::thread;

use crate::bell::Bell;
use crate::primitives::{Mutex, UnsafeCell};
use crate::runs::{Ends, Runs};

/// As `Row`, with a bell in place of the scheduler's loop.
struct Row {
    runs: Mutex<Runs>,
    told: Arc<Bell>,
    /// What the runs do.
    deeds: UnsafeCell<u32>,
}

impl Row {
    fn run(&self, ends: Ends) {
        self.act();
        ends.end(|| self.told.ring());
    }

    fn act(&self) {
        // SAFETY: the runs follow each other; loom finds out whether they do.
        self.deeds.with_mut(|deeds| unsafe { *deeds += 1 });
    }

    /// What the loop does, once told, until a run that is owed has begun.
    fn begin_owed(&self) -> Ends {
        loop {
            let mut runs = self.runs.lock();
            if runs.take_owed() {
                return runs.begin();
            }
            drop(runs);
            self.told.wait();
        }
    }
}

#[test]
fn a_run_that_is_owed_begins_when_the_last_one_has_ended() {
    loom::model(|| {
        let row = Arc::new(Row {
            runs: Mutex::new(Runs::default()),
            told: Bell::new(),
            deeds: UnsafeCell::new(0),
        });
        let ends = row.runs.lock().begin();
        let first = thread::spawn({
            let row = row.clone();
            move || row.run(ends)
        });
        // It is due again.
        let mut runs = row.runs.lock();
        let next = if runs.is_running() {
            runs.owe();
            None
        } else {
            Some(runs.begin())
        };
        drop(runs);
        let next = next.unwrap_or_else(|| row.begin_owed());
        assert!(row.runs.lock().is_running());
        row.run(next);
        let mut runs = row.runs.lock();
        assert!(!runs.is_running() && !runs.take_owed(), "none is owed any more");
        drop(runs);
        first.join().unwrap();
        // SAFETY: both have ended.
        assert_eq!(row.deeds.with_mut(|deeds| unsafe { *deeds }), 2);
    });
}
