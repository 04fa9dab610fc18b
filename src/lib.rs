//! minihuey
pub mod crontab;
