//! Networks and processes that freeze, swallow and delay: no task runs twice at a time, and none is started again in vain.
//!
//! A broken network looks like a dead machine from both sides, and users see the difference only in what their tasks wrote.
//!
//! Holds: what is waited for is a condition, except where nothing must happen for longer than a lease; tests that need
//! network namespaces say so and pass where they are not permitted.

#[path = "../harness/mod.rs"]
mod harness;
#[path = "../crash/seed.rs"]
#[allow(dead_code, reason = "the tests of crashes need more of it")]
mod seed;

mod freezes;
mod many;
mod namespace;
mod partitions;
mod proxy;
mod ways;
mod witness;
