//! The crontab language.
