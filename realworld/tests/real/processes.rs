//! Child processes that tasks start and wait for.

use std::io;
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use nix::unistd::Uid;

use crate::support::{patch, together};

const NAP: Duration = Duration::from_millis(1_000);

/// Sleeps, and then prints its argument and complains of it.
fn napping(number: usize) -> Command {
    let mut command = Command::new("sh");
    let script = format!("sleep {}; echo out $1; echo err $1 >&2; exit 3", NAP.as_secs_f64());
    command.args(["-c", &script, "sh", &number.to_string()]);
    command
}

fn assert_output(number: usize, output: &std::process::Output) {
    assert_eq!(output.status.code(), Some(3));
    assert_eq!(output.stdout, format!("out {number}\n").into_bytes());
    assert_eq!(output.stderr, format!("err {number}\n").into_bytes());
}

#[test]
fn the_output_of_a_child_process_is_waited_for_without_holding_the_worker() {
    patch();
    let run = together(20, |number| {
        napping(number).output().map(|output| assert_output(number, &output))
    });
    run.assert_together(20 * NAP);
}

#[test]
fn the_end_of_a_child_process_is_waited_for_without_holding_the_worker() {
    patch();
    let run = together(20, |number| {
        let mut child = napping(number).stdout(Stdio::null()).stderr(Stdio::null()).spawn()?;
        let status = child.wait()?;
        // Once more: it is known by now.
        assert_eq!(child.wait()?, status);
        Ok::<_, io::Error>(status.code())
    });
    run.assert_together(20 * NAP);
    assert_eq!(run.values, vec![Some(3); 20]);
}

/// A change of user has std fork and exec, where otherwise it spawns.
#[test]
fn a_task_forks_and_executes() {
    patch();
    let run = together(20, |number| {
        let output = napping(number).uid(Uid::effective().as_raw()).output()?;
        assert_output(number, &output);
        Ok::<_, io::Error>(())
    });
    run.assert_together(20 * NAP);
}

#[test]
fn a_forked_child_sleeps_as_any_process_does() {
    patch();
    let run = together(20, |number| {
        let mut command = napping(number);
        // SAFETY: a sleep is a system call, and takes no memory and no lock. What a forked child
        // must not do is to switch to another green thread, of which it has a copy.
        #[allow(unsafe_code, reason = "there is no other way between fork and exec")]
        unsafe {
            command.pre_exec(|| {
                thread::sleep(Duration::from_millis(20));
                Ok(())
            })
        };
        command.output().map(|output| assert_output(number, &output))
    });
    run.assert_together(20 * NAP);
}

#[test]
fn a_program_that_does_not_exist_is_an_error_in_the_task() {
    patch();
    let run = together(10, |number| {
        let mut command = Command::new("/nonexistent/program");
        if number % 2 == 0 {
            command.uid(Uid::effective().as_raw());
        }
        Ok::<_, io::Error>(command.spawn().map(drop).map_err(|error| error.kind()))
    });
    assert_eq!(run.values, vec![Err(io::ErrorKind::NotFound); 10]);
}
