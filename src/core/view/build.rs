//! Builds views from the state.
