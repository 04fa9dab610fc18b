pub const NAMES: [&str; 0] = [];
pub fn run(_name: &str) {}
