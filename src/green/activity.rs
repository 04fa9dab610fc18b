//! What an OS thread of this process does in the kernel, and what a task that does so on a worker
//! should do instead.

use std::fmt;
use std::fs;
use std::os::fd::RawFd;

/// What a thread is found at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Activity {
    /// It runs code of the program, or may at any moment.
    Running,
    /// It waits in may's selector for work: it is not held at all.
    Idle,
    /// On a lock, a condition, a channel, another thread.
    Futex,
    Sleep,
    /// For a child process.
    Child,
    /// On a socket, with the descriptor if the call tells it.
    Socket(Option<RawFd>),
    /// In `poll`, `select`, or the event loop of something else.
    Poll,
    /// At a file, pipe or terminal.
    File(RawFd, String),
    /// In another system call, by its number.
    Call(i64),
    /// The system does not tell.
    Unknown,
}

impl Activity {
    /// Of the thread with this number, whose selector, if it is a worker, watches `of_hub`.
    pub(super) fn of(thread: libc::pid_t, of_hub: RawFd) -> Activity {
        match fs::read_to_string(format!("/proc/self/task/{thread}/syscall")) {
            Ok(line) => Activity::read(&line, of_hub),
            Err(_) => Activity::Unknown,
        }
    }

    fn read(line: &str, of_hub: RawFd) -> Activity {
        let mut words = line.split_whitespace();
        let first = words.next().unwrap_or_default();
        if first == "running" {
            return Activity::Running;
        }
        let Ok(call) = first.parse::<i64>() else { return Activity::Unknown };
        let first_argument = words.next().and_then(|word| word.strip_prefix("0x"));
        let argument = first_argument.and_then(|word| u64::from_str_radix(word, 16).ok());
        // A descriptor is the lower half of its register.
        let fd = argument.map_or(-1, |argument| argument as RawFd);
        Activity::of_call(call, fd, of_hub)
    }

    fn of_call(call: i64, fd: RawFd, of_hub: RawFd) -> Activity {
        match call {
            // Not in a call, but waiting: for a page.
            -1 => Activity::Running,
            libc::SYS_futex => Activity::Futex,
            libc::SYS_nanosleep | libc::SYS_clock_nanosleep => Activity::Sleep,
            libc::SYS_wait4 | libc::SYS_waitid => Activity::Child,
            libc::SYS_connect
            | libc::SYS_accept
            | libc::SYS_accept4
            | libc::SYS_recvfrom
            | libc::SYS_recvmsg
            | libc::SYS_recvmmsg
            | libc::SYS_sendto
            | libc::SYS_sendmsg
            | libc::SYS_sendmmsg => Activity::Socket(Some(fd)),
            libc::SYS_read
            | libc::SYS_readv
            | libc::SYS_pread64
            | libc::SYS_preadv
            | libc::SYS_write
            | libc::SYS_writev
            | libc::SYS_pwrite64
            | libc::SYS_pwritev
            | libc::SYS_fsync
            | libc::SYS_fdatasync
            | libc::SYS_flock
            | libc::SYS_ftruncate
            | libc::SYS_getdents64 => Activity::of_descriptor(fd),
            libc::SYS_ppoll | libc::SYS_pselect6 => Activity::Poll,
            libc::SYS_epoll_pwait if !selects(fd, of_hub) => Activity::Poll,
            libc::SYS_epoll_pwait => Activity::Idle,
            #[cfg(target_arch = "x86_64")]
            libc::SYS_poll | libc::SYS_select => Activity::Poll,
            #[cfg(target_arch = "x86_64")]
            libc::SYS_epoll_wait if !selects(fd, of_hub) => Activity::Poll,
            #[cfg(target_arch = "x86_64")]
            libc::SYS_epoll_wait => Activity::Idle,
            other => Activity::Call(other),
        }
    }

    fn of_descriptor(fd: RawFd) -> Activity {
        let target = fs::read_link(format!("/proc/self/fd/{fd}"));
        let target = target.map_or_else(|_| "?".to_owned(), |path| path.display().to_string());
        if target.starts_with("socket:") {
            return Activity::Socket(Some(fd));
        }
        Activity::File(fd, target)
    }

