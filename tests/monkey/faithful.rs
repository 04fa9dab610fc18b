//! Each call gives what the kernel's own call gives for the same input, to the errno: on an OS
//! thread and in a green one. (Bad pointers excepted.)

use std::ffi::{c_int, c_long, c_void};
use std::fs::File;
use std::io::{Error, Write};
use std::net::{TcpListener, UdpSocket};
use std::os::fd::{AsRawFd, FromRawFd, IntoRawFd, OwnedFd};
use std::os::unix::net::{UnixDatagram, UnixListener, UnixStream};
use std::ptr::null_mut;
use std::time::Duration;

use libc::{
    SYS_accept4, SYS_close, SYS_connect, SYS_dup3, SYS_listen, SYS_ppoll, SYS_pselect6, SYS_read,
    SYS_readv, SYS_recvfrom, SYS_recvmmsg, SYS_recvmsg, SYS_sendfile, SYS_sendmmsg, SYS_sendmsg,
    SYS_sendto, SYS_wait4, SYS_waitid, SYS_write, SYS_writev, iovec, mmsghdr, msghdr, pollfd,
};

use crate::support::in_green;

/// A pointer that is none: as wide as one.
const NULL: *mut c_void = null_mut();

/// What a call gave, and errno if it failed; with what it wrote, if that is to be compared.
type Gave = (c_long, i32, Vec<u8>);

fn gave(result: impl Into<c_long>, written: &[u8]) -> Gave {
    let result = result.into();
    let errno = if result < 0 { Error::last_os_error().raw_os_error().unwrap() } else { 0 };
    (result, errno, written.to_vec())
}

/// Descriptors in every state that matters.
struct World {
    closed: c_int,
    file: File,
    directory: File,
    empty: UnixStream,
    nonblocking: UnixStream,
    with_data: UnixStream,
    peer_gone: UnixStream,
    shut: UnixStream,
    datagram: UnixDatagram,
    empty_datagram: UnixDatagram,
    udp: UdpSocket,
    listener: TcpListener,
    nonblocking_listener: TcpListener,
    fresh: OwnedFd,
    _others: Vec<OwnedFd>,
}

impl World {
    fn new() -> World {
        let mut others: Vec<OwnedFd> = Vec::new();
        let mut pair = || {
            let (here, there) = UnixStream::pair().unwrap();
            others.push(there.try_clone().unwrap().into());
            (here, there)
        };
        let (empty, _) = pair();
        let (nonblocking, _) = pair();
        nonblocking.set_nonblocking(true).unwrap();
        let (with_data, mut writer) = pair();
        writer.write_all(b"some data").unwrap();
        let (shut, _) = pair();
        shut.shutdown(std::net::Shutdown::Both).unwrap();
        let (peer_gone, peer) = UnixStream::pair().unwrap();
        drop(peer);
        let (datagram, other) = UnixDatagram::pair().unwrap();
        for message in ["one", "two", "three"] {
            other.send(message.as_bytes()).unwrap();
        }
        others.push(other.into());
        let (empty_datagram, other) = UnixDatagram::pair().unwrap();
        empty_datagram.set_nonblocking(true).unwrap();
        others.push(other.into());
        let nonblocking_listener = TcpListener::bind("127.0.0.1:0").unwrap();
        nonblocking_listener.set_nonblocking(true).unwrap();
        // SAFETY: no memory is involved; the descriptor is new and has one owner.
        let fresh =
            unsafe { OwnedFd::from_raw_fd(libc::socket(libc::AF_INET, libc::SOCK_STREAM, 0)) };
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(b"the content of a file").unwrap();
        std::io::Seek::rewind(&mut file).unwrap();
        // What would block fails after a while, here and there.
        let short = Some(Duration::from_millis(2));
        for stream in [&empty, &with_data, &shut, &peer_gone] {
            stream.set_read_timeout(short).unwrap();
        }
        datagram.set_read_timeout(short).unwrap();
        World {
            // High enough that no other test has it.
            closed: 100_000,
            file,
            directory: File::open("/").unwrap(),
            empty,
            nonblocking,
            with_data,
            peer_gone,
            shut,
            datagram,
            empty_datagram,
            udp: UdpSocket::bind("127.0.0.1:0").unwrap(),
            listener: TcpListener::bind("127.0.0.1:0").unwrap(),
            nonblocking_listener,
            fresh,
            _others: others,
        }
    }

