//! Streams through std: what blocks waits, and others run.

use std::io::{ErrorKind, IoSlice, IoSliceMut, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use minihuey::green;

use crate::support::{get, in_green, next, start, while_others_run};

#[test]
fn a_read_waits_for_data_while_others_run() {
    let (mut here, mut there) = UnixStream::pair().unwrap();
    let read = while_others_run(
        move || {
            let mut bytes = [0; 10];
            let len = there.read(&mut bytes).unwrap();
            bytes[..len].to_vec()
        },
        move || here.write_all(b"news").unwrap(),
    );
    assert_eq!(read, b"news");
}

#[test]
fn a_write_waits_for_room_and_writes_all() {
    const LEN: usize = 10_000_000;
    let (mut here, mut there) = UnixStream::pair().unwrap();
    let (sends, received) = mpsc::channel();
    let written = while_others_run(
        move || there.write(&vec![7; LEN]).unwrap(),
        move || {
            std::thread::spawn(move || {
                let mut all = Vec::new();
                here.read_to_end(&mut all).unwrap();
                sends.send(all).unwrap();
            });
        },
    );
    assert_eq!(written, LEN, "a blocking write on a stream writes all of it");
    assert_eq!(next(&received), vec![7; LEN]);
}

#[test]
fn scattered_reads_and_gathered_writes_wait_too() {
    let (mut here, mut there) = UnixStream::pair().unwrap();
    const LEN: usize = 3_000_000;
    let writer = start(move || {
        let parts = [vec![1; LEN], vec![], vec![2; LEN]];
        here.write_vectored(&parts.each_ref().map(|part| IoSlice::new(part))).unwrap()
    });
    let all = in_green(move || {
        let mut all = Vec::new();
        loop {
            let (mut front, mut back) = ([0; 1000], [0; 9000]);
            let parts = &mut [IoSliceMut::new(&mut front), IoSliceMut::new(&mut back)];
            let len = there.read_vectored(parts).unwrap();
            if len == 0 {
                return all;
            }
            let joined = [&front[..], &back[..]].concat();
            all.extend_from_slice(&joined[..len]);
        }
    });
    assert_eq!(get(writer), 2 * LEN);
    assert_eq!(all, [vec![1; LEN], vec![2; LEN]].concat());
}

#[test]
fn tcp_clients_and_servers_share_the_worker() {
    let all = in_green(|| {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let clients: Vec<_> = (0..200_u64)
            .map(|number| {
                start(move || {
                    let mut stream = TcpStream::connect(address).unwrap();
                    stream.write_all(&number.to_le_bytes()).unwrap();
                    let mut answer = [0; 8];
                    stream.read_exact(&mut answer).unwrap();
                    u64::from_le_bytes(answer)
                })
            })
            .collect();
        for _ in 0..200 {
            let (mut stream, _) = listener.accept().unwrap();
            drop(start(move || {
                let mut number = [0; 8];
                stream.read_exact(&mut number).unwrap();
                green::sleep(Duration::from_millis(5));
                let double = u64::from_le_bytes(number) * 2;
                stream.write_all(&double.to_le_bytes()).unwrap();
            }));
        }
        clients.into_iter().map(get).collect::<Vec<_>>()
    });
    assert_eq!(all, (0..200).map(|number| number * 2).collect::<Vec<_>>());
}

#[test]
fn accept_waits_for_a_client_while_others_run() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let peer = while_others_run(
        move || listener.accept().unwrap().1,
        move || drop(TcpStream::connect(address).unwrap()),
    );
    assert!(peer.ip().is_loopback());
}

#[test]
fn a_connection_to_a_full_unix_listener_waits_for_room() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("socket");
    let listener = UnixListener::bind(&path).unwrap();
    // The queue is as long as the patch makes it: so a short one is asked for by number.
    // SAFETY: no memory is involved.
    unsafe { libc::syscall(libc::SYS_listen, std::os::fd::AsRawFd::as_raw_fd(&listener), 0) };
    let first = UnixStream::connect(&path).unwrap();
    let to = path.clone();
    let second = while_others_run(
        move || UnixStream::connect(to).unwrap(),
        move || {
            listener.accept().unwrap();
            // For the second one, whenever it comes.
            std::thread::spawn(move || listener.accept().unwrap());
        },
    );
    drop((first, second));
}

#[test]
fn a_refused_connection_is_refused() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let error = in_green(move || TcpStream::connect(address).unwrap_err());
    assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
    let error = in_green(move || {
        TcpStream::connect_timeout(&address, Duration::from_secs(10)).unwrap_err()
    });
    assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
}

