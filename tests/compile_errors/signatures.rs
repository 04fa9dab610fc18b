use minihuey::{MiniHuey, task};
use once_cell::sync::Lazy;

static HUEY: Lazy<MiniHuey> = Lazy::new(|| MiniHuey::new("app"));

#[task(HUEY)]
async fn is_async() {}

#[task(HUEY)]
unsafe fn is_unsafe() {}

#[task(HUEY)]
const fn is_const() {}

#[task(HUEY)]
extern "C" fn is_extern() {}

#[task(HUEY)]
fn generic<T>(value: T) -> T {
    value
}

#[task(HUEY)]
fn generic_by_lifetime<'a>(_value: &'a str) {}

#[task(HUEY)]
fn generic_by_impl(values: impl Iterator<Item = i32>) -> impl Iterator<Item = i32> {
    values
}

#[task(HUEY)]
fn pattern((a, b): (i64, i64), _: i64) -> i64 {
    a + b
}

#[task(HUEY)]
fn borrowed(_text: &str, _numbers: Vec<&i32>, _cow: std::borrow::Cow<'_, str>) {}

#[task(HUEY)]
fn cfg_on_a_parameter(#[cfg(unix)] _a: i32) {}

#[task(HUEY)]
fn never() -> ! {
    loop {}
}

#[task(HUEY, crontab(minute = 0))]
fn periodic_with_parameters(_a: i32, _b: i32) {}

struct Server;

impl Server {
    #[task(HUEY)]
    fn method(&self, _a: i32) {}
}

trait Serve {
    #[task(HUEY)]
    fn in_a_trait();
}

#[task(HUEY)]
struct NotAFunction;

fn main() {}
