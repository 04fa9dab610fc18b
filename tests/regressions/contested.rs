//! A listener that OS threads and tasks accept from, and descriptors that are closed while somebody
//! begins to wait for them: each in a process of its own.

use std::fs::File;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::{AsRawFd, FromRawFd, IntoRawFd, OwnedFd, RawFd};
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicI32, Ordering};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::Duration;

use minihuey::{MiniHuey, TaskError, TaskResult, monkey};

use crate::child;
use crate::support::{LIMIT, moment, until};

/// A listener whose connection was taken from under a task that accepts: an OS thread stays in the
/// task's call.
struct Contest {
    huey: MiniHuey,
    listener: Arc<TcpListener>,
    address: SocketAddr,
    accepted: mpsc::Receiver<Result<SocketAddr, Option<i32>>>,
    task: TaskResult<()>,
}

impl Contest {
    fn new() -> Contest {
        monkey::patch_all().unwrap();
        // One thread, so that it can be held up.
        minihuey::runtime().offload_threads(1).start().unwrap();
        let huey = MiniHuey::new("contest");
        let listener = Arc::new(TcpListener::bind("127.0.0.1:0").unwrap());
        let address = listener.local_addr().unwrap();
        // From now on it is known that an OS thread accepts, too.
        let first = TcpStream::connect(address).unwrap();
        drop(listener.accept().unwrap());
        drop(first);

        let (release, released) = mpsc::channel::<()>();
        let (holds, held) = mpsc::channel();
        let hold = huey.task("hold", move |released: mpsc::Receiver<()>| {
            let holds = holds.clone();
            minihuey::offload(move || {
                holds.send(()).unwrap();
                let _ = released.recv();
            });
        });
        let holding = hold.call((released,));
        held.recv_timeout(LIMIT).unwrap();
        let second = TcpStream::connect(address).unwrap();
        let (task, accepted) = accept(&huey, &listener);
        moment();
        // SAFETY: no memory is involved.
        let taken = unsafe {
            let none = std::ptr::null_mut::<u8>();
            libc::syscall(libc::SYS_accept4, listener.as_raw_fd(), none, none, 0)
        };
        assert!(taken >= 0);
        release.send(()).unwrap();
        holding.get().unwrap();
        drop(second);
        moment();
        Contest { huey, listener, address, accepted, task }
    }

    /// Cancels the task, which must end at once.
    fn cancel(&self) {
        assert!(self.task.cancel());
        assert_eq!(self.accepted.recv_timeout(LIMIT).unwrap(), Err(Some(libc::ECANCELED)));
    }
}

/// No two tasks have the same name.
static TASKS: AtomicI32 = AtomicI32::new(0);

type Accepted = Result<SocketAddr, Option<i32>>;

/// Has a task accept, and tell the peer's address.
fn accept(huey: &MiniHuey, from: &Arc<TcpListener>) -> (TaskResult<()>, mpsc::Receiver<Accepted>) {
    let (sender, received) = mpsc::channel();
    let listener = from.clone();
    let name = format!("accept {}", TASKS.fetch_add(1, Ordering::Relaxed));
    let accept = huey.task(&name, move || {
        let accepted = listener.accept().map_err(|error| error.raw_os_error());
        sender.send(accepted.map(|(_, peer)| peer)).unwrap();
    });
    (accept.call(()), received)
}

#[test]
fn a_task_that_is_cancelled_while_an_os_thread_accepts_for_it_ends_and_the_next_one_accepts() {
    let name = "contested::a_task_that_is_cancelled_while_an_os_thread_accepts_for_it_ends_and_the_\
                next_one_accepts";
    child::run(name, || {
        let contest = Contest::new();
        contest.cancel();
        // The thread gets this one, and nobody waits for it.
        let third = TcpStream::connect(contest.address).unwrap();
        moment();
        let (task, accepted) = accept(&contest.huey, &contest.listener);
        assert_eq!(accepted.recv_timeout(LIMIT).unwrap(), Ok(third.local_addr().unwrap()));
        task.get().unwrap();
    });
}

#[test]
fn what_came_too_late_for_a_task_is_an_os_threads_if_it_accepts_next() {
    let name = "contested::what_came_too_late_for_a_task_is_an_os_threads_if_it_accepts_next";
    child::run(name, || {
        let contest = Contest::new();
        contest.cancel();
        let third = TcpStream::connect(contest.address).unwrap();
        moment();
        let (sender, accepted) = mpsc::channel();
        let listener = contest.listener.clone();
        thread::spawn(move || sender.send(listener.accept().unwrap().1).unwrap());
        assert_eq!(accepted.recv_timeout(LIMIT).unwrap(), third.local_addr().unwrap());
    });
}

