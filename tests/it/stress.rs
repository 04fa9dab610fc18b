//! Everything at once, with an account of every task and every drop.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use minihuey::{MiniHuey, Task, TaskError, green};

use crate::support::{LIMIT, until};

/// A small generator, so that a run can be repeated by its seed alone (xorshift64*).
#[derive(Clone)]
struct Random(u64);

impl Random {
    fn next(&mut self, below: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) % below
    }
}

#[derive(Default)]
struct Account {
    called: AtomicU64,
    begun: AtomicU64,
    ended: AtomicU64,
    panicked: AtomicU64,
    failed: AtomicU64,
    made: AtomicU64,
    dropped: AtomicU64,
}

/// Goes into a task with its arguments; its drop is counted.
struct Ticket(Arc<Account>);

impl Ticket {
    fn new(account: &Arc<Account>) -> Ticket {
        account.made.fetch_add(1, Ordering::SeqCst);
        Ticket(account.clone())
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.0.dropped.fetch_add(1, Ordering::SeqCst);
    }
}

type Node = Task<(u64, u32, Ticket), Ticket>;

/// A task that does what its seed says: sleeps, yields, calls others, waits for some of them,
/// fails or panics.
fn declare(huey: &MiniHuey, account: &Arc<Account>) -> Node {
    let itself: Arc<std::sync::OnceLock<std::sync::Weak<Node>>> = Arc::default();
    let (inner, its_account) = (itself.clone(), account.clone());
    let node = huey.try_task("node", move |seed: u64, depth: u32, ticket: Ticket| {
        its_account.begun.fetch_add(1, Ordering::SeqCst);
        let mut random = Random(seed | 1);
        let node = inner.get().and_then(std::sync::Weak::upgrade);
        for _ in 0..random.next(4) {
            match random.next(6) {
                0 => green::sleep(Duration::from_micros(random.next(2000))),
                1 => green::yield_now(),
                2 if depth > 0 => drop(call(&its_account, &node, random.next(u64::MAX), depth)),
                3 if depth > 0 => {
                    let children: Vec<_> = (0..random.next(4))
                        .filter_map(|_| call(&its_account, &node, random.next(u64::MAX), depth))
                        .collect();
                    for child in children {
                        drop(child.get());
                    }
                }
                4 if depth > 0 => {
                    if let Some(mut child) = call(&its_account, &node, random.next(u64::MAX), depth)
                    {
                        let patience = Duration::from_micros(random.next(1000));
                        drop(child.get_timeout(patience));
                    }
                }
                _ => {}
            }
        }
        its_account.ended.fetch_add(1, Ordering::SeqCst);
        match random.next(20) {
            0 => {
                its_account.panicked.fetch_add(1, Ordering::SeqCst);
                std::panic::resume_unwind(Box::new("by its seed"));
            }
            1 => {
                its_account.failed.fetch_add(1, Ordering::SeqCst);
                Err("by its seed")
            }
            _ => Ok(ticket),
        }
    });
    let shared = Arc::new(node.clone());
    itself.set(Arc::downgrade(&shared)).unwrap();
    // Kept for as long as the test's process: the tasks look it up.
    std::mem::forget(shared);
    node
}

fn call(
    account: &Arc<Account>,
    node: &Option<Arc<Node>>,
    seed: u64,
    depth: u32,
) -> Option<minihuey::TaskResult<Ticket>> {
    let node = node.as_ref()?;
    account.called.fetch_add(1, Ordering::SeqCst);
    Some(node.call((seed, depth - 1, Ticket::new(account))))
}

fn run(seed: u64, pool_size: Option<usize>, calls: u64) {
    println!("seed {seed}, pool_size {pool_size:?}");
    let mut random = Random(seed | 1);
    let builder = MiniHuey::builder("stress");
    let huey = match pool_size {
        Some(pool_size) => builder.pool_size(pool_size).build(),
        None => builder.build(),
    };
    let account = Arc::new(Account::default());
    let node = declare(&huey, &account);
    huey.start().unwrap();
    let mut results = Vec::new();
    for _ in 0..calls {
        account.called.fetch_add(1, Ordering::SeqCst);
        let args = (random.next(u64::MAX), 4, Ticket::new(&account));
        let result = match random.next(3) {
            0 => node.schedule(args, Duration::from_micros(random.next(20_000))),
            _ => node.call(args),
        };
        match random.next(3) {
            0 => drop(result),
            _ => results.push(result),
        }
        if random.next(100) == 0 {
            huey.stop().unwrap();
            huey.start().unwrap();
        }
    }
    for mut result in results {
        match result.get_timeout(LIMIT) {
            Ok(_) | Err(TaskError::Failed(_) | TaskError::Panicked(_)) => {}
            Err(other) => panic!("seed {seed}: {other}"),
        }
    }
    until("nothing is scheduled", || huey.stats().scheduled == 0);
    huey.join(LIMIT).unwrap();
    assert_eq!(huey.shutdown(LIMIT).unwrap(), []);
    let stats = huey.stats();
    let count = |counter: &AtomicU64| counter.load(Ordering::SeqCst);
    assert_eq!(count(&account.begun), count(&account.called), "seed {seed}");
    assert_eq!(count(&account.ended), count(&account.called), "seed {seed}");
    assert_eq!(stats.enqueued, count(&account.called), "seed {seed}");
    let failed = count(&account.failed) + count(&account.panicked);
    assert_eq!(stats.failed, failed, "seed {seed}");
    assert_eq!(stats.finished, count(&account.called) - failed, "seed {seed}");
    // The last value goes with the runner that brought it, a moment after the books are closed.
    until("all is dropped", || count(&account.dropped) == count(&account.made));
    assert_eq!(count(&account.dropped), count(&account.made), "seed {seed}");
}

#[test]
fn every_task_and_every_drop_is_accounted_for() {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos() as u64;
    // To replay a run: MINIHUEY_SEED=…
    let seed =
        std::env::var("MINIHUEY_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(now);
    for (round, pool_size) in [None, Some(1), Some(2), Some(7), None].into_iter().enumerate() {
        run(seed.wrapping_add(round as u64), pool_size, 1500);
    }
}
