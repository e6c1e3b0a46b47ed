//! What to start: words, directory, environment and standard streams.
//!
//! The worker describes a task completely in one value, which then needs nothing else of the worker's state.
//!
//! Invariants: an `Environment` shares what it inherited, so a task costs the memory of its own variables only.

use std::collections::BTreeMap;
use std::ffi::{CString, OsStr, OsString};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::PathBuf;
use std::sync::Arc;

use super::Child;

/// A program to start.
#[derive(Debug, Clone)]
pub struct SpawnSpec {
    /// The program and its arguments. A first word with `/` is relative to `cwd`; a bare one is searched in the
    /// `PATH` of `environment`.
    pub words: Vec<OsString>,
    /// Working directory, absolute; created with its parents when missing.
    pub cwd: PathBuf,
    /// The complete environment.
    pub environment: Environment,
    /// Files that are renamed before the outputs are opened, if they are there: what they are and what they become.
    pub renames: Vec<(PathBuf, PathBuf)>,
    /// Standard input.
    pub stdin: Stdin,
    /// Standard output.
    pub stdout: Output,
    /// Standard error. If it is the same file as `stdout`, both are written through one offset.
    pub stderr: Output,
}

/// Where standard input comes from.
#[derive(Debug, Clone, Default)]
pub enum Stdin {
    /// `/dev/null`.
    #[default]
    Null,
    /// A pipe that the caller writes.
    Pipe,
    /// These bytes, then end of file.
    Bytes(Arc<[u8]>),
}

/// Where an output stream goes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Output {
    /// `/dev/null`.
    #[default]
    Null,
    /// A file, truncated, created with the parents of its path; a relative path is relative to the working directory.
    File(PathBuf),
    /// A pipe that the caller reads.
    Pipe,
}

/// A child that runs, and this side of its pipes (closed on exec, blocking).
#[derive(Debug)]
pub struct Spawned {
    /// The child.
    pub child: Child,
    /// The end to write, for [`Stdin::Pipe`].
    pub stdin: Option<OwnedFd>,
    /// The end to read, for [`Output::Pipe`].
    pub stdout: Option<OwnedFd>,
    /// The end to read, for [`Output::Pipe`].
    pub stderr: Option<OwnedFd>,
}

/// Environment variables of a child: what was inherited, and changes to it.
#[derive(Debug, Clone, Default)]
pub struct Environment {
    inherited: Arc<BTreeMap<OsString, CString>>,
    changes: BTreeMap<OsString, Option<OsString>>,
}

impl Environment {
    /// No variables.
    pub fn empty() -> Self {
        Self::default()
    }

    /// The variables of this process now, less what this program set only for its own use.
    pub fn inherited() -> Self {
        let own = crate::platform::hardware::own_variables();
        let variables =
            std::env::vars_os().filter(|(name, value)| !own.contains(&(name.as_os_str(), value.as_os_str())));
        let inherited = variables.filter_map(|(name, value)| {
            let assignment = assignment(&name, &value).ok()?;
            Some((name, assignment))
        });
        Self { inherited: Arc::new(inherited.collect()), changes: BTreeMap::new() }
    }

    /// Sets a variable. A name that is empty or has `=`, or a value with a NUL byte, is refused by the spawn.
    pub fn set(&mut self, name: impl Into<OsString>, value: impl Into<OsString>) {
        self.changes.insert(name.into(), Some(value.into()));
    }

    /// Takes a variable out.
    pub fn remove(&mut self, name: impl Into<OsString>) {
        self.changes.insert(name.into(), None);
    }

    /// The value of a variable.
    pub fn get(&self, name: impl AsRef<OsStr>) -> Option<&OsStr> {
        let name = name.as_ref();
        if let Some(change) = self.changes.get(name) {
            return change.as_deref();
        }
        let assignment = self.inherited.get(name)?.as_bytes();
        assignment.get(name.len() + 1..).map(OsStr::from_bytes)
    }

    /// The changes as `name=value`; to be followed by [`unchanged`](Self::unchanged).
    pub(super) fn changed(&self) -> io::Result<Vec<CString>> {
        let set = self.changes.iter().filter_map(|(name, value)| Some((name, value.as_ref()?)));
        set.map(|(name, value)| assignment(name, value)).collect()
    }

    /// What was inherited and not changed, as `name=value`.
    pub(super) fn unchanged(&self) -> impl Iterator<Item = &CString> {
        let kept = self.inherited.iter().filter(|(name, _)| !self.changes.contains_key(*name));
        kept.map(|(_, assignment)| assignment)
    }
}

fn assignment(name: &OsStr, value: &OsStr) -> io::Result<CString> {
    if name.is_empty() || name.as_bytes().contains(&b'=') {
        let text = format!("environment variable name {name:?} is empty or contains `=`");
        return Err(io::Error::new(io::ErrorKind::InvalidInput, text));
    }
    let mut bytes = name.to_os_string().into_vec();
    bytes.push(b'=');
    bytes.extend_from_slice(value.as_bytes());
    Ok(CString::new(bytes)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_hide_what_was_inherited() {
        let inherited = [("A", "A=1"), ("B", "B=x=y"), ("C", "C=")];
        let inherited = inherited.map(|(name, text)| (name.into(), CString::new(text).unwrap()));
        let mut environment =
            Environment { inherited: Arc::new(inherited.into_iter().collect()), changes: BTreeMap::new() };
        environment.set("A", "2");
        environment.remove("C");
        environment.set("D", "3");
        for (name, value) in [("A", Some("2")), ("B", Some("x=y")), ("C", None), ("D", Some("3")), ("E", None)] {
            assert_eq!(environment.get(name), value.map(OsStr::new), "{name}");
        }
        let changed = environment.changed().unwrap();
        let all = changed.iter().chain(environment.unchanged());
        let all: Vec<&str> = all.map(|text| text.to_str().unwrap()).collect();
        assert_eq!(all, ["A=2", "D=3", "B=x=y"]);
    }

    #[test]
    fn what_the_kernel_cannot_carry_is_refused() {
        for (name, value) in [("", "x"), ("a=b", "x"), ("a\0", "x"), ("a", "x\0y")] {
            let mut environment = Environment::empty();
            environment.set(name, value);
            assert!(environment.changed().is_err(), "{name:?} {value:?}");
        }
    }
}
