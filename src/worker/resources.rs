//! What this worker offers: the pools that were given, and for the rest what the machine has.
//!
//! A worker without options offers the CPUs that its process may use, grouped by NUMA node, GPUs and memory.
//!
//! What holds: what was given is never replaced by what was found.

use super::detect::{self, Machine};
use super::error::Error;
use super::options::{COUPLING_NONE, WorkerOptions};
use crate::batch::{self, Allocation};
use crate::grammar::{coupling, pool};
use crate::platform::hardware::{Gpus, Topology};
use hq_core::resource::{CPUS, Pool, PoolKind, WorkerResources};
use std::collections::BTreeSet;

/// The resources of a worker, sorted by name. `allocation` is the batch job around it.
///
/// # Errors
/// [`Error::Resources`] and its neighbours, where pools do not fit together.
pub(super) fn offered(options: &WorkerOptions, allocation: Option<&Allocation>) -> Result<WorkerResources, Error> {
    let machine = Machine::default();
    let mut pools = given(options, &machine)?;
    let found = detect::found(options, &pools, &machine, allocation);
    pools.extend(found.pools.iter().cloned());
    let mut resources = pool::assemble(pools).map_err(Error::Resources)?;
    resources.coupling = match options.coupling.as_deref() {
        None => detect::coupling(&found, &resources.pools),
        Some(text) if text.trim() == COUPLING_NONE => Default::default(),
        Some(text) => coupling::parse(text, &resources.pools).map_err(Error::Coupling)?,
    };
    Ok(resources)
}

/// What a machine has, as `hq worker hwdetect` shows it.
#[derive(Debug)]
pub struct Hardware {
    /// What a worker would offer, in the order of looking.
    pub resources: WorkerResources,
    /// The parts of the machine.
    pub topology: Topology,
    /// The GPUs with the names of their resources.
    pub gpus: Vec<(&'static str, Gpus)>,
}

/// Looks at this machine as a worker with these options does, and finds everything that it has.
pub fn look(options: &WorkerOptions) -> Hardware {
    let machine = Machine::default();
    let allocation = batch::find(batch::Wanted::Detect).ok().flatten();
    let found = detect::found(options, &[], &machine, allocation.as_ref());
    let coupling = detect::coupling(&found, &found.pools);
    let resources = WorkerResources { pools: found.pools, coupling };
    Hardware { resources, topology: machine.topology().clone(), gpus: found.gpus }
}

fn given(options: &WorkerOptions, machine: &Machine) -> Result<Vec<Pool>, Error> {
    let mut pools = options.resources.clone();
    if let Some(kind) = &options.cpus {
        if detect::is_in(&pools, CPUS) {
            return Err(Error::CpusTwice);
        }
        pools.push(Pool { name: CPUS.to_owned(), kind: kind.clone() });
    }
    match pools.iter_mut().find(|pool| pool.name == CPUS) {
        Some(cpus) if options.no_hyper_threading => cpus.kind = first_threads(&cpus.kind, machine)?,
        Some(_) => {}
        None if !options.detect.cpus => return Err(Error::CpusNotGiven),
        None => {}
    }
    Ok(pools)
}

/// Of the CPUs that share a core only the first that is given.
fn first_threads(kind: &PoolKind, machine: &Machine) -> Result<PoolKind, Error> {
    let groups = kind.groups();
    let number = |label: &String| {
        let known = label.parse::<u32>().ok().filter(|cpu| machine.topology().siblings(*cpu).is_some());
        known.ok_or_else(|| Error::UnknownCpu(label.clone()))
    };
    let numbers = |group: &Vec<String>| group.iter().map(number).collect::<Result<Vec<u32>, Error>>();
    let groups = groups.iter().map(numbers).collect::<Result<Vec<_>, Error>>()?;
    let offered: BTreeSet<u32> = groups.iter().flatten().copied().collect();
    let kept = detect::keep_first_threads(groups, &offered, machine);
    Ok(if matches!(kind, PoolKind::Sum(_)) { kind.clone() } else { detect::kind_of(&kept) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::grammar::detection::Detection;
    use hq_core::resource::Amount;
    use std::path::PathBuf;

    #[test]
    fn what_is_given_wins() {
        let mut options = WorkerOptions::new(PathBuf::new(), "1");
        let found = offered(&options, None).unwrap();
        assert!(found.size_of(CPUS) > Amount::ZERO && found.size_of("mem") > Amount::ZERO);
        options.cpus = Some(PoolKind::range(0, 1));
        options.resources = vec![Pool { name: "mem".into(), kind: PoolKind::Sum(Amount::units(5)) }];
        let given = offered(&options, None).unwrap();
        assert_eq!((given.size_of(CPUS), given.size_of("mem")), (Amount::units(2), Amount::units(5)));
        options.resources.push(Pool { name: CPUS.into(), kind: PoolKind::range(0, 1) });
        assert!(matches!(offered(&options, None), Err(Error::CpusTwice)));
    }

    #[test]
    fn nothing_is_looked_for_that_is_switched_off() {
        let mut options = WorkerOptions::new(PathBuf::new(), "1");
        options.detect = Detection::NONE;
        assert!(matches!(offered(&options, None), Err(Error::CpusNotGiven)));
        options.cpus = Some(PoolKind::range(0, 1));
        let names: Vec<String> = offered(&options, None).unwrap().pools.into_iter().map(|pool| pool.name).collect();
        assert_eq!(names, ["cpus"]);
    }

    #[test]
    fn couplings_are_read_beside_all_pools() {
        let mut options = WorkerOptions::new(PathBuf::new(), "1");
        options.cpus = Some(pool::parse_cpus("2x2").unwrap());
        options.resources = vec![pool::parse("aa=2x2").unwrap()];
        options.coupling = Some("cpus[1]:aa[0]".into());
        let coupling = offered(&options, None).unwrap().coupling;
        let item = coupling.weights[0];
        assert_eq!((item.resource1, item.group1, item.resource2, item.group2, item.weight), (0, 0, 1, 1, 256));
        options.coupling = Some("cpus[1]:mem[0]".into());
        assert!(matches!(offered(&options, None), Err(Error::Coupling(_))));
        options.coupling = Some(COUPLING_NONE.into());
        assert_eq!(offered(&options, None).unwrap().coupling.weights, []);
    }
}
