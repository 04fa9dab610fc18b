use minihuey::{MiniHuey, task};
use once_cell::sync::Lazy;

static HUEY: Lazy<MiniHuey> = Lazy::new(|| MiniHuey::new("app"));

#[derive(Debug)]
struct Mute;

type Odd<T> = Result<T, Mute>;

#[task(HUEY)]
fn mute() -> Odd<i32> {
    Err(Mute)
}

fn main() {}
