use minihuey::{MiniHuey, task};
use once_cell::sync::Lazy;

static HUEY: Lazy<MiniHuey> = Lazy::new(|| MiniHuey::new("app"));

struct Server;

impl Server {
    #[task(HUEY)]
    fn no_method(_a: i32) {}
}

fn main() {}
