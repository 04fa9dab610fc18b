use std::rc::Rc;

use minihuey::{MiniHuey, task};
use once_cell::sync::Lazy;

static HUEY: Lazy<MiniHuey> = Lazy::new(|| MiniHuey::new("app"));

struct Local(Rc<i32>);

#[task(HUEY)]
fn value() -> Box<Rc<i32>> {
    Box::new(Rc::new(1))
}

#[task(HUEY)]
fn in_a_result() -> Result<Rc<i32>, String> {
    Ok(Rc::new(1))
}

#[task(HUEY)]
fn in_a_type_of_ones_own() -> Local {
    Local(Rc::new(1))
}

fn main() {}
