//! Resources: amounts, what a task asks for, and what a worker offers.
//!
//! Everything is fixed-point in 1/10000 of a unit, so that sums are exact and replay is deterministic.

mod amount;
mod coupling;
mod descriptor;
mod request;

pub use amount::{Amount, AmountError};
pub use coupling::{Coupling, CouplingWeight};
pub use descriptor::{Pool, PoolKind, WorkerResources};
pub use request::{Policy, RequestEntry, ResourceRequest, Variant};

/// Name of the resource that every worker has and every single-node request contains.
pub const CPUS: &str = "cpus";
/// Name of the resource that stands for memory, in MiB.
pub const MEM: &str = "mem";
