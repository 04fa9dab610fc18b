use minihuey::{MiniHuey, task};
use once_cell::sync::Lazy;

static HUEY: Lazy<MiniHuey> = Lazy::new(|| MiniHuey::new("app"));

struct PageResult<T>(Vec<T>);

#[task(HUEY)]
fn page() -> PageResult<i32> {
    PageResult(vec![1])
}

fn main() {}
