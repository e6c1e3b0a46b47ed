//! What this worker offers: the pools that were given, and for the rest what the machine has.
//!
//! A worker without options offers the CPUs that its process may use, grouped by NUMA node, and all memory.
//!
//! What holds: what was given is never replaced by what was found.

use super::error::Error;
use super::options::{COUPLING_NONE, WorkerOptions};
use crate::grammar::{coupling, pool};
use crate::platform::hardware;
use hq_core::resource::{Amount, CPUS, Pool, PoolKind, WorkerResources};

/// Name of the memory resource.
const MEM: &str = "mem";

/// The resources of a worker, sorted by name.
///
/// # Errors
/// [`Error::Resources`] and its neighbours, where pools do not fit together.
pub(super) fn offered(options: &WorkerOptions) -> Result<WorkerResources, Error> {
    let mut pools = given(options)?;
    pools.extend(found(options, &pools)?);
    let mut resources = pool::assemble(pools).map_err(Error::Resources)?;
    if let Some(text) = options.coupling.as_deref().filter(|text| text.trim() != COUPLING_NONE) {
        resources.coupling = coupling::parse(text, &resources.pools).map_err(Error::Coupling)?;
    }
    Ok(resources)
}

fn given(options: &WorkerOptions) -> Result<Vec<Pool>, Error> {
    let mut pools = options.resources.clone();
    if let Some(kind) = &options.cpus {
        if is_in(&pools, CPUS) {
            return Err(Error::CpusTwice);
        }
        pools.push(Pool { name: CPUS.to_owned(), kind: kind.clone() });
    }
    if !is_in(&pools, CPUS) && !options.detect.cpus {
        return Err(Error::CpusNotGiven);
    }
    Ok(pools)
}

fn is_in(pools: &[Pool], name: &str) -> bool {
    pools.iter().any(|pool| pool.name == name)
}

/// What the machine has beside the given pools, in the order of looking: CPUs, memory.
fn found(options: &WorkerOptions, given: &[Pool]) -> Result<Vec<Pool>, Error> {
    let mut pools = Vec::new();
    if !is_in(given, CPUS) {
        let cpus = hardware::cpus();
        if cpus.filtered {
            log::info!("Some cores were filtered by a CPU mask. All tasks will run on the remaining ones.");
        }
        pools.push(Pool { name: CPUS.to_owned(), kind: kind_of(&cpus.groups) });
    }
    if options.detect.mem
        && !is_in(given, MEM)
        && let Ok(bytes) = hardware::memory_total_bytes()
    {
        pools.push(Pool { name: MEM.to_owned(), kind: PoolKind::Sum(mebibytes(bytes)) });
    }
    Ok(pools)
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
    use crate::grammar::detection::Detection;
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
        assert!(matches!(offered(&options), Err(Error::CpusTwice)));
    }

    #[test]
    fn nothing_is_looked_for_that_is_switched_off() {
        let mut options = WorkerOptions::new(PathBuf::new(), "1");
        options.detect = Detection::NONE;
        assert!(matches!(offered(&options), Err(Error::CpusNotGiven)));
        options.cpus = Some(PoolKind::range(0, 1));
        let names: Vec<String> = offered(&options).unwrap().pools.into_iter().map(|pool| pool.name).collect();
        assert_eq!(names, ["cpus"]);
    }

    #[test]
    fn couplings_are_read_beside_all_pools() {
        let mut options = WorkerOptions::new(PathBuf::new(), "1");
        options.cpus = Some(pool::parse_cpus("2x2").unwrap());
        options.resources = vec![pool::parse("aa=2x2").unwrap()];
        options.coupling = Some("cpus[1]:aa[0]".into());
        let coupling = offered(&options).unwrap().coupling;
        let item = coupling.weights[0];
        assert_eq!((item.resource1, item.group1, item.resource2, item.group2, item.weight), (0, 0, 1, 1, 256));
        options.coupling = Some("cpus[1]:mem[0]".into());
        assert!(matches!(offered(&options), Err(Error::Coupling(_))));
        options.coupling = Some(COUPLING_NONE.into());
        assert_eq!(offered(&options).unwrap().coupling.weights, []);
    }
}
