//! Calls that the kernel answers at once, or in a way of its own, where it is easy to wait instead.

use std::ffi::{c_int, c_void};
use std::io::{Error, Read, Write};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::os::fd::{AsRawFd, RawFd};
use std::os::unix::net::{UnixDatagram, UnixStream};
use std::ptr::null_mut;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use libc::{iovec, pollfd};

use crate::support::{get, in_green, next, start, while_others_run};

// SAFETY (of all blocks below): every pointer is to a live buffer of the length that goes with it.

fn errno() -> i32 {
    Error::last_os_error().raw_os_error().unwrap()
}

fn pipe() -> [c_int; 2] {
    let mut ends = [0; 2];
    assert_eq!(unsafe { libc::pipe(ends.as_mut_ptr()) }, 0);
    ends
}

fn close(fds: [c_int; 2]) {
    for fd in fds {
        unsafe { libc::close(fd) };
    }
}

#[test]
fn a_dup2_that_fails_wakes_nobody() {
    let (mut here, mut there) = UnixStream::pair().unwrap();
    let fd = there.as_raw_fd();
    let read = while_others_run(
        move || there.read(&mut [0; 9]).unwrap(),
        move || {
            assert_eq!(unsafe { libc::dup2(-1, fd) }, -1);
            assert_eq!(errno(), libc::EBADF);
            assert_eq!(unsafe { libc::dup3(here.as_raw_fd(), fd, -1) }, -1);
            assert_eq!(errno(), libc::EINVAL);
            here.write_all(b"it goes on").unwrap();
        },
    );
    assert_eq!(read, 9);
}

#[test]
fn accepting_from_what_does_not_listen_fails_at_once() {
    let gave = in_green(|| {
        let (here, _there) = UnixStream::pair().unwrap();
        let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
        let accept = |fd| {
            assert_eq!(unsafe { libc::accept(fd, null_mut(), null_mut()) }, -1);
            errno()
        };
        [accept(here.as_raw_fd()), accept(udp.as_raw_fd())]
    });
    assert_eq!(gave, [libc::EINVAL, libc::EOPNOTSUPP]);
}

#[test]
fn the_wrong_end_of_a_pipe_fails_at_once() {
    let gave = in_green(|| {
        let ends = pipe();
        let mut byte = [0_u8];
        let at = byte.as_mut_ptr().cast::<c_void>();
        let read = unsafe { (libc::read(ends[1], at, 1), errno()) };
        let written = unsafe { (libc::write(ends[0], at, 1), errno()) };
        close(ends);
        (read, written)
    });
    assert_eq!(gave, ((-1, libc::EBADF), (-1, libc::EBADF)));
}

#[test]
fn to_read_or_write_nothing_in_parts_does_nothing() {
    let gave = in_green(|| {
        let (here, _there) = UnixStream::pair().unwrap();
        let ends = pipe();
        let none = [iovec { iov_base: null_mut(), iov_len: 0 }; 2];
        let read = |fd| unsafe { libc::readv(fd, none.as_ptr(), 2) };
        let written = |fd| unsafe { libc::writev(fd, none.as_ptr(), 2) };
        let gave = [read(here.as_raw_fd()), read(ends[0]), written(ends[1])];
        // Not even an empty datagram is sent.
        let (one, two) = std::os::unix::net::UnixDatagram::pair().unwrap();
        assert_eq!(written(one.as_raw_fd()), 0);
        two.set_nonblocking(true).unwrap();
        assert!(two.recv(&mut [0]).is_err());
        close(ends);
        gave
    });
    assert_eq!(gave, [0, 0, 0]);
}

#[test]
fn to_write_parts_to_a_full_pipe_waits_while_others_run() {
    const LEN: usize = 300_000;
    let ends = pipe();
    let written = while_others_run(
        move || {
            let bytes: Vec<u8> = (0..LEN).map(|n| n as u8).collect();
            let cut = [0, 1, 5_000, 200_000, LEN];
            let parts: Vec<_> = cut
                .windows(2)
                .map(|cut| bytes[cut[0]..cut[1]].as_ptr_range())
                .map(|part| iovec {
                    iov_base: part.start.cast_mut().cast(),
                    iov_len: part.end as usize - part.start as usize,
                })
                .collect();
            unsafe { libc::writev(ends[1], parts.as_ptr(), parts.len() as c_int) }
        },
        move || {
            thread::spawn(move || {
                let mut bytes = vec![0_u8; LEN];
                let mut read = 0;
                while read < LEN {
                    let at = bytes[read..].as_mut_ptr().cast();
                    let got = unsafe { libc::read(ends[0], at, LEN - read) };
                    read += usize::try_from(got).unwrap();
                }
                assert!(bytes.iter().enumerate().all(|(n, byte)| *byte == n as u8));
            })
            .join()
            .unwrap();
        },
    );
    close(ends);
    assert_eq!(written, LEN as isize);
}