    /// All that give an answer without blocking.
    fn to_receive(&self) -> Vec<(&'static str, c_int)> {
        vec![
            ("none", -1),
            ("closed", self.closed),
            ("a file", self.file.as_raw_fd()),
            ("a directory", self.directory.as_raw_fd()),
            ("a non-blocking socket", self.nonblocking.as_raw_fd()),
            ("a socket with data", self.with_data.as_raw_fd()),
            ("a socket whose peer is gone", self.peer_gone.as_raw_fd()),
            ("a socket that is shut down", self.shut.as_raw_fd()),
            ("a datagram", self.datagram.as_raw_fd()),
            ("an empty non-blocking datagram socket", self.empty_datagram.as_raw_fd()),
            ("a listener", self.listener.as_raw_fd()),
            ("a fresh socket", self.fresh.as_raw_fd()),
        ]
    }

    fn to_send(&self) -> Vec<(&'static str, c_int)> {
        let mut all = self.to_receive();
        all.push(("a socket with room", self.empty.as_raw_fd()));
        all.push(("an unconnected UDP socket", self.udp.as_raw_fd()));
        all
    }
}

/// Runs `script` with the kernel's calls and with ours, each in a world of its own, on an OS thread
/// and in a green thread, and compares all that they gave.
#[track_caller]
fn same(script: fn(&World, bool) -> Vec<(String, Gave)>) {
    let by_kernel = script(&World::new(), true);
    assert!(!by_kernel.is_empty());
    let on_thread = script(&World::new(), false);
    let in_green = in_green(move || script(&World::new(), false));
    for ((kernel, thread), green) in by_kernel.iter().zip(&on_thread).zip(&in_green) {
        assert_eq!(kernel, thread, "on an OS thread");
        assert_eq!(kernel, green, "in a green thread");
    }
    assert_eq!((by_kernel.len(), by_kernel.len()), (on_thread.len(), in_green.len()));
}

const FLAGS: [c_int; 6] =
    [0, libc::MSG_DONTWAIT, libc::MSG_PEEK, libc::MSG_NOSIGNAL, libc::MSG_ERRQUEUE, libc::MSG_OOB];

// SAFETY (of all blocks below): every pointer is to a live buffer of the length that goes with it.

#[test]
fn what_receives_gives_what_the_kernel_gives() {
    same(|world, kernel| {
        let mut all = Vec::new();
        for (what, fd) in world.to_receive() {
            for flags in FLAGS {
                // PEEK first, so that there is something left.
                for len in [0, 3] {
                    // A fresh stream socket with nothing to receive refuses; an errqueue is empty.
                    let mut buffer = [0_u8; 8];
                    let at = buffer.as_mut_ptr().cast::<c_void>();
                    let (null, none) = (null_mut::<libc::sockaddr>(), null_mut::<u32>());
                    let got = unsafe {
                        if kernel {
                            libc::syscall(SYS_recvfrom, fd, at, len, flags, null, none)
                        } else {
                            libc::recv(fd, at, len, flags) as c_long
                        }
                    };
                    all.push((format!("recv {what} {flags} {len}"), gave(got, &buffer)));
                }
            }
            let mut buffer = [0_u8; 8];
            let got = unsafe {
                let at = buffer.as_mut_ptr().cast::<c_void>();
                if kernel {
                    libc::syscall(SYS_read, fd, at, 2)
                } else {
                    libc::read(fd, at, 2) as c_long
                }
            };
            all.push((format!("read {what}"), gave(got, &buffer)));
        }
        all
    });
}

