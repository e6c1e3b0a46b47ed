//! hq
pub mod platform;
