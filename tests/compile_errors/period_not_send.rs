use std::rc::Rc;

use chrono::{DateTime, Local};
use minihuey::MiniHuey;

fn main() {
    let huey = MiniHuey::new("app");
    let shared = Rc::new(true);
    huey.periodic_task("not to be shared", move |_: &DateTime<Local>| *shared, || ());
}
