use minihuey::{MiniHuey, task};
use once_cell::sync::Lazy;

static HUEY: Lazy<MiniHuey> = Lazy::new(|| MiniHuey::new("app"));

#[derive(Debug)]
struct Mute;

#[task(HUEY)]
fn mute() -> Result<i32, Mute> {
    Err(Mute)
}

fn main() {}
