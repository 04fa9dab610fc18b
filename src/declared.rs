//! Tasks that `#[task]` declares, collected from the whole program; and how a declaration finds
//! its huey without forcing it into being.

use std::ops::Deref;
use std::ptr;
use std::sync::{Arc, LazyLock};

use once_cell::sync::Lazy;

use crate::clock::Eta;
use crate::engine::Engine;
use crate::error::Failure;
use crate::green::{Mutex, TaskMeta, probe};
use crate::group::{Group, group};
use crate::mini::MiniHuey;
use crate::periodic::{Body, Period, Row};
use crate::result::TaskResult;
use crate::task::{Ending, Gives, Outcome};

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
    left: Mutex<Vec<&'static Declared>>,
}

impl Search {
    pub(crate) fn new() -> Search {
        Search { left: Mutex::new(inventory::iter::<Declared>().collect()) }
    }

    /// What was found since the last time; None once nothing is left to look at.
    pub(crate) fn find(&self, engine: &Arc<Engine>) -> Option<Vec<&'static Declared>> {
        probe();
        let left = self.left.lock().clone();
        if left.is_empty() {
            return None;
        }
        // Not under the lock: the place that is asked may be of a type of the program's own, and
        // what that does is foreign.
        let ask = |declared: &'static Declared| Some((declared, (declared.huey)()?.is(engine)));
        let mut seen: Vec<_> = left.into_iter().filter_map(ask).collect();
        probe();
        let mut left = self.left.lock();
        // Somebody else may have looked meanwhile: each is found once.
        seen.retain(|(declared, _)| {
            let place = left.iter().position(|one| ptr::eq(*one, *declared));
            place.map(|place| left.remove(place)).is_some()
        });
        drop(left);
        Some(seen.into_iter().filter_map(|(declared, is_its)| is_its.then_some(declared)).collect())
    }
}

impl Declared {
    pub(crate) fn row(&self) -> Option<Row> {
        let (period, body) = self.periodic?();
        Some(Row::new(self.meta, period, body))
    }
}

/// What `#[task]` says of one task. The type that implements it has no values; it stands for the
/// task.
///
/// The bounds of a task's types are asked for here and nowhere else, so that a wrong type is one
/// error, at that type.
#[doc(hidden)]
pub trait Declaration: 'static {
    /// The tuple of the arguments.
    type Args: Send + 'static;
    /// What the task gives.
    type Value: Send + 'static;

    const NAME: &'static str;
    const META: &'static TaskMeta;

    fn place() -> &'static impl HueyRef;
    fn run(args: Self::Args) -> Result<Self::Value, Failure>;
}

/// What `Value` of a declaration is where the return type does not show it.
#[doc(hidden)]
pub type Value<const IS_RESULT: bool, R> = <Gives<IS_RESULT> as Outcome<R>>::Value;

/// Ties what `#[task]` made of the name of a return type to what that type is.
#[doc(hidden)]
#[diagnostic::on_unimplemented(
    message = "`#[task]` expects that this gives `{T}`, but it gives `{Self}`",
    label = "gives `{Self}`",
    note = "a type whose name ends in `Result` is taken for a `Result`, and its first argument \
            for the value; to return one that is none, give it another name: \
            `type Page<T> = PageResult<T>;`"
)]
pub trait IsShownAs<T> {
    fn into_shown(self) -> T;
}

impl<T> IsShownAs<T> for T {
    fn into_shown(self) -> T {
        self
    }
}

#[doc(hidden)]
pub fn into_shown<T, V: IsShownAs<T>>(outcome: Result<V, Failure>) -> Result<T, Failure> {
    outcome.map(V::into_shown)
}

impl Declared {
    #[doc(hidden)]
    pub const fn of<D: Declaration>() -> Declared {
        Declared { meta: D::META, huey: || D::place().peek(), periodic: None }
    }

    #[doc(hidden)]
    pub const fn periodic<D: Declaration<Args = ()>>(periodic: fn() -> (Period, Body)) -> Declared {
        Declared { periodic: Some(periodic), ..Declared::of::<D>() }
    }
}

/// What a periodic task does when it runs by itself.
#[doc(hidden)]
pub fn body<D: Declaration<Args = ()>>() -> Body {
    Arc::new(|| D::run(()).map(drop))
}

/// Asks that a periodic task returns `R` for a reason.
#[doc(hidden)]
pub fn ending<R: Ending>() {}

/// What the function that `#[task]` makes does.
#[doc(hidden)]
pub fn call<D: Declaration>(args: D::Args) -> TaskResult<D::Value> {
    D::place().huey().engine().call(D::META, move || D::run(args))
}

/// What the `schedule` that `#[task]` makes does.
#[doc(hidden)]
pub fn schedule<D: Declaration>(args: D::Args, eta: impl Into<Eta>) -> TaskResult<D::Value> {
    D::place().huey().engine().schedule(D::META, eta.into(), move || D::run(args))
}

/// What the `map` that `#[task]` makes does.
#[doc(hidden)]
pub fn map<D: Declaration>(args: impl IntoIterator<Item = D::Args>) -> Group<D::Value> {
    group(args.into_iter().map(call::<D>))
}
