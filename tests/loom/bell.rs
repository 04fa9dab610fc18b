//! What parks a thread and wakes it, in all models.

use loom::sync::{Arc, Condvar, Mutex};
use loom::thread;

use crate::blocking::Waits;

/// A park and unpark of one's own: loom's are also what its `join` waits by.
pub struct Bell {
    pub rung: Mutex<bool>,
    pub changed: Condvar,
}

impl Bell {
    pub fn new() -> Arc<Bell> {
        Arc::new(Bell { rung: Mutex::new(false), changed: Condvar::new() })
    }

    pub fn ring(&self) {
        *self.rung.lock().unwrap() = true;
        self.changed.notify_one();
    }

    pub fn wait(&self) {
        let mut rung = self.rung.lock().unwrap();
        while !*rung {
            rung = self.changed.wait(rung).unwrap();
        }
        *rung = false;
    }
}

/// A green thread whose wait nobody ends early: all wakes of a green thread end the same park.
impl Waits for Bell {
    fn is_interrupted(&self) -> bool {
        false
    }

    fn is_time_over(&self) -> bool {
        false
    }

    fn yield_now(&self) {
        thread::yield_now();
    }

    fn park(&self) {
        self.wait();
    }
}