#[test]
fn what_receives_into_parts_gives_what_the_kernel_gives() {
    same(|world, kernel| {
        let mut all = Vec::new();
        for (what, fd) in world.to_receive() {
            let mut bytes = [0_u8; 4];
            let base = bytes.as_mut_ptr().cast::<c_void>();
            let mut parts = [
                iovec { iov_base: base, iov_len: 1 },
                iovec { iov_base: base, iov_len: 0 },
                iovec { iov_base: base.wrapping_byte_add(1), iov_len: 3 },
            ];
            for count in [0, 3, -1, 5000] {
                let got = unsafe {
                    let at = parts.as_ptr();
                    match (kernel, count) {
                        (true, _) => libc::syscall(SYS_readv, fd, at, count),
                        (false, _) => libc::readv(fd, at, count) as c_long,
                    }
                };
                all.push((format!("readv {what} {count}"), gave(got, &bytes)));
            }
            let mut message: msghdr = unsafe { std::mem::zeroed() };
            (message.msg_iov, message.msg_iovlen) = (parts.as_mut_ptr(), 3);
            for flags in [libc::MSG_PEEK, 0, libc::MSG_DONTWAIT] {
                let got = unsafe {
                    if kernel {
                        libc::syscall(SYS_recvmsg, fd, &raw mut message, flags)
                    } else {
                        libc::recvmsg(fd, &raw mut message, flags) as c_long
                    }
                };
                let flags_out = message.msg_flags.to_le_bytes();
                all.push((
                    format!("recvmsg {what} {flags}"),
                    gave(got, &[&bytes[..], &flags_out].concat()),
                ));
            }
            let mut messages = [mmsghdr { msg_hdr: message, msg_len: 0 }; 2];
            let flags = libc::MSG_WAITFORONE;
            let got = unsafe {
                let none = null_mut::<libc::timespec>();
                if kernel {
                    libc::syscall(SYS_recvmmsg, fd, messages.as_mut_ptr(), 2, flags, none)
                } else {
                    c_long::from(libc::recvmmsg(fd, messages.as_mut_ptr(), 2, flags, none))
                }
            };
            let lens: Vec<u8> = messages.iter().map(|message| message.msg_len as u8).collect();
            all.push((format!("recvmmsg {what}"), gave(got, &lens)));
        }
        all
    });
}

#[test]
fn what_sends_gives_what_the_kernel_gives() {
    same(|world, kernel| {
        let mut all = Vec::new();
        for (what, fd) in world.to_send() {
            let bytes = *b"sent";
            let at = bytes.as_ptr().cast::<c_void>();
            for flags in [libc::MSG_NOSIGNAL, libc::MSG_NOSIGNAL | libc::MSG_DONTWAIT] {
                for len in [0, 4] {
                    let (null, none) = (null_mut::<libc::sockaddr>(), 0);
                    let sent = unsafe {
                        if kernel {
                            libc::syscall(SYS_sendto, fd, at, len, flags, null, none)
                        } else {
                            libc::send(fd, at, len, flags) as c_long
                        }
                    };
                    all.push((format!("send {what} {flags} {len}"), gave(sent, &[])));
                }
            }
            let mut parts = [
                iovec { iov_base: at.cast_mut(), iov_len: 1 },
                iovec { iov_base: at.cast_mut(), iov_len: 3 },
            ];
            let mut message: msghdr = unsafe { std::mem::zeroed() };
            (message.msg_iov, message.msg_iovlen) = (parts.as_mut_ptr(), 2);
            let sent = unsafe {
                if kernel {
                    libc::syscall(SYS_sendmsg, fd, &raw const message, libc::MSG_NOSIGNAL)
                } else {
                    libc::sendmsg(fd, &raw const message, libc::MSG_NOSIGNAL) as c_long
                }
            };
            all.push((format!("sendmsg {what}"), gave(sent, &[])));
            let mut messages = [mmsghdr { msg_hdr: message, msg_len: 0 }; 2];
            let sent = unsafe {
                let flags = libc::MSG_NOSIGNAL;
                if kernel {
                    libc::syscall(SYS_sendmmsg, fd, messages.as_mut_ptr(), 2, flags)
                } else {
                    c_long::from(libc::sendmmsg(fd, messages.as_mut_ptr(), 2, flags))
                }
            };
            let lens: Vec<u8> = messages.iter().map(|message| message.msg_len as u8).collect();
            all.push((format!("sendmmsg {what}"), gave(sent, &lens)));
            if what == "a socket whose peer is gone" || what == "a socket that is shut down" {
                // Rust ignores SIGPIPE, but let us not depend on it.
                continue;
            }
            let sent = unsafe {
                if kernel {
                    libc::syscall(SYS_write, fd, at, 4)
                } else {
                    libc::write(fd, at, 4) as c_long
                }
            };
            all.push((format!("write {what}"), gave(sent, &[])));
            let sent = unsafe {
                let parts = parts.as_ptr();
                if kernel {
                    libc::syscall(SYS_writev, fd, parts, 2)
                } else {
                    libc::writev(fd, parts, 2) as c_long
                }
            };
            all.push((format!("writev {what}"), gave(sent, &[])));
            let mut offset: libc::off_t = 4;
            let from = world.file.as_raw_fd();
            let sent = unsafe {
                if kernel {
                    libc::syscall(SYS_sendfile, fd, from, &raw mut offset, 7)
                } else {
                    libc::sendfile(fd, from, &raw mut offset, 7) as c_long
                }
            };
            all.push((format!("sendfile {what}"), gave(sent, &offset.to_le_bytes())));
        }
        all
    });
}

