//! The integration tests: one file per noun, one test per sentence that the library promises.

mod awaiting;
mod calls;
mod cancel;
mod channel;
mod clocks;
mod connections;
mod crontab;
mod endings;
mod failures;
mod green;
mod groups;
mod lifecycle;
mod logging;
mod misuse;
mod offload;
mod periodic;
mod pool;
mod results;
mod schedule;
mod stack_size;
mod stress;
mod summer_time;
mod support;
mod sync;
mod task_macro;
mod timeouts;
