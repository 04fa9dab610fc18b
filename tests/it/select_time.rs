//! Time as one of several cases: `after`, `at` and `tick`.

use std::time::{Duration, Instant};

use minihuey::sync::channel::{RecvTimeoutError, TryRecvError, after, at, bounded, never, tick};
use minihuey::sync::{Select, select};

use crate::select::{LONG, SHORT};
use crate::support::{Kind, until};

#[test]
fn time_is_received_when_it_is_due_and_not_before_in_any_kind_of_thread() {
    for kind in Kind::BOTH {
        kind.run(|| {
            let start = Instant::now();
            let (once, when) = (after(SHORT), at(start + 2 * SHORT));
            let later = after(LONG);
            assert_eq!((later.len(), later.capacity(), later.is_full()), (0, Some(1), false));
            assert_eq!(later.try_recv(), Err(TryRecvError::Empty));
            assert!(later.recv_timeout(SHORT).is_err());
            assert!(once.recv().unwrap() >= start + SHORT && start.elapsed() >= SHORT);
            assert_eq!(when.recv_timeout(LONG), Ok(start + 2 * SHORT));
            assert!(start.elapsed() >= 2 * SHORT);
            // Once, and no error after it.
            assert_eq!(when.recv_timeout(SHORT), Err(RecvTimeoutError::Timeout));
            assert_eq!(after(Duration::MAX).try_recv(), Err(TryRecvError::Empty));
            assert_eq!(never::<u32>().recv_timeout(SHORT), Err(RecvTimeoutError::Timeout));

            let ticks = tick(SHORT);
            let start = Instant::now();
            let first = ticks.recv().unwrap();
            assert!(ticks.iter().take(3).all(|due| due > first));
            assert!(start.elapsed() >= 3 * SHORT);
            until("one is due", || ticks.len() == 1 && ticks.is_full() && !ticks.is_empty());
            assert!(ticks.recv().unwrap() <= Instant::now());
        })
        .end();
    }
}

#[test]
fn time_is_selected_when_it_is_due() {
    for kind in Kind::BOTH {
        kind.run(|| {
            let (_sender, silent) = bounded::<u32>(0);
            let (start, ticks) = (Instant::now(), tick(SHORT));
            let over = after(4 * SHORT);
            let mut ticked = 0;
            loop {
                select! {
                    recv(silent) -> _ => unreachable!(),
                    recv(ticks) -> due => {
                        assert!(due.unwrap() <= Instant::now());
                        ticked += 1;
                    }
                    recv(over) -> _ => break,
                }
            }
            assert!(start.elapsed() >= 4 * SHORT && ticked <= start.elapsed().as_millis() / 5);
            // What is selected and dropped is not lost.
            let once = after(Duration::ZERO);
            let mut select = Select::new();
            select.recv(&once);
            drop(select.select());
            assert_eq!(once.len(), 1);
            assert!(select.select().recv(&once).is_ok() && once.is_empty());
        })
        .end();
    }
}

#[test]
fn several_who_wait_for_the_same_time_have_it_once() {
    let once = after(SHORT);
    let waits: Vec<_> = (0..6)
        .map(|n| {
            let once = once.clone();
            Kind::BOTH[n % 2].run(move || match n / 2 {
                0 => once.recv_timeout(20 * SHORT).is_ok(),
                _ => select! {
                    recv(once) -> _ => true,
                    default(20 * SHORT) => false,
                },
            })
        })
        .collect();
    assert_eq!(waits.into_iter().map(|wait| usize::from(wait.end())).sum::<usize>(), 1);
}
