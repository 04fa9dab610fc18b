//! What parks a thread and wakes it, in all models.

use loom::sync::{Arc, Condvar, Mutex};

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
