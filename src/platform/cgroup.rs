//! Control groups of version 2 for tasks: a limit of memory, what was used, and why something was killed.
//!
//! A process may make groups below its own where the system's administrator, systemd (`Delegate=yes`) or a container
//! has handed that over. Files and rules: `Documentation/admin-guide/cgroup-v2.rst` of the kernel. A group with
//! controllers for its children must not hold processes itself, so this process moves into a child of its own if it
//! is alone there.
//!
//! Invariants: without the permission nothing is changed; what was changed is undone by [`Groups::close`]; a process
//! that is not of this program is never moved.

use super::process;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

/// Where version 2 is mounted, alone or beside version 1.
const MOUNTS: [&str; 2] = ["sys/fs/cgroup", "sys/fs/cgroup/unified"];
const MEMORY: &str = "memory";

/// Why there are no groups for tasks here.
#[derive(Debug)]
pub enum Unavailable {
    /// Version 2 is not mounted, or this process is in none of its groups.
    NoGroups,
    /// The kernel does not offer the controller here.
    NoController {
        /// Its name.
        name: &'static str,
    },
    /// Processes that are not of this program are in the same group.
    Shared {
        /// The group.
        dir: PathBuf,
    },
    /// The group was not handed over.
    Refused {
        /// The file or directory.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
}

impl std::fmt::Display for Unavailable {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::NoGroups => f.write_str("cgroups of version 2 are not there"),
            Self::NoController { name } => write!(f, "the controller `{name}` of cgroups is not offered here"),
            Self::Shared { dir } => write!(f, "other processes are in the cgroup {}", dir.display()),
            Self::Refused { path, source } => write!(f, "{} was not handed over: {source}", path.display()),
        }
    }
}

impl std::error::Error for Unavailable {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Refused { source, .. } => Some(source),
            Self::NoGroups | Self::NoController { .. } | Self::Shared { .. } => None,
        }
    }
}

/// The right to make groups.
#[derive(Debug)]
pub struct Groups {
    dir: PathBuf,
    /// What children shall be able to have.
    controller: &'static str,
    /// The child into which this process moved.
    own: Option<PathBuf>,
    /// Groups that could not be removed, since something was in them.
    left: Mutex<Vec<PathBuf>>,
}

/// The group of one task.
#[derive(Debug)]
pub struct Group {
    dir: PathBuf,
}

/// What a group has used so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Usage {
    /// Most bytes that it has held at a time; where the kernel (before 5.19) does not say so, those that it holds now.
    pub peak_bytes: u64,
    /// Processes of it that were killed since there was no memory.
    pub kills: u64,
    /// How often its own limit was the reason that there was no memory.
    pub own_limit_hits: u64,
}

impl Groups {
    /// Finds the group of this process below `root`, the root of the file system, and takes it over.
    ///
    /// # Errors
    /// See [`Unavailable`]; nothing has changed then.
    pub fn open(root: &Path) -> Result<Self, Unavailable> {
        Self::open_for(root, MEMORY)
    }

    fn open_for(root: &Path, name: &'static str) -> Result<Self, Unavailable> {
        let dir = own_group(root).ok_or(Unavailable::NoGroups)?;
        let has = |file: &str| read(&dir.join(file)).is_some_and(|text| text.split_whitespace().any(|n| n == name));
        if !has("cgroup.controllers") {
            return Err(Unavailable::NoController { name });
        }
        let mut groups = Self { dir: dir.clone(), controller: name, own: None, left: Mutex::default() };
        if !has("cgroup.subtree_control") {
            groups.enable()?;
        }
        let probe = groups.make(&format!("hq-probe-{}", std::process::id()));
        match probe.and_then(|probe| remove(&probe)) {
            Ok(()) => Ok(groups),
            Err(source) => {
                groups.close();
                Err(Unavailable::Refused { path: dir, source })
            }
        }
    }

    /// Turns the controller on for children.
    fn enable(&mut self) -> Result<(), Unavailable> {
        let control = self.dir.join("cgroup.subtree_control");
        let on = format!("+{}", self.controller);
        let refused = |source| Unavailable::Refused { path: control.clone(), source };
        match write(&control, &on) {
            Ok(()) => return Ok(()),
            Err(error) if error.raw_os_error() == Some(libc::EBUSY) => {}
            Err(error) => return Err(refused(error)),
        }
        let inside = pids(&self.dir);
        if !process::are_own(&inside) {
            return Err(Unavailable::Shared { dir: self.dir.clone() });
        }
        let own = self.make(&format!("hq-worker-{}", std::process::id())).map_err(refused)?;
        let moved = inside.iter().try_for_each(|pid| write(&own.join("cgroup.procs"), &pid.to_string()));
        self.own = Some(own);
        let enabled = moved.and_then(|()| write(&control, &on));
        enabled.map_err(|error| {
            self.close();
            refused(error)
        })
    }

