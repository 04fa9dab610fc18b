use minihuey::task;

static HUEY: &str = "HUEY";

#[task(HUEY)]
fn task_of_a_string() {}

fn main() {}
