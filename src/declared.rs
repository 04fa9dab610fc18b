//! Tasks that `#[task]` declares, collected from the whole program; and how a declaration finds
//! its huey without forcing it into being.

use std::ops::Deref;
use std::sync::{Arc, LazyLock};

use once_cell::sync::Lazy;

use crate::clock::Eta;
use crate::engine::Engine;
use crate::error::Failure;
use crate::mini::MiniHuey;
use crate::periodic::{Body, Period, Row};
use crate::result::TaskResult;
use crate::task::TaskMeta;

/// One `#[task]`.
#[doc(hidden)]
pub struct Declared {
    pub meta: &'static TaskMeta,
    /// Its huey, if that exists yet.
    pub huey: fn() -> Option<&'static MiniHuey>,
    /// Of a periodic task, its period and what it does.
    pub periodic: Option<fn() -> (Period, Body)>,
}

inventory::collect!(Declared);

/// Where a `#[task]` finds its [`MiniHuey`]: a static of one of these types.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a place where `#[task]` finds its MiniHuey",
    note = "expected a static such as `static HUEY: Lazy<MiniHuey> = Lazy::new(|| \
            MiniHuey::new(\"my-app\"));`, with the Lazy of once_cell or std's LazyLock"
)]
pub trait HueyRef {
    /// The huey; made now, if it was not yet.
    fn huey(&self) -> &MiniHuey;
    /// The huey, if it was made.
    fn peek(&self) -> Option<&MiniHuey>;
}

impl HueyRef for MiniHuey {
    fn huey(&self) -> &MiniHuey {
        self
    }

    fn peek(&self) -> Option<&MiniHuey> {
        Some(self)
    }
}

impl<F: FnOnce() -> MiniHuey> HueyRef for Lazy<MiniHuey, F> {
    fn huey(&self) -> &MiniHuey {
        self
    }

    fn peek(&self) -> Option<&MiniHuey> {
        Lazy::get(self)
    }
}

impl<F: FnOnce() -> MiniHuey> HueyRef for LazyLock<MiniHuey, F> {
    fn huey(&self) -> &MiniHuey {
        self.deref()
    }

    fn peek(&self) -> Option<&MiniHuey> {
        LazyLock::get(self)
    }
}

/// Looks through all declarations for those of one huey. A declaration whose huey does not exist
/// yet might be of any: it is looked at again.
pub(crate) struct Search {
    left: Vec<&'static Declared>,
}

impl Search {
    pub(crate) fn new() -> Search {
        Search { left: inventory::iter::<Declared>().collect() }
    }

    /// What was found since the last time; None once nothing is left to look at.
    pub(crate) fn find(&mut self, engine: &Arc<Engine>) -> Option<Vec<&'static Declared>> {
        if self.left.is_empty() {
            return None;
        }
        let mut found = Vec::new();
        self.left.retain(|declared| {
            let Some(huey) = (declared.huey)() else { return true };
            if huey.is(engine) {
                found.push(*declared);
            }
            false
        });
        Some(found)
    }
}

impl Declared {
    pub(crate) fn row(&self) -> Option<Row> {
        let (period, body) = self.periodic?();
        Some(Row::new(self.meta, period, body))
    }
}

/// What the function that `#[task]` makes does.
#[doc(hidden)]
pub fn call<F, T>(huey: &impl HueyRef, meta: &'static TaskMeta, work: F) -> TaskResult<T>
where
    F: FnOnce() -> Result<T, Failure> + Send + 'static,
    T: Send + 'static,
{
    huey.huey().engine().call(meta, work)
}

/// What the `schedule` that `#[task]` makes does.
#[doc(hidden)]
pub fn schedule<F, T>(
    huey: &impl HueyRef,
    meta: &'static TaskMeta,
    eta: impl Into<Eta>,
    work: F,
) -> TaskResult<T>
where
    F: FnOnce() -> Result<T, Failure> + Send + 'static,
    T: Send + 'static,
{
    huey.huey().engine().schedule(meta, eta.into(), work)
}
