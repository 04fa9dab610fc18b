//! Child processes and pipes.

use std::io::{Read, Write};
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};

use crate::support::{get, in_green, start, while_others_run};

#[test]
fn waiting_for_a_child_lets_others_run() {
    let mut child = Command::new("cat").stdin(Stdio::piped()).spawn().unwrap();
    let stdin = child.stdin.take().unwrap();
    let status = while_others_run(move || child.wait().unwrap(), move || drop(stdin));
    assert!(status.success());
}

#[test]
fn a_child_that_may_stop_is_waited_for_while_others_run() {
    let mut child = Command::new("cat").stdin(Stdio::piped()).spawn().unwrap();
    let (stdin, pid) = (child.stdin.take().unwrap(), child.id() as i32);
    // Nothing tells that a child has stopped: it is looked at now and then, as any of several is.
    let waits = move || {
        let mut status = 0;
        // SAFETY: the status is a valid place.
        let waited = unsafe { libc::waitpid(pid, &mut status, libc::WUNTRACED) };
        (waited, status)
    };
    assert_eq!(while_others_run(waits, move || drop(stdin)), (pid, 0));
    // Somebody else has waited for it.
    assert!(child.wait().is_err());
}

#[test]
fn a_childs_output_is_read_while_others_run() {
    let mut child =
        Command::new("cat").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let mut stdout = child.stdout.take().unwrap();
    let text = while_others_run(
        move || {
            let mut text = String::new();
            stdout.read_to_string(&mut text).unwrap();
            text
        },
        move || stdin.write_all(b"through a pipe").unwrap(),
    );
    assert_eq!(text, "through a pipe");
    assert!(in_green(move || child.wait().unwrap()).success());
}

#[test]
fn a_full_pipe_is_written_while_others_run() {
    const LEN: usize = 1_000_000;
    let mut child =
        Command::new("cat").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let mut stdout = child.stdout.take().unwrap();
    let writer = start(move || stdin.write_all(&vec![b'x'; LEN]).unwrap());
    let len = in_green(move || {
        let mut all = Vec::new();
        stdout.read_to_end(&mut all).unwrap()
    });
    get(writer);
    assert_eq!(len, LEN);
    assert!(in_green(move || child.wait().unwrap()).success());
}

#[test]
fn commands_run_in_many_tasks_at_once() {
    let outputs: Vec<_> = (0..20)
        .map(|number| {
            start(move || {
                let mut command = Command::new("sh");
                command.args(["-c", &format!("echo {number}; echo error >&2; exit {number}")]);
                if number % 2 == 0 {
                    // Has std fork itself rather than spawn.
                    // SAFETY: the closure does nothing.
                    unsafe { command.pre_exec(|| Ok(())) };
                }
                command.output().unwrap()
            })
        })
        .collect();
    for (number, output) in outputs.into_iter().enumerate() {
        let output = get(output);
        assert_eq!(output.status.code(), Some(number as i32));
        assert_eq!(output.stdout, format!("{number}\n").into_bytes());
        assert_eq!(output.stderr, b"error\n");
    }
}