#[test]
fn a_task_waits_for_the_thread_that_another_one_left_behind() {
    child::run("contested::a_task_waits_for_the_thread_that_another_one_left_behind", || {
        let contest = Contest::new();
        contest.cancel();
        let (task, accepted) = accept(&contest.huey, &contest.listener);
        moment();
        let third = TcpStream::connect(contest.address).unwrap();
        assert_eq!(accepted.recv_timeout(LIMIT).unwrap(), Ok(third.local_addr().unwrap()));
        task.get().unwrap();
    });
}

#[test]
fn a_task_that_times_out_while_an_os_thread_accepts_for_it_ends() {
    child::run("contested::a_task_that_times_out_while_an_os_thread_accepts_for_it_ends", || {
        let contest = Contest::new();
        contest.cancel();
        let listener = contest.listener.clone();
        let accept = contest
            .huey
            .task("accept until it times out", move || drop(listener.accept()))
            .timeout(Duration::from_millis(50));
        let ended = accept.call(()).get_timeout(LIMIT);
        assert!(matches!(ended, Err(TaskError::TimedOut)), "{ended:?}");
        contest.huey.join(LIMIT).unwrap();
    });
}

#[test]
fn closing_a_listener_ends_the_accept_that_an_os_thread_makes_for_a_task() {
    let name = "contested::closing_a_listener_ends_the_accept_that_an_os_thread_makes_for_a_task";
    child::run(name, || {
        let contest = Contest::new();
        // SAFETY: nobody uses the number afterwards: the process ends.
        assert_eq!(unsafe { libc::close(contest.listener.as_raw_fd()) }, 0);
        assert_eq!(contest.accepted.recv_timeout(LIMIT).unwrap(), Err(Some(libc::EBADF)));
        std::mem::forget(contest.listener);
    });
}

#[test]
fn the_thread_that_accepts_for_a_task_ends_with_it_and_so_does_the_listener() {
    let name =
        "contested::the_thread_that_accepts_for_a_task_ends_with_it_and_so_does_the_listener";
    child::run(name, || {
        let contest = Contest::new();
        contest.cancel();
        contest.huey.join(LIMIT).unwrap();
        drop((contest.task, contest.huey, contest.listener));
        // Nobody has connected.
        until("the address is free", || TcpListener::bind(contest.address).is_ok());
    });
}

#[test]
fn a_thread_that_accepts_for_a_task_leaves_room_for_what_is_offloaded() {
    let name = "contested::a_thread_that_accepts_for_a_task_leaves_room_for_what_is_offloaded";
    child::run(name, || {
        let contest = Contest::new();
        let offloads = contest.huey.task("offload", || minihuey::offload(|| 7));
        assert_eq!(offloads.call(()).get_timeout(LIMIT).unwrap(), 7);
        contest.cancel();
    });
}

/// Has a task and somebody else, who can tell how often he did, accept from one listener, and looks
/// whether other tasks run.
fn contend(listener: TcpListener, accept_otherwise: impl Fn() + Send + 'static) {
    let huey = MiniHuey::new("contends");
    let address = listener.local_addr().unwrap();
    let (sender, accepted) = mpsc::channel();
    let others = sender.clone();
    let accept = huey.task("accept", move || {
        while listener.accept().is_ok() {
            others.send(()).unwrap();
        }
    });
    let accepting = accept.call(());
    thread::spawn(move || {
        loop {
            accept_otherwise();
            sender.send(()).unwrap();
        }
    });
    let runs = huey.task("run", || ());
    for _ in 0..3_000 {
        let _stream = TcpStream::connect(address).unwrap();
        accepted.recv_timeout(LIMIT).unwrap();
        // One of them was too late for it. Nobody connects before this has run.
        runs.call(()).get_timeout(LIMIT).unwrap();
    }
    assert!(accepting.cancel());
}

#[test]
fn a_listener_that_another_process_may_accept_from_does_not_hold_the_worker() {
    let name =
        "contested::a_listener_that_another_process_may_accept_from_does_not_hold_the_worker";
    child::run(name, || {
        monkey::patch_all().unwrap();
        let listener = inherited();
        let fd = listener.as_raw_fd();
        contend(listener, move || {
            // As another process would: by a call that nobody here sees.
            // SAFETY: no memory is involved; the descriptor it gives is closed here.
            unsafe {
                let none = std::ptr::null_mut::<u8>();
                let taken = libc::syscall(libc::SYS_accept4, fd, none, none, 0);
                assert!(taken >= 0);
                libc::close(taken as i32);
            }
        });
    });
}

#[test]
fn a_listener_that_an_os_thread_has_a_clone_of_does_not_hold_the_worker() {
    let name = "contested::a_listener_that_an_os_thread_has_a_clone_of_does_not_hold_the_worker";
    child::run(name, || {
        monkey::patch_all().unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let clone = listener.try_clone().unwrap();
        contend(listener, move || drop(clone.accept().unwrap()));
    });
}

