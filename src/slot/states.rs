//! The bits of a slot's one atomic byte. Every transition is one read-modify-write, so all threads
//! agree on one order of them; each bit says who may touch which field.

/// A new slot: the work is there, nobody waits. No bit is set.
pub const NEW: u8 = 0;

/// Somebody has the work. Set once, by whoever finds it clear: from then on the content is that
/// one's alone, who moves the work out and the value in, until it sets `READY`.
/// While it is clear the work is in the slot and nobody touches it.
pub const BEGUN: u8 = 1 << 0;

/// The receiver waits: the waiter field is filled. Set and cleared by the receiver alone, and
/// never set by it once it has seen `READY`.
pub const WAITING: u8 = 1 << 1;

/// It is over: there is a value, or, if [`FATE`] is set, none. Set for good by whoever finds it
/// clear. If `WAITING` was set before, that thread owns the waiter from here on; the receiver must
/// not touch it again.
pub const READY: u8 = 1 << 2;

/// Three bits: how it ends, if somebody other than who has the work ends it; zero if nobody does.
/// Set once, by whoever finds them and `READY` clear. Then there is no value: the receiver does not
/// look at the content, which stays whose it is.
pub const FATE: u8 = 0b111 << 3;

/// The work is still there, though it will never begin. Set together with `BEGUN` and a [`FATE`];
/// whoever clears it drops the work, or, if nobody has by then, the slot's last owner does.
pub const LEFT: u8 = 1 << 6;

/// The receiver is gone, and nobody will ask for a value. Set by it, as the last that it does, if
/// `READY` was not there: who sets that then drops the value. Else the receiver does.
pub const GONE: u8 = 1 << 7;

/// The values of [`FATE`].
pub const CANCELLED: u8 = 1 << 3;
pub const TIMED_OUT: u8 = 2 << 3;
pub const SHUT_DOWN: u8 = 3 << 3;
pub const OVERFLOWED: u8 = 4 << 3;
