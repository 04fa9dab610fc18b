//! Permits, which all locks and the semaphore are made of.
//!
//! Seen to fail: each ordering that is not Relaxed to Relaxed: a race in a model of the lock; no
//! QUEUED bit set, seen or cleared, or nobody served when the first gives up: a deadlock there.

use loom::sync::Arc;
use loom::thread;

use crate::bell::Bell;
use crate::preemptions::bounded_model;
use crate::{permits, primitives, wait_list};

/// A lock made of permits, and what it protects: in a loom cell, so that two who have it, or one
/// who does not see what the last one did, are a race.
struct Lock {
    permits: permits::Permits<Arc<Bell>>,
    value: primitives::UnsafeCell<u32>,
}

impl Lock {
    fn new(free: usize) -> Arc<Lock> {
        let free = primitives::AtomicUsize::new(free * 2);
        let waiting = primitives::Mutex::new(wait_list::WaitList::new());
        Arc::new(Lock {
            permits: permits::Permits::of(free, waiting),
            value: primitives::UnsafeCell::new(0),
        })
    }

    fn acquire(&self, count: usize) {
        if self.permits.try_acquire(count) {
            return;
        }
        let bell = Bell::new();
        if let Some(ticket) = self.permits.acquire_or_list(count, bell.clone()) {
            while !self.permits.is_granted(ticket) {
                bell.wait();
            }
        }
    }

    /// Gives up at once, if it has to wait.
    fn acquire_or_give_up(&self, count: usize) -> bool {
        match self.permits.acquire_or_list(count, Bell::new()) {
            None => true,
            Some(ticket) => !self.permits.withdraw(ticket, |bell| bell.ring()),
        }
    }

    fn release(&self, count: usize) {
        if !self.permits.try_release(count) {
            self.permits.hand_over(count, |bell| bell.ring());
        }
    }

    fn write(&self) {
        // SAFETY: loom finds out whether the caller is alone.
        self.value.with_mut(|value| unsafe { *value += 1 });
    }
}

#[test]
fn a_lock_is_one_s_at_a_moment_and_comes_to_all_who_wait() {
    bounded_model(|| {
        let lock = Lock::new(1);
        let threads: Vec<_> = (0..2)
            .map(|_| {
                let lock = lock.clone();
                thread::spawn(move || {
                    lock.acquire(1);
                    lock.write();
                    lock.release(1);
                })
            })
            .collect();
        lock.acquire(1);
        lock.write();
        lock.release(1);
        threads.into_iter().for_each(|thread| thread.join().unwrap());
        assert!(lock.permits.try_acquire(1), "it is free again");
        // SAFETY: the others have ended.
        lock.value.with_mut(|value| assert_eq!(unsafe { *value }, 3));
    });
}

#[test]
fn a_lock_is_not_lost_by_one_who_gives_up_as_it_is_handed_over() {
    bounded_model(|| {
        let lock = Lock::new(1);
        let hasty = thread::spawn({
            let lock = lock.clone();
            move || {
                if lock.acquire_or_give_up(1) {
                    lock.write();
                    lock.release(1);
                }
            }
        });
        let patient = thread::spawn({
            let lock = lock.clone();
            move || {
                lock.acquire(1);
                lock.write();
                lock.release(1);
            }
        });
        lock.acquire(1);
        lock.write();
        lock.release(1);
        hasty.join().unwrap();
        patient.join().unwrap();
        assert!(lock.permits.try_acquire(1), "it is free again");
    });
}

#[test]
fn readers_behind_a_writer_who_gives_up_and_a_writer_behind_readers_go_on() {
    bounded_model(|| {
        let lock = Lock::new(2);
        lock.acquire(1);
        let writer = thread::spawn({
            let lock = lock.clone();
            move || {
                if lock.acquire_or_give_up(2) {
                    lock.write();
                    lock.release(2);
                }
            }
        });
        let reader = thread::spawn({
            let lock = lock.clone();
            move || {
                // While the first reads: only a writer who stays may keep it waiting.
                lock.acquire(1);
                lock.release(1);
                lock.acquire(2);
                lock.write();
                lock.release(2);
            }
        });
        lock.release(1);
        writer.join().unwrap();
        reader.join().unwrap();
        assert_eq!(lock.permits.free(), 2);
    });
}

#[test]
fn a_reader_goes_on_when_the_writer_in_front_of_it_gives_up() {
    bounded_model(|| {
        let lock = Lock::new(2);
        lock.acquire(1);
        let writer = thread::spawn({
            let lock = lock.clone();
            move || assert!(!lock.acquire_or_give_up(2), "somebody reads all the time")
        });
        // Nobody lets go of anything before it has read.
        lock.acquire(1);
        writer.join().unwrap();
        lock.release(2);
        assert_eq!(lock.permits.free(), 2);
    });
}

#[test]
fn a_writer_sees_that_all_readers_are_done() {
    bounded_model(|| {
        let lock = Lock::new(2);
        lock.acquire(2);
        let readers: Vec<_> = (0..2)
            .map(|_| {
                let lock = lock.clone();
                thread::spawn(move || {
                    // SAFETY: loom finds out whether somebody writes.
                    lock.value.with(|value| unsafe { *value });
                    lock.release(1);
                })
            })
            .collect();
        lock.acquire(2);
        lock.write();
        lock.release(2);
        readers.into_iter().for_each(|reader| reader.join().unwrap());
    });
}
