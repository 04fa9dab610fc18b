//! Values whose drops are counted.

use loom::sync::Arc;
use loom::sync::atomic::{AtomicUsize, Ordering};

/// Counts how many of its kind were made and dropped; in a loom cell, so that a value that is
/// handed over without order is a race.
pub struct Counted {
    pub value: Box<u32>,
    dropped: Arc<AtomicUsize>,
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.dropped.fetch_add(1, Ordering::Relaxed);
    }
}

pub struct Count(Arc<AtomicUsize>);

impl Count {
    pub fn new() -> Count {
        Count(Arc::new(AtomicUsize::new(0)))
    }

    pub fn make(&self, value: u32) -> Counted {
        Counted { value: Box::new(value), dropped: self.0.clone() }
    }

    pub fn dropped(&self) -> usize {
        self.0.load(Ordering::SeqCst)
    }
}