/// Both ends of a pipe with room for one page.
fn small_pipe() -> (OwnedFd, OwnedFd) {
    let mut ends = [0; 2];
    // SAFETY: the kernel writes two descriptors there, which are nobody else's.
    unsafe {
        assert_eq!(libc::pipe2(ends.as_mut_ptr(), libc::O_CLOEXEC), 0);
        assert!(libc::fcntl(ends[0], libc::F_SETPIPE_SZ, PAGE as i32) > 0);
        (OwnedFd::from_raw_fd(ends[0]), OwnedFd::from_raw_fd(ends[1]))
    }
}

const PAGE: usize = 4096;

/// A pipe can be told not to block, as it can since Linux 6.4.
fn can_tell(pipe: &impl AsRawFd) -> bool {
    let part = libc::iovec { iov_base: std::ptr::null_mut(), iov_len: 0 };
    // SAFETY: nothing is read.
    unsafe { libc::preadv2(pipe.as_raw_fd(), &raw const part, 1, -1, libc::RWF_NOWAIT) == 0 }
}

/// Waits until the bytes in the pipe are as many as is wanted, and then sometimes longer: so that
/// what the caller does comes before, within and after what a task does.
fn wait_about_until(pipe: &impl AsRawFd, round: usize, wanted: fn(usize) -> bool) {
    let mut bytes: i32 = 0;
    // SAFETY: there is room for a number.
    while unsafe { libc::ioctl(pipe.as_raw_fd(), libc::FIONREAD, &raw mut bytes) } == 0
        && !wanted(bytes as usize)
    {
        std::hint::spin_loop();
    }
    (0..round * 37 % 4_000).for_each(|_| std::hint::spin_loop());
}

#[test]
fn a_pipe_that_others_read_does_not_hold_the_worker() {
    child::run("contested::a_pipe_that_others_read_does_not_hold_the_worker", || {
        monkey::patch_all().unwrap();
        let huey = MiniHuey::new("reads");
        let (from, to) = small_pipe();
        if !can_tell(&from) {
            return;
        }
        let (from, mut to) = (Arc::new(from), File::from(to));
        let (sender, read) = mpsc::channel();
        let (its, others) = (from.clone(), sender.clone());
        let reads = huey.task("read", move || {
            let mut its = File::from(its.try_clone().unwrap());
            while its.read(&mut [0]).is_ok_and(|count| count > 0) {
                others.send(()).unwrap();
            }
        });
        let mut reading = reads.call(());
        thread::spawn(move || {
            for round in 0.. {
                wait_about_until(&from, round, |bytes| bytes > 0);
                let mut byte = [0_u8];
                // As another process would: by a call that nobody here sees.
                // SAFETY: there is room for a byte.
                if unsafe { libc::syscall(libc::SYS_read, from.as_raw_fd(), &raw mut byte, 1) } <= 0
                {
                    return;
                }
                sender.send(()).unwrap();
            }
        });
        let runs = huey.task("run", || ());
        for _ in 0..ROUNDS {
            to.write_all(b"!").unwrap();
            read.recv_timeout(LIMIT).unwrap();
            // One of them was too late for it. Nobody writes before this has run.
            runs.call(()).get_timeout(LIMIT).unwrap();
        }
        drop(to);
        reading.get_timeout(LIMIT).unwrap();
    });
}

#[test]
fn a_pipe_that_others_write_does_not_hold_the_worker() {
    child::run("contested::a_pipe_that_others_write_does_not_hold_the_worker", || {
        monkey::patch_all().unwrap();
        let huey = MiniHuey::new("writes");
        let (from, to) = small_pipe();
        if !can_tell(&from) {
            return;
        }
        let (mut from, to) = (File::from(from), Arc::new(to));
        let its = to.clone();
        let writes = huey.task("write", move || {
            let mut its = File::from(its.try_clone().unwrap());
            while its.write_all(&[0; PAGE]).is_ok() {}
        });
        let mut writing = writes.call(());
        thread::spawn(move || {
            for round in 0.. {
                wait_about_until(&to, round, |bytes| bytes < PAGE);
                let page = [0_u8; PAGE];
                // SAFETY: it has that many bytes.
                if unsafe { libc::syscall(libc::SYS_write, to.as_raw_fd(), &raw const page, PAGE) }
                    <= 0
                {
                    return;
                }
            }
        });
        let runs = huey.task("run", || ());
        for _ in 0..ROUNDS {
            from.read_exact(&mut [0; PAGE]).unwrap();
            // One of them writes the next, and then it is full. Nobody reads before the task has
            // run.
            wait_about_until(&from, 0, |bytes| bytes == PAGE);
            runs.call(()).get_timeout(LIMIT).unwrap();
        }
        drop(from);
        writing.get_timeout(LIMIT).unwrap();
    });
}

