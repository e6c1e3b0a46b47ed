//! What this machine offers to tasks: CPUs by NUMA node, and memory.
//!
//! A worker offers what it finds here unless its user says otherwise. CPUs are found with hwloc, or without it by
//! reading /sys; both give the same on the machines that they both know.
//!
//! Invariants: only CPUs that this process may run on are reported, each once, ascending within a group; no group is
//! empty, and there is at least one.

mod sysfs;
#[cfg(feature = "hwloc")]
mod topology;
#[cfg(all(feature = "hwloc", target_feature = "crt-static"))]
mod udev_stub;

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

/// The CPUs that tasks may use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cpus {
    /// Operating system numbers of the CPUs, one group for each NUMA node that has any, in the order of the nodes.
    pub groups: Vec<Vec<u32>>,
    /// CPUs of the machine were left out because this process may not run on them.
    pub filtered: bool,
}

/// Hardware could not be looked at.
#[derive(Debug)]
pub enum Error {
    /// A file of the kernel cannot be read.
    Io {
        /// Which.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// A file of the kernel does not read as documented.
    Format {
        /// Which.
        path: PathBuf,
    },
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Io { path, source } => write!(f, "Cannot read {}: {source}", path.display()),
            Error::Format { path } => write!(f, "{} has unexpected content", path.display()),
        }
    }
}

impl std::error::Error for Error {}

/// hwloc loads plugins from here; a static executable must not load any, and none of them knows more about CPUs.
const PLUGINS_VARIABLE: &str = "HWLOC_PLUGINS_PATH";
const PLUGINS_NOWHERE: &str = "/nonexistent";

/// Whether [`PLUGINS_VARIABLE`] was set by this program.
static PLUGINS_OFF: AtomicBool = AtomicBool::new(false);

/// Prepares this process for [`cpus`]. To be called at the start of `main`: with more than one thread it does
/// nothing, because the environment cannot be changed safely then, and `cpus` uses /sys where it must.
pub fn prepare() {
    if std::env::var_os(PLUGINS_VARIABLE).is_some() || !is_single_threaded() {
        return;
    }
    // SAFETY: there is no other thread that could read the environment at the same time.
    unsafe { std::env::set_var(PLUGINS_VARIABLE, PLUGINS_NOWHERE) };
    PLUGINS_OFF.store(true, Ordering::Release);
}

fn is_single_threaded() -> bool {
    std::fs::read_dir("/proc/self/task").is_ok_and(|tasks| tasks.count() == 1)
}

/// Environment variables that this program set for itself and that tasks must not see.
pub fn own_variables() -> Vec<(&'static OsStr, &'static OsStr)> {
    let own = (OsStr::new(PLUGINS_VARIABLE), OsStr::new(PLUGINS_NOWHERE));
    if PLUGINS_OFF.load(Ordering::Acquire) { vec![own] } else { Vec::new() }
}

/// The CPUs of this machine that this process may use: within its affinity mask, which its cgroup bounds. Where
/// nothing can be found out, as many as the standard library says, numbered from 0.
pub fn cpus() -> Cpus {
    let root = Path::new("/");
    let found = match from_hwloc(root) {
        Some(cpus) => Ok(cpus),
        None => sysfs::cpus(root),
    };
    found.unwrap_or_else(|error| {
        log::warn!("CPUs are counted only, because their places are not known: {error}");
        let count = std::thread::available_parallelism().map_or(1, |count| count.get());
        Cpus { groups: vec![(0..u32::try_from(count).unwrap_or(u32::MAX)).collect()], filtered: false }
    })
}

/// Total memory of this machine, bytes. (hwloc and the files of the nodes miss memory that was added at run time.)
pub fn memory_total_bytes() -> Result<u64, Error> {
    sysfs::memory_total_bytes(Path::new("/"))
}

#[cfg(feature = "hwloc")]
fn from_hwloc(root: &Path) -> Option<Cpus> {
    if cfg!(target_feature = "crt-static") && !PLUGINS_OFF.load(Ordering::Acquire) {
        return None;
    }
    // A made-up topology is not this machine, so the mask of this process means nothing there.
    let made_up = ["HWLOC_SYNTHETIC", "HWLOC_XMLFILE"].iter().any(|name| std::env::var_os(name).is_some());
    let mask = if made_up { None } else { Some(sysfs::allowed(root).ok()?) };
    collect(topology::cpus_by_node()?, mask.as_ref())
}

#[cfg(not(feature = "hwloc"))]
fn from_hwloc(_root: &Path) -> Option<Cpus> {
    None
}

