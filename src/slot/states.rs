//! The bits of a slot's one atomic byte. Every transition is one read-modify-write, so all threads
//! agree on one order of them; each bit says who may touch which field.

/// A new slot: the work is there, nobody waits. No bit is set.
pub const NEW: u8 = 0;

/// Somebody took the work. Set once, by whoever finds it clear; that one moves the work out.
/// While it is clear the work is in the slot and nobody touches it.
pub const BEGUN: u8 = 1 << 0;

/// Somebody decides the value. Set once, by whoever finds it clear; that one alone writes the
/// value. A runner, a canceller and a shutdown may race for it: the first wins.
pub const DECIDED: u8 = 1 << 1;

/// The receiver waits: the waiter field is filled. Set and cleared by the receiver alone, and
/// never set by it once it has seen `READY`.
pub const WAITING: u8 = 1 << 2;

/// The value is written. Set once, after `DECIDED`, by the same thread. If `WAITING` was set
/// before, that thread owns the waiter from here on; the receiver must not touch it again.
pub const READY: u8 = 1 << 3;

/// The receiver moved the value out. Set once, by the receiver, after it saw `READY`.
pub const TAKEN: u8 = 1 << 4;

/// Two bits: how it ends, if somebody other than its runner ends it; zero if nobody does. Set once,
/// together with `BEGUN` or `DECIDED`, by whoever finds that bit and these clear.
pub const FATE: u8 = 0b11 << 5;

/// The values of [`FATE`].
pub const CANCELLED: u8 = 1 << 5;
pub const TIMED_OUT: u8 = 2 << 5;
pub const SHUT_DOWN: u8 = 3 << 5;
