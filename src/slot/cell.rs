//! The slot itself: a state machine of one byte and a place that holds first the work, then the
//! value. Its safe face, for the rest of the crate, is the [parent module](super).
//!
//! ```text
//!              begin()                  publish(value)
//!   work ────────────────▶ empty ──────────────────────▶ value ────────▶ empty
//!  (NEW)      BEGUN, by      │    READY, unless ended             taken, by the
//!             the first      │    before                           one receiver
//!                            └─ end(fate): FATE and READY; then the value stays with its maker,
//!                               as it does if the receiver was gone before: leave(), GONE
//!
//!   waiter:  register() fills it (WAITING) ── unregister() clears it, unless READY came first:
//!            then whoever set that has moved it out, for its caller to wake
//! ```
//! Any number may end it from outside, but only one has the work, and there is only one receiver:
//! their methods are `unsafe`.

use std::mem::ManuallyDrop;
use std::sync::atomic::AtomicBool as StdAtomicBool;

use super::states::{BEGUN, FATE, GONE, LEFT, NEW, OVERFLOWED, READY, WAITING};
use crate::primitives::{AtomicBool, AtomicU8, Ordering, UnsafeCell, contain};

/// The work is gone before the value comes, so they share their bytes.
union Content<F, T> {
    work: ManuallyDrop<F>,
    value: ManuallyDrop<T>,
}

/// See the [module](self). `F` is the work, `T` the value, `W` whoever waits.
pub(crate) struct Slot<H, F, T, W> {
    /// What its owner wants to keep in the same allocation.
    pub(crate) header: H,
    /// As the header, but here they fill what would be padding: which pool it was pushed to, and
    /// whether a runner has it.
    pub(crate) pool: u32,
    pub(crate) claimed: StdAtomicBool,
    state: AtomicU8,
    /// There is no value any more. Written by the receiver alone, or in its place once it is gone,
    /// and so no bit of the state: a plain store is cheaper than one more read-modify-write.
    taken: AtomicBool,
    waiter: UnsafeCell<Option<W>>,
    content: UnsafeCell<Content<F, T>>,
}

// SAFETY: the work and the waiter are moved to whichever thread wins them, the value to the
// receiver: each is sent, none is shared, and the state byte orders every hand-over.
unsafe impl<H: Send, F: Send, T: Send, W: Send> Send for Slot<H, F, T, W> {}
// SAFETY: as above; of all fields `&Slot` gives a reference to the header only, which is Sync.
unsafe impl<H: Sync, F: Send, T: Send, W: Send> Sync for Slot<H, F, T, W> {}

impl<H, F, T, W> Slot<H, F, T, W> {
    pub(crate) fn new(header: H, pool: u32, work: F) -> Slot<H, F, T, W> {
        Slot {
            header,
            pool,
            claimed: StdAtomicBool::new(false),
            state: AtomicU8::new(NEW),
            taken: AtomicBool::new(false),
            waiter: UnsafeCell::new(None),
            content: UnsafeCell::new(Content { work: ManuallyDrop::new(work) }),
        }
    }

    /// Takes the work out. `None` if somebody has already. Whoever gets it must
    /// [`publish`](Slot::publish) what comes of it.
    #[inline]
    pub(crate) fn begin(&self) -> Option<F> {
        // ORDERING: Relaxed. The work was written before the slot was shared (whoever hands the
        // slot over orders that), and nothing is read on account of who else lost this race.
        if self.state.fetch_or(BEGUN, Ordering::Relaxed) & BEGUN != 0 {
            return None;
        }
        // SAFETY: the content is the work until BEGUN is set, and this call set it.
        Some(self.content.with_mut(|content| unsafe { ManuallyDrop::take(&mut (*content).work) }))
    }

    /// Writes the value. Gives the waiter that now must be woken, if there is one; None if somebody
    /// has ended it meanwhile. In that case, and if nobody will ask for it, the value goes to
    /// `unwanted`.
    ///
    /// # Safety
    /// Only once, by the one whom `begin` gave the work.
    #[inline]
    pub(crate) unsafe fn publish(&self, value: T, unwanted: impl FnOnce(T)) -> Option<Option<W>> {
        // SAFETY: the caller set BEGUN, and has moved the work out: the content is its own until
        // READY, and after that the receiver's only without a FATE, and unless that is GONE.
        self.content.with_mut(|content| unsafe {
            (*content).value = ManuallyDrop::new(value);
        });
        let before = self.set_ready();
        if before & (FATE | GONE) == 0 {
            return Some(self.waiter_at(before));
        }
        // ORDERING: Relaxed, in place of the receiver, who is gone; who has the slot last sees it by
        // the count of owners.
        let waiter = if before & FATE == 0 {
            self.taken.store(true, Ordering::Relaxed);
            Some(self.waiter_at(before))
        } else {
            None
        };
        // SAFETY: with a FATE, or GONE, the content stays the caller's, who wrote the value right
        // above.
        unwanted(unsafe { self.take_value() });
        waiter
    }

