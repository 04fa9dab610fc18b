use chrono::{DateTime, Local};
use minihuey::MiniHuey;

fn main() {
    let huey = MiniHuey::new("app");
    huey.periodic_task("a text", "0 4 * * *", || ());
    huey.periodic_task("seconds", 30, || ());
    huey.periodic_task("without an answer", |_: &DateTime<Local>| (), || ());
}
