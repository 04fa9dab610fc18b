//! How a green thread that sleeps is called: a flag, and in its stead an OS thread, if one runs a
//! part of it. Parking and unparking are the green thread's own.

use std::sync::Arc;

use crate::primitives::{AtomicBool, Mutex, Ordering};

/// `B` is what an OS thread waits for.
pub(crate) struct Called<B> {
    called: AtomicBool,
    /// An OS thread that waits for it in this one's name.
    proxy: Mutex<Option<Arc<B>>>,
    has_proxy: AtomicBool,
}

impl<B> Called<B> {
    pub(crate) fn new() -> Called<B> {
        Called {
            called: AtomicBool::new(false),
            proxy: Mutex::new(None),
            has_proxy: AtomicBool::new(false),
        }
    }

    /// Has the green thread `park` until it is called, which it may have been before. Something
    /// else may unpark it meanwhile.
    #[inline]
    pub(crate) fn sleep(&self, mut park: impl FnMut()) {
        while !self.take() {
            park();
        }
    }

    /// Spends a call, if one came.
    pub(crate) fn take(&self) -> bool {
        // ORDERING: Acquire, pairs with the Release in `call`. Not one step with the store: nobody
        // calls again before the green thread is listed again, which comes after it.
        let is_called = self.called.load(Ordering::Acquire);
        if is_called {
            self.called.store(false, Ordering::Relaxed);
        }
        is_called
    }

    /// Calls. The green thread must be unparked afterwards, and the proxy, if one is given, rung
    /// before that.
    #[must_use]
    pub(crate) fn call(&self) -> Option<Arc<B>> {
        // ORDERING: Release, so that what the caller did before is seen by whom it calls.
        self.called.store(true, Ordering::Release);
        // ORDERING: Relaxed: the proxy listed this green thread, under the pool's lock, after it
        // had set this, and whoever calls found it there.
        if self.has_proxy.load(Ordering::Relaxed) { self.proxy.lock().take() } else { None }
    }

    /// An OS thread that runs a part of the green thread, which is parked, is to be called in its
    /// place. To be told before the green thread is listed anywhere.
    pub(crate) fn set_proxy(&self, bell: Arc<B>) {
        *self.proxy.lock() = Some(bell);
        self.has_proxy.store(true, Ordering::Relaxed);
    }

    /// Takes back what `set_proxy` said. If the proxy was called, the call is spent here.
    pub(crate) fn end_proxy(&self, was_called: bool) {
        if was_called {
            // ORDERING: Relaxed: the bell ordered it.
            self.called.store(false, Ordering::Relaxed);
        }
        self.proxy.lock().take();
        self.has_proxy.store(false, Ordering::Relaxed);
    }
}
