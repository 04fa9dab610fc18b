//! What patched calls do in a task that is cancelled, and in a destructor while a panic unwinds.

use std::io::{ErrorKind, Read, Write};
use std::os::unix::net::UnixStream;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use minihuey::TaskError;

use crate::support::{HUEY, LIMIT, in_green, next, start};

#[test]
fn a_read_of_a_cancelled_task_fails_with_ecanceled() {
    let (here, mut there) = UnixStream::pair().unwrap();
    let (sends, received) = mpsc::channel();
    let reads = start(move || {
        sends.send(None).unwrap();
        for _ in 0..2 {
            sends.send(there.read(&mut [0]).unwrap_err().raw_os_error()).unwrap();
        }
    });
    assert_eq!(next(&received), None);
    // It is about to wait, or waits.
    assert!(reads.cancel());
    assert_eq!(next(&received), Some(libc::ECANCELED));
    assert_eq!(next(&received), Some(libc::ECANCELED), "and so do all that come after it");
    assert!(matches!(reads.get(), Err(TaskError::Cancelled)));
    drop(here);
}

#[test]
fn a_cancelled_task_unwinds_in_stds_sleep() {
    struct Tell(mpsc::Sender<&'static str>);
    impl Drop for Tell {
        fn drop(&mut self) {
            self.0.send(if std::thread::panicking() { "unwound" } else { "returned" }).unwrap();
        }
    }
    let (sends, received) = mpsc::channel();
    let sleeps = start(move || {
        let tell = Tell(sends);
        tell.0.send("begun").unwrap();
        std::thread::sleep(Duration::from_secs(3600));
    });
    assert_eq!(next(&received), "begun");
    assert!(sleeps.cancel());
    assert_eq!(next(&received), "unwound");
}

#[test]
fn a_task_times_out_in_a_read() {
    let (here, there) = UnixStream::pair().unwrap();
    let read = HUEY
        .try_task("read until it times out", move || (&there).read(&mut [0]))
        .timeout(Duration::from_millis(50));
    let mut result = read.call(());
    assert!(matches!(result.get_timeout(LIMIT), Err(TaskError::TimedOut)));
    drop(here);
}

#[test]
fn a_destructor_that_waits_while_a_panic_unwinds_does_so_shortly() {
    struct Reads(UnixStream, mpsc::Sender<(Option<i32>, Duration)>);
    impl Drop for Reads {
        fn drop(&mut self) {
            let begun = Instant::now();
            let error = self.0.read(&mut [0]).err().and_then(|error| error.raw_os_error());
            std::thread::sleep(Duration::from_secs(3600));
            self.1.send((error, begun.elapsed())).unwrap();
        }
    }
    let (here, there) = UnixStream::pair().unwrap();
    let (sends, received) = mpsc::channel();
    let panics = start(move || {
        let _reads = Reads(there, sends);
        panic!("on purpose");
    });
    let (error, elapsed) = next(&received);
    assert_eq!(error, Some(libc::EAGAIN));
    assert!(elapsed < Duration::from_secs(30));
    assert!(matches!(panics.get(), Err(TaskError::Panicked(_))));
    // Nobody else believes to be panicking.
    assert!(!in_green(std::thread::panicking));
    drop(here);
}

#[test]
fn a_destructor_that_reads_what_is_there_gets_it_while_a_panic_unwinds() {
    struct Reads(UnixStream, mpsc::Sender<Result<usize, ErrorKind>>);
    impl Drop for Reads {
        fn drop(&mut self) {
            let read = self.0.read(&mut [0; 10]).map_err(|error| error.kind());
            self.1.send(read).unwrap();
        }
    }
    let (mut here, there) = UnixStream::pair().unwrap();
    here.write_all(b"bye").unwrap();
    let (sends, received) = mpsc::channel();
    drop(start(move || {
        let _reads = Reads(there, sends);
        panic!("on purpose");
    }));
    assert_eq!(next(&received), Ok(3));
}
