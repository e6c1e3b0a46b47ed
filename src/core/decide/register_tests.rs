//! What a worker may say about itself: each limit at its edge, and each thing that makes no sense alone.
//!
//! What the server makes of such registrations is tested from outside (`tests/hostile`).

use super::register::check_config;
use crate::limits;
use crate::resource::{Amount, CouplingWeight, Pool, PoolKind};
use crate::time::Span;
use crate::worker::WorkerConfig;

fn labels(count: usize) -> Vec<String> {
    (0..count).map(|number| number.to_string()).collect()
}

/// Two pools with two groups each, and one without.
fn config() -> WorkerConfig {
    let mut config = WorkerConfig { heartbeat: Span::from_secs(8), ..WorkerConfig::default() };
    let groups = || PoolKind::Groups(vec![labels(2), vec!["x".to_owned()]]);
    for (name, kind) in [("cpus", groups()), ("gpus", groups()), ("mem", PoolKind::Sum(Amount::units(9)))] {
        config.resources.pools.push(Pool { name: name.to_owned(), kind });
    }
    config
}

fn weight(ends: [u32; 4], weight: u32) -> CouplingWeight {
    let [resource1, group1, resource2, group2] = ends;
    CouplingWeight { resource1, group1, resource2, group2, weight }
}

type Change = fn(&mut WorkerConfig);

fn said(change: Change) -> Result<(), String> {
    let mut changed = config();
    change(&mut changed);
    check_config(&changed)
}

#[test]
fn what_is_within_the_limits_is_accepted() {
    let accepted: &[Change] = &[
        |_| (),
        |config| config.heartbeat = limits::HEARTBEAT_MIN,
        |config| config.heartbeat = limits::HEARTBEAT_MAX,
        |config| config.min_utilization_parts = 10_000,
        |config| config.resources.pools[0].kind = PoolKind::range(7, 7),
        |config| config.resources.pools[0].kind = PoolKind::Sum(Amount(u64::from(u32::MAX) * 10_000)),
        |config| config.resources.pools[0].kind = PoolKind::List(labels(limits::WORKER_LABELS_MAX - 6)),
        |config| {
            let more = 3..limits::RESOURCES_MAX;
            let pool = |number: usize| Pool { name: format!("r{number}"), kind: PoolKind::range(0, 1) };
            config.resources.pools.extend(more.map(pool));
        },
        |config| config.resources.coupling.weights = vec![weight([0, 1, 0, 1], 1), weight([0, 1, 2, 0], 65_535)],
        |config| config.hostname = "x".repeat(limits::WORKER_TEXT_BYTES_MAX),
        |config| config.extra = labels(limits::WORKER_FACTS_MAX).into_iter().map(|name| (name.clone(), name)).collect(),
    ];
    for (number, change) in accepted.iter().enumerate() {
        assert_eq!(said(*change), Ok(()), "number {number}");
    }
}

#[test]
fn what_makes_no_sense_is_refused_by_name() {
    let refused: &[(Change, &str)] = &[
        (|config| config.heartbeat.0 = limits::HEARTBEAT_MIN.0 - 1, "a heartbeat interval of 199.999ms is not allowed"),
        (|config| config.heartbeat.0 = limits::HEARTBEAT_MAX.0 + 1, "a heartbeat interval of 3600.000001s is not"),
        (|config| config.min_utilization_parts = 10_001, "the minimal utilization has to be"),
        (|config| config.resources.pools[0].kind = PoolKind::range(1, 0), "Resource cpus has the range 1-0, which"),
        (|config| config.resources.pools[0].kind = PoolKind::Sum(Amount(0)), "Resource cpus is empty or too large"),
        (
            |config| config.resources.pools[0].kind = PoolKind::Sum(Amount(u64::from(u32::MAX) * 10_000 + 1)),
            "Resource cpus is empty or too large",
        ),
        (
            |config| config.resources.pools[0].kind = PoolKind::List(labels(limits::WORKER_LABELS_MAX - 5)),
            "the resources have too many labels",
        ),
        (
            |config| config.resources.pools[0].kind = PoolKind::List(vec!["a".to_owned(); 2]),
            "Resource cpus has the label a twice",
        ),
        (|config| config.resources.pools[1].name = "cpus".to_owned(), "Resource cpus defined twice"),
        (|config| config.resources.pools[1].name.clear(), "a resource has no name"),
        (
            |config| {
                let more = 3..=limits::RESOURCES_MAX;
                let pool = |number: usize| Pool { name: format!("r{number}"), kind: PoolKind::range(0, 1) };
                config.resources.pools.extend(more.map(pool));
            },
            "257 resources are too many",
        ),
        (|config| config.hostname = "a\nb".to_owned(), "the host name has a line break"),
        (|config| config.hostname = "a\rb".to_owned(), "the host name has a line break"),
        (|config| config.hostname = "x".repeat(limits::WORKER_TEXT_BYTES_MAX + 1), "the host name has 4097 bytes"),
        (|config| config.group = "x".repeat(5_000), "the group has 5000 bytes"),
        (|config| config.work_dir = "x".repeat(5_000), "the working directory has 5000 bytes"),
        (|config| config.listen_address = "x".repeat(5_000), "the address has 5000 bytes"),
        (|config| config.resources.pools[1].name = "x".repeat(5_000), "the name of a resource has 5000 bytes"),
        (|config| drop(config.extra.insert("x".repeat(5_000), String::new())), "the name of a further fact has 5000"),
        (|config| drop(config.extra.insert("a".to_owned(), "x".repeat(5_000))), "a further fact has 5000 bytes"),
        (
            |config| config.extra = labels(257).into_iter().map(|name| (name.clone(), name)).collect(),
            "257 further facts are too many",
        ),
    ];
    for (change, text) in refused {
        let said = said(*change).unwrap_err();
        assert!(said.starts_with(text), "{said}");
    }
}

#[test]
fn couplings_are_of_groups_that_are_there_and_in_order() {
    let of = |weights: &[CouplingWeight]| {
        let mut config = config();
        config.resources.coupling.weights = weights.to_vec();
        check_config(&config)
    };
    for odd in [
        weight([0, 2, 1, 0], 1),
        weight([0, 0, 1, 2], 1),
        weight([0, 0, 2, 1], 1),
        weight([0, 0, 3, 0], 1),
        weight([1, 0, 0, 0], 1),
        weight([0, 0, 1, 0], 65_536),
    ] {
        assert!(of(&[odd]).unwrap_err().starts_with("a coupling names a resource or group"), "{odd:?}");
    }
    let (first, second) = (weight([0, 0, 1, 0], 1), weight([0, 0, 1, 1], 2));
    assert_eq!(of(&[first, second]), Ok(()));
    for both in [[second, first], [first, first]] {
        assert!(of(&both).unwrap_err().starts_with("couplings are not in order"));
    }
    assert!(of(&vec![first; limits::WORKER_COUPLINGS_MAX]).unwrap_err().starts_with("couplings are not in order"));
    assert!(of(&vec![first; limits::WORKER_COUPLINGS_MAX + 1]).unwrap_err().starts_with("4097 couplings are too many"));
}
