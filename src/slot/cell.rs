//! The slot itself: a state machine of one byte and a place that holds first the work, then the
//! value. Its safe face, for the rest of the crate, is the [parent module](super).
//!
//! ```text
//!              begin()        decide(), publish(value)
//!   work ────────────────▶ empty ────────────────▶ value ────────▶ empty
//!  (NEW)      BEGUN, by             DECIDED, then          TAKEN, by the
//!             the first             READY, by the first     one receiver
//!
//!   waiter:  register() fills it (WAITING) ── unregister() clears it, unless READY came first:
//!            then publish() has moved it out, for its caller to wake
//! ```
//! There may be any number of resolvers, but only one receiver: its methods are `unsafe`.

use std::mem::ManuallyDrop;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::AtomicBool as StdAtomicBool;

use super::states::{BEGUN, DECIDED, FATE, NEW, READY, TAKEN, WAITING};
use crate::primitives::{AtomicBool, AtomicU8, Ordering, UnsafeCell};

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
    /// The work has been moved out: the content's bytes are free for the value. Follows BEGUN,
    /// and is a field of its own because a plain store is cheaper than one more read-modify-write.
    vacant: AtomicBool,
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
            vacant: AtomicBool::new(false),
            waiter: UnsafeCell::new(None),
            content: UnsafeCell::new(Content { work: ManuallyDrop::new(work) }),
        }
    }

    /// Takes the work out. `None` if somebody has already.
    #[inline]
    pub(crate) fn begin(&self) -> Option<F> {
        // ORDERING: Relaxed. The work was written before the slot was shared (whoever hands the
        // slot over orders that), and nothing is read on account of who else lost this race.
        if self.state.fetch_or(BEGUN, Ordering::Relaxed) & BEGUN != 0 {
            return None;
        }
        // SAFETY: the content is the work until BEGUN is set, this call set it, and a value is
        // written only once `vacant` is set, below.
        let work =
            self.content.with_mut(|content| unsafe { ManuallyDrop::take(&mut (*content).work) });
        // ORDERING: Release: whoever sees it true may write where this thread has read.
        self.vacant.store(true, Ordering::Release);
        Some(work)
    }

    /// As `begin`, for whoever ends it as `fate` says, but drops the work where it is: it may be
    /// larger than the caller's stack. Gives false if somebody else began to end it so: then it is
    /// theirs to decide.
    pub(crate) fn discard_work(&self, fate: u8) -> bool {
        let unless_begun = |state| (state & BEGUN == 0).then_some(state | BEGUN | fate);
        // ORDERING: Relaxed, as in `begin`.
        let begun =
            self.state.fetch_update(Ordering::Relaxed, Ordering::Relaxed, unless_begun).err();
        if let Some(state) = begun {
            return state & FATE == 0;
        }
        let drop_work = || {
            // SAFETY: as in `begin`.
            self.content.with_mut(|content| unsafe { ManuallyDrop::drop(&mut (*content).work) });
        };
        if let Err(payload) = catch_unwind(AssertUnwindSafe(drop_work)) {
            // Its own destructor might panic, too.
            std::mem::forget(payload);
        }
        // ORDERING: Release, as in `begin`.
        self.vacant.store(true, Ordering::Release);
        true
    }

    /// Decides the value in place of a runner that died at whatever it was doing, so that nobody
    /// ends it otherwise from here on. Gives false if it was ready before or somebody else ends it.
    ///
    /// # Safety
    /// Whoever took the work out to run it, and whoever `decide` gave true, will never run again.
    pub(crate) unsafe fn decide_for_the_dead(&self) -> bool {
        let unless_ended = |state| (state & (READY | FATE) == 0).then_some(state | BEGUN | DECIDED);
        // ORDERING: Acquire for READY, as elsewhere; the rest by the one thread that is left.
        if self.state.fetch_update(Ordering::Acquire, Ordering::Acquire, unless_ended).is_err() {
            return false;
        }
        self.vacant.store(true, Ordering::Release);
        true
    }

    /// Publishes the value in place of a dead runner: what of the work or of a value is here, is
    /// leaked. Gives false, and drops the value, if it was ready before or somebody else ends it;
    /// and the waiter to wake.
    ///
    /// # Safety
    /// As for `decide_for_the_dead`, which may have been called before; and only once.
    pub(crate) unsafe fn publish_for_the_dead(&self, value: T) -> (bool, Option<W>) {
        // SAFETY: the caller's promise is the same.
        if !unsafe { self.decide_for_the_dead() } {
            return (false, None);
        }
        // SAFETY: of those who might publish, the runner is dead, and any other sets FATE.
        (true, unsafe { self.publish(value) })
    }

    /// Claims the right to decide the value. Gives false if somebody has it, or if the work is
    /// still there. Whoever gets true must [`publish`](Slot::publish).
    #[inline]
    pub(crate) fn decide(&self) -> bool {
        // ORDERING: Acquire, pairs with the Release in `begin`.
        self.vacant.load(Ordering::Acquire)
            // ORDERING: Relaxed. Losers touch nothing; the winner publishes with READY.
            && self.state.fetch_or(DECIDED, Ordering::Relaxed) & DECIDED == 0
    }

    /// As `decide`, for somebody other than the runner, who ends it as `fate` says.
    pub(crate) fn decide_for_it(&self, fate: u8) -> bool {
        let unless_decided = |state| {
            let fate = if state & FATE == 0 { fate } else { 0 };
            (state & DECIDED == 0).then_some(state | DECIDED | fate)
        };
        // ORDERING: as in `decide`.
        self.vacant.load(Ordering::Acquire)
            && self.state.fetch_update(Ordering::Relaxed, Ordering::Relaxed, unless_decided).is_ok()
    }

    /// How it ends, if somebody other than its runner ends or has ended it; else zero.
    #[inline]
    pub(crate) fn fate(&self) -> u8 {
        // ORDERING: Relaxed: it tells the runner to stop, and hands nothing over.
        self.state.load(Ordering::Relaxed) & FATE
    }

    /// Writes the value. Gives the waiter that now must be woken, if there is one.
    ///
    /// # Safety
    /// Only once, by the one whom `decide` or `decide_for_it` gave true.
    #[inline]
    pub(crate) unsafe fn publish(&self, value: T) -> Option<W> {
        // SAFETY: the caller set DECIDED, so it alone writes; the work is gone (`decide` saw
        // `vacant`), and the receiver reads nothing before READY.
        self.content.with_mut(|content| unsafe {
            (*content).value = ManuallyDrop::new(value);
        });
        // ORDERING: Release, so that a receiver that sees READY sees the value; Acquire, so that
        // if WAITING is seen the waiter that was written before it is seen too.
        let before = self.state.fetch_or(READY, Ordering::AcqRel);
        if before & WAITING == 0 {
            return None;
        }
        // SAFETY: WAITING was set when READY came, so the waiter belongs to this call: the
        // receiver touches it no more (`unregister` sees READY).
        self.waiter.with_mut(|waiter| unsafe { (*waiter).take() })
    }

    /// True once `begin` is done: `decide` then says no only if somebody else decided.
    pub(crate) fn is_vacant(&self) -> bool {
        // ORDERING: Relaxed, a hint: `decide` looks again.
        self.vacant.load(Ordering::Relaxed)
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

    /// Moves the value out: `None` if it is not ready, or has been taken.
    ///
    /// # Safety
    /// Only the one receiver may call this.
    #[inline]
    pub(crate) unsafe fn take(&self) -> Option<T> {
        // ORDERING: Acquire, pairs with READY's Release.
        let state = self.state.load(Ordering::Acquire);
        if state & (READY | TAKEN) != READY {
            return None;
        }
        // ORDERING: Relaxed. Only the receiver sets TAKEN; `drop` comes after it by the count of
        // owners.
        self.state.fetch_or(TAKEN, Ordering::Relaxed);
        // SAFETY: READY was seen, so the content is the value; the one receiver takes it once.
        Some(self.content.with_mut(|content| unsafe { ManuallyDrop::take(&mut (*content).value) }))
    }

    /// True once `take` has given the value.
    pub(crate) fn is_taken(&self) -> bool {
        // ORDERING: Relaxed; set by the receiver, who is the one to ask.
        self.state.load(Ordering::Relaxed) & TAKEN != 0
    }
}

impl<H, F, T, W> Drop for Slot<H, F, T, W> {
    /// The last to let go may be a runner, which a panic in a foreign destructor must not end: so
    /// it goes no further.
    fn drop(&mut self) {
        // ORDERING: Relaxed. `&mut self`: whoever shared the slot has ordered all they did.
        let state = self.state.load(Ordering::Relaxed);
        let has_work = state & BEGUN == 0;
        let has_value = state & (READY | TAKEN) == READY;
        if !has_work && !has_value {
            return;
        }
        let drop_content = || {
            // SAFETY: nobody else is left. The bits say what the content is: see `states`.
            self.content.with_mut(|content| unsafe {
                if has_work {
                    ManuallyDrop::drop(&mut (*content).work);
                } else {
                    ManuallyDrop::drop(&mut (*content).value);
                }
            });
        };
        if let Err(payload) = catch_unwind(AssertUnwindSafe(drop_content)) {
            // Its destructor might panic, too.
            std::mem::forget(payload);
        }
    }
}