#[test]
fn to_connect_by_sending_waits_for_the_connection() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let sent = in_green(move || unsafe {
        let fresh = libc::socket(libc::AF_INET, libc::SOCK_STREAM, 0);
        let mut address: libc::sockaddr_in = std::mem::zeroed();
        address.sin_family = libc::AF_INET as libc::sa_family_t;
        address.sin_port = port.to_be();
        address.sin_addr.s_addr = u32::from(std::net::Ipv4Addr::LOCALHOST).to_be();
        let (at, len) = ((&raw const address).cast(), size_of_val(&address) as libc::socklen_t);
        let bytes = b"hello";
        let flags = libc::MSG_FASTOPEN;
        let sent = libc::sendto(fresh, bytes.as_ptr().cast(), bytes.len(), flags, at, len);
        let gave = (sent, if sent < 0 { errno() } else { 0 });
        libc::close(fresh);
        gave
    });
    assert_eq!(sent, (5, 0));
    let mut text = String::new();
    listener.accept().unwrap().0.read_to_string(&mut text).unwrap();
    assert_eq!(text, "hello");
}

#[test]
fn to_poll_more_descriptors_than_there_may_be_is_refused() {
    let gave = in_green(|| {
        let mut asked = pollfd { fd: -1, events: 0, revents: 0 };
        let most = 1 << 31;
        unsafe { (libc::poll(&mut asked, most, -1), errno()) }
    });
    assert_eq!(gave, (-1, libc::EINVAL));
}

#[test]
fn to_peek_for_all_waits_for_all() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut here = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let (there, _) = listener.accept().unwrap();
    here.write_all(b"so").unwrap();
    let peeked = while_others_run(
        move || {
            let mut bytes = [0_u8; 4];
            let at = bytes.as_mut_ptr().cast();
            let flags = libc::MSG_PEEK | libc::MSG_WAITALL;
            (unsafe { libc::recv(there.as_raw_fd(), at, 4, flags) }, bytes)
        },
        move || here.write_all(b"me more").unwrap(),
    );
    assert_eq!(peeked, (4, *b"some"));
}

#[test]
fn to_peek_for_all_ends_with_the_stream() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut here = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let (there, _) = listener.accept().unwrap();
    here.write_all(b"so").unwrap();
    drop(here);
    let peeked = in_green(move || {
        let mut bytes = [0_u8; 4];
        let flags = libc::MSG_PEEK | libc::MSG_WAITALL;
        unsafe { libc::recv(there.as_raw_fd(), bytes.as_mut_ptr().cast(), 4, flags) }
    });
    assert_eq!(peeked, 2);
}

#[test]
fn to_receive_all_of_nothing_asks_the_kernel() {
    let gave = in_green(|| unsafe {
        let fresh = libc::socket(libc::AF_INET, libc::SOCK_STREAM, 0);
        let gave = (libc::recv(fresh, null_mut(), 0, libc::MSG_WAITALL), errno());
        libc::close(fresh);
        gave
    });
    assert_eq!(gave, (-1, libc::ENOTCONN));
}

#[test]
fn the_shortest_sleeps_let_others_run() {
    let sleeps: [fn(); 4] = [
        || thread::sleep(Duration::from_nanos(1)),
        || assert_eq!(unsafe { libc::usleep(0) }, 0),
        || minihuey::green::sleep(Duration::ZERO),
        || minihuey::green::sleep(Duration::from_nanos(1)),
    ];
    for sleep in sleeps {
        let flag = Arc::new(AtomicBool::new(false));
        let set = flag.clone();
        let (begins, begun) = mpsc::channel();
        let waits = start(move || {
            begins.send(()).unwrap();
            let mut rounds = 0_u64;
            // So that it ends, too, if it is wrong.
            while !flag.load(Ordering::SeqCst) && rounds < 1_000_000 {
                sleep();
                rounds += 1;
            }
            flag.load(Ordering::SeqCst)
        });
        next(&begun);
        let sets = start(move || set.store(true, Ordering::SeqCst));
        assert!(get(waits), "another task was to run meanwhile");
        get(sets);
    }
}

