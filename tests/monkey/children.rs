//! Child processes and pipes.

use std::fs::File;
use std::io::{IoSlice, Read, Write};
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

/// It can't be told not to block.
#[test]
fn a_named_pipe_is_read_and_written_while_others_run() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("pipe");
    assert!(Command::new("mkfifo").arg(&path).status().unwrap().success());
    // So that neither end waits for the other to be opened.
    let mut both = File::options().read(true).write(true).open(&path).unwrap();
    let mut from = File::open(&path).unwrap();
    let text = while_others_run(
        move || {
            let mut text = [0; 5];
            from.read_exact(&mut text).unwrap();
            text
        },
        {
            let mut to = both.try_clone().unwrap();
            move || to.write_all(b"hello").unwrap()
        },
    );
    assert_eq!(&text, b"hello");

    const MUCH: usize = 1 << 20;
    let mut to = File::options().write(true).open(&path).unwrap();
    let written = while_others_run(
        move || {
            to.write_all(&vec![1; MUCH]).unwrap();
            let (few, many) = (vec![2; 9], vec![3; MUCH]);
            to.write_vectored(&[IoSlice::new(&few), IoSlice::new(&few)]).unwrap()
                + to.write_vectored(&[IoSlice::new(&few), IoSlice::new(&many)]).unwrap()
        },
        move || {
            std::thread::spawn(move || {
                let mut all = vec![0; 2 * MUCH + 27];
                both.read_exact(&mut all).unwrap();
                assert_eq!(all.iter().map(|byte| usize::from(*byte)).sum::<usize>(), 4 * MUCH + 54);
            })
            .join()
            .unwrap();
        },
    );
    assert_eq!(written, MUCH + 27);
}