#[test]
fn connecting_and_accepting_give_what_the_kernel_gives() {
    same(|world, kernel| {
        let mut all = Vec::new();
        // Nobody listens there.
        let refused = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let mut address: libc::sockaddr_in = unsafe { std::mem::zeroed() };
        address.sin_family = libc::AF_INET as libc::sa_family_t;
        address.sin_port = refused.to_be();
        address.sin_addr.s_addr = u32::from_be_bytes([127, 0, 0, 1]).to_be();
        let at = (&raw const address).cast::<libc::sockaddr>();
        let len = size_of_val(&address) as u32;
        for (what, fd) in world.to_send() {
            for len in [len, 3] {
                let done = unsafe {
                    if kernel {
                        libc::syscall(SYS_connect, fd, at, len)
                    } else {
                        c_long::from(libc::connect(fd, at, len))
                    }
                };
                all.push((format!("connect {what} {len}"), gave(done, &[])));
            }
        }
        let blocking = world.listener.as_raw_fd();
        let nonblocking = ("a non-blocking listener", world.nonblocking_listener.as_raw_fd());
        let others = world.to_receive().into_iter().filter(|(_, fd)| *fd != blocking);
        for (what, fd) in others.chain([nonblocking]) {
            for flags in [0, libc::SOCK_CLOEXEC, 1] {
                let done = unsafe {
                    let (null, none) = (null_mut::<libc::sockaddr>(), null_mut::<u32>());
                    if kernel {
                        libc::syscall(SYS_accept4, fd, null, none, flags)
                    } else {
                        c_long::from(libc::accept4(fd, null, none, flags))
                    }
                };
                all.push((format!("accept4 {what} {flags}"), gave(done, &[])));
            }
            let done = unsafe {
                if kernel {
                    libc::syscall(SYS_listen, fd, 5)
                } else {
                    c_long::from(libc::listen(fd, 5))
                }
            };
            all.push((format!("listen {what}"), gave(done, &[])));
        }
        all
    });
}

