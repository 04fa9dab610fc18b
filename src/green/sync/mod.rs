//! Locks, channels and a pool of connections that green threads and OS threads may share.
//!
//! In a task use these, not std's or parking_lot's, wherever one may have to wait while another
//! holds the lock over a wait of its own: **a task that blocks on a lock of the operating system's
//! holds the worker, and with it the one that has the lock, for good.** Here a green thread that
//! waits lets others run, and an OS thread sleeps as usual. Locks that are never held over a wait
//! may as well be parking_lot's, which are faster where OS threads fight for one.
//!
//! - [`Mutex`], [`RwLock`], [`Condvar`]: with parking_lot's methods and guards (they are
//!   [`lock_api`](https://docs.rs/lock_api)'s), never poisoned, and always fair.
//! - [`Semaphore`], [`Barrier`].
//! - [`channel`]: with crossbeam-channel's methods and errors; [`select!`](macro@select) and
//!   [`Select`] to wait for several.
//! - [`Pool`]: connections, checked and kept, and no more of them than you say.
//!
//! Whoever waits is served first come, first served, and directly: what one lets go of is the next
//! one's from that moment, not back for whoever comes by first.

mod acquire;
mod alarm;
mod barrier;
pub mod channel;
mod condition;
mod condvar;
mod connections;
mod ends;
mod exchange;
mod meeting;
mod mutex;
mod permits;
mod rwlock;
mod select;
mod select_macro;
mod selection;
mod semaphore;

#[doc(inline)]
pub use crate::{__select as select, __select_biased as select_biased};
pub use barrier::{Barrier, BarrierWaitResult};
pub use condvar::{Condvar, WaitTimeoutResult};
pub use connections::{Pool, PoolBuilder, PoolState, Pooled};
pub use mutex::{ArcMutexGuard, MappedMutexGuard, Mutex, MutexGuard, RawMutex};
pub use rwlock::{
    MappedRwLockReadGuard, MappedRwLockWriteGuard, RawRwLock, RwLock, RwLockReadGuard,
    RwLockWriteGuard,
};
pub use select::{Select, SelectedOperation};
pub use semaphore::{Semaphore, SemaphorePermit};

pub use crate::error::PoolError;

use super::wait_list;
