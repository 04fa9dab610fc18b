//! Bad input: a clear error that says what was expected, and never a panic in the library.

use std::time::Duration;

use minihuey::{Error, MiniHuey, Reason, TaskError};

use crate::support::LIMIT;

#[test]
fn wrong_settings_are_refused_by_try_build_by_start_and_by_every_call() {
    let builder = MiniHuey::builder("wrong").pool_size(0).interval(Duration::ZERO).backlog(0);
    let expected = [
        r#""wrong": interval is 0; expected a positive duration, such as 1 s"#,
        r#"pool_size is 0: no task could ever run; expected at least 1"#,
        r#"backlog is 0: no task could ever wait; expected at least 1"#,
    ]
    .join("; ");
    let error = builder.clone().try_build().unwrap_err();
    assert!(matches!(&error, Error::Misconfigured(text) if *text == expected), "{error}");
    let huey = builder.build();
    assert_eq!(huey.start().unwrap_err().to_string(), expected);
    let add = huey.task("add", |a: i32, b: i32| a + b);
    for result in [add.call((1, 2)), add.schedule((1, 2), Duration::from_secs(1))] {
        match result.get().unwrap_err() {
            TaskError::Rejected(why) => {
                assert_eq!(*why.reason(), Reason::Misconfigured(expected.clone()));
            }
            other => panic!("{other}"),
        }
    }
}

#[test]
fn the_largest_sizes_are_sizes() {
    let most = MiniHuey::builder("most").pool_size(usize::MAX).offload_size(usize::MAX);
    let huey = most.backlog(usize::MAX).interval(Duration::MAX).try_build().unwrap();
    huey.start().unwrap();
    let add = huey.task("add", |a: i32, b: i32| a + b);
    let twice = add.clone();
    let nested = huey.task("nested", move |n: i32| twice.call((n, n)).get().unwrap());
    let offloaded = huey.task("offloaded", |n: i32| n).offload();
    for n in 0..10 {
        assert_eq!(add.call((n, 1)).get_timeout(LIMIT).unwrap(), n + 1);
        assert_eq!(nested.call((n,)).get_timeout(LIMIT).unwrap(), 2 * n);
        assert_eq!(offloaded.call((n,)).get_timeout(LIMIT).unwrap(), n);
    }
    huey.join(LIMIT).unwrap();
}

#[test]
fn a_name_twice_is_refused_by_start_and_by_calls_of_the_second() {
    let huey = MiniHuey::new("names");
    let first = huey.task("same", || 1);
    let second = huey.task("same", || 2);
    let expected = r#""names": two tasks are called "same"; expected a name of its own for each"#;
    assert_eq!(first.call(()).get().unwrap(), 1);
    let error = second.call(()).get().unwrap_err();
    assert_eq!(error.to_string(), format!("the task was not taken on: {expected}"));
    let error = second.schedule((), Duration::from_secs(1)).get().unwrap_err();
    assert!(matches!(error, TaskError::Rejected(_)));
    assert_eq!(huey.start().unwrap_err().to_string(), expected);
    huey.periodic_task("same", minihuey::crontab::hourly(), || ());
    assert!(matches!(huey.start(), Err(Error::Misconfigured(_))));
}

#[test]
fn an_error_returned_from_main_reads_as_text() {
    let huey = MiniHuey::new("main");
    let error = huey.try_task("fail", || Err::<(), _>("no")).call(()).get().unwrap_err();
    assert_eq!(format!("{error:?}"), "task fail failed: no");
    let error = Error::from(error);
    assert_eq!(format!("{error:?}"), "task fail failed: no");
    assert_eq!(format!("{error}"), "task fail failed: no");
}

#[test]
fn errors_can_be_sent_and_boxed() {
    fn is_error<E: std::error::Error + Send + Sync + 'static>() {}
    is_error::<Error>();
    is_error::<TaskError>();
    fn is_send<T: Send>() {}
    is_send::<minihuey::TaskResult<i32>>();
    is_send::<minihuey::Group<i32>>();
}
