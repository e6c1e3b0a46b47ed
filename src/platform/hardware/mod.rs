//! What this machine offers to tasks: CPUs by NUMA node, and memory.
//!
//! A worker offers what it finds here unless its user says otherwise.
//!
//! Invariants: only CPUs that this process may run on are reported, each once; groups are never empty.

/// Environment variables that this program set for itself and that tasks must not see.
pub fn own_variables() -> Vec<(&'static std::ffi::OsStr, &'static std::ffi::OsStr)> {
    Vec::new()
}
