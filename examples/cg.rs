use minihuey::*;
fn main() -> Result<(), Error> {
    let mode = std::env::args().nth(1).unwrap(); let n: i64 = std::env::args().nth(2).unwrap().parse().unwrap();
    let huey = MiniHuey::builder("x").build();
    let add = huey.task("add", |a: i64, b: i64| a + b);
    let add2 = add.clone();
    match &*mode {
        "batch" => { let rs: Vec<_> = (0..n).map(|i| add.call((i, 1))).collect(); for r in rs { r.get()?; } }
        "nested" => huey.task("nested", move |n: i64| for i in 0..n { add2.call((i, 1)).get().unwrap(); }).call((n,)).get()?,
        _ => huey.task("fan", move |n: i64| for _ in 0..n/1000 { let v: Vec<_> = (0..1000).map(|i| add2.call((i, 1))).collect(); for r in v { r.get().unwrap(); } }).call((n,)).get()?,
    }
    Ok(())
}
