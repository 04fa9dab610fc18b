//! One value, once, for any waiter. A [`Slot`] is the single allocation of a task that was
//! called: it holds the work until a runner takes it, then the value until the one [`Receiver`]
//! does. `task` runs what is in it, `result` waits for what comes of it.

mod cell;
pub(crate) mod states;

use std::mem::ManuallyDrop;
use std::ptr::NonNull;
use std::sync::Arc;
use std::time::Instant;

use crate::green::Mutex;
use crate::green::{self, Dead, Green, Job, JobRef, Shared, Waited, Waiter};

/// The work of a called task and, later, its value. See [`cell`].
pub(crate) type Slot<H, F, T> = cell::Slot<H, F, T, Waiter>;

/// Makes a slot and the one receiver of its value.
pub(crate) fn slot<H, F, T>(header: H, pool: u32, work: F) -> (JobRef, Receiver<T>)
where
    Slot<H, F, T>: Job,
    F: Send + 'static,
    T: Ended + Send + 'static,
    H: Send + Sync + 'static,
{
    let (job, outcome) = Shared::pair(Slot::<H, F, T>::new(header, pool, work));
    let (job, outcome) = (job.into_raw(), outcome.into_raw());
    // SAFETY: each pointer is an owner's, and only its type is less precise.
    unsafe { (Shared::from_raw(job as NonNull<dyn Job>), Receiver(Shared::from_raw(outcome))) }
}

/// A slot whose work and header the receiver need not know.
trait Outcome<T>: Job {
    fn is_ready(&self) -> bool;
    fn is_taken(&self) -> bool;
    /// # Safety
    /// As [`cell::Slot::register`].
    unsafe fn register(&self, waiter: Waiter) -> bool;
    /// # Safety
    /// As [`cell::Slot::unregister`].
    unsafe fn unregister(&self) -> bool;
    /// # Safety
    /// As [`cell::Slot::take`].
    unsafe fn take(&self) -> Option<T>;
    /// # Safety
    /// As [`cell::Slot::leave`].
    unsafe fn leave(&self);
}

impl<H, F, T: Ended> Outcome<T> for Slot<H, F, T>
where
    Slot<H, F, T>: Job,
{
    fn is_ready(&self) -> bool {
        cell::Slot::is_ready(self)
    }

    fn is_taken(&self) -> bool {
        cell::Slot::is_taken(self)
    }

    unsafe fn register(&self, waiter: Waiter) -> bool {
        // SAFETY: the caller's promise is the same.
        unsafe { cell::Slot::register(self, waiter) }
    }

    unsafe fn unregister(&self) -> bool {
        // SAFETY: the caller's promise is the same.
        unsafe { cell::Slot::unregister(self) }
    }

    unsafe fn take(&self) -> Option<T> {
        // SAFETY: the caller's promise is the same.
        unsafe { cell::Slot::take(self, T::ended) }
    }

    unsafe fn leave(&self) {
        // SAFETY: the caller's promise is the same.
        unsafe { cell::Slot::leave(self) }
    }
}

/// The only one who may wait for a slot's value and take it. It can't be cloned, and whatever
/// waits or takes needs `&mut`: so there is one receiver at a time, as the slot requires.
pub(crate) struct Receiver<T>(Shared<dyn Outcome<T>>);

impl<T> Drop for Receiver<T> {
    #[inline]
    fn drop(&mut self) {
        // SAFETY: `&mut self` of the only receiver, which is no more after this.
        unsafe { self.0.leave() };
    }
}

