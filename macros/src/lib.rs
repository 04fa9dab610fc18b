//! `#[task]` and `crontab!` of minihuey. Use them from there: what they expand to names it.

#![forbid(unsafe_code)]
#![warn(missing_docs)]

mod args;
mod attributes;
mod crontab;
mod expand;
#[cfg(test)]
mod fragments;
mod signature;

use proc_macro::TokenStream;
use quote::{ToTokens, quote};
use syn::parse_macro_input;

use crate::crontab::Crontab;
use crate::signature::Function;

/// Makes a function a task: calling it enqueues it and returns at once, with a `TaskResult`.
///
/// ```
/// use minihuey::{MiniHuey, task};
/// use once_cell::sync::Lazy;
/// use std::time::Duration;
///
/// static HUEY: Lazy<MiniHuey> = Lazy::new(|| MiniHuey::new("my-app"));
///
/// /// Adds.
/// #[task(HUEY)]
/// pub fn add(a: i64, b: i64) -> i64 {
///     a + b
/// }
///
/// #[task(HUEY)]
/// fn read_config(path: String) -> std::io::Result<String> {
///     std::fs::read_to_string(path)
/// }
///
/// # fn main() -> Result<(), minihuey::Error> {
/// assert_eq!(add(1, 2).get()?, 3);
/// assert_eq!(add::map([(1, 2), (3, 4)]).get()?, [3, 7]);
/// assert_eq!(add::call_local(1, 2), 3);
///
/// HUEY.start()?;
/// let later = add::schedule((10, 20), Duration::from_millis(20));
/// assert_eq!(later.get()?, 30);
///
/// // The task's own error, as it was. One `?` would do.
/// let error = read_config("/no/such/file".to_owned()).get().unwrap_err();
/// assert!(error.downcast_ref::<std::io::Error>().is_some());
/// # Ok(())
/// # }
/// ```
///
/// # What is made of it
///
/// For `fn add(a: A, b: B) -> R`, as visible as it is:
///
/// | written                          | does                                                 |
/// |----------------------------------|------------------------------------------------------|
/// | `add(a, b)`                      | enqueues the task; gives a `TaskResult`              |
/// | `add::schedule((a, b), eta)`     | has it run at `eta`, a delay or a time               |
/// | `add::map([(a, b), …])`          | enqueues it for each; gives a `Group`                |
/// | `add::call_local(a, b)`          | calls the function itself, here and now; gives `R`   |
///
/// The result is of type `R`, or `T` if `R` is a `Result<T, E>` under any name: then an `Err`
/// makes the task failed, and comes back from `get` as `TaskError::Failed`. `E` must be
/// `Display + Debug + Send + Sync`.
///
/// `use tasks::add` imports all of it, and a variable named `add` hides the function only. The
/// part in front of `::` is an enum without values, so no other type or module beside it can
/// have the task's name.
///
/// # Arguments
///
/// First, the static that holds the huey: a `MiniHuey` in a `Lazy` of once_cell or a `LazyLock`
/// of std. Then, in any order:
///
/// | option                                    | means                                            |
/// |-------------------------------------------|--------------------------------------------------|
/// | `crontab(minute = "0", hour = 4)`         | it is periodic: all that [`crontab!`] takes      |
/// | `cron("*/10 * * * * *")`                  | periodic, with six fields, the seconds first     |
/// | `when = predicate`                        | periodic: a `fn(&DateTime<Local>) -> bool`, asked every minute |
/// | `overlap = "beside"`, `"skip"`, `"queue"` | what a periodic task does while it still runs: see `Overlap` |
/// | `offload`                                 | it runs on an OS thread: see `minihuey::offload` and `Builder::offload_size` |
/// | `timeout = "30s"`                         | it may run for so long: see `TaskError::TimedOut` |
/// | `stack_size = "1MiB"`                     | bytes of stack, if it needs more than the runtime's; from 64KiB to 1GiB |
/// | `name = "…"`                              | its name in logs and errors, else its path; one that another task of the huey has makes `start` fail |
///
/// ```
/// # use minihuey::{MiniHuey, task};
/// # use std::sync::LazyLock;
/// static HUEY: LazyLock<MiniHuey> = LazyLock::new(|| MiniHuey::new("my-app"));
///
/// #[task(HUEY, crontab(minute = "0", hour = "4"))]
/// fn run_backup() {}
///
/// #[task(HUEY, crontab("0 9 * * MON-FRI", tz = chrono_tz::Europe::Berlin), overlap = "skip")]
/// fn send_mail() -> Result<(), String> {
///     Err("this is logged".to_owned())
/// }
///
/// #[task(HUEY, cron("*/10 * * * * *"), name = "heartbeat")]
/// fn beat() {}
///
/// # fn main() -> Result<(), minihuey::Error> {
/// HUEY.start()?;             // from now on they run
/// run_backup().get()?;       // and by hand, as any task
/// # Ok(())
/// # }
/// ```
///
/// A periodic task is found wherever in the program it is declared, without being named. It takes
/// no arguments, and returns `()` or a `Result`.
///
/// # Which functions can be tasks
///
/// A task runs in another thread, maybe after its caller has returned: it owns its arguments
/// (`String`, not `&str`), and they and its value are `Send + 'static`. It is not async, unsafe,
/// generic, a method, or in an `impl` at all. It may stand in a module or in a function.
///
/// Its attributes stay with the function as it was written, but for documentation and
/// `deprecated`, which go to what its callers see.
#[proc_macro_attribute]
pub fn task(args: TokenStream, item: TokenStream) -> TokenStream {
    let as_written = proc_macro2::TokenStream::from(item.clone());
    let expanded = syn::parse::<Function>(item)
        .and_then(|function| expand::expand(&syn::parse(args)?, &function));
    expanded
        .unwrap_or_else(|error| {
            let error = error.into_compile_error();
            quote!(#error #as_written)
        })
        .into()
}

/// A `Crontab`, checked when the program is compiled.
///
/// ```
/// use minihuey::{Crontab, crontab};
///
/// const AT_FOUR: Crontab = crontab!(minute = "0", hour = 4);
/// assert_eq!(AT_FOUR.to_string(), "0 4 * * *");
///
/// let weekdays = crontab!("0 4 * * MON-FRI");
/// let often = crontab!("*/10 * * * * *");
/// let there = crontab!(hour = 4, minute = 0, tz = chrono_tz::Europe::Berlin);
/// # assert_eq!(weekdays.to_string(), "0 4 * * 1-5");
/// # assert!(often.fires_in_seconds() && there != AT_FOUR);
/// ```
///
/// It takes the fields by name, as huey's `crontab()`: `minute`, `hour`, `day`, `month` and
/// `day_of_week`, each a string or a whole number, and every value where it is not given; and
/// `second`, 0 if it is not given. Or it takes one string with five fields, or with six, the
/// seconds first. `tz = …`, last after a string, says whose clock it goes by: see
/// `Crontab::in_zone`. Without it, the crontab is a constant.
///
/// What may stand in a field is told in the module of the same name.
///
/// ```compile_fail
/// # use minihuey::crontab;
/// crontab!(minute = 61); // error: minute: "61" is out of range: expected 0 to 59
/// ```
#[proc_macro]
pub fn crontab(input: TokenStream) -> TokenStream {
    parse_macro_input!(input as Crontab).into_token_stream().into()
}
