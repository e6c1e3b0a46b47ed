//! Placement: which ready tasks go to which workers now.
//!
//! Placing walks over queues (class and priority), never over waiting tasks, and over workers that have something
//! free. The answer is a list of assignments that the machine applies one by one.
//!
//! **Invariant:** the work of one call is bounded by `limits::TURN_ASSIGNMENTS_MAX`; what remains follows in the next
//! turn.

mod ahead;
mod fit;
mod gang;
mod order;

pub use ahead::{Retraction, ahead, ahead_tasks, hungry, retractions};
pub use fit::{Assign, fit};
pub use gang::fit_gang;
pub use order::walk;
