//! Without the macro: tasks made of closures, a pool of a given size, a group whose results are
//! taken as they come, and a nested call in a pool of one.
//!
//! ```text
//! cargo run --example dynamic
//! ```

use std::time::Duration;

use minihuey::{MiniHuey, Overlap, Period, crontab, green};

fn main() -> Result<(), minihuey::Error> {
    let huey = MiniHuey::builder("jobs").pool_size(4).try_build()?;

    let resize = huey.task("resize", |name: &'static str, millis: u64| {
        green::sleep(Duration::from_millis(millis));
        format!("{name}.png")
    });
    let images = [("cat", 60), ("dog", 20), ("owl", 40)];
    println!("three images, as they get ready:");
    for (index, image) in resize.map(images).as_completed() {
        println!("  number {index}: {}", image?);
    }

    let narrow = MiniHuey::builder("narrow").pool_size(1).try_build()?;
    let leaf = narrow.task("leaf", |n: u64| n * n);
    let root = narrow.task("root", move |n: u64| leaf.call((n,)).get().map(|square| square + 1));
    println!("a task that waits for its child, in a pool of one: {}", root.call((6,)).get()??);

    let period = Period::from(crontab!("* * * * * *")).overlap(Overlap::Skip);
    let (sender, receiver) = std::sync::mpsc::channel();
    huey.periodic_task("tick", period, move || sender.send(chrono::Local::now()));
    huey.start()?;
    let ticks: Vec<_> =
        receiver.iter().take(2).map(|at| at.format("%H:%M:%S").to_string()).collect();
    println!("ticks at {}", ticks.join(" and "));
    huey.stop()?;
    huey.join(Duration::from_secs(5))?;
    println!("{:#?}", huey.stats());
    Ok(())
}