/// Closes it so that the other end hears of a failure.
fn reset(stream: TcpStream) {
    let linger = libc::linger { l_onoff: 1, l_linger: 0 };
    let len = size_of_val(&linger) as libc::socklen_t;
    let linger = (&raw const linger).cast();
    let fd = stream.as_raw_fd();
    assert_eq!(unsafe { libc::setsockopt(fd, libc::SOL_SOCKET, libc::SO_LINGER, linger, len) }, 0);
}

/// Has `twice` make a call that blocks on one end of a connection and then another one, in an OS
/// thread and in a green one, while the other end, from which five bytes came, is reset. Gives what
/// both gave.
fn when_reset(twice: fn(RawFd) -> [isize; 2]) -> [[isize; 2]; 2] {
    let connect = || {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut here = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        here.write_all(b"hello").unwrap();
        (here, listener.accept().unwrap().0)
    };
    let (here, there) = connect();
    let blocks = thread::spawn(move || twice(there.as_raw_fd()));
    // If that was not enough it was not in the middle of it, which is all the same.
    thread::sleep(Duration::from_millis(50));
    reset(here);
    let theirs = blocks.join().unwrap();
    let (here, there) = connect();
    [theirs, while_others_run(move || twice(there.as_raw_fd()), move || reset(here))]
}

/// Minus errno, if it failed.
fn gave(done: isize) -> isize {
    if done < 0 { -(errno() as isize) } else { done }
}

#[test]
fn who_waits_for_all_of_it_is_told_of_a_reset_after_what_came_before() {
    let both = when_reset(|fd| {
        let mut bytes = [0_u8; 9];
        [(); 2].map(|()| {
            gave(unsafe { libc::recv(fd, bytes.as_mut_ptr().cast(), 9, libc::MSG_WAITALL) })
        })
    });
    assert_eq!(both, [[5, -libc::ECONNRESET as isize]; 2]);
}

#[test]
fn who_sends_much_is_told_of_a_reset_after_what_was_sent_before() {
    let both = when_reset(|fd| {
        let bytes = vec![0_u8; 1 << 24];
        [(); 2].map(|()| {
            let flags = libc::MSG_NOSIGNAL;
            gave(unsafe { libc::send(fd, bytes.as_ptr().cast(), bytes.len(), flags) }).min(1)
        })
    });
    assert_eq!(both, [[1, -libc::ECONNRESET as isize]; 2]);
}

#[test]
fn who_waits_for_all_of_it_is_told_of_a_reset_that_came_before_it_asked() {
    let both = [false, true].map(|green| {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut here = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        here.write_all(b"hello").unwrap();
        let (there, _) = listener.accept().unwrap();
        reset(here);
        let mut asked = pollfd { fd: there.as_raw_fd(), events: 0, revents: 0 };
        // Until it has come.
        assert_eq!(unsafe { libc::poll(&mut asked, 1, -1) }, 1);
        let twice = move || {
            let mut bytes = [0_u8; 9];
            [(); 2].map(|()| {
                let at = bytes.as_mut_ptr().cast();
                gave(unsafe { libc::recv(there.as_raw_fd(), at, 9, libc::MSG_WAITALL) })
            })
        };
        if green { in_green(twice) } else { twice() }
    });
    assert_eq!(both, [[5, -libc::ECONNRESET as isize]; 2]);
}

#[test]
fn to_peek_for_all_of_a_unix_stream_gives_what_is_there_as_the_kernel_does() {
    let both = [false, true].map(|green| {
        let (mut here, there) = UnixStream::pair().unwrap();
        there.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        here.write_all(b"so").unwrap();
        let peek = move || {
            let start = Instant::now();
            let mut bytes = [0_u8; 4];
            let flags = libc::MSG_PEEK | libc::MSG_WAITALL;
            let at = bytes.as_mut_ptr().cast();
            let peeked = gave(unsafe { libc::recv(there.as_raw_fd(), at, 4, flags) });
            (peeked, start.elapsed() < Duration::from_secs(10))
        };
        let gave = if green { in_green(peek) } else { peek() };
        drop(here);
        gave
    });
    assert_eq!(both, [(2, true); 2]);
}

