//! Placement: which ready tasks go to which workers now.
//!
//! Placing walks over queues (class and priority), never over waiting tasks, and over workers that have something
//! free. The answer is a list of assignments that the machine applies one by one.
//!
//! **Invariant:** the work of one call is bounded by `limits::TURN_ASSIGNMENTS_MAX` and the other limits of a turn; what
//! remains follows in the next turn.

mod ahead;
mod explain;
mod fit;
mod gang;
mod order;
mod pattern;
mod reserve;
mod why;

pub use ahead::{Rest, Retraction, ahead, retractions};
pub use explain::explain;
pub use fit::{Assign, fit, fit_demanding};
pub use gang::fit_gang;
pub use order::{Band, Walk, walk};
pub use reserve::{Draft, may_reserve};
pub use why::{why_job, why_task};
