use minihuey::*;
use std::time::*;
fn main() -> Result<(), Error> {
    let huey = MiniHuey::builder("x").build();
    let add = huey.task("add", |a: i64, b: i64| a + b);
    assert_eq!(add.call((1, 2)).get()?, 3);
    println!("one");
    let t = Instant::now();
    let rs: Vec<_> = (0..200_000).map(|i| add.call((i, 1))).collect();
    for r in rs {
        r.get()?;
    }
    println!("batch {:?}/task", t.elapsed() / 200_000);
    let nap = huey.task("nap", || green::sleep(Duration::from_millis(100)));
    let t = Instant::now();
    let rs: Vec<_> = (0..10_000).map(|_| nap.call(())).collect();
    for r in rs {
        r.get()?;
    }
    println!("10k naps {:?}", t.elapsed());
    let add2 = add.clone();
    let nested = huey.task("nested", move |n: i64| {
        let t = Instant::now();
        for i in 0..n {
            add2.call((i, 1)).get().unwrap();
        }
        t.elapsed() / n as u32
    });
    println!("nested {:?}", nested.call((200_000,)).get()?);
    let add2 = add.clone();
    let fan = huey.task("fan", move |n: i64| {
        let t = Instant::now();
        for _ in 0..n {
            let v: Vec<_> = (0..1000).map(|i| add2.call((i, 1))).collect();
            for r in v {
                r.get().unwrap();
            }
        }
        t.elapsed() / (n * 1000) as u32
    });
    println!("fan {:?}", fan.call((200,)).get()?);
    println!(
        "{:?}",
        huey.task("boom", || if true {
            panic!("no")
        })
        .call(())
        .get()
        .unwrap_err()
    );
    fn rec(n: u64) -> u64 {
        let a = [n; 3];
        let b = std::hint::black_box(&a);
        rec(n + 1) + b[1]
    }
    for i in 0..3 {
        println!("{}", huey.task(&format!("deep{i}"), || rec(0)).call(()).get().unwrap_err());
    }
    assert_eq!(add.call((1, 2)).get()?, 3);
    let one = MiniHuey::builder("one").pool_size(1).build();
    let leaf = one.task("leaf", |n: u32| n);
    let l2 = leaf.clone();
    let lv = one.task("lv", move |n: u32| l2.call((n,)).get().unwrap() + 1);
    println!("pool1 {}", lv.call((4,)).get()?);
    println!("{:?}", huey.stats());
    huey.start()?;
    let t = Instant::now();
    add.schedule((1, 2), Duration::from_millis(50)).get()?;
    println!("sched {:?}", t.elapsed());
    println!("{:?}", huey.shutdown(Duration::from_secs(1))?);
    Ok(())
}
