//! Patched calls, each in a process of its own.

use std::io::{Read, Write};
use std::net::ToSocketAddrs;
use std::os::fd::{AsRawFd, IntoRawFd};
use std::os::unix::net::{UnixDatagram, UnixStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::Duration;

use minihuey::{MiniHuey, monkey};

use crate::child;
use crate::support::LIMIT;

/// The processor time that this process has used.
fn used() -> Duration {
    // SAFETY: the struct is valid.
    unsafe {
        let mut time: libc::timespec = std::mem::zeroed();
        libc::clock_gettime(libc::CLOCK_PROCESS_CPUTIME_ID, &mut time);
        Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
    }
}

/// Runs `blocking`, which `unblock` ends, for a second, and sees that it does not use a processor
/// for most of it.
fn assert_rests(blocking: impl FnOnce() + Send + 'static, unblock: impl FnOnce()) {
    monkey::patch_all().unwrap();
    let huey = MiniHuey::new("waits");
    let (begins, begun) = mpsc::channel();
    let blocking = std::sync::Mutex::new(Some(blocking));
    let task = huey.task("wait", move || {
        begins.send(()).unwrap();
        blocking.lock().unwrap().take().unwrap()();
    });
    let mut result = task.call(());
    begun.recv_timeout(LIMIT).unwrap();
    let before = used();
    thread::sleep(Duration::from_secs(1));
    let used = used() - before;
    assert!(!result.is_ready(), "it was to block");
    unblock();
    result.get_timeout(LIMIT).unwrap();
    assert!(used < Duration::from_millis(300), "it used {used:?}");
}

#[test]
fn to_wait_for_a_queue_that_is_another_sockets_does_not_spin() {
    let name = "patched::to_wait_for_a_queue_that_is_another_sockets_does_not_spin";
    child::run(name, || {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("socket");
        let receiver = UnixDatagram::bind(&path).unwrap();
        let sender = UnixDatagram::unbound().unwrap();
        sender.set_nonblocking(true).unwrap();
        while sender.send_to(b"x", &path).is_ok() {}
        sender.set_nonblocking(false).unwrap();
        assert_rests(
            move || assert_eq!(sender.send_to(b"x", &path).unwrap(), 1),
            || assert_eq!(receiver.recv(&mut [0; 9]).unwrap(), 1),
        );
    });
}

#[test]
fn to_select_for_what_does_not_come_on_a_closed_connection_does_not_spin() {
    let name = "patched::to_select_for_what_does_not_come_on_a_closed_connection_does_not_spin";
    child::run(name, || {
        let (here, there) = UnixStream::pair().unwrap();
        drop(there);
        assert_rests(
            move || {
                let fd = here.as_raw_fd();
                // SAFETY: the set and the time are valid.
                unsafe {
                    let mut exceptional: libc::fd_set = std::mem::zeroed();
                    libc::FD_SET(fd, &mut exceptional);
                    let mut limit = libc::timeval { tv_sec: 2, tv_usec: 0 };
                    let none = std::ptr::null_mut();
                    let found = libc::select(fd + 1, none, none, &mut exceptional, &mut limit);
                    assert_eq!(found, 0);
                }
            },
            || {},
        );
    });
}

#[test]
#[allow(unsafe_code, reason = "may's own `spawn` is unsafe")]
fn a_coroutine_that_may_cancels_fails_in_its_call() {
    let name = "patched::a_coroutine_that_may_cancels_fails_in_its_call";
    child::run(name, || {
        monkey::patch_all().unwrap();
        let huey = MiniHuey::new("first");
        huey.task("start", || ()).call(()).get().unwrap();
        let (here, mut there) = UnixStream::pair().unwrap();
        let (sender, received) = mpsc::channel();
        let body = move || {
            sender.send(None).unwrap();
            let error = there.read(&mut [0]).unwrap_err();
            sender.send(error.raw_os_error()).unwrap();
        };
        // SAFETY: it does not use thread-locals, nor much of its stack.
        let coroutine =
            unsafe { may::coroutine::Builder::new().stack_size(0x10000).spawn(body).unwrap() };
        assert_eq!(received.recv_timeout(LIMIT).unwrap(), None);
        thread::sleep(Duration::from_millis(100));
        // SAFETY: it holds nothing that its end would leave behind.
        unsafe { coroutine.coroutine().cancel() };
        assert_eq!(received.recv_timeout(LIMIT).unwrap(), Some(libc::ECANCELED));
        drop(here);
    });
}

#[test]
#[allow(unsafe_code, reason = "may's own `spawn` is unsafe")]
fn a_coroutine_that_may_has_cancelled_looks_names_up_and_yields_without_unwinding_through_c() {
    let name = "patched::a_coroutine_that_may_has_cancelled_looks_names_up_and_yields_without_\
                unwinding_through_c";
    child::run(name, || {
        monkey::patch_all().unwrap();
        let huey = MiniHuey::new("first");
        huey.task("start", || ()).call(()).get().unwrap();
        let cancelled = Arc::new(AtomicBool::new(false));
        let (sender, received) = mpsc::channel();
        let is_cancelled = cancelled.clone();
        let body = move || {
            while !is_cancelled.load(Ordering::SeqCst) {
                std::hint::spin_loop();
            }
            thread::yield_now();
            // An error, unless the name is found before it is waited for.
            drop(("localhost", 1).to_socket_addrs());
            sender.send(()).unwrap();
        };
        // SAFETY: it does not use thread-locals, nor much of its stack.
        let coroutine =
            unsafe { may::coroutine::Builder::new().stack_size(0x10000).spawn(body).unwrap() };
        // SAFETY: it holds nothing that its end would leave behind.
        unsafe { coroutine.coroutine().cancel() };
        cancelled.store(true, Ordering::SeqCst);
        received.recv_timeout(LIMIT).unwrap();
    });
}

/// Opens and closes a file with each record, as one might that writes to a file of today's name.
struct Opens;

static LOGGED: AtomicBool = AtomicBool::new(false);

impl log::Log for Opens {
    fn enabled(&self, _: &log::Metadata) -> bool {
        true
    }

    fn log(&self, record: &log::Record) {
        drop(std::fs::File::open("/dev/null"));
        if record.args().to_string().contains("can't be watched") {
            LOGGED.store(true, Ordering::SeqCst);
        }
    }

    fn flush(&self) {}
}

#[test]
fn a_logger_that_closes_a_file_does_not_stop_the_hub() {
    child::run("patched::a_logger_that_closes_a_file_does_not_stop_the_hub", || {
        monkey::patch_all().unwrap();
        // The watchdog opens files, too: one might have this test's number for a moment.
        minihuey::runtime().hold_threshold(None).start().unwrap();
        log::set_logger(&Opens).unwrap();
        log::set_max_level(log::LevelFilter::Trace);
        let (mut here, there) = UnixStream::pair().unwrap();
        let copy = there.try_clone().unwrap();
        let fd = there.into_raw_fd();
        let huey = MiniHuey::new("two ways");
        let (sender, received) = mpsc::channel();
        let begins = sender.clone();
        let reads = huey.task("read", move || {
            begins.send(()).unwrap();
            // SAFETY: the buffer is as long as it says.
            unsafe { libc::recv(fd, [0_u8; 9].as_mut_ptr().cast(), 9, 0) }
        });
        let writes = huey.task("write", move || {
            // It is too much for the socket's buffer.
            let bytes = vec![0_u8; 1 << 24];
            sender.send(()).unwrap();
            // SAFETY: the buffer is as long as it says.
            unsafe { libc::send(fd, bytes.as_ptr().cast(), bytes.len(), 0) }
        });
        let mut reading = reads.call(());
        let mut writing = writes.call(());
        received.recv_timeout(LIMIT).unwrap();
        received.recv_timeout(LIMIT).unwrap();
        thread::sleep(Duration::from_millis(100));
        // Behind the back of the library; the copy keeps the socket open, and watched.
        // SAFETY: no memory is involved.
        unsafe { libc::syscall(libc::SYS_close, fd) };
        here.write_all(b"x").unwrap();
        reading.get_timeout(LIMIT).unwrap();
        writing.get_timeout(LIMIT).unwrap();
        assert!(LOGGED.load(Ordering::SeqCst));
        drop((here, copy));
    });
}

#[test]
fn a_sleep_of_c_that_is_cancelled_hides_no_panic_of_others() {
    let name = "patched::a_sleep_of_c_that_is_cancelled_hides_no_panic_of_others";
    child::run(name, || {
        monkey::patch_all().unwrap();
        let shown = Arc::new(AtomicBool::new(false));
        let shows = shown.clone();
        std::panic::set_hook(Box::new(move |_| shows.store(true, Ordering::SeqCst)));
        let huey = MiniHuey::new("sleeps");
        let (sender, received) = mpsc::channel();
        let sleeps = huey.task("sleep", move || {
            sender.send(()).unwrap();
            // SAFETY: no memory is involved.
            assert_ne!(unsafe { libc::sleep(3600) }, 0);
            sender.send(()).unwrap();
        });
        let sleeping = sleeps.call(());
        received.recv_timeout(LIMIT).unwrap();
        assert!(sleeping.cancel());
        received.recv_timeout(LIMIT).unwrap();
        let panics = huey.task("panic", || {
            // A panic whose place is in std.
            // SAFETY: it refuses to set a variable of that name.
            unsafe { std::env::set_var("=", "") };
        });
        let _ = panics.call(()).get();
        assert!(shown.load(Ordering::SeqCst));
    });
}