#[test]
fn who_receives_several_messages_is_told_of_a_failure_after_those_that_came_before() {
    let peer = UdpSocket::bind("127.0.0.1:0").unwrap();
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.connect(peer.local_addr().unwrap()).unwrap();
    peer.connect(socket.local_addr().unwrap()).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    peer.send(b"news").unwrap();
    let copy = socket.try_clone().unwrap();
    let twice = while_others_run(
        move || {
            let mut bytes = [[0_u8; 8]; 2];
            let mut parts = bytes
                .each_mut()
                .map(|bytes| iovec { iov_base: bytes.as_mut_ptr().cast(), iov_len: 8 });
            let mut messages = parts.each_mut().map(|part| {
                let mut message: libc::mmsghdr = unsafe { std::mem::zeroed() };
                (message.msg_hdr.msg_iov, message.msg_hdr.msg_iovlen) = (part, 1);
                message
            });
            let (fd, at) = (socket.as_raw_fd(), messages.as_mut_ptr());
            [(); 2].map(|()| gave(unsafe { libc::recvmmsg(fd, at, 2, 0, null_mut()) } as isize))
        },
        move || {
            drop(peer);
            // Nobody is there any more, and that comes back.
            copy.send(b"hello").unwrap();
        },
    );
    assert_eq!(twice, [1, -libc::ECONNREFUSED as isize]);
}

#[test]
fn an_empty_datagram_that_is_written_waits_for_room() {
    let (here, there) = UnixDatagram::pair().unwrap();
    here.set_nonblocking(true).unwrap();
    while here.send(b"much").is_ok() {}
    here.set_nonblocking(false).unwrap();
    here.set_write_timeout(Some(Duration::from_secs(20))).unwrap();
    let reader = there.try_clone().unwrap();
    let written = while_others_run(
        move || gave(unsafe { libc::write(here.as_raw_fd(), c"".as_ptr().cast(), 0) }),
        move || {
            reader.set_nonblocking(true).unwrap();
            while reader.recv(&mut [0; 8]).is_ok() {}
        },
    );
    assert_eq!(written, 0);
}

#[test]
fn who_has_sent_a_part_is_spared_the_signal_for_the_rest() {
    static SIGNALS: AtomicUsize = AtomicUsize::new(0);
    extern "C" fn count(_: c_int) {
        SIGNALS.fetch_add(1, Ordering::SeqCst);
    }
    let handler = count as extern "C" fn(c_int) as libc::sighandler_t;
    let before = unsafe { libc::signal(libc::SIGPIPE, handler) };
    let both = [false, true].map(|green| {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let here = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (there, _) = listener.accept().unwrap();
        let (other, peer) = (here.try_clone().unwrap(), there.try_clone().unwrap());
        let send = move || {
            let bytes = vec![0_u8; 1 << 24];
            let sent = unsafe { libc::write(here.as_raw_fd(), bytes.as_ptr().cast(), 1 << 24) };
            (sent > 0, SIGNALS.swap(0, Ordering::SeqCst))
        };
        let shut = move || {
            // When a part has come.
            assert_eq!(peer.peek(&mut [0]).unwrap(), 1);
            other.shutdown(std::net::Shutdown::Write).unwrap();
        };
        if green {
            return while_others_run(send, shut);
        }
        let sends = thread::spawn(send);
        shut();
        sends.join().unwrap()
    });
    unsafe { libc::signal(libc::SIGPIPE, before) };
    assert_eq!(both, [(true, 0); 2]);
}

#[test]
fn who_waits_for_room_in_a_unix_stream_goes_on_when_its_own_side_ends_it() {
    let both = [false, true].map(|green| {
        let (here, there) = UnixStream::pair().unwrap();
        let other = here.try_clone().unwrap();
        let send = move || {
            let bytes = vec![0_u8; 1 << 22];
            [(); 2].map(|()| {
                let flags = libc::MSG_NOSIGNAL;
                gave(unsafe { libc::send(here.as_raw_fd(), bytes.as_ptr().cast(), 1 << 22, flags) })
                    .min(1)
            })
        };
        let mut peer = there.try_clone().unwrap();
        let mut shut = move || {
            // When a part has come.
            peer.read_exact(&mut [0]).unwrap();
            other.shutdown(std::net::Shutdown::Write).unwrap();
        };
        let gave = if green {
            while_others_run(send, shut)
        } else {
            let sends = thread::spawn(send);
            shut();
            sends.join().unwrap()
        };
        drop(there);
        gave
    });
    assert_eq!(both, [[1, -libc::EPIPE as isize]; 2]);
}
