//! Coroutines that the program made by may's own means, and that `may` cancels while they wait for
//! something of ours.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};
use std::thread;

use minihuey::sync::{Condvar, Mutex, channel};
use minihuey::{MiniHuey, WhenFull};

use crate::child;
use crate::support::{LIMIT, moment, until};

type Handle = may::coroutine::JoinHandle<()>;

fn spawn(body: impl FnOnce() + Send + 'static) -> Handle {
    // SAFETY: it fits its stack, and uses no thread-locals.
    unsafe { may::coroutine::Builder::new().stack_size(0x20000).spawn(body).unwrap() }
}

fn cancel(coroutine: &Handle) {
    // SAFETY: what it holds is freed as it unwinds.
    unsafe { coroutine.coroutine().cancel() };
}

#[test]
fn a_coroutine_that_is_cancelled_while_it_waits_at_a_condvar_goes_on_only_with_the_lock() {
    let name = "cancelled::\
        a_coroutine_that_is_cancelled_while_it_waits_at_a_condvar_goes_on_only_with_the_lock";
    child::run(name, || {
        MiniHuey::new("start").task("start", || ()).call(()).get().unwrap();
        let shared = Arc::new((Mutex::new(()), Condvar::new()));
        let waits = Arc::new(AtomicBool::new(false));
        let (its, tells) = (shared.clone(), waits.clone());
        let coroutine = spawn(move || {
            let mut guard = its.0.lock();
            tells.store(true, Ordering::SeqCst);
            its.1.wait(&mut guard);
        });
        until("it has the lock", || waits.load(Ordering::SeqCst));
        let mine = shared.0.lock();
        moment();
        cancel(&coroutine);
        moment();
        assert!(shared.0.try_lock().is_none(), "it was unlocked by one who had not locked it");
        drop(mine);
        assert!(coroutine.join().is_err(), "it was to unwind");
        assert!(shared.0.try_lock().is_some());
    });
}

#[test]
fn a_coroutine_that_is_cancelled_while_it_waits_for_room_takes_nobodys_call() {
    let name =
        "cancelled::a_coroutine_that_is_cancelled_while_it_waits_for_room_takes_nobodys_call";
    child::run(name, || {
        let huey = MiniHuey::builder("room").pool_size(1).backlog(1).when_full(WhenFull::Wait);
        let huey = huey.build();
        let (go, goes) = channel::unbounded::<()>();
        let hold = huey.task("hold", move || goes.recv().unwrap());
        let first = hold.call(());
        until("the first runs", || huey.stats().running == 1);
        // Fills the backlog.
        let second = hold.call(());

        let its = hold.clone();
        let coroutine = spawn(move || drop(its.call(())));
        moment();
        let (tell, told) = mpsc::channel();
        thread::spawn(move || {
            let third = hold.call(());
            tell.send(third).unwrap();
        });
        moment();
        cancel(&coroutine);
        assert!(coroutine.join().is_err(), "it was to unwind");

        go.send(()).unwrap();
        first.get().unwrap();
        let third = told.recv_timeout(LIMIT).expect("there is room");
        go.send(()).unwrap();
        go.send(()).unwrap();
        second.get().unwrap();
        third.get().unwrap();
    });
}