    fn make(&self, name: &str) -> io::Result<PathBuf> {
        let dir = self.dir.join(name);
        fs::create_dir(&dir)?;
        Ok(dir)
    }

    /// Makes a group for a task. With a limit in bytes, a task that needs more is killed as a whole, without swapping.
    ///
    /// # Errors
    /// What the kernel said; no group is left then.
    pub fn create(&self, name: &str, limit_bytes: Option<u64>) -> io::Result<Group> {
        self.sweep();
        let group = Group { dir: self.make(name)? };
        if let Some(limit) = limit_bytes {
            let set = write(&group.dir.join("memory.max"), &limit.to_string());
            if let Err(error) = set {
                // It is empty.
                let _ = remove(&group.dir);
                return Err(error);
            }
            // Kernels without swap or before 4.19 do not have these.
            let _ = write(&group.dir.join("memory.swap.max"), "0");
            let _ = write(&group.dir.join("memory.oom.group"), "1");
        }
        Ok(group)
    }

    /// Removes a group, later if something is still in it.
    pub fn remove(&self, group: &Group) {
        if remove(&group.dir).is_err() {
            self.left.lock().unwrap_or_else(PoisonError::into_inner).push(group.dir.clone());
        }
    }

    fn sweep(&self) {
        self.left.lock().unwrap_or_else(PoisonError::into_inner).retain(|dir| remove(dir).is_err());
    }

    /// Undoes what was changed, as far as tasks that are left allow it.
    pub fn close(&mut self) {
        self.sweep();
        let Some(own) = self.own.take() else { return };
        // What fails here leaves an empty group behind, which harms nobody.
        let _ = write(&self.dir.join("cgroup.subtree_control"), &format!("-{}", self.controller));
        for pid in pids(&own) {
            let _ = write(&self.dir.join("cgroup.procs"), &pid.to_string());
        }
        let _ = remove(&own);
    }
}

impl Group {
    /// Takes a process with all its children; those that it starts from now on are in it anyway.
    ///
    /// # Errors
    /// What the kernel said about the process itself, for example that it is gone.
    pub fn add(&self, pid: u32) -> io::Result<()> {
        let file = self.dir.join("cgroup.procs");
        write(&file, &pid.to_string())?;
        // What it had started before is not moved with it; a child that is gone is no trouble.
        let mut open = vec![pid];
        while let Some(parent) = open.pop() {
            for child in process::children_of(parent) {
                if write(&file, &child.to_string()).is_ok() {
                    open.push(child);
                }
            }
        }
        Ok(())
    }

    /// What it has used.
    pub fn usage(&self) -> Usage {
        let number = |file: &str| read(&self.dir.join(file))?.trim().parse::<u64>().ok();
        let events = read(&self.dir.join("memory.events")).unwrap_or_default();
        let event = |name: &str| {
            let line = events.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
            line.and_then(|count| count.trim().parse().ok()).unwrap_or(0)
        };
        Usage {
            peak_bytes: number("memory.peak").or_else(|| number("memory.current")).unwrap_or(0),
            kills: event("oom_kill"),
            own_limit_hits: event("oom"),
        }
    }

    /// Kills everything in it. `false`: the kernel (before 5.14) cannot.
    pub fn kill(&self) -> bool {
        let file = self.dir.join("cgroup.kill");
        file.exists() && write(&file, "1").is_ok()
    }
}

/// The directory of the group of this process.
fn own_group(root: &Path) -> Option<PathBuf> {
    let text = read(&root.join("proc/self/cgroup"))?;
    let path = text.lines().find_map(|line| line.strip_prefix("0::"))?;
    let names: Vec<&str> = path.split('/').filter(|name| !name.is_empty() && *name != "..").collect();
    let mounts = MOUNTS.iter().map(|mount| root.join(mount)).filter(|mount| mount.join("cgroup.controllers").is_file());
    // In a container the path may be that of the host, while the own group is the mount itself.
    let dirs = mounts.flat_map(|mount| [names.iter().fold(mount.clone(), |dir, name| dir.join(name)), mount]);
    let mut dirs = dirs.filter(|dir| dir.join("cgroup.controllers").is_file());
    dirs.next()
}

fn read(path: &Path) -> Option<String> {
    fs::read_to_string(path).ok()
}

/// Writes into a file that is there; nothing is ever created by a mistake in a path.
fn write(path: &Path, text: &str) -> io::Result<()> {
    use io::Write;
    fs::OpenOptions::new().write(true).open(path)?.write_all(text.as_bytes())
}

/// Removes a group; its files go with it.
fn remove(dir: &Path) -> io::Result<()> {
    match fs::remove_dir(dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        result => result,
    }
}

fn pids(dir: &Path) -> Vec<u32> {
    let text = read(&dir.join("cgroup.procs")).unwrap_or_default();
    text.lines().filter_map(|line| line.trim().parse().ok()).collect()
}

#[cfg(test)]
#[path = "cgroup_tests.rs"]
mod tests;
