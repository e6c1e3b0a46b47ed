//! hq
fn main(){}