impl<T: 'static> Receiver<T> {
    pub(crate) fn is_ready(&self) -> bool {
        self.0.is_ready()
    }

    pub(crate) fn is_taken(&self) -> bool {
        self.0.is_taken()
    }

    pub(crate) fn job(&self) -> &dyn Job {
        &*self.0
    }

    pub(crate) fn take(&mut self) -> Option<T> {
        // SAFETY: `&mut self` of the only receiver.
        unsafe { self.0.take() }
    }

    /// As `take`, of one that asks no more. Gives itself back if there is no value.
    #[inline]
    pub(crate) fn into_value(mut self) -> Result<T, Receiver<T>> {
        let Some(value) = self.take() else { return Err(self) };
        // Without `leave`, which would find nothing.
        let this = ManuallyDrop::new(self);
        // SAFETY: `this` is used no more, and does not drop its field.
        drop(unsafe { std::ptr::read(&raw const this.0) });
        Ok(value)
    }

    /// Has `waiter` woken once the value is there, instead of whoever was registered before.
    /// Gives false if it is there already.
    pub(crate) fn notify(&mut self, waiter: Waiter) -> bool {
        // SAFETY: `&mut self` of the only receiver.
        unsafe { self.0.register(waiter) }
    }

    /// Has `f` run once the value is there: by whoever brings it, or right here if it is there.
    pub(crate) fn notify_or_run(&mut self, f: impl FnOnce() + Send + 'static) {
        let (later, now) = once(f);
        if !self.notify(later) {
            now();
        }
    }

    /// As `notify_or_run`, with the receiver itself handed to `f`.
    pub(crate) fn hand_over(self, f: impl FnOnce(Receiver<T>) + Send + 'static) {
        let slot = self.0.clone();
        let (later, now) = once(move || f(self));
        // SAFETY: the receiver is inside `f`, which runs once; until then this is its only use.
        if !unsafe { slot.register(later) } {
            now();
        }
    }

    pub(crate) fn as_job(&self) -> JobRef {
        let job: NonNull<dyn Job> = self.0.clone().into_raw();
        // SAFETY: the pointer is an owner's, and only its type is less precise.
        unsafe { Shared::from_raw(job) }
    }

    /// Blocks the calling thread, green or not, until the value is there. A task that waits here
    /// lends its place in its pool meanwhile, to the one that it waits for first.
    #[inline]
    pub(crate) fn wait(&mut self, deadline: Option<Instant>) -> Waited {
        if self.is_ready() { Waited::Ready } else { self.wait_for_it(deadline) }
    }

    /// As `wait`, where the value was not there a moment ago.
    pub(crate) fn wait_for_it(&mut self, deadline: Option<Instant>) -> Waited {
        Green::with_current(|me| {
            let place = green::lend(me, || self.as_job());
            // In most cases one round of the worker brings it, and that is cheaper than to park.
            if let Some(me) = me {
                me.yield_probed();
            }
            let waited = if self.is_ready() { Waited::Ready } else { self.park(me, deadline) };
            if let Some(place) = place {
                place.reclaim();
            }
            // It may have come while the place was reclaimed.
            if waited == Waited::Ready || self.is_ready() {
                Waited::Ready
            } else {
                waited.or_unwind()
            }
        })
    }
}

impl<T: 'static> Receiver<T> {
    fn park(&mut self, me: Option<&Arc<Green>>, deadline: Option<Instant>) -> Waited {
        let waiter = me.map_or_else(Waiter::this_os_thread, Green::waiter);
        if !self.notify(waiter) {
            return Waited::Ready;
        }
        let withdraw = Withdraw(self);
        green::block_or_interrupted(me.map(|me| &**me), deadline, || withdraw.0.is_ready())
    }
}

/// A value that tells how a call was ended, where there is none.
pub(crate) trait Ended {
    /// `fate` is one of [`states::FATE`]'s.
    fn ended(fate: u8) -> Self;
}

impl<H, F, T> Slot<H, F, T> {
    /// Has `f`, which must not unwind, make the value of the work, and wakes whoever waits for it.
    /// Gives false if somebody has ended it meanwhile, None if somebody else has the work. A value
    /// that nobody will ask for goes to `unwanted`.
    #[inline]
    pub(crate) fn carry_out(
        &self,
        f: impl FnOnce(F) -> T,
        unwanted: impl FnOnce(T),
    ) -> Option<bool> {
        let value = f(self.begin()?);
        // SAFETY: `begin` gave this call the work.
        Some(unsafe { self.publish(value, unwanted) }.is_some_and(wake))
    }

    /// As [`doom`](cell::Slot::doom), of whoever the proof is of.
    pub(crate) fn doom_by(&self, _proof: &Dead) {
        // SAFETY: that is what the proof says.
        unsafe { self.doom() };
    }
}

/// Wakes whoever it is; gives true.
#[inline]
pub(crate) fn wake(waiter: Option<Waiter>) -> bool {
    if let Some(waiter) = waiter {
        waiter.wake();
    }
    true
}

/// Two ways to run `f`, of which the first that is taken does.
fn once<F: FnOnce() + Send + 'static>(f: F) -> (Waiter, impl FnOnce()) {
    fn run<F: FnOnce()>(f: &Mutex<Option<F>>) {
        let f = f.lock().take();
        if let Some(f) = f {
            f();
        }
    }
    let now = Arc::new(Mutex::new(Some(f)));
    let later = now.clone();
    (Waiter::Callback(Box::new(Box::new(move || run(&later)))), move || run(&now))
}

/// Takes the waiter back when a wait ends, also if it ends by unwinding.
struct Withdraw<'a, T>(&'a Receiver<T>);

impl<T> Drop for Withdraw<'_, T> {
    fn drop(&mut self) {
        // SAFETY: made by `wait`, which has the only receiver by `&mut`.
        unsafe { self.0.0.unregister() };
    }
}
