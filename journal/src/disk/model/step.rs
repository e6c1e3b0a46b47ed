//! The operations of the model disk by name, so that tests can say at which step of what the power went.
//!
//! A number of an operation means nothing to a reader and changes with every edit; `sync checkpoint` does not.
//!
//! **Invariant:** the n-th step of a trace is the operation that a fault at n meets.

use std::path::{Path, PathBuf};

use super::{ModelDisk, State};

/// One operation on one file, store or directory.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Step {
    /// What was done, as a verb.
    pub operation: &'static str,
    /// To what, under the name that it had then; empty for a file that has none any more.
    pub path: PathBuf,
}

/// What an operation is done to.
#[derive(Debug, Clone, Copy)]
pub(super) enum Target<'a> {
    Path(&'a Path),
    Inode(u64),
}

impl State {
    pub(super) fn note(&mut self, operation: &'static str, target: Target<'_>, met: bool) {
        let path = match target {
            Target::Path(path) => path.to_path_buf(),
            Target::Inode(inode) => {
                self.names.iter().find(|(_, n)| **n == inode).map(|(path, _)| path.clone()).unwrap_or_default()
            }
        };
        let step = Step { operation, path };
        if met {
            self.met = Some(step.clone());
        }
        self.trace.iter_mut().for_each(|trace| trace.push(step.clone()));
    }
}

impl ModelDisk {
    /// Writes down all steps from now on; called on a new disk, the first one is operation 1.
    pub fn start_trace(&self) {
        self.state().trace = Some(Vec::new());
    }

    /// The steps since `start_trace`.
    pub fn trace(&self) -> Vec<Step> {
        self.state().trace.clone().unwrap_or_default()
    }

    /// The step that met the last fault.
    pub fn met(&self) -> Option<Step> {
        self.state().met.clone()
    }
}
