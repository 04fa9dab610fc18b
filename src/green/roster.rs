//! Who of a pool runs what, by numbers: a runner has one for all its life, and what else runs has
//! one for as long as it does. And how who runs is told that its job was ended. Pure: it is kept
//! under the pool's lock, and to wake whom it tells is the caller's.

use crate::primitives::{AtomicBool, Ordering};

pub(crate) struct Roster<J, R> {
    /// By their numbers: the jobs that run, and who runs them, if it can be told.
    jobs: Vec<Option<J>>,
    runners: Vec<Option<R>>,
    free: Vec<usize>,
}

/// A runner's: one of the jobs that it runs may have been ended. Set under the lock of the pool of
/// that job, and only for who has it then; cleared when the runner has settled the job that all
/// others stood on: so it never reaches the next one.
pub(crate) struct Hint(AtomicBool);

pub(crate) trait Runner: Clone {
    fn hint(&self) -> &Hint;
}

impl Hint {
    pub(crate) fn new() -> Hint {
        Hint(AtomicBool::new(false))
    }

    /// If so, a look at the job, under the pool's lock, tells.
    // ORDERING: Relaxed, here and where it is changed: that lock orders it.
    #[inline]
    pub(crate) fn is_set(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    /// The job that it may have been for has ended.
    #[inline]
    pub(crate) fn clear(&self) {
        if self.0.load(Ordering::Relaxed) {
            self.0.store(false, Ordering::Relaxed);
        }
    }
}

impl<J, R> Roster<J, R> {
    pub(crate) fn new() -> Roster<J, R> {
        Roster { jobs: Vec::new(), runners: Vec::new(), free: Vec::new() }
    }

    /// A number that nobody has.
    pub(crate) fn number(&mut self) -> usize {
        self.free.pop().unwrap_or_else(|| {
            self.jobs.push(None);
            self.runners.push(None);
            self.jobs.len() - 1
        })
    }

    /// How many have a number.
    pub(crate) fn numbers(&self) -> usize {
        self.jobs.len() - self.free.len()
    }

    /// Whoever had this number does not need it any more.
    pub(crate) fn free(&mut self, number: usize) {
        self.runners[number] = None;
        self.free.push(number);
    }

    /// Who has this number from now on.
    pub(crate) fn enter(&mut self, number: usize, runner: R) {
        self.runners[number] = Some(runner);
    }

    #[inline]
    pub(crate) fn begin(&mut self, number: usize, job: J) {
        self.jobs[number] = Some(job);
    }

    #[inline]
    pub(crate) fn end(&mut self, number: usize) -> Option<J> {
        self.jobs[number].take()
    }

    /// The job that whoever has this number runs.
    pub(crate) fn job(&self, number: usize) -> Option<&J> {
        self.jobs.get(number)?.as_ref()
    }

    /// All that run.
    pub(crate) fn jobs(&self) -> impl Iterator<Item = &J> {
        self.jobs.iter().flatten()
    }
}

impl<J, R: Runner> Roster<J, R> {
    /// Tells those who run one of `these` jobs, of which it must be decided how they end. Gives
    /// those whom the caller is to wake.
    pub(crate) fn interrupt(&self, these: impl Fn(&J) -> bool) -> Vec<R> {
        let told = self.jobs.iter().zip(&self.runners).filter_map(|(job, runner)| {
            let runner = runner.as_ref().filter(|_| job.as_ref().is_some_and(&these))?;
            runner.hint().0.store(true, Ordering::Relaxed);
            Some(runner.clone())
        });
        told.collect()
    }
}
