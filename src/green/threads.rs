//! The process's OS threads for what must block or compute: spawned for a [`Crew`], which decides
//! who runs what, and each with its seat at hand. Knows nothing of green threads.

use std::sync::Arc;
use std::time::Duration;
use std::{cell::RefCell, io, thread};

use super::bell::Bell;
use super::crew::{Crew, Refused, Seat};
use super::{hub, panics};
use crate::clock::nanos;

/// An idle thread ends after this long.
const PATIENCE: Duration = Duration::from_secs(10);

/// What a thread is to run. It must not unwind.
pub(crate) type Work = Box<dyn FnOnce() + Send>;

pub(crate) struct Threads(Crew<Work>);

/// Where the calling thread sits, if it is one of these.
#[derive(Clone)]
struct Own {
    threads: &'static Threads,
    seat: Arc<Seat<Work>>,
}

thread_local! {
    static OWN: RefCell<Option<Own>> = const { RefCell::new(None) };
}

impl Threads {
    pub(super) fn new(limit: usize) -> Threads {
        Threads(Crew::new(limit))
    }

    pub(super) fn limit(&self) -> usize {
        self.0.limit()
    }

    /// Has `work` run as soon as a thread is free. Never blocks.
    ///
    /// # Errors
    /// Gives the work back if the system refuses a thread, and none is at work that would do it
    /// later.
    pub(crate) fn submit(&'static self, work: Work) -> Result<(), Work> {
        match self.0.submit(work, |seat| self.spawn(seat)) {
            Ok(()) => Ok(()),
            Err(Refused::Work(work, _)) => Err(work),
            Err(Refused::Thread(error)) => {
                tell_of_refusal(&error, LATER);
                Ok(())
            }
        }
    }

    #[cold]
    fn spawn(&'static self, seat: Arc<Seat<Work>>) -> io::Result<()> {
        let name = "minihuey-offload".to_owned();
        thread::Builder::new().name(name).spawn(move || self.serve(seat)).map(drop)
    }

    fn serve(&'static self, seat: Arc<Seat<Work>>) {
        OWN.with(|own| *own.borrow_mut() = Some(Own { threads: self, seat: seat.clone() }));
        let patience = || hub::now() + nanos(PATIENCE);
        self.0.serve(&seat, panics::contain, patience);
    }
}

fn tell_of_refusal(error: &io::Error, then: &str) {
    panics::contain(|| log::warn!("the system refuses a thread ({error}): {then}"));
}

const LATER: &str = "what is offloaded waits for others";
const HERE: &str = "what is offloaded runs on top of something that waits";

/// The bell of the calling thread, if it is one of these.
pub(super) fn own_bell() -> Option<Arc<Bell>> {
    own().map(|own| own.seat.bell().clone())
}

fn own() -> Option<Own> {
    // It may be gone, in a thread that ends.
    OWN.try_with(|own| own.borrow().clone()).ok().flatten()
}

/// The calling thread is about to wait for others: if it is one of these, it does not count until
/// [`take_share`].
pub(super) fn lend_share() {
    let Some(Own { threads, seat }) = own() else { return };
    loop {
        match threads.0.lend(&seat, |new| threads.spawn(new)) {
            Ok(()) => return,
            Err(Refused::Thread(error)) => return tell_of_refusal(&error, LATER),
            Err(Refused::Work(work, error)) => {
                tell_of_refusal(&error, HERE);
                panics::contain(work);
            }
        }
    }
}

/// Waits until the calling thread may go on.
pub(super) fn take_share() {
    if let Some(Own { threads, seat }) = own() {
        threads.0.take_share(&seat);
    }
}

#[cfg(all(test, feature = "monkey"))]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

    use crate::green::bell::Bell;
    use crate::{MiniHuey, monkey};

    #[test]
    fn no_other_green_thread_runs_while_one_rings() {
        monkey::patch_all().unwrap();
        let huey = MiniHuey::new("bells");
        let rounds = Arc::new(AtomicUsize::new(0));
        let over = Arc::new(AtomicBool::new(false));
        let (counted, ends) = (rounds.clone(), over.clone());
        let counts = huey.task("count", move || {
            while !ends.load(Ordering::Relaxed) {
                counted.fetch_add(1, Ordering::Relaxed);
                std::thread::yield_now();
            }
        });
        let counting = counts.call(());
        let rings = huey.task("ring", move || {
            // In each other's way: one who waits, and another one who rings.
            let bell = Arc::new(Bell::default());
            let rung = Arc::new(AtomicUsize::new(0));
            let is_over = Arc::new(AtomicBool::new(false));
            let others = [false, true].map(|waits| {
                let (bell, rung, is_over) = (bell.clone(), rung.clone(), is_over.clone());
                std::thread::spawn(move || {
                    while !is_over.load(Ordering::Relaxed) {
                        if waits {
                            bell.wait();
                            rung.fetch_add(1, Ordering::Relaxed);
                        } else {
                            bell.ring();
                        }
                    }
                })
            });
            let before = rounds.load(Ordering::Relaxed);
            while rung.load(Ordering::Relaxed) < 10_000 {
                bell.ring();
            }
            let between = rounds.load(Ordering::Relaxed) - before;
            is_over.store(true, Ordering::Relaxed);
            bell.ring();
            others.into_iter().for_each(|other| other.join().unwrap());
            between
        });
        assert_eq!(rings.call(()).get().unwrap(), 0);
        over.store(true, Ordering::Relaxed);
        counting.get().unwrap();
    }
}
