//! Datagrams, messages, and what C programs do with sockets.

use std::io::{ErrorKind, IoSlice, IoSliceMut, Read, Write};
use std::net::UdpSocket;
use std::os::fd::AsRawFd;
use std::os::unix::net::{UnixDatagram, UnixStream};
use std::time::Duration;

use crate::support::{get, in_green, start, while_others_run};

#[test]
fn udp_sockets_wait_for_datagrams() {
    let here = UdpSocket::bind("127.0.0.1:0").unwrap();
    let there = UdpSocket::bind("127.0.0.1:0").unwrap();
    let to = here.local_addr().unwrap();
    let from = there.local_addr().unwrap();
    let got = while_others_run(
        move || {
            let mut bytes = [0; 10];
            let (len, from) = here.recv_from(&mut bytes).unwrap();
            (bytes[..len].to_vec(), from)
        },
        move || assert_eq!(there.send_to(b"hello", to).unwrap(), 5),
    );
    assert_eq!(got, (b"hello".to_vec(), from));
}

#[test]
fn a_time_out_of_a_udp_socket_is_kept() {
    let error = in_green(|| {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.set_read_timeout(Some(Duration::from_millis(20))).unwrap();
        socket.recv_from(&mut [0]).unwrap_err()
    });
    assert_eq!(error.kind(), ErrorKind::WouldBlock);
}

#[test]
fn datagrams_wait_for_room() {
    let (here, there) = UnixDatagram::pair().unwrap();
    let sender = start(move || {
        for number in 0..2_000_u32 {
            assert_eq!(here.send(&number.to_le_bytes()).unwrap(), 4);
        }
    });
    in_green(move || {
        for number in 0..2_000_u32 {
            let mut bytes = [0; 8];
            assert_eq!(there.recv(&mut bytes).unwrap(), 4);
            assert_eq!(bytes[..4], number.to_le_bytes());
        }
    });
    get(sender);
}

/// Receives with these flags.
fn recv(socket: &UnixStream, len: usize, flags: i32) -> Vec<u8> {
    let mut bytes = vec![0; len];
    // SAFETY: the buffer is as long as it says.
    let got =
        unsafe { libc::recv(socket.as_raw_fd(), bytes.as_mut_ptr().cast(), bytes.len(), flags) };
    bytes.truncate(usize::try_from(got).unwrap());
    bytes
}

#[test]
fn waitall_waits_for_all_of_it_or_the_end() {
    let (mut here, there) = UnixStream::pair().unwrap();
    let got = while_others_run(
        move || (recv(&there, 10, libc::MSG_WAITALL), recv(&there, 10, libc::MSG_WAITALL)),
        move || {
            for piece in [b"abcd", b"efgh", b"ijkl"] {
                here.write_all(piece).unwrap();
                std::thread::sleep(Duration::from_millis(5));
            }
        },
    );
    assert_eq!(got, (b"abcdefghij".to_vec(), b"kl".to_vec()));
}

#[test]
fn to_peek_waits_and_takes_nothing() {
    let (mut here, mut there) = UnixStream::pair().unwrap();
    let got = while_others_run(
        move || {
            let peeked = recv(&there, 10, libc::MSG_PEEK);
            let mut bytes = [0; 10];
            let len = there.read(&mut bytes).unwrap();
            (peeked, bytes[..len].to_vec())
        },
        move || here.write_all(b"seen").unwrap(),
    );
    assert_eq!(got, (b"seen".to_vec(), b"seen".to_vec()));
}