#[test]
fn polling_gives_what_the_kernel_gives() {
    same(|world, kernel| {
        let mut all = Vec::new();
        for (what, fd) in world.to_send() {
            for events in
                [0, libc::POLLIN, libc::POLLOUT, libc::POLLIN | libc::POLLOUT | libc::POLLPRI]
            {
                let mut asked = [pollfd { fd, events, revents: -1 }];
                let limit = libc::timespec { tv_sec: 0, tv_nsec: 2_000_000 };
                let found = unsafe {
                    let at = asked.as_mut_ptr();
                    if kernel {
                        libc::syscall(SYS_ppoll, at, 1, &raw const limit, NULL, 8_usize)
                    } else {
                        c_long::from(libc::poll(at, 1, 2))
                    }
                };
                all.push((
                    format!("poll {what} {events}"),
                    gave(found, &asked[0].revents.to_le_bytes()),
                ));
            }
            if !(0..1024).contains(&fd) {
                continue;
            }
            let mut sets: [libc::fd_set; 3] = unsafe { std::mem::zeroed() };
            sets.iter_mut().for_each(|set| unsafe { libc::FD_SET(fd, set) });
            let [readable, writable, exceptional] = sets.each_mut().map(|set| &raw mut *set);
            let found = unsafe {
                if kernel {
                    let mut limit = libc::timespec { tv_sec: 0, tv_nsec: 2_000_000 };
                    let limit = &raw mut limit;
                    libc::syscall(
                        SYS_pselect6,
                        fd + 1,
                        readable,
                        writable,
                        exceptional,
                        limit,
                        NULL,
                    )
                } else {
                    let mut limit = libc::timeval { tv_sec: 0, tv_usec: 2_000 };
                    let limit = &raw mut limit;
                    c_long::from(libc::select(fd + 1, readable, writable, exceptional, limit))
                }
            };
            let is_set = |set: &libc::fd_set| u8::from(unsafe { libc::FD_ISSET(fd, set) });
            all.push((format!("select {what}"), gave(found, &sets.each_ref().map(is_set))));
        }
        all
    });
}

#[test]
fn waiting_for_children_that_are_not_there_gives_what_the_kernel_gives() {
    same(|_, kernel| {
        let mut all = Vec::new();
        // Never a child of ours.
        for options in [0, libc::WNOHANG, libc::WUNTRACED, 1 << 20] {
            let mut status: c_int = 0;
            let waited = unsafe {
                if kernel {
                    libc::syscall(SYS_wait4, 1, &raw mut status, options, NULL)
                } else {
                    c_long::from(libc::waitpid(1, &raw mut status, options))
                }
            };
            all.push((format!("waitpid {options}"), gave(waited, &status.to_le_bytes())));
            let mut info: libc::siginfo_t = unsafe { std::mem::zeroed() };
            let waited = unsafe {
                let (which, at) = (libc::P_PID, &raw mut info);
                let options = options | libc::WEXITED;
                if kernel {
                    libc::syscall(SYS_waitid, which, 1, at, options, NULL)
                } else {
                    c_long::from(libc::waitid(which, 1, at, options))
                }
            };
            all.push((format!("waitid {options}"), gave(waited, &[])));
        }
        all
    });
}

#[test]
fn closing_and_copying_give_what_the_kernel_gives() {
    same(|world, kernel| {
        let mut all = Vec::new();
        for (what, fd) in [("none", -1), ("closed", world.closed)] {
            let done = unsafe {
                if kernel { libc::syscall(SYS_close, fd) } else { c_long::from(libc::close(fd)) }
            };
            all.push((format!("close {what}"), gave(done, &[])));
            let done = unsafe {
                if kernel {
                    libc::syscall(SYS_dup3, fd, 50_000, 0)
                } else {
                    c_long::from(libc::dup2(fd, 50_000))
                }
            };
            all.push((format!("dup2 {what}"), gave(done, &[])));
            let done = unsafe {
                if kernel {
                    libc::syscall(SYS_dup3, fd, fd, 0)
                } else {
                    c_long::from(libc::dup3(fd, fd, 0))
                }
            };
            all.push((format!("dup3 {what} {what}"), gave(done, &[])));
        }
        let (here, _there) = UnixStream::pair().unwrap();
        let fd = here.into_raw_fd();
        let done = unsafe {
            if kernel { libc::syscall(SYS_close, fd) } else { c_long::from(libc::close(fd)) }
        };
        all.push(("close".to_owned(), gave(done, &[])));
        // dup2 of a descriptor to itself only looks; dup3 refuses.
        let same = world.empty.as_raw_fd();
        let looked = unsafe { libc::dup2(same, same) } == same;
        all.push(("dup2 to itself".to_owned(), gave(c_long::from(looked), &[])));
        all
    });
}

