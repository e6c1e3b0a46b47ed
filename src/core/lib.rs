//! `hq-core`: every decision of the scheduler, pure, deterministic and synchronous.
//!
//! The server feeds [`machine::Machine`] with commands and gets events, effects and replies back; the worker
//! feeds [`agent::Agent`] the same way. Nothing in here reads a clock, a file, a socket, the environment or a
//! random source: what is not a function of the state comes in with the command.
//!
//! **Invariant:** [`state::State`] changes only in `State::apply(&Event)`; the live path and the replay of a
//! journal are the same call.
#![forbid(unsafe_code)]
#![cfg_attr(not(test), deny(clippy::unwrap_used, clippy::expect_used, clippy::panic))]

#[macro_use]
pub mod cbor;
pub mod act;
pub mod admission;
pub mod after;
pub mod agent;
pub mod attempt;
pub mod audit;
pub mod command;
pub mod cycle;
pub mod decide;
pub mod event;
pub mod glob;
pub mod id;
pub mod idset;
pub mod limits;
pub mod machine;
#[cfg(test)]
mod machine_tests;
pub mod overview;
pub mod place;
pub mod planted;
pub mod resource;
pub mod retention;
pub mod retry;
pub mod state;
pub mod task;
pub mod time;
pub mod view;
pub mod worker;
