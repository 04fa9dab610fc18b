//! The runtime's settings: one process, one runtime, so one test.

use minihuey::{Error, MiniHuey, runtime};

#[test]
fn settings_hold_if_they_come_first_and_are_an_error_if_they_come_too_late_or_are_wrong() {
    for (wrong, expected) in [
        (runtime().workers(0), "workers: 0 were asked for; expected 1 to 1024"),
        (
            runtime().stack_size(1000),
            "stack_size: 1000 bytes were asked for; expected 65536 (64 KiB) to 1073741824 (1 GiB)",
        ),
    ] {
        let error = wrong.start().unwrap_err();
        assert!(matches!(error, Error::Misconfigured(_)));
        assert_eq!(error.to_string(), expected);
    }

    let room = |wrong: usize| runtime().green_threads(wrong).start().unwrap_err().to_string();
    let expected = "green_threads: 63 were asked for; expected 64 to ";
    assert!(room(63).starts_with(expected), "{}", room(63));
    let most = room(63).strip_prefix(expected).unwrap().split_once(',').unwrap().0.to_owned();
    let too_many = most.parse::<usize>().unwrap() + 1;
    assert_eq!(
        room(too_many),
        format!(
            "green_threads: {too_many} were asked for; expected 64 to {most}, for which the system's \
             vm.max_map_count has room"
        )
    );

    runtime().workers(2).stack_size(4 << 20).start().unwrap();

    // One megabyte fits on a stack of four, also where a debug build copies it.
    #[inline(never)]
    fn large() -> u8 {
        let frame = std::hint::black_box([1u8; 1 << 20]);
        frame[7]
    }
    let huey = MiniHuey::new("large");
    assert_eq!(huey.task("large", large).call(()).get().unwrap(), 1);

    let error = runtime().workers(3).start().unwrap_err();
    assert!(matches!(error, Error::Runtime(_)));
    assert_eq!(
        error.to_string(),
        "the runtime runs already, with 2 worker(s) and 4194304 bytes of stack: its settings must \
         be made before the first use of a task"
    );
}
