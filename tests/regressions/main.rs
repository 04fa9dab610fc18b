//! What went wrong once, and must not again: one file per theme, one test per sentence that holds.
//!
//! A test that needs a process of its own runs in one, see [`child`].

mod cancelled;
mod child;
mod contested;
mod destructors;
mod ends_of_time;
mod foreign_code;
mod interrupts;
mod lifecycle;
mod memory;
mod overflow;
mod patched;
mod scheduler;
mod shortage;
mod starvation;
mod support;
mod workers;