/// A stream that gets `pieces`, and the end, from a peer that has a name, one after another.
fn stream_of(pieces: &'static [&'static str]) -> UnixStream {
    let directory = tempfile::tempdir().unwrap();
    let listener = UnixListener::bind(directory.path().join("listener")).unwrap();
    let mut address: libc::sockaddr_un = unsafe { std::mem::zeroed() };
    address.sun_family = libc::AF_UNIX as libc::sa_family_t;
    let fill = |address: &mut libc::sockaddr_un, name: &str| {
        let path = directory.path().join(name);
        let bytes = path.as_os_str().as_encoded_bytes();
        address.sun_path = [0; 108];
        bytes.iter().zip(&mut address.sun_path).for_each(|(byte, place)| *place = *byte as i8);
    };
    let mut peer = unsafe {
        let fd = libc::socket(libc::AF_UNIX, libc::SOCK_STREAM, 0);
        fill(&mut address, "peer");
        let (at, len) = ((&raw const address).cast(), size_of_val(&address) as u32);
        assert_eq!(libc::bind(fd, at, len), 0);
        fill(&mut address, "listener");
        let at = (&raw const address).cast();
        assert_eq!(libc::connect(fd, at, len), 0);
        UnixStream::from_raw_fd(fd)
    };
    let (stream, _) = listener.accept().unwrap();
    std::thread::spawn(move || {
        for piece in pieces {
            peer.write_all(piece.as_bytes()).unwrap();
            std::thread::sleep(Duration::from_millis(10));
        }
    });
    stream
}

#[test]
fn to_receive_all_with_the_peers_address_gives_what_the_kernel_gives() {
    same(|_, kernel| {
        let mut all = Vec::new();
        for (what, pieces) in [("all", ["on", "e two"]), ("what there is", ["o", "ne"])] {
            let flags = libc::MSG_WAITALL;
            // As long as the temporary name is, which is not the same each time.
            let ends = |address: &libc::sockaddr_un, len: u32| {
                let path: Vec<u8> = address.sun_path.iter().map(|byte| *byte as u8).collect();
                let path = std::ffi::CStr::from_bytes_until_nul(&path).unwrap().to_bytes();
                vec![u8::from(path.ends_with(b"/peer")), u8::from(path.len() + 3 == len as usize)]
            };
            let mut address: libc::sockaddr_un = unsafe { std::mem::zeroed() };
            let mut len = size_of_val(&address) as u32;
            let mut bytes = [0_u8; 6];
            let pieces: &'static [&'static str] = Box::leak(Box::new(pieces));
            let stream = stream_of(pieces);
            let got = unsafe {
                let (fd, to) = (stream.as_raw_fd(), bytes.as_mut_ptr().cast::<c_void>());
                let at = (&raw mut address).cast::<libc::sockaddr>();
                if kernel {
                    libc::syscall(SYS_recvfrom, fd, to, 6, flags, at, &raw mut len)
                } else {
                    libc::recvfrom(fd, to, 6, flags, at, &raw mut len) as c_long
                }
            };
            let written = [&bytes[..], &ends(&address, len)].concat();
            all.push((format!("recvfrom {what}"), gave(got, &written)));

            let mut address: libc::sockaddr_un = unsafe { std::mem::zeroed() };
            let mut bytes = [0_u8; 6];
            let base = bytes.as_mut_ptr().cast::<c_void>();
            let mut parts = [
                iovec { iov_base: base, iov_len: 1 },
                iovec { iov_base: base.wrapping_byte_add(1), iov_len: 5 },
            ];
            let mut message: msghdr = unsafe { std::mem::zeroed() };
            (message.msg_iov, message.msg_iovlen) = (parts.as_mut_ptr(), 2);
            message.msg_name = (&raw mut address).cast();
            message.msg_namelen = size_of_val(&address) as u32;
            let stream = stream_of(pieces);
            let got = unsafe {
                let fd = stream.as_raw_fd();
                if kernel {
                    libc::syscall(SYS_recvmsg, fd, &raw mut message, flags)
                } else {
                    libc::recvmsg(fd, &raw mut message, flags) as c_long
                }
            };
            let written = [&bytes[..], &ends(&address, message.msg_namelen)].concat();
            all.push((format!("recvmsg {what}"), gave(got, &written)));
        }
        // What fails writes nothing.
        let (here, _there) = UnixStream::pair().unwrap();
        here.set_read_timeout(Some(Duration::from_millis(2))).unwrap();
        let mut byte = 0_u8;
        let mut part = iovec { iov_base: (&raw mut byte).cast(), iov_len: 1 };
        let mut message: msghdr = unsafe { std::mem::zeroed() };
        (message.msg_iov, message.msg_iovlen) = (&raw mut part, 1);
        (message.msg_namelen, message.msg_flags) = (7, 9);
        let got = unsafe {
            let (fd, flags) = (here.as_raw_fd(), libc::MSG_WAITALL);
            if kernel {
                libc::syscall(SYS_recvmsg, fd, &raw mut message, flags)
            } else {
                libc::recvmsg(fd, &raw mut message, flags) as c_long
            }
        };
        let written = [message.msg_namelen as u8, message.msg_flags as u8];
        all.push(("recvmsg nothing".to_owned(), gave(got, &written)));
        all
    });
}

