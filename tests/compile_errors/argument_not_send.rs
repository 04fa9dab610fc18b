use std::rc::Rc;

use minihuey::{MiniHuey, task};
use once_cell::sync::Lazy;

static HUEY: Lazy<MiniHuey> = Lazy::new(|| MiniHuey::new("app"));

#[task(HUEY)]
fn one(_shared: Rc<i32>) {}

#[task(HUEY)]
fn one_of_three(_a: i32, _shared: Rc<i32>, _b: i32) {}

fn main() {}
