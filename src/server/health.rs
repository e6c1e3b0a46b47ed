//! How the journal is: what the commit thread tells the turn and the sessions about it.
//!
//! What holds: a *life* ends when groups were given up; whatever was decided in it and is not durable never happened. The
//! turn then goes back to the durable state and answers questions from it, and a new epoch ends that, as a restart would.

use hq_core::id::Epoch;
use tokio::sync::watch;

/// The state of the journal.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Health {
    /// Number of the life; it grows whenever groups were given up.
    pub life: u32,
    /// Epoch of the life; none before the journal takes records again, and in the first life, which begins with one.
    pub epoch: Option<Epoch>,
    /// Why nothing can be recorded, or nothing more should be; none when all is well.
    pub trouble: Option<String>,
    /// Whether that is only that the reserve is used: what is under way is recorded.
    pub is_short: bool,
}

impl Health {
    /// Whether groups were given up and nothing can be recorded yet.
    pub fn is_cut_off(&self) -> bool {
        self.life > 0 && self.epoch.is_none()
    }

    /// Why nothing at all can be recorded; none when what is under way can.
    pub fn obstacle(&self) -> Option<String> {
        self.trouble.clone().filter(|_| !self.is_short)
    }

    /// What a client hears that wants to change something; none when it may.
    pub fn refusal(&self) -> Option<String> {
        let trouble = self.trouble.as_ref()?;
        Some(format!("nothing can be changed at present, since the journal cannot be written: {trouble}"))
    }
}

/// Where the state is to be seen.
pub type HealthWatch = watch::Receiver<Health>;
