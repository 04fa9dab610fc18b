mod crontab;
mod summer_time;
