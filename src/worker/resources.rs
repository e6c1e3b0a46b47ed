//! What this worker offers: the pools that were given, and for the rest what the machine has.
//!
//! A worker without options offers the CPUs that its process may use, grouped by NUMA node, and all memory.
//!
//! What holds: what was given is never replaced by what was found.

use super::error::Error;
use super::options::WorkerOptions;
use crate::grammar::pool;
use crate::platform::hardware;
use hq_core::resource::{Amount, CPUS, Pool, PoolKind, WorkerResources};

/// The pools of a worker, sorted by name.
///
/// # Errors
/// [`Error::Resources`] where pools do not fit together.
pub(super) fn offered(options: &WorkerOptions) -> Result<WorkerResources, Error> {
    let mut pools = options.resources.clone();
    if let Some(kind) = &options.cpus {
        pools.push(Pool { name: CPUS.to_owned(), kind: kind.clone() });
    }
    let given = |pools: &[Pool], name: &str| pools.iter().any(|pool| pool.name == name);
    if !given(&pools, CPUS) {
        let cpus = hardware::cpus();
        if cpus.filtered {
            log::info!("Some cores were filtered by a CPU mask. All tasks will run on the remaining ones.");
        }
        pools.push(Pool { name: CPUS.to_owned(), kind: kind_of(&cpus.groups) });
    }
    if !given(&pools, "mem")
        && let Ok(bytes) = hardware::memory_total_bytes()
    {
        pools.push(Pool { name: "mem".to_owned(), kind: PoolKind::Sum(mebibytes(bytes)) });
    }
    pool::assemble(pools).map_err(Error::Resources)
}

/// Consecutive numbers in one group are a range, which is small on the wire.
fn kind_of(groups: &[Vec<u32>]) -> PoolKind {
    let labels = |group: &Vec<u32>| group.iter().map(u32::to_string).collect::<Vec<_>>();
    match groups {
        [group] => match (group.first(), group.last()) {
            (Some(first), Some(last)) if (*first..=*last).eq(group.iter().copied()) => PoolKind::range(*first, *last),
            _ => PoolKind::List(labels(group)),
        },
        _ => PoolKind::Groups(groups.iter().map(labels).collect()),
    }
}

/// MiB with four decimals, cut.
fn mebibytes(bytes: u64) -> Amount {
    let parts = u128::from(bytes) * u128::from(Amount::UNIT) / (1024 * 1024);
    Amount(u64::try_from(parts).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::PathBuf;

    #[test]
    fn forms_of_cpus() {
        assert_eq!(kind_of(&[vec![0, 1, 2]]), PoolKind::range(0, 2));
        assert_eq!(kind_of(&[vec![0, 2]]), PoolKind::List(vec!["0".into(), "2".into()]));
        assert!(matches!(kind_of(&[vec![0], vec![1]]), PoolKind::Groups(groups) if groups.len() == 2));
        assert_eq!(mebibytes(25_276_350_464), Amount(241_054_062));
    }

    #[test]
    fn what_is_given_wins() {
        let mut options = WorkerOptions::new(PathBuf::new(), "1");
        let found = offered(&options).unwrap();
        assert!(found.size_of(CPUS) > Amount::ZERO && found.size_of("mem") > Amount::ZERO);
        options.cpus = Some(PoolKind::range(0, 1));
        options.resources = vec![Pool { name: "mem".into(), kind: PoolKind::Sum(Amount::units(5)) }];
        let given = offered(&options).unwrap();
        assert_eq!((given.size_of(CPUS), given.size_of("mem")), (Amount::units(2), Amount::units(5)));
        options.resources.push(Pool { name: CPUS.into(), kind: PoolKind::range(0, 1) });
        assert!(offered(&options).is_err());
    }
}
