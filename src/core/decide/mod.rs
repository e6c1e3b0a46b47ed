//! Decisions: functions of the state that say which events shall happen, or why not. They change nothing.

pub mod act;
pub mod after;
pub mod cancel;
pub mod depend;
pub mod gate;
pub mod open;
pub mod overview;
pub mod register;
#[cfg(test)]
mod register_tests;
pub mod report;
pub mod retention;
pub mod retry;
pub mod submit;
pub mod time;
