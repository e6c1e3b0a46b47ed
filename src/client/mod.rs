//! `client`: the command line's side, from arguments to printed answers.
//!
//! It asks the server and renders; it decides nothing.
//!
//! Holds: what a command prints is one value of `core::view`, rendered for the output mode.

pub mod render;
