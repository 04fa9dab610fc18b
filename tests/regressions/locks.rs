//! A lock that can't be had in a destructor: loud, not a wait for good.

use std::os::unix::process::ExitStatusExt;
use std::process::Command;
use std::sync::Arc;

use minihuey::green;
use minihuey::sync::Mutex;

use crate::support::within_limit;

const NAME: &str = "locks::a_destructor_that_would_wait_for_good_ends_the_process";
const VARIABLE: &str = "MINIHUEY_ABORTS";

/// Takes its lock when it is dropped.
struct Locks(Arc<Mutex<()>>);

impl Drop for Locks {
    fn drop(&mut self) {
        drop(self.0.lock());
    }
}

#[test]
fn a_destructor_that_would_wait_for_good_ends_the_process() {
    if std::env::var_os(VARIABLE).is_some() {
        let lock = Arc::new(Mutex::new(()));
        let locks = Locks(lock.clone());
        let holder = green::spawn(move || {
            let _guard = lock.lock();
            let fails = green::spawn(move || {
                let _locks = locks;
                panic!("while another one of its worker has the lock");
            });
            fails.join().unwrap_err();
        });
        holder.join().unwrap();
        return;
    }
    let output = within_limit(|| {
        let program = std::env::current_exe().unwrap();
        Command::new(program)
            .args(["--exact", NAME, "--nocapture"])
            .env(VARIABLE, "1")
            .output()
            .unwrap()
    });
    let text = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.signal(), Some(libc::SIGABRT), "{text}");
    assert!(text.contains("Use waits with a time-out in destructors"), "{text}");
}
