//! The kernel's own calls, and errno. What is interposed must reach the kernel without the names
//! that are interposed; so these go by number. Only calls that every architecture of Linux has are
//! used: `poll` is `ppoll`, `dup2` is `dup3`.

use std::ffi::{c_int, c_long, c_void};
use std::ptr;

use libc::{
    fd_set, iovec, mmsghdr, mode_t, msghdr, nfds_t, off_t, pid_t, pollfd, rusage, siginfo_t,
    sigset_t, size_t, sockaddr, socklen_t, ssize_t, timespec,
};

/// The kernel's idea of how long a signal set is, in bytes.
const SIGNAL_SET: usize = 8;

pub fn errno() -> c_int {
    // SAFETY: the pointer is valid for the calling thread.
    unsafe { *libc::__errno_location() }
}

/// What a failed call gives: -1, with errno set.
pub fn fail<T: From<i8>>(errno: c_int) -> T {
    // SAFETY: as above.
    unsafe { *libc::__errno_location() = errno };
    T::from(-1)
}

/// Functions of these names, types and system calls. (`syscall` gives a `c_long` that the call's
/// own type holds.)
macro_rules! calls {
    ($($(#[$doc:meta])* fn $name:ident($($arg:ident: $type:ty),*) -> $gives:ty = $number:ident;)*) => {$(
        $(#[$doc])*
        /// # Safety
        /// As the C function of this name.
        pub unsafe fn $name($($arg: $type),*) -> $gives {
            // SAFETY: the caller's promise, and the arguments are those that the call takes.
            unsafe { libc::syscall(libc::$number, $($arg),*) as $gives }
        }
    )*};
}

calls! {
    fn recvfrom(fd: c_int, buffer: *mut c_void, len: size_t, flags: c_int, address: *mut sockaddr,
        address_len: *mut socklen_t) -> ssize_t = SYS_recvfrom;
    fn recvmsg(fd: c_int, message: *mut msghdr, flags: c_int) -> ssize_t = SYS_recvmsg;
    fn recvmmsg(fd: c_int, messages: *mut mmsghdr, count: u32, flags: c_int,
        timeout: *mut timespec) -> c_int = SYS_recvmmsg;
    fn sendto(fd: c_int, buffer: *const c_void, len: size_t, flags: c_int,
        address: *const sockaddr, address_len: socklen_t) -> ssize_t = SYS_sendto;
    fn sendmsg(fd: c_int, message: *const msghdr, flags: c_int) -> ssize_t = SYS_sendmsg;
    fn sendmmsg(fd: c_int, messages: *mut mmsghdr, count: u32, flags: c_int)
        -> c_int = SYS_sendmmsg;
    fn sendfile(out: c_int, from: c_int, offset: *mut off_t, count: size_t)
        -> ssize_t = SYS_sendfile;
    fn read(fd: c_int, buffer: *mut c_void, len: size_t) -> ssize_t = SYS_read;
    fn readv(fd: c_int, parts: *const iovec, count: c_int) -> ssize_t = SYS_readv;
    fn write(fd: c_int, buffer: *const c_void, len: size_t) -> ssize_t = SYS_write;
    fn writev(fd: c_int, parts: *const iovec, count: c_int) -> ssize_t = SYS_writev;
    fn connect(fd: c_int, address: *const sockaddr, len: socklen_t) -> c_int = SYS_connect;
    fn accept4(fd: c_int, address: *mut sockaddr, len: *mut socklen_t, flags: c_int)
        -> c_int = SYS_accept4;
    fn listen(fd: c_int, backlog: c_int) -> c_int = SYS_listen;
    fn socket(domain: c_int, kind: c_int, protocol: c_int) -> c_int = SYS_socket;
    fn socketpair(domain: c_int, kind: c_int, protocol: c_int, pair: *mut c_int)
        -> c_int = SYS_socketpair;
    fn close(fd: c_int) -> c_int = SYS_close;
    fn dup3(from: c_int, to: c_int, flags: c_int) -> c_int = SYS_dup3;
    fn wait4(pid: pid_t, status: *mut c_int, options: c_int, usage: *mut rusage)
        -> pid_t = SYS_wait4;
    fn pidfd_open(pid: pid_t, flags: u32) -> c_int = SYS_pidfd_open;
    fn clock_nanosleep(clock: c_int, flags: c_int, request: *const timespec,
        remaining: *mut timespec) -> c_int = SYS_clock_nanosleep;
    fn sched_yield() -> c_int = SYS_sched_yield;
}

/// As wide as a register: the last argument of `syscall` lies on the stack, and all of it is read.
const NO_WAIT: c_long = libc::RWF_NOWAIT as c_long;

/// As `readv`, but fails with EAGAIN instead of blocking. Pipes without a name can do that since
/// Linux
/// 6.4; of others see [`can_t_tell`].
///
/// # Safety
/// As `readv` in C.
pub unsafe fn readv_now(fd: c_int, parts: *const iovec, count: usize) -> ssize_t {
    let at: c_long = -1;
    // SAFETY: the caller's promise. The position, in two halves, says that none is given.
    unsafe { libc::syscall(libc::SYS_preadv2, fd, parts, count, at, at, NO_WAIT) as ssize_t }
}

/// The last call failed because it can't be told not to block, or may not be made at all. Or for
/// another reason, which `readv` has, too.
pub fn can_t_tell() -> bool {
    matches!(errno(), libc::EOPNOTSUPP | libc::ENOSYS | libc::EINVAL | libc::EPERM)
}

/// As `writev`, but fails with EAGAIN instead of blocking; see [`readv_now`].
///
/// # Safety
/// As `writev` in C.
pub unsafe fn writev_now(fd: c_int, parts: *const iovec, count: usize) -> ssize_t {
    let at: c_long = -1;
    // SAFETY: as above.
    unsafe { libc::syscall(libc::SYS_pwritev2, fd, parts, count, at, at, NO_WAIT) as ssize_t }
}

/// # Safety
/// As `ppoll` in C; the kernel writes what is left to `timeout`.
pub unsafe fn ppoll(
    fds: *mut pollfd,
    count: nfds_t,
    timeout: *mut timespec,
    mask: *const sigset_t,
) -> c_int {
    // SAFETY: the caller's promise.
    unsafe { libc::syscall(libc::SYS_ppoll, fds, count, timeout, mask, SIGNAL_SET) as c_int }
}

/// # Safety
/// As `pselect` in C; the kernel writes what is left to `timeout`.
pub unsafe fn pselect(
    count: c_int,
    sets: [*mut fd_set; 3],
    timeout: *mut timespec,
    mask: *const sigset_t,
) -> c_int {
    let [readable, writable, exceptional] = sets;
    let mask: [usize; 2] = [mask as usize, SIGNAL_SET];
    // SAFETY: the caller's promise; the sixth argument points to a pair of pointer and length.
    unsafe {
        libc::syscall(
            libc::SYS_pselect6,
            count,
            readable,
            writable,
            exceptional,
            timeout,
            mask.as_ptr(),
        ) as c_int
    }
}

/// # Safety
/// As `waitid` in C.
pub unsafe fn waitid(which: c_int, id: libc::id_t, info: *mut siginfo_t, options: c_int) -> c_int {
    let usage = ptr::null_mut::<rusage>();
    // SAFETY: the caller's promise; no usage is asked for.
    unsafe { libc::syscall(libc::SYS_waitid, which, id, info, options, usage) as c_int }
}

/// What kind of file a descriptor is (`S_IFSOCK` …); None if it is not open.
/// Leaves errno as it is.
pub fn file_type(fd: c_int) -> Option<mode_t> {
    let before = errno();
    let mut stat = std::mem::MaybeUninit::<libc::stat>::uninit();
    // SAFETY: fstat writes the whole struct if it succeeds, and only then is it read.
    let found = unsafe {
        (libc::fstat(fd, stat.as_mut_ptr()) == 0).then(|| stat.assume_init().st_mode & libc::S_IFMT)
    };
    fail::<c_int>(before);
    found
}

/// How the descriptor was opened (`O_NONBLOCK`, `O_WRONLY` …); all bits if it is not open.
pub fn status(fd: c_int) -> c_int {
    // SAFETY: no memory is involved.
    unsafe { libc::fcntl(fd, libc::F_GETFL) }
}

/// The program made the descriptor non-blocking.
pub fn is_nonblocking(fd: c_int) -> bool {
    status(fd) & libc::O_NONBLOCK != 0
}

/// The descriptor blocks, and may be used in this way (`O_RDONLY` or `O_WRONLY`).
pub fn is_blocking_for(fd: c_int, way: c_int) -> bool {
    let status = status(fd);
    let ways = status & libc::O_ACCMODE;
    status & libc::O_NONBLOCK == 0 && (ways == way || ways == libc::O_RDWR)
}

/// A socket option; None if it has none of that type.
pub fn socket_option<T: Default>(fd: c_int, option: c_int) -> Option<T> {
    let mut value = T::default();
    let mut len = size_of::<T>() as socklen_t;
    // SAFETY: the kernel writes at most `len` bytes to `value`, which is plain data.
    let got = unsafe {
        libc::getsockopt(fd, libc::SOL_SOCKET, option, (&raw mut value).cast(), &raw mut len)
    };
    (got == 0).then_some(value)
}