#[test]
fn what_is_left_of_the_time_to_receive_several_is_written_as_the_kernel_writes_it() {
    same(|world, kernel| {
        let mut all = Vec::new();
        for count in [1, 3, 4] {
            let mut bytes = [[0_u8; 8]; 4];
            let mut parts = bytes
                .each_mut()
                .map(|bytes| iovec { iov_base: bytes.as_mut_ptr().cast(), iov_len: 8 });
            let mut messages = parts.each_mut().map(|part| {
                let mut message: mmsghdr = unsafe { std::mem::zeroed() };
                (message.msg_hdr.msg_iov, message.msg_hdr.msg_iovlen) = (part, 1);
                message
            });
            let mut left = libc::timespec { tv_sec: 1_000, tv_nsec: 0 };
            let got = unsafe {
                let (fd, at) = (world.datagram.as_raw_fd(), messages.as_mut_ptr());
                let left = &raw mut left;
                if kernel {
                    libc::syscall(SYS_recvmmsg, fd, at, count, 0, left)
                } else {
                    c_long::from(libc::recvmmsg(fd, at, count, 0, left))
                }
            };
            // Nothing takes a hundred seconds here.
            let is_less = u8::from(left.tv_sec < 1_000) + u8::from(left.tv_sec < 900);
            all.push((format!("recvmmsg {count}"), gave(got, &[is_less])));
        }
        all
    });
}

#[test]
fn to_wait_for_a_non_blocking_pidfd_gives_what_the_kernel_gives() {
    same(|_, kernel| {
        let mut child =
            std::process::Command::new("cat").stdin(std::process::Stdio::piped()).spawn().unwrap();
        let stdin = child.stdin.take();
        let waited = unsafe {
            let flags = libc::O_NONBLOCK;
            let fd = libc::syscall(libc::SYS_pidfd_open, child.id(), flags) as libc::id_t;
            let mut info: libc::siginfo_t = std::mem::zeroed();
            let (which, at) = (libc::P_PIDFD, &raw mut info);
            let waited = if kernel {
                libc::syscall(SYS_waitid, which, fd, at, libc::WEXITED, NULL)
            } else {
                c_long::from(libc::waitid(which, fd, at, libc::WEXITED))
            };
            let gave = gave(waited, &[]);
            libc::close(fd as c_int);
            gave
        };
        drop(stdin);
        child.wait().unwrap();
        vec![("waitid".to_owned(), waited)]
    });
}