/// Groups from pairs of node and CPU, within `mask`. `None`: nothing is left.
fn collect(pairs: Vec<(u32, u32)>, mask: Option<&BTreeSet<u32>>) -> Option<Cpus> {
    let all = pairs.len();
    let allowed = pairs.into_iter().filter(|(_, cpu)| mask.is_none_or(|mask| mask.contains(cpu)));
    let mut seen = BTreeSet::new();
    let mut groups = std::collections::BTreeMap::<u32, BTreeSet<u32>>::new();
    let mut kept = 0;
    for (node, cpu) in allowed {
        kept += 1;
        if seen.insert(cpu) {
            groups.entry(node).or_default().insert(cpu);
        }
    }
    let groups: Vec<Vec<u32>> = groups.into_values().map(|cpus| cpus.into_iter().collect()).collect();
    (!groups.is_empty()).then_some(Cpus { groups, filtered: kept < all })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::{Command, Stdio};

    #[test]
    fn groups_are_disjoint_sorted_and_within_the_mask() {
        let mask = BTreeSet::from([0, 1, 2, 5]);
        let pairs = vec![(1, 5), (0, 2), (0, 0), (1, 2), (2, 7)];
        let cpus = collect(pairs.clone(), Some(&mask)).unwrap();
        assert_eq!(cpus, Cpus { groups: vec![vec![0, 2], vec![5]], filtered: true });
        let cpus = collect(pairs, None).unwrap();
        assert_eq!(cpus, Cpus { groups: vec![vec![0, 2], vec![5], vec![7]], filtered: false });
        assert_eq!(collect(vec![(0, 9)], Some(&mask)), None);
        assert_eq!(collect(Vec::new(), None), None);
    }

    #[test]
    fn this_machine_is_described_by_both_readers_alike() {
        let cpus = cpus();
        assert_eq!(cpus, sysfs::cpus(Path::new("/")).unwrap());
        let count: usize = cpus.groups.iter().map(Vec::len).sum();
        assert_eq!(count, sysfs::allowed(Path::new("/")).unwrap().len());
        assert!(memory_total_bytes().unwrap() > 1 << 20);
    }

    /// Runs one test of this file again in a process of its own, since the environment and the CPU mask belong to
    /// the process, and returns what it printed after `result: `.
    fn in_child(test: &str, prefix: &[&str], variables: &[(&str, &str)]) -> String {
        let mut words: Vec<std::ffi::OsString> = prefix.iter().map(Into::into).collect();
        words.push(std::env::current_exe().unwrap().into());
        let mut command = Command::new(&words[0]);
        command.args(&words[1..]).args(["--exact", &format!("platform::hardware::tests::{test}"), "--nocapture"]);
        command.env("HQ_TEST_HARDWARE_CHILD", "1").envs(variables.iter().copied()).stderr(Stdio::inherit());
        let output = command.output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        assert!(output.status.success(), "{text}");
        text.split("result: ").nth(1).unwrap().lines().next().unwrap().to_string()
    }

    fn is_child() -> bool {
        std::env::var_os("HQ_TEST_HARDWARE_CHILD").is_some()
    }

    #[test]
    fn the_affinity_mask_is_respected() {
        if is_child() {
            println!("result: {:?}", cpus().groups);
            return;
        }
        let first = *sysfs::allowed(Path::new("/")).unwrap().first().unwrap();
        let shown = in_child("the_affinity_mask_is_respected", &["taskset", "-c", &first.to_string()], &[]);
        assert_eq!(shown, format!("[[{first}]]"));
    }

    #[cfg(feature = "hwloc")]
    #[test]
    fn nodes_become_groups() {
        if is_child() {
            let groups = cpus().groups;
            println!("result: {} x {:?}", groups.len(), groups.last().unwrap());
            return;
        }
        let table = [
            ("numa:4(memory=17179869184) pack:1 l3:1 core:8 pu:2", format!("4 x {:?}", (48..64).collect::<Vec<_>>())),
            ("pack:2 [numa(memory=8GB)] l3:2 core:2 pu:1", "2 x [4, 5, 6, 7]".to_string()),
            ("pack:1 core:3 pu:1", "1 x [0, 1, 2]".to_string()),
        ];
        for (synthetic, expected) in table {
            let variables = [("HWLOC_SYNTHETIC", synthetic), (PLUGINS_VARIABLE, PLUGINS_NOWHERE)];
            assert_eq!(in_child("nodes_become_groups", &[], &variables), expected, "{synthetic}");
        }
    }

    #[test]
    fn preparing_is_for_a_process_with_one_thread() {
        // A test runs on a thread beside the main one.
        prepare();
        assert!(own_variables().is_empty());
    }
}
