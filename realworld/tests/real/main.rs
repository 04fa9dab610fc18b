//! Blocking crates as they are, in tasks, against real servers. What a test proves is its name.

#[path = "../../../tests/regressions/child.rs"]
mod child;
mod databases;
mod descriptors;
mod http;
mod mail;
mod peers;
mod processes;
mod servers;
mod sockets;
mod support;
