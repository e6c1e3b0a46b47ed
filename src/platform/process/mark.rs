//! The mark that all processes of a task carry: a variable of their environment.
//!
//! A program can leave its process group, its session and its parent, but what it starts inherits its environment, and
//! the kernel shows the one with which a program was started. So descendants of a child are found wherever they went.
//!
//! Invariants: the mark of a child is its own among all children of all processes; a process that runs inside a child
//! and marks its own children keeps the outer mark in front of its own, so that both find them.

use std::ffi::{CString, OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::sync::OnceLock;

use crate::platform::{host, random};

/// Name of the variable.
pub(super) const VARIABLE: &str = "HQ_PROCESS_MARK";
/// Length of the random name of this process.
const NAME_CHARS: usize = 16;

/// What the marks of this process begin with: those of the processes in which it runs, and its own name.
fn names() -> &'static (Vec<u8>, String) {
    static NAMES: OnceLock<(Vec<u8>, String)> = OnceLock::new();
    NAMES.get_or_init(|| {
        let outer = std::env::var_os(VARIABLE).map(OsString::into_vec).unwrap_or_default();
        // Without randomness the number of the process has to do.
        let own = random::alphanumeric(NAME_CHARS).unwrap_or_else(|_| format!("{:016}", host::pid()));
        (outer, own)
    })
}

/// Whose child it is within this process, and which: `name-owner-ticket.`.
pub(super) fn of_child(owner: u32, ticket: u64) -> String {
    let (_, own) = names();
    format!("{own}-{owner}-{ticket}.")
}

/// What the marks of all children of an owner contain.
pub(super) fn of_owner(owner: u32) -> String {
    let (_, own) = names();
    format!("{own}-{owner}-")
}

/// What the marks of all children of this process contain.
pub(super) fn of_process() -> String {
    let (_, own) = names();
    format!("{own}-")
}

/// The assignment for the environment of a child.
pub(super) fn assignment(mark: &str) -> CString {
    let (outer, _) = names();
    let mut bytes = VARIABLE.as_bytes().to_vec();
    bytes.push(b'=');
    bytes.extend_from_slice(outer);
    bytes.extend_from_slice(mark.as_bytes());
    // What was a variable of the environment has no byte 0.
    CString::new(bytes).unwrap_or_default()
}

/// Whether an assignment of an environment is one of the mark.
pub(super) fn is_assignment(assignment: &[u8]) -> bool {
    value(assignment).is_some()
}

fn value(assignment: &[u8]) -> Option<&[u8]> {
    assignment.strip_prefix(VARIABLE.as_bytes())?.strip_prefix(b"=")
}

/// The value of the mark in an environment as the kernel shows it: assignments that end with a byte 0.
pub(super) fn in_environment(environment: &[u8]) -> Option<&OsStr> {
    environment.split(|byte| *byte == 0).find_map(value).map(OsStr::from_bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_are_told_apart() {
        let (first, second) = (of_child(0, 1), of_child(0, 11));
        assert!(!second.contains(&first) && !first.contains(&second));
        assert!(first.contains(&of_owner(0)) && !first.contains(&of_owner(1)));
        assert!(first.contains(&of_process()));
        let assignment = assignment(&first);
        let environment = [b"A=1\0X".as_slice(), assignment.as_bytes(), b"\0", assignment.as_bytes(), b"\0"].concat();
        assert!(in_environment(&environment).unwrap().to_str().unwrap().ends_with(&first));
        assert!(is_assignment(assignment.as_bytes()) && !is_assignment(b"HQ_PROCESS_MARKS=1"));
        assert_eq!(in_environment(b"A=1\0B=2\0"), None);
    }
}
