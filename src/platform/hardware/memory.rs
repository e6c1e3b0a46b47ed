//! How much memory tasks may use here: what the machine has, and what the cgroups above this process leave of it.
//!
//! A container or a batch system limits memory by cgroups; whoever offers the machine's memory there has tasks killed.
//!
//! Invariants: every function takes the root of the file system; a limit that cannot be read is no limit; both versions
//! of cgroups are read, also where both are mounted.

use super::Error;
use super::sysfs::read;
use std::path::{Path, PathBuf};

/// Where cgroup2 is mounted: alone, or beside version 1.
const MOUNTS_2: [&str; 2] = ["sys/fs/cgroup", "sys/fs/cgroup/unified"];
/// Where the memory controller of version 1 is mounted.
const MOUNT_1: &str = "sys/fs/cgroup/memory";

/// `MemTotal` in bytes.
pub(super) fn total_bytes(root: &Path) -> Result<u64, Error> {
    let path = root.join("proc/meminfo");
    let text = read(&path)?;
    let total = text.lines().find_map(|line| line.strip_prefix("MemTotal:")?.trim().strip_suffix("kB"));
    let total = total.and_then(|kib| kib.trim().parse::<u64>().ok()?.checked_mul(1024));
    total.ok_or(Error::Format { path })
}

/// The smallest limit of the cgroups from that of this process up to the root, bytes; none: no limit.
pub(super) fn limit_bytes(root: &Path) -> Option<u64> {
    let text = read(&root.join("proc/self/cgroup")).ok()?;
    let limits = text.lines().flat_map(|line| {
        let mut fields = line.splitn(3, ':').skip(1);
        let (controllers, path) = (fields.next().unwrap_or(""), fields.next().unwrap_or(""));
        let (mounts, file) = if controllers.is_empty() {
            (MOUNTS_2.map(|mount| root.join(mount)).to_vec(), "memory.max")
        } else if controllers.split(',').any(|name| name == "memory") {
            (vec![root.join(MOUNT_1)], "memory.limit_in_bytes")
        } else {
            (Vec::new(), "")
        };
        mounts.into_iter().filter_map(|mount| smallest(mount, path, file)).collect::<Vec<_>>()
    });
    limits.min()
}

/// The smallest limit on the way from `path` below `mount` up to `mount`. In a container the path is often that of the
/// host, of which only the end of the way, the mount, is there.
fn smallest(mount: PathBuf, path: &str, file: &str) -> Option<u64> {
    // A path with `..` is one outside of what is shown here.
    let names = path.split('/').filter(|name| !name.is_empty() && *name != "..");
    let mut dirs = vec![mount];
    for name in names {
        let below = dirs.last()?.join(name);
        dirs.push(below);
    }
    // `max`, and files that are not there, are no number; zero would leave nothing to offer.
    let limit = |dir: &PathBuf| read(&dir.join(file)).ok()?.trim().parse::<u64>().ok();
    dirs.iter().filter_map(limit).filter(|bytes| *bytes > 0).min()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::platform::hardware::tests::machine;

    #[test]
    fn memory_is_in_bytes() {
        let total = |text: &str| total_bytes(machine(&[("proc/meminfo", text)]).path());
        assert_eq!(total("MemTotal:       24685120 kB\nMemFree: 1 kB\n").unwrap(), 24_685_120 * 1024);
        for bad in ["", "MemTotal: x kB", "MemTotal: 5", "MemTotal: 18446744073709551615 kB"] {
            assert!(matches!(total(bad).unwrap_err(), Error::Format { .. }), "{bad}");
        }
    }

    fn limit(files: &[(&str, &str)]) -> Option<u64> {
        limit_bytes(machine(files).path())
    }

    #[test]
    fn limits_of_the_second_version() {
        let own = ("proc/self/cgroup", "0::/slurm/job_7/step_0\n");
        let job = ("sys/fs/cgroup/slurm/job_7/memory.max", "4096\n");
        let step = ("sys/fs/cgroup/slurm/job_7/step_0/memory.max", "max\n");
        let above = ("sys/fs/cgroup/slurm/memory.max", "8192\n");
        assert_eq!(limit(&[own, job, step, above]), Some(4_096));
        assert_eq!(limit(&[own, step]), None);
        // In a container the mount is the own group, whatever the path says.
        assert_eq!(limit(&[("proc/self/cgroup", "0::/../x\n"), ("sys/fs/cgroup/memory.max", "77")]), Some(77));
        assert_eq!(limit(&[own, ("sys/fs/cgroup/memory.max", "0\n")]), None);
    }

    #[test]
    fn limits_of_the_first_version_and_of_both() {
        let own = ("proc/self/cgroup", "5:cpu,cpuacct:/a\n4:memory:/job\n0::/b\n");
        let group = ("sys/fs/cgroup/memory/job/memory.limit_in_bytes", "5000\n");
        let root = ("sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n");
        assert_eq!(limit(&[own, group, root]), Some(5_000));
        assert_eq!(limit(&[own, group, root, ("sys/fs/cgroup/unified/b/memory.max", "4000\n")]), Some(4_000));
        assert_eq!(limit(&[own]), None);
        assert_eq!(limit(&[]), None);
        assert_eq!(limit(&[("proc/self/cgroup", "nonsense\n\n:::\n")]), None);
    }
}
