//! What this machine offers to tasks: its parts (packages, NUMA nodes, caches, cores, threads), memory and GPUs.
//!
//! A worker offers what it finds here unless its user says otherwise. The parts are found with hwloc, or without it by
//! reading /sys; both give the same on the machines that they both know. GPUs and memory are found by files alone.
//!
//! Invariants: only CPUs that this process may run on are reported; memory is what its cgroups leave of the machine's.

mod gpu;
#[cfg(feature = "hwloc")]
mod hwloc;
mod memory;
mod smi;
mod sysfs;
mod topology;
#[cfg(all(feature = "hwloc", target_feature = "crt-static"))]
mod udev_stub;

use std::ffi::OsStr;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

pub use gpu::{AMD_VARIABLE, Gpu, Gpus, NVIDIA_VARIABLE};
pub use topology::{Branch, Part, PartKind, Topology};

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

/// Directory in which /proc, /sys and /dev of the machine to describe are found; for tests.
const ROOT_VARIABLE: &str = "HQ_HARDWARE_ROOT";

fn root() -> PathBuf {
    std::env::var_os(ROOT_VARIABLE).filter(|root| !root.is_empty()).map_or_else(|| PathBuf::from("/"), PathBuf::from)
}

/// hwloc loads plugins from here; a static executable must not load any, and none of them knows more about CPUs.
const PLUGINS_VARIABLE: &str = "HWLOC_PLUGINS_PATH";
const PLUGINS_NOWHERE: &str = "/nonexistent";

/// Whether [`PLUGINS_VARIABLE`] was set by this program.
static PLUGINS_OFF: AtomicBool = AtomicBool::new(false);

/// Prepares this process for [`topology`]. To be called at the start of `main`: with more than one thread it does
/// nothing, because the environment cannot be changed safely then, and `topology` uses /sys where it must.
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

/// The parts of this machine that this process may use: within its affinity mask, which its cgroup bounds. Where
/// nothing can be found out, as many CPUs as the standard library says, numbered from 0.
pub fn topology() -> Topology {
    let root = root();
    let found = match from_hwloc(&root) {
        Some(topology) => Ok(topology),
        None => from_files(&root),
    };
    found.unwrap_or_else(|error| {
        log::warn!("CPUs are counted only, because their places are not known: {error}");
        let count = std::thread::available_parallelism().map_or(1, |count| count.get());
        Topology::flat(u32::try_from(count).unwrap_or(u32::MAX))
    })
}

fn from_files(root: &Path) -> Result<Topology, Error> {
    let topology = Topology::new(sysfs::parts(root)?).within(&sysfs::allowed(root)?);
    if topology.is_empty() { Err(Error::Format { path: root.join("proc/self/status") }) } else { Ok(topology) }
}

#[cfg(feature = "hwloc")]
fn from_hwloc(root: &Path) -> Option<Topology> {
    if root != Path::new("/") || (cfg!(target_feature = "crt-static") && !PLUGINS_OFF.load(Ordering::Acquire)) {
        return None;
    }
    let mut parts = hwloc::parts()?;
    if is_made_up() {
        return Some(Topology::new(parts)).filter(|topology| !topology.is_empty());
    }
    let memory = sysfs::memory_by_node(root);
    for part in parts.iter_mut().filter(|part| part.kind == PartKind::Node) {
        part.bytes = part.number.and_then(|node| memory.get(&node).copied());
    }
    let topology = Topology::new(parts).within(&sysfs::allowed(root).ok()?);
    (!topology.is_empty()).then_some(topology)
}

/// Whether hwloc describes another machine than this one, where the mask of this process means nothing. A file may describe
/// this one (some schedulers spare their jobs the looking by that); hwloc's own variable says so.
#[cfg(feature = "hwloc")]
fn is_made_up() -> bool {
    let is_given = ["HWLOC_SYNTHETIC", "HWLOC_XMLFILE"].iter().any(|name| std::env::var_os(name).is_some());
    is_given && std::env::var_os("HWLOC_THISSYSTEM").is_none_or(|value| value != "1")
}

#[cfg(not(feature = "hwloc"))]
fn from_hwloc(_root: &Path) -> Option<Topology> {
    None
}

/// Memory that tasks may use here, bytes: that of the machine, or what the cgroups of this process leave of it. (hwloc and
/// the files of the nodes miss memory that was added at run time, so they are not asked.)
pub fn memory_bytes() -> Result<u64, Error> {
    let root = root();
    let total = memory::total_bytes(&root)?;
    Ok(memory::limit_bytes(&root).map_or(total, |limit| limit.min(total)))
}

/// The GPUs of NVIDIA that this process may use.
pub fn nvidia_gpus() -> Gpus {
    let names = std::cell::OnceCell::new();
    let value = std::env::var(NVIDIA_VARIABLE).ok();
    gpu::nvidia(&root(), value.as_deref(), &|mig| smi::name_of(names.get_or_init(smi::mig_names), mig))
}

/// The GPUs of AMD that this process may use.
pub fn amd_gpus() -> Gpus {
    let value = std::env::var(AMD_VARIABLE).ok();
    gpu::amd(&root(), value.as_deref())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::{Command, Stdio};

    /// A root with these files.
    pub(super) fn machine(files: &[(&str, &str)]) -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        for (name, text) in files {
            let path = root.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        root
    }

    #[test]
    fn this_machine_is_described_by_both_readers_alike() {
        let found = topology();
        let by_files = from_files(Path::new("/")).unwrap();
        assert_eq!(found.nodes(), by_files.nodes());
        let cpus: Vec<u32> = found.nodes().into_iter().flat_map(|(_, cpus)| cpus).collect();
        assert_eq!(cpus.len(), sysfs::allowed(Path::new("/")).unwrap().len());
        for cpu in cpus {
            assert_eq!(found.siblings(cpu), by_files.siblings(cpu), "{cpu}");
        }
        assert!(memory_bytes().unwrap() > 1 << 20);
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
            println!("result: {:?}", topology().nodes());
            return;
        }
        let first = *sysfs::allowed(Path::new("/")).unwrap().first().unwrap();
        let shown = in_child("the_affinity_mask_is_respected", &["taskset", "-c", &first.to_string()], &[]);
        assert_eq!(shown, format!("[(0, [{first}])]"));
    }

    #[cfg(feature = "hwloc")]
    #[test]
    fn nodes_become_groups() {
        if is_child() {
            let nodes = topology().nodes();
            println!("result: {} x {:?}", nodes.len(), nodes.last().unwrap().1);
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

    #[cfg(feature = "hwloc")]
    #[test]
    fn a_file_that_describes_this_machine_is_masked() {
        if is_child() {
            println!("result: {:?}", topology().nodes());
            return;
        }
        let first = *sysfs::allowed(Path::new("/")).unwrap().first().unwrap();
        if first >= 8 {
            eprintln!("skipped: the file has CPUs 0 to 7, of which this process may use none");
            return;
        }
        let file = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/cli/data/two_sockets.xml");
        let variables = [("HWLOC_XMLFILE", file), ("HWLOC_THISSYSTEM", "1"), (PLUGINS_VARIABLE, PLUGINS_NOWHERE)];
        let test = "a_file_that_describes_this_machine_is_masked";
        let shown = in_child(test, &["taskset", "-c", &first.to_string()], &variables);
        assert_eq!(shown, format!("[({}, [{first}])]", first % 2));
    }

    #[test]
    fn preparing_is_for_a_process_with_one_thread() {
        // A test runs on a thread beside the main one.
        prepare();
        assert!(own_variables().is_empty());
    }
}
