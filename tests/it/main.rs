//! The integration tests: one file per noun, one test per sentence that the library promises.

mod awaiting;
mod calls;
mod channel;
mod connections;
mod crontab;
mod failures;
mod green;
mod groups;
mod lifecycle;
mod logging;
mod misuse;
mod periodic;
mod pool;
mod results;
mod schedule;
mod stress;
mod summer_time;
mod support;
mod sync;
mod task_macro;