/// A listener that this process has from another one: it has seen nobody make it listen.
fn inherited() -> TcpListener {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let SocketAddr::V4(address) = address else { unreachable!() };
    let named = libc::sockaddr_in {
        sin_family: libc::AF_INET as libc::sa_family_t,
        sin_port: address.port().to_be(),
        sin_addr: libc::in_addr { s_addr: u32::from(*address.ip()).to_be() },
        sin_zero: [0; 8],
    };
    // SAFETY: the address is as long as it says; the descriptor is new and nobody else's.
    unsafe {
        let fd = libc::socket(libc::AF_INET, libc::SOCK_STREAM | libc::SOCK_CLOEXEC, 0);
        let len = size_of_val(&named) as libc::socklen_t;
        assert_eq!(libc::bind(fd, (&raw const named).cast(), len), 0);
        assert_eq!(libc::syscall(libc::SYS_listen, fd, 4096), 0);
        TcpListener::from_raw_fd(fd)
    }
}

#[test]
fn a_connection_that_nobody_accepts_goes_with_its_listener() {
    child::run("contested::a_connection_that_nobody_accepts_goes_with_its_listener", || {
        let contest = Contest::new();
        contest.cancel();
        let third = TcpStream::connect(contest.address).unwrap();
        moment();
        drop((contest.task, contest.listener));
        contest.huey.join(LIMIT).unwrap();
        drop(contest.huey);
        third.set_read_timeout(Some(LIMIT)).unwrap();
        let read = std::io::Read::read(&mut &third, &mut [0]);
        let is_over = match &read {
            Ok(count) => *count == 0,
            Err(error) => error.raw_os_error() == Some(libc::ECONNRESET),
        };
        assert!(is_over, "{read:?}");
    });
}

#[test]
fn a_read_that_begins_while_its_descriptor_is_closed_ends() {
    child::run("contested::a_read_that_begins_while_its_descriptor_is_closed_ends", || {
        monkey::patch_all().unwrap();
        // The watchdog opens files, which might have the numbers.
        minihuey::runtime().hold_threshold(None).start().unwrap();
        let huey = MiniHuey::new("closing");
        let shared = Arc::new(AtomicI32::new(-1));
        let (sender, ended) = mpsc::channel();
        let its = shared.clone();
        let read = huey.task("read", move || {
            for _ in 0..ROUNDS {
                let mut fd: RawFd = its.swap(-1, Ordering::SeqCst);
                while fd < 0 {
                    std::hint::spin_loop();
                    fd = its.swap(-1, Ordering::SeqCst);
                }
                // SAFETY: the buffer is as long as it says.
                let got = unsafe { libc::recv(fd, [0_u8; 9].as_mut_ptr().cast(), 9, 0) };
                sender.send((got, std::io::Error::last_os_error().raw_os_error())).unwrap();
            }
        });
        let reading = read.call(());
        for round in 0..ROUNDS {
            let (_here, there) = UnixStream::pair().unwrap();
            let fd = there.into_raw_fd();
            shared.store(fd, Ordering::SeqCst);
            // So that it comes before, within and after what the other one does.
            for _ in 0..round * 37 % 4_000 {
                std::hint::spin_loop();
            }
            // SAFETY: it is closed here and nowhere else.
            assert_eq!(unsafe { libc::close(fd) }, 0);
            assert_eq!(ended.recv_timeout(LIMIT).unwrap(), (-1, Some(libc::EBADF)));
        }
        reading.get().unwrap();
    });
}

const ROUNDS: usize = 5_000;

#[test]
fn with_two_workers_tasks_accept_from_one_listener_and_are_ended_while_they_do() {
    let name =
        "contested::with_two_workers_tasks_accept_from_one_listener_and_are_ended_while_they_do";
    child::run(name, || {
        monkey::patch_all().unwrap();
        // Without a thread to spare: none is needed.
        minihuey::runtime().workers(2).offload_threads(1).start().unwrap();
        let huey = MiniHuey::new("two");
        let listener = Arc::new(TcpListener::bind("127.0.0.1:0").unwrap());
        let address = listener.local_addr().unwrap();
        let (sender, accepted) = mpsc::channel();
        let accept = huey.task("accept", move || {
            while listener.accept().is_ok() {
                sender.send(()).unwrap();
            }
        });
        let connect = huey.task("connect", move || drop(TcpStream::connect(address).unwrap()));
        let accepting = accept.map((0..8).map(|_| ()));
        for _ in 0..10 {
            connect.map((0..40).map(|_| ())).get_timeout(LIMIT).unwrap();
            (0..40).for_each(|_| accepted.recv_timeout(LIMIT).unwrap());
        }
        assert_eq!(accepting.cancel(), 8);
        huey.join(LIMIT).unwrap();
    });
}
