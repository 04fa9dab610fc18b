//! Background tasks for blocking Rust.
#![deny(unsafe_code)]

mod clock;
mod closure;
pub mod crontab;
mod declared;
mod engine;
mod error;
#[allow(unsafe_code)]
pub mod green;
mod group;
mod mini;
mod periodic;
mod primitives;
mod result;
mod scheduler;
#[allow(unsafe_code)]
mod slot;
mod task;
mod timetable;

pub use clock::{Clock, Eta, ManualClock};
pub use closure::Task;
pub use crontab::{Crontab, CrontabError};
pub use declared::HueyRef;
pub use engine::{Abandoned, Stage, Stats, WhenFull};
pub use error::{Error, Failure, Panic, Reason, Rejection, TaskError};
pub use green::{RuntimeBuilder, runtime};
pub use group::{AsCompleted, Group, group};
pub use mini::{Builder, MiniHuey};
#[doc(inline)]
pub use minihuey_macros::{crontab, task};
pub use periodic::{Overlap, Period};
pub use result::{TaskId, TaskResult};
pub use task::{Ending, TaskFn};

/// What the macros expand to. Not for direct use: it changes without notice.
#[doc(hidden)]
pub mod __private {
    pub use inventory;

    pub use crate::declared::{
        Declaration, Declared, Value, body, call, ending, into_shown, map, schedule,
    };
    pub use crate::error::Failure;
    pub use crate::task::{Gives, NotResult, Outcome, Probe};
}
