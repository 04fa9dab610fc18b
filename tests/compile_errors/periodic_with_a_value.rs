use minihuey::{MiniHuey, task};
use once_cell::sync::Lazy;

static HUEY: Lazy<MiniHuey> = Lazy::new(|| MiniHuey::new("app"));

#[task(HUEY, crontab(minute = 0))]
fn count() -> i32 {
    1
}

fn main() {}
