//! The worker's own machine: attempts, the books of its resources, its lease, its outbox.
//!
//! A worker outlives its server, so it decides for itself: what starts next, what is killed, what still has to be
//! told. All of that is here, without a clock, a process or a socket; `hyperqueue::worker` carries it out.
//!
//! What holds:
//! * each attempt that was assigned ends in exactly one outcome, or is given back, or is dropped at the server's word;
//! * a word about another fence than the one held is ignored;
//! * an outcome stays in the outbox until the server has made it durable;
//! * a queued task starts in the turn in which its resources become free;
//! * a task that the server counts as started and that cannot be placed goes back in the same turn;
//! * once the agent is ending it starts nothing, and it exits when its last process is gone.

pub mod allocate;
mod blocked;
#[cfg(test)]
mod blocked_tests;
mod command;
mod desc;
mod effect;
mod ending;
mod held;
#[cfg(test)]
mod history_tests;
mod machine;
mod outbox;
mod queue;
#[cfg(test)]
mod tests;

pub use command::{AgentCommand, ProcessEnd, ProcessStatus, Timer};
pub use effect::{AgentEffect, Awaited, KillKind, SpawnOrder};
pub use machine::{Agent, AgentConfig};
