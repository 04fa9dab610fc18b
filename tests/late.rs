//! may was started before us, and otherwise than we need it: an error, not silence.

use minihuey::{Error, MiniHuey, Reason, TaskError};

#[test]
fn a_runtime_that_was_started_otherwise_is_an_error() {
    may::config().set_workers(2);
    may::go!(|| ()).join().unwrap();

    let huey = MiniHuey::new("late");
    let error = huey.start().unwrap_err();
    assert!(matches!(error, Error::Runtime(_)));
    assert_eq!(
        error.to_string(),
        "the green-thread runtime can't be started with 1 worker(s): `may` was started before, \
         with another number of them; call minihuey::runtime() or a task before anything of `may`'s"
    );
    let TaskError::Rejected(why) = huey.task("five", || 5).call(()).get().unwrap_err() else {
        panic!("not rejected")
    };
    assert_eq!(*why.reason(), Reason::Runtime(error.to_string()));
}