    /// # Safety
    /// The content is the value, and the caller's.
    #[inline]
    unsafe fn take_value(&self) -> T {
        // SAFETY: the caller's promise.
        self.content.with_mut(|content| unsafe { ManuallyDrop::take(&mut (*content).value) })
    }

    /// Gives the state before.
    #[inline]
    fn set_ready(&self) -> u8 {
        // ORDERING: Release, so that a receiver that sees READY sees the value; Acquire, so that
        // if WAITING is seen the waiter that was written before it is seen too.
        self.state.fetch_or(READY, Ordering::AcqRel)
    }

    /// The waiter to wake, for who has set READY, and found the state so before.
    #[inline]
    fn waiter_at(&self, before: u8) -> Option<W> {
        if before & WAITING == 0 {
            return None;
        }
        // SAFETY: WAITING was set when READY came, so the waiter belongs to this call: the
        // receiver touches it no more (`unregister` sees READY).
        self.waiter.with_mut(|waiter| unsafe { (*waiter).take() })
    }

    /// Ends it from outside, as `fate` says, whether or not somebody has the work. None if it is
    /// over already; else the waiter that now must be woken, if there is one. If nobody has the
    /// work, it stays until [`discard`](Slot::discard): its destructor is foreign code, which may
    /// never return.
    pub(crate) fn end(&self, fate: u8) -> Option<Option<W>> {
        let unless_over = |state| {
            let left = if state & BEGUN == 0 { BEGUN | LEFT } else { 0 };
            (state & (READY | FATE) == 0).then_some(state | left | fate | READY)
        };
        // ORDERING: as in `set_ready`, Release for what the caller did before.
        let before =
            self.state.fetch_update(Ordering::AcqRel, Ordering::Relaxed, unless_over).ok()?;
        Some(self.waiter_at(before))
    }

    /// Drops the work, where it is, if it was ended before it began.
    pub(crate) fn discard(&self) {
        // ORDERING: Relaxed, here and below: the work was written before the slot was shared.
        if self.state.load(Ordering::Relaxed) & LEFT != 0
            && self.state.fetch_and(!LEFT, Ordering::Relaxed) & LEFT != 0
        {
            // SAFETY: this call cleared LEFT, so the work is its own.
            unsafe { self.drop_work() };
        }
    }

    /// The receiver goes. If the value is there and was not taken, it is dropped here; if it still
    /// comes, where it is made. (Its destructor is foreign code: it is not to run wherever somebody
    /// happens to be the last to let go of the slot.)
    ///
    /// # Safety
    /// Only the one receiver may call this, and does nothing more with the slot.
    pub(crate) unsafe fn leave(&self) {
        if self.is_taken() {
            return;
        }
        // ORDERING: Acquire: if READY is seen, so is the value. (Nothing to release.)
        let mut state = self.state.load(Ordering::Acquire);
        if state & READY == 0 {
            state = self.state.fetch_or(GONE, Ordering::Acquire);
        }
        // SAFETY: the caller is the receiver, and takes nothing more.
        unsafe { self.discard_value(state) };
    }

    /// Drops the value, where it is, if there is one and it was not taken.
    ///
    /// # Safety
    /// `state` is what the slot was in when the caller saw the last of the receiver: it is that, or
    /// comes after it. Nobody else calls this. (Others who have the slot don't touch the content of
    /// what is over.)
    unsafe fn discard_value(&self, state: u8) {
        if state & (READY | FATE) == READY && !self.is_taken() {
            // First, in case that it never returns.
            self.taken.store(true, Ordering::Relaxed);
            // SAFETY: the content is the value, and the caller is in the receiver's place.
            unsafe { self.drop_value() };
        }
    }

    /// A panic of its destructor goes no further.
    ///
    /// # Safety
    /// The content is the work, and the caller's.
    unsafe fn drop_work(&self) {
        contain(|| {
            // SAFETY: the caller's promise.
            self.content.with_mut(|content| unsafe { ManuallyDrop::drop(&mut (*content).work) });
        });
    }

    /// As `drop_work`.
    ///
    /// # Safety
    /// The content is the value, and the caller's.
    unsafe fn drop_value(&self) {
        contain(|| {
            // SAFETY: the caller's promise.
            self.content.with_mut(|content| unsafe { ManuallyDrop::drop(&mut (*content).value) });
        });
    }

    /// To drop the slot runs no foreign code. For its last owner.
    pub(crate) fn is_empty(&self) -> bool {
        // ORDERING: Relaxed: whoever shared the slot has ordered all they did.
        let state = self.state.load(Ordering::Relaxed);
        !has_work(state) && (state & (READY | FATE) != READY || self.is_taken())
    }

    /// Decides that it ends as overflowed once `bury_doomed` is called, unless it is over or ends
    /// otherwise: for one who has the work, and died at whatever it was doing with it. What of the
    /// work or of a value is here, is leaked.
    ///
    /// # Safety
    /// Whoever had the work will never run again.
    pub(crate) unsafe fn doom(&self) {
        let unless_over =
            |state| (state & (READY | FATE) == 0).then_some(state | BEGUN | OVERFLOWED);
        // ORDERING: Relaxed: `bury_doomed` orders.
        let _ = self.state.fetch_update(Ordering::Relaxed, Ordering::Relaxed, unless_over);
    }

