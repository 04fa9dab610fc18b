mod crontab;
mod summer_time;
mod task_macro;
