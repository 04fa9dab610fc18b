//! Patched blocking calls, in green threads and out of them. One binary, because a process is
//! patched for good.

mod children;
mod closing;
mod corners;
mod ending;
mod faithful;
mod polling;
mod sleeping;
mod sockets;
mod streams;
mod support;
mod unbound;