/// A listener whose queue is full: further connections get no answer.
fn full_listener() -> (TcpListener, std::net::SocketAddr, Vec<TcpStream>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    // SAFETY: no memory is involved.
    unsafe { libc::syscall(libc::SYS_listen, std::os::fd::AsRawFd::as_raw_fd(&listener), 0) };
    let address = listener.local_addr().unwrap();
    let mut held = Vec::new();
    while let Ok(stream) = TcpStream::connect_timeout(&address, Duration::from_millis(200)) {
        held.push(stream);
    }
    (listener, address, held)
}

#[test]
fn connect_with_a_time_out_times_out_while_others_run() {
    let (_listener, address, _held) = full_listener();
    let error = while_others_run(
        move || TcpStream::connect_timeout(&address, Duration::from_millis(300)).unwrap_err(),
        || {},
    );
    assert_eq!(error.kind(), ErrorKind::TimedOut);
}

#[test]
fn time_outs_set_through_std_are_kept_in_both_directions() {
    let (elapsed, error) = in_green(|| {
        let (mut here, _there) = UnixStream::pair().unwrap();
        here.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
        let start = Instant::now();
        let error = here.read(&mut [0]).unwrap_err();
        (start.elapsed(), error.kind())
    });
    assert!(elapsed >= Duration::from_millis(50));
    assert_eq!(error, ErrorKind::WouldBlock);
    let (elapsed, len) = in_green(|| {
        let (mut here, _there) = UnixStream::pair().unwrap();
        here.set_write_timeout(Some(Duration::from_millis(50))).unwrap();
        let start = Instant::now();
        let len = here.write(&vec![0; 10_000_000]).unwrap();
        (start.elapsed(), len)
    });
    assert!(elapsed >= Duration::from_millis(50));
    assert!(len < 10_000_000, "what was written before the time-out counts");
}

#[test]
fn one_socket_is_read_and_written_by_two_green_threads_at_once() {
    const LEN: usize = 5_000_000;
    let (here, mut there) = UnixStream::pair().unwrap();
    let echo = start(move || {
        let mut bytes = vec![0; 50_000];
        loop {
            match there.read(&mut bytes).unwrap() {
                0 => return,
                len => there.write_all(&bytes[..len]).unwrap(),
            }
        }
    });
    let mut to_write = here.try_clone().unwrap();
    let mut to_read = here;
    let reader = start(move || {
        let mut all = Vec::new();
        to_read.read_to_end(&mut all).unwrap();
        all.len()
    });
    let writer = start(move || {
        to_write.write_all(&vec![1; LEN]).unwrap();
        to_write.shutdown(Shutdown::Write).unwrap();
    });
    get(writer);
    get(echo);
    assert_eq!(get(reader), LEN);
}

#[test]
fn shutting_down_wakes_who_reads() {
    let (here, mut there) = UnixStream::pair().unwrap();
    let other = there.try_clone().unwrap();
    let len = while_others_run(
        move || there.read(&mut [0; 10]).unwrap(),
        move || other.shutdown(Shutdown::Both).unwrap(),
    );
    assert_eq!(len, 0);
    drop(here);
}

#[test]
fn a_green_thread_and_an_os_thread_share_a_socket() {
    let (mut here, there) = UnixStream::pair().unwrap();
    let (mut for_green, mut for_thread) = (there.try_clone().unwrap(), there);
    let (sends, received) = mpsc::channel();
    let to_main = sends.clone();
    let thread = std::thread::spawn(move || {
        let mut byte = [0];
        while for_thread.read(&mut byte).unwrap() == 1 {
            to_main.send(byte[0]).unwrap();
        }
    });
    let green = start(move || {
        let mut byte = [0];
        while for_green.read(&mut byte).unwrap() == 1 {
            sends.send(byte[0]).unwrap();
        }
    });
    for byte in 0..200 {
        here.write_all(&[byte]).unwrap();
    }
    drop(here);
    get(green);
    thread.join().unwrap();
    let mut all: Vec<u8> = received.iter().collect();
    all.sort_unstable();
    assert_eq!(all, (0..200).collect::<Vec<_>>());
}

#[test]
fn a_copy_of_a_file_to_a_socket_waits_for_room() {
    const LEN: usize = 4_000_000;
    let mut file = tempfile::tempfile().unwrap();
    let bytes: Vec<u8> = (0..LEN).map(|n| (n % 251) as u8).collect();
    file.write_all(&bytes).unwrap();
    let (mut here, mut there) = UnixStream::pair().unwrap();
    let copy = start(move || {
        use std::io::Seek;
        file.rewind().unwrap();
        std::io::copy(&mut file, &mut here).unwrap()
    });
    let all = in_green(move || {
        green::sleep(Duration::from_millis(20));
        let mut all = Vec::new();
        there.read_to_end(&mut all).unwrap();
        all
    });
    assert_eq!(get(copy), LEN as u64);
    assert!(all == bytes);
}
