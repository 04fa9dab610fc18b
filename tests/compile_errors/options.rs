use minihuey::{MiniHuey, task};
use once_cell::sync::Lazy;

static HUEY: Lazy<MiniHuey> = Lazy::new(|| MiniHuey::new("app"));

#[task]
fn no_huey() {}

#[task()]
fn no_huey_either() {}

#[task(crontab(minute = "0"))]
fn an_option_where_the_huey_should_be() {}

#[task("HUEY")]
fn huey_in_quotes() {}

#[task(HUEY, retries = 3)]
fn unknown_option() {}

#[task(HUEY, name = "a", name = "b")]
fn name_twice() {}

#[task(HUEY, name = "")]
fn empty_name() {}

#[task(HUEY, crontab(minute = "0"), cron("0 * * * * *"))]
fn two_periods() {}

#[task(HUEY, overlap = "skip")]
fn overlap_of_a_task_that_is_not_periodic() {}

#[task(HUEY, crontab(minute = "0"), overlap = "stack")]
fn unknown_overlap() {}

#[task(HUEY, offload, offload)]
fn offload_twice() {}

#[task(HUEY, timeout = "30")]
fn timeout_without_a_unit() {}

#[task(HUEY, timeout = "0s")]
fn timeout_of_nothing() {}

#[task(HUEY, stack_size = "1KiB")]
fn stack_too_small() {}

#[task(HUEY, stack_size = "large")]
fn stack_that_is_no_size() {}

#[task(HUEY, offload, stack_size = "1MiB")]
fn stack_of_an_offloaded_task() {}

#[task(HUEY)]
#[task(HUEY, name = "other")]
fn a_task_twice() {}

#[task(HUEY, "0 4 * * *")]
fn crontab_without_its_name() {}

#[task(HUEY, "0 0 4 * * *")]
fn cron_without_its_name() {}

#[task(HUEY, "nightly")]
fn text_without_a_name() {}

#[task(HUEY, minute = "0")]
fn field_without_a_crontab() {}

#[task(HUEY, crontab = "0 4 * * *")]
fn crontab_without_parentheses() {}

#[task(HUEY, cron)]
fn cron_of_nothing() {}

#[task(HUEY, when = |_| true)]
fn when_with_a_closure() {}

#[task(HUEY, when)]
fn when_without_a_predicate() {}

#[task(HUEY, offload = true)]
fn offload_with_a_value() {}

#[task(HUEY, timeout = 30)]
fn timeout_as_a_number() {}

#[task(HUEY, timeout)]
fn timeout_alone() {}

#[task(HUEY, stack_size = 1048576)]
fn stack_size_as_a_number() {}

#[task(HUEY, crontab(minute = "0"), overlap = skip)]
fn overlap_without_quotes() {}

#[task(HUEY, name = nightly)]
fn name_without_quotes() {}

fn main() {}
