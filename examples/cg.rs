use minihuey::*;
use once_cell::sync::Lazy;
static HUEY: Lazy<MiniHuey> = Lazy::new(|| MiniHuey::new("x"));
static META: __private::TaskMeta = __private::TaskMeta::new("add");
fn add(a: i64, b: i64) -> TaskResult<i64> {
    __private::call(&HUEY, &META, move || Ok(a + b))
}
fn main() -> Result<(), Error> {
    let mode = std::env::args().nth(1).unwrap();
    let n: i64 = std::env::args().nth(2).unwrap().parse().unwrap();
    match &*mode {
        "batch" => {
            let rs: Vec<_> = (0..n).map(|i| add(i, 1)).collect();
            for r in rs {
                r.get()?;
            }
        }
        "nested" => HUEY
            .task("nested", move |n: i64| {
                for i in 0..n {
                    add(i, 1).get().unwrap();
                }
            })
            .call((n,))
            .get()?,
        _ => HUEY
            .task("fan", move |n: i64| {
                for _ in 0..n / 1000 {
                    let v: Vec<_> = (0..1000).map(|i| add(i, 1)).collect();
                    for r in v {
                        r.get().unwrap();
                    }
                }
            })
            .call((n,))
            .get()?,
    }
    Ok(())
}
