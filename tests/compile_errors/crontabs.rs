use minihuey::{Crontab, MiniHuey, crontab, task};
use once_cell::sync::Lazy;

static HUEY: Lazy<MiniHuey> = Lazy::new(|| MiniHuey::new("app"));

#[task(HUEY, crontab(minute = "61"))]
fn out_of_range() {}

#[task(HUEY, crontab(hour = "9", minute = "5-1"))]
fn backwards() {}

#[task(HUEY, crontab(minute = 0, hour = 0, day = 30, month = 2))]
fn never_comes() {}

#[task(HUEY, crontab(minute = 0, hour = -1))]
fn negative() {}

#[task(HUEY, crontab(minute = ZERO))]
fn not_a_literal() {}

#[task(HUEY, crontab(minutes = 5))]
fn unknown_field() {}

#[task(HUEY, crontab(minute = 5, minute = 6))]
fn field_twice() {}

#[task(HUEY, crontab("0 4 * *"))]
fn four_fields() {}

#[task(HUEY, crontab("0 4 * * *", hour = 4))]
fn line_and_field() {}

#[task(HUEY, cron("0 4 * * *"))]
fn cron_with_five_fields() {}

#[task(HUEY, cron(minute = 5))]
fn cron_with_named_fields() {}

#[task(HUEY, cron("* * * * * mon-tues"))]
fn unknown_name() {}

const OUT_OF_RANGE: Crontab = crontab!(day_of_week = 8);
const LINE_OUT_OF_RANGE: Crontab = crontab!("0 24 * * *");

fn main() {}