#[test]
fn messages_carry_descriptors() {
    // Through std's own vectored calls nothing is carried: so by hand.
    let (here, there) = UnixStream::pair().unwrap();
    let (mut sent, mut other_end) = UnixStream::pair().unwrap();
    let receiver = start(move || {
        let mut byte = [0_u8; 1];
        let mut part = libc::iovec { iov_base: byte.as_mut_ptr().cast(), iov_len: 1 };
        let mut control = [0_u64; 8];
        // SAFETY: all structs are valid, and the kernel writes within their lengths.
        unsafe {
            let mut message: libc::msghdr = std::mem::zeroed();
            (message.msg_iov, message.msg_iovlen) = (&mut part, 1);
            message.msg_control = control.as_mut_ptr().cast();
            message.msg_controllen = size_of_val(&control);
            assert_eq!(libc::recvmsg(there.as_raw_fd(), &mut message, 0), 1);
            let header = libc::CMSG_FIRSTHDR(&message);
            assert_eq!((*header).cmsg_type, libc::SCM_RIGHTS);
            let fd = libc::CMSG_DATA(header).cast::<i32>().read_unaligned();
            std::os::fd::FromRawFd::from_raw_fd(fd)
        }
    });
    in_green(move || {
        let mut part = libc::iovec { iov_base: b"x".as_ptr().cast_mut().cast(), iov_len: 1 };
        let mut control = [0_u64; 8];
        // SAFETY: as above.
        unsafe {
            let mut message: libc::msghdr = std::mem::zeroed();
            (message.msg_iov, message.msg_iovlen) = (&mut part, 1);
            message.msg_control = control.as_mut_ptr().cast();
            message.msg_controllen = libc::CMSG_SPACE(4) as usize;
            let header = libc::CMSG_FIRSTHDR(&message);
            (*header).cmsg_level = libc::SOL_SOCKET;
            (*header).cmsg_type = libc::SCM_RIGHTS;
            (*header).cmsg_len = libc::CMSG_LEN(4) as usize;
            libc::CMSG_DATA(header).cast::<i32>().write_unaligned(sent.as_raw_fd());
            assert_eq!(libc::sendmsg(here.as_raw_fd(), &message, 0), 1);
        }
        sent.write_all(b"from the original").unwrap();
    });
    let mut received: UnixStream = get(receiver);
    received.write_all(b", from the copy").unwrap();
    drop(received);
    let mut text = String::new();
    other_end.read_to_string(&mut text).unwrap();
    assert_eq!(text, "from the original, from the copy");
}

#[test]
fn several_messages_are_received_and_sent_in_one_call() {
    let (here, there) = UnixDatagram::pair().unwrap();
    let got = while_others_run(
        move || {
            let mut bytes = [[0_u8; 4]; 3];
            let mut parts = bytes
                .each_mut()
                .map(|bytes| libc::iovec { iov_base: bytes.as_mut_ptr().cast(), iov_len: 4 });
            // SAFETY: all structs are valid.
            let mut messages = parts.each_mut().map(|part| unsafe {
                let mut message: libc::mmsghdr = std::mem::zeroed();
                (message.msg_hdr.msg_iov, message.msg_hdr.msg_iovlen) = (part, 1);
                message
            });
            let none = std::ptr::null_mut();
            // SAFETY: as above.
            let count =
                unsafe { libc::recvmmsg(there.as_raw_fd(), messages.as_mut_ptr(), 3, 0, none) };
            (count, bytes)
        },
        move || {
            let bytes = [*b"1111", *b"2222", *b"3333"];
            let mut parts = bytes.each_ref().map(|bytes| libc::iovec {
                iov_base: bytes.as_ptr().cast_mut().cast(),
                iov_len: 4,
            });
            // SAFETY: as above.
            let mut messages = parts.each_mut().map(|part| unsafe {
                let mut message: libc::mmsghdr = std::mem::zeroed();
                (message.msg_hdr.msg_iov, message.msg_hdr.msg_iovlen) = (part, 1);
                message
            });
            let fd = here.as_raw_fd();
            // SAFETY: as above.
            assert_eq!(unsafe { libc::sendmmsg(fd, messages.as_mut_ptr(), 3, 0) }, 3);
        },
    );
    assert_eq!(got, (3, [*b"1111", *b"2222", *b"3333"]));
}

#[test]
fn non_blocking_sockets_stay_non_blocking() {
    in_green(|| {
        let (here, _there) = UnixStream::pair().unwrap();
        here.set_nonblocking(true).unwrap();
        assert_eq!((&here).read(&mut [0]).unwrap_err().kind(), ErrorKind::WouldBlock);
        let mut byte = [0];
        let parts = &mut [IoSliceMut::new(&mut byte)];
        assert_eq!((&here).read_vectored(parts).unwrap_err().kind(), ErrorKind::WouldBlock);
        let big = vec![0; 1_000_000];
        while (&here).write_vectored(&[IoSlice::new(&big)]).is_ok() {}
        assert_eq!((&here).write(&big).unwrap_err().kind(), ErrorKind::WouldBlock);
    });
}

#[test]
fn names_are_looked_up_while_others_run() {
    use std::net::ToSocketAddrs;
    let looked: Vec<_> = (0..50)
        .map(|_| start(|| ("localhost", 80).to_socket_addrs().unwrap().next().unwrap()))
        .collect();
    for address in looked {
        assert!(get(address).ip().is_loopback());
    }
}