    /// What to do instead, as a sentence.
    pub(super) fn advice(&self) -> &'static str {
        match self {
            Activity::Sleep => {
                "Use minihuey::green::sleep, or have std::thread::sleep do the same by \
                 minihuey::monkey::patch_all"
            }
            Activity::Socket(_) | Activity::Poll => {
                "Have sockets wait without holding it by minihuey::monkey::patch_all, or run this \
                 by minihuey::offload"
            }
            Activity::Child => {
                "Wait without holding it by minihuey::monkey::patch_all, or by minihuey::offload"
            }
            Activity::Futex => {
                "Use the locks and channels of minihuey::sync for what tasks share, or run this by \
                 minihuey::offload"
            }
            _ => "Run this by minihuey::offload, or declare the task `offload`",
        }
    }
}

/// Whether the epoll descriptor `fd` watches the descriptor `of_hub`: then it is the selector of
/// the hub whose epoll set that is. True if that can't be told.
fn selects(fd: RawFd, of_hub: RawFd) -> bool {
    let Ok(info) = fs::read_to_string(format!("/proc/self/fdinfo/{fd}")) else { return true };
    info.lines().any(|line| {
        let number = line.strip_prefix("tfd:").and_then(|rest| rest.split_whitespace().next());
        number.is_some_and(|number| number.parse() == Ok(of_hub))
    })
}

/// As the second half of "the task …".
impl fmt::Display for Activity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Activity::Running => f.write_str("computes"),
            Activity::Idle => f.write_str("waits for nothing"),
            Activity::Futex => f.write_str("waits for a lock or another thread (futex)"),
            Activity::Sleep => f.write_str("sleeps (nanosleep)"),
            Activity::Child => f.write_str("waits for a child process"),
            Activity::Socket(Some(fd)) => write!(f, "waits for a socket (descriptor {fd})"),
            Activity::Socket(None) => f.write_str("waits for a socket"),
            Activity::Poll => f.write_str("waits for descriptors (poll, select or an event loop)"),
            Activity::File(fd, target) => {
                write!(f, "reads or writes {target} (descriptor {fd})")
            }
            Activity::Call(number) => write!(f, "is in system call {number}"),
            Activity::Unknown => f.write_str("does something unknown (/proc does not tell)"),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::io::{Read, pipe};
    use std::os::fd::AsRawFd;
    use std::sync::mpsc;
    use std::time::{Duration, Instant};

    use super::*;

    /// What a thread that does this is found at, once it is.
    fn found(f: impl FnOnce() + Send + 'static, expected: impl Fn(&Activity) -> bool) -> Activity {
        let (sender, receiver) = mpsc::channel();
        std::thread::spawn(move || {
            // SAFETY: it has no precondition.
            let _ = sender.send(unsafe { libc::gettid() });
            f();
        });
        let thread = receiver.recv().unwrap();
        let deadline = Instant::now() + Duration::from_secs(60);
        loop {
            let activity = Activity::of(thread, -1);
            if expected(&activity) || Instant::now() > deadline {
                return activity;
            }
            std::thread::yield_now();
        }
    }

    #[test]
    fn a_thread_is_found_at_what_it_does() {
        let (from, to) = pipe().unwrap();
        let number = from.as_raw_fd();
        let read = move || drop((&from).read(&mut [0]));
        let is_pipe = |activity: &Activity| {
            matches!(activity, Activity::File(fd, target)
                if *fd == number && target.starts_with("pipe:"))
        };
        assert!(is_pipe(&found(read, is_pipe)));
        drop(to);
        let sleep = || std::thread::sleep(Duration::from_millis(500));
        assert_eq!(found(sleep, |found| *found == Activity::Sleep), Activity::Sleep);
        let park = || std::thread::park_timeout(Duration::from_millis(500));
        assert_eq!(found(park, |found| *found == Activity::Futex), Activity::Futex);
        let compute = || {
            let end = Instant::now() + Duration::from_millis(500);
            while Instant::now() < end {}
        };
        assert_eq!(found(compute, |found| *found == Activity::Running), Activity::Running);
        let socket = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.set_read_timeout(Some(Duration::from_millis(500))).unwrap();
        let receive = move || drop(socket.recv(&mut [0]));
        let is_socket = |activity: &Activity| matches!(activity, Activity::Socket(Some(_)));
        assert!(is_socket(&found(receive, is_socket)));
    }

    #[test]
    fn what_the_system_does_not_tell_is_unknown() {
        assert_eq!(Activity::of(-1, -1), Activity::Unknown);
        assert_eq!(Activity::read("", -1), Activity::Unknown);
        let file = File::open("/proc/self/exe").unwrap();
        let line = format!("{} {:#x} 0x0 0x0", libc::SYS_read, file.as_raw_fd());
        assert!(matches!(Activity::read(&line, -1), Activity::File(fd, path)
            if fd == file.as_raw_fd() && path.starts_with('/')));
    }
}
