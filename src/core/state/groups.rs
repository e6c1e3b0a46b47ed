//! Workers by group: where multi-node tasks look for nodes.
//!
//! Every worker is in exactly one group, the one that it named at registration.
//!
//! **Invariant:** a worker is vacant here if and only if it accepts tasks and nothing is on it (checked by `audit`).

use super::workers::Worker;
use crate::id::WorkerId;
use std::collections::{BTreeMap, BTreeSet};

/// One group.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Group {
    /// All workers that are connected or may come back.
    pub members: BTreeSet<WorkerId>,
    /// Those with nothing on them.
    pub vacant: BTreeSet<WorkerId>,
}

/// See the module's text.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Groups {
    by_name: BTreeMap<String, Group>,
}

impl Groups {
    /// Notes what a worker can take now.
    pub fn refresh(&mut self, worker: &Worker) {
        let name = &worker.config.group;
        if !self.by_name.contains_key(name) {
            self.by_name.insert(name.clone(), Group::default());
        }
        let Some(group) = self.by_name.get_mut(name) else { return };
        group.members.insert(worker.id);
        if worker.is_vacant() {
            group.vacant.insert(worker.id);
        } else if !group.vacant.is_empty() {
            group.vacant.remove(&worker.id);
        }
    }

    /// Forgets a worker.
    pub fn remove(&mut self, worker: &Worker) {
        let Some(group) = self.by_name.get_mut(&worker.config.group) else { return };
        group.members.remove(&worker.id);
        group.vacant.remove(&worker.id);
        if group.members.is_empty() {
            self.by_name.remove(&worker.config.group);
        }
    }

    /// The group of this name; none when no worker is in it.
    pub fn get(&self, name: &str) -> Option<&Group> {
        self.by_name.get(name)
    }

    /// All groups by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Group)> {
        self.by_name.iter().map(|(name, group)| (name.as_str(), group))
    }
}