    /// Makes it over, if `doom` has decided how it ends: else None. Gives the waiter that now must
    /// be woken, if there is one.
    pub(crate) fn bury_doomed(&self) -> Option<Option<W>> {
        let if_doomed = |state| (state & (READY | FATE) == OVERFLOWED).then_some(state | READY);
        // ORDERING: as in `set_ready`.
        let before =
            self.state.fetch_update(Ordering::AcqRel, Ordering::Relaxed, if_doomed).ok()?;
        Some(self.waiter_at(before))
    }

    /// How it ends, if somebody other than who has the work ends or has ended it; else zero.
    #[inline]
    pub(crate) fn fate(&self) -> u8 {
        // ORDERING: Relaxed: it tells the runner to stop, and hands nothing over.
        self.state.load(Ordering::Relaxed) & FATE
    }

    #[inline]
    pub(crate) fn is_ready(&self) -> bool {
        // ORDERING: Acquire, pairs with READY's Release: whoever sees it may take the value.
        self.state.load(Ordering::Acquire) & READY != 0
    }

    /// Puts `waiter` there for `publish` to wake, in place of one registered before.
    /// Gives false, and keeps nothing, if the value is ready.
    ///
    /// # Safety
    /// Only the one receiver may call this.
    pub(crate) unsafe fn register(&self, waiter: W) -> bool {
        // SAFETY: the caller is the receiver.
        if !unsafe { self.unregister() } {
            return false;
        }
        // SAFETY: WAITING is clear, so no resolver looks at the field; only the receiver sets it.
        self.waiter.with_mut(|field| unsafe { *field = Some(waiter) });
        // ORDERING: Release, so that a resolver that sees WAITING sees the waiter; Acquire, so
        // that if READY is seen the value is too.
        let before = self.state.fetch_or(WAITING, Ordering::AcqRel);
        if before & READY == 0 {
            return true;
        }
        // READY came before WAITING: the resolver saw no waiter, the field is still ours.
        // SAFETY: as just said.
        self.waiter.with_mut(|field| unsafe { *field = None });
        // ORDERING: Relaxed; only `drop` looks at WAITING from here on.
        self.state.fetch_and(!WAITING, Ordering::Relaxed);
        false
    }

    /// Withdraws the waiter. Gives false if the value is ready: the waiter then has been woken,
    /// or is being woken.
    ///
    /// # Safety
    /// Only the one receiver may call this.
    pub(crate) unsafe fn unregister(&self) -> bool {
        // ORDERING: Acquire: if READY is seen, so is the value. (Nothing to release.)
        let before = self.state.fetch_and(!WAITING, Ordering::Acquire);
        if before & READY != 0 {
            return false;
        }
        if before & WAITING != 0 {
            // SAFETY: WAITING was cleared before READY came: no resolver will look at the field.
            self.waiter.with_mut(|field| unsafe { *field = None });
        }
        true
    }

    /// Moves the value out, or gives what `ended` makes of how it was ended instead: `None` if it
    /// is not over, or was taken.
    ///
    /// # Safety
    /// Only the one receiver may call this.
    #[inline]
    pub(crate) unsafe fn take(&self, ended: impl FnOnce(u8) -> T) -> Option<T> {
        // ORDERING: Acquire, pairs with READY's Release.
        let state = self.state.load(Ordering::Acquire);
        if state & READY == 0 || self.is_taken() {
            return None;
        }
        // ORDERING: Relaxed. Only the receiver sets it; `drop` comes after it by the count of
        // owners.
        self.taken.store(true, Ordering::Relaxed);
        if state & FATE != 0 {
            return Some(ended(state & FATE));
        }
        // SAFETY: READY was seen, and no FATE, so the content is the value, and the one receiver's,
        // who takes it once.
        Some(unsafe { self.take_value() })
    }

    /// True once `take` has given the value.
    #[inline]
    pub(crate) fn is_taken(&self) -> bool {
        // ORDERING: Relaxed; set by the receiver, who is the one to ask.
        self.taken.load(Ordering::Relaxed)
    }
}

impl<H, F, T, W> Drop for Slot<H, F, T, W> {
    /// The last to let go may be a runner, which a panic in a foreign destructor must not end: so
    /// it goes no further.
    fn drop(&mut self) {
        // ORDERING: Relaxed. `&mut self`: whoever shared the slot has ordered all they did.
        let state = self.state.load(Ordering::Relaxed);
        if has_work(state) {
            // SAFETY: nobody else is left. The bits say what the content is: see `states`.
            unsafe { self.drop_work() };
        } else {
            // SAFETY: nobody else is left.
            unsafe { self.discard_value(state) };
        }
    }
}

fn has_work(state: u8) -> bool {
    state & BEGUN == 0 || state & LEFT != 0
}
