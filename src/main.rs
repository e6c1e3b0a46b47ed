//! hq
fn main() {}
