//! How much memory children use, with everything that they have started.
//!
//! Resident sizes count shared pages once for each process, which is far too much for programs that fork with large
//! data; so the proportional size, which costs more to ask for, decides where it matters.
//!
//! Invariants: a process is counted for one child at most; what cannot be read counts as nothing.

use super::Child;
use super::census::{self, Process};
use super::kin::Kin;
use std::collections::HashMap;
use std::path::Path;

/// Bytes of memory for each child, in their order. Where the resident size is above `limits`, in the same order, it is
/// the proportional size that counts, if the kernel tells it.
pub fn memory_of(children: &[Child], limits: &[u64]) -> Vec<u64> {
    let mut sums = vec![0; children.len()];
    let Ok(everybody) = census::take() else { return sums };
    let leaders: HashMap<libc::pid_t, usize> = children.iter().enumerate().map(|(at, child)| (child.pid, at)).collect();
    let kin = Kin::new(&everybody);
    let known = |process: &Process| leaders.get(&process.pid).or_else(|| leaders.get(&process.session)).copied();
    let family = kin.belonging(known);
    for (process, at) in &family {
        add(&mut sums, *at, resident(process.pid).unwrap_or(0));
    }
    let large: Vec<bool> = sums.iter().zip(limits).map(|(sum, limit)| sum > limit).collect();
    if large.contains(&true) {
        let mut exact = vec![0; children.len()];
        for (process, at) in family.iter().filter(|(_, at)| large.get(*at).copied().unwrap_or(false)) {
            let bytes = proportional(process.pid).or_else(|| resident(process.pid));
            add(&mut exact, *at, bytes.unwrap_or(0));
        }
        for ((sum, exact), _) in sums.iter_mut().zip(exact).zip(&large).filter(|(_, large)| **large) {
            *sum = exact;
        }
    }
    sums
}

fn add(sums: &mut [u64], at: usize, bytes: u64) {
    if let Some(sum) = sums.get_mut(at) {
        *sum = sum.saturating_add(bytes);
    }
}

/// The second number of `statm` (proc(5)) is in pages.
fn resident(pid: libc::pid_t) -> Option<u64> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/statm")).ok()?;
    let pages: u64 = text.split_ascii_whitespace().nth(1)?.parse().ok()?;
    pages.checked_mul(page_bytes())
}

fn page_bytes() -> u64 {
    // SAFETY: the call takes a constant and returns a number.
    let bytes = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
    u64::try_from(bytes).unwrap_or(4_096)
}

/// Each page divided by the number of processes that have it.
fn proportional(pid: libc::pid_t) -> Option<u64> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).ok()?;
    let kib: u64 = text.lines().find_map(|line| line.strip_prefix("Pss:")?.trim().strip_suffix(" kB"))?.parse().ok()?;
    kib.checked_mul(1_024)
}

/// The children of a process, as far as the kernel tells them (`CONFIG_PROC_CHILDREN`).
pub fn children_of(pid: u32) -> Vec<u32> {
    let Ok(threads) = std::fs::read_dir(Path::new("/proc").join(pid.to_string()).join("task")) else {
        return Vec::new();
    };
    let texts = threads.flatten().filter_map(|thread| std::fs::read_to_string(thread.path().join("children")).ok());
    texts
        .flat_map(|text| text.split_ascii_whitespace().filter_map(|pid| pid.parse().ok()).collect::<Vec<u32>>())
        .collect()
}

/// Whether all of these processes are this one or descend from it.
pub fn are_own(pids: &[u32]) -> bool {
    let Ok(everybody) = census::take() else { return false };
    let kin = Kin::new(&everybody);
    let own = std::process::id();
    pids.iter().all(|pid| {
        let found = everybody.iter().find(|process| process.pid.unsigned_abs() == *pid);
        *pid == own || found.is_none_or(|process| own.try_into().is_ok_and(|own| kin.descends(process, own)))
    })
}
