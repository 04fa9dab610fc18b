//! crontab
