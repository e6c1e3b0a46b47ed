//! Submits that no user would type: counts that do not match, graphs that cannot be, numbers at the end of their range.
//!
//! What is accepted is in the journal for good and is replayed at each start, so it must be refused before.
//!
//! Holds: each is refused with a sentence or accepted and harmless; a server that restarts on the journal is the same.

use crate::harness::Cluster;
use crate::meter::Meter;
use crate::peer::{End, Peer, job, jobs_known, task};
use hq_core::id::{TaskId, TaskRef};
use hq_core::idset::{IdRange, IdSet};
use hq_core::resource::{Amount, Policy, RequestEntry, ResourceRequest, Variant};
use hq_core::task::{CrashLimit, Dependency, Entries, SubmitDesc, SubmitRequest, TaskDesc};
use hq_core::time::Span;
use hyperqueue::wire::message::{Request, Response};
use serde::ser::{Serialize, SerializeSeq, Serializer};
use std::sync::Arc;

fn submit(change: impl FnOnce(&mut SubmitDesc)) -> SubmitRequest {
    let mut request = job("absurd", IdSet::range(0, 9), task());
    let mut submit = (*request.submit).clone();
    change(&mut submit);
    request.submit = Arc::new(submit);
    request
}

fn described(change: impl FnOnce(&mut TaskDesc)) -> SubmitRequest {
    let mut desc = task();
    change(&mut desc);
    job("absurd", IdSet::range(0, 9), desc)
}

fn requesting(variants: Vec<Variant>) -> SubmitRequest {
    described(|desc| desc.request = ResourceRequest { variants })
}

fn variant(entries: &[(&str, u64, Policy)]) -> Variant {
    let entry = |(name, amount, policy): &(&str, u64, Policy)| RequestEntry {
        resource: (*name).to_owned(),
        amount: Amount(*amount),
        policy: *policy,
    };
    Variant { entries: entries.iter().map(entry).collect(), ..Variant::default() }
}

fn waits(task: u32, on: TaskRef) -> Dependency {
    Dependency { task: TaskId(task), on, ..Dependency::default() }
}

fn packed(ends: Vec<u32>, bytes: usize) -> Entries {
    Entries { bytes: serde_bytes::ByteBuf::from(vec![b'x'; bytes]), ends }
}

fn counts_that_do_not_match() -> Vec<SubmitRequest> {
    vec![
        submit(|submit| submit.entries = packed((1..=9).collect(), 9)),
        submit(|submit| submit.entries = packed((1..=11).collect(), 11)),
        submit(|submit| submit.entries = packed((1..=10).rev().collect(), 10)),
        submit(|submit| submit.entries = packed((1..=10).collect(), 9)),
        submit(|submit| submit.entries = packed(vec![u32::MAX; 10], 10)),
        submit(|submit| {
            submit.ids = IdSet::range(0, u32::MAX);
            submit.entries = packed((1..=10).collect(), 10);
        }),
        submit(|submit| submit.descs.clear()),
        submit(|submit| submit.desc_of = vec![1; 10]),
        submit(|submit| submit.desc_of = vec![0; 9]),
        submit(|submit| submit.ids = IdSet { ranges: vec![IdRange::new(0, 5), IdRange::new(5, 9)] }),
        submit(|submit| submit.ids = IdSet { ranges: vec![IdRange::new(0, u32::MAX); 3] }),
        submit(|submit| submit.ids = IdSet { ranges: vec![IdRange::stepped(0, u32::MAX, 2); 50_000] }),
        submit(|submit| {
            let start = |n: u32| IdRange::stepped(n, u32::MAX - 5_000 + n, 5_000);
            submit.ids = IdSet { ranges: (0..4_000).map(start).collect() };
        }),
    ]
}

fn graphs_that_cannot_be() -> Vec<SubmitRequest> {
    vec![
        submit(|submit| submit.deps = vec![waits(1, TaskRef::new(0, 1))]),
        submit(|submit| submit.deps = vec![waits(1, TaskRef::new(0, 2)), waits(2, TaskRef::new(0, 1))]),
        submit(|submit| submit.deps = vec![waits(10, TaskRef::new(0, 1))]),
        submit(|submit| submit.deps = vec![waits(1, TaskRef::new(0, 10))]),
        submit(|submit| submit.deps = vec![waits(1, TaskRef::new(u32::MAX, 0))]),
        submit(|submit| submit.deps = vec![waits(1, TaskRef::new(1, 0))]),
    ]
}

fn descriptions_beyond_limits() -> Vec<SubmitRequest> {
    let cpu = ("cpus", 10_000, Policy::Compact);
    let many: Vec<String> = (0..300).map(|n| format!("r{n}")).collect();
    let many: Vec<(&str, u64, Policy)> = many.iter().map(|name| (name.as_str(), 1, Policy::Compact)).collect();
    vec![
        requesting(Vec::new()),
        requesting(vec![Variant::default()]),
        requesting(vec![variant(&[cpu]); 33]),
        requesting(vec![variant(&[cpu, cpu])]),
        requesting(vec![variant(&[("cpus", 0, Policy::Compact)])]),
        requesting(vec![variant(&many)]),
        requesting(vec![Variant { nodes: u32::MAX, ..variant(&[cpu]) }]),
        described(|desc| desc.args = vec!["x".to_owned(); 100_001]),
        described(|desc| desc.args = vec!["x".repeat(3 << 20)]),
        described(|desc| desc.args = vec!["a\0b".to_owned()]),
        described(|desc| desc.env = [("A".to_owned(), "x".repeat(3 << 20))].into()),
        described(|desc| desc.env = [("A\0".to_owned(), String::new())].into()),
        described(|desc| desc.stdin = serde_bytes::ByteBuf::from(vec![0; 9 << 20])),
        described(|desc| desc.env = [("A=B".to_owned(), String::new())].into()),
        described(|desc| desc.env = [(String::new(), "x".to_owned())].into()),
        described(|desc| desc.cwd = "x".repeat(1 << 20)),
        described(|desc| desc.cwd = "a\0b".to_owned()),
        described(|desc| desc.stdout.path = "x".repeat(1 << 20)),
        described(|desc| desc.request.variants[0].entries[0].resource = "x".repeat(1 << 20)),
        submit(|submit| submit.submit_dir = "x".repeat(1 << 20)),
        submit(|submit| submit.stream = Some("x".repeat(1 << 20))),
        SubmitRequest { name: "x".repeat(1 << 20), ..submit(|_| ()) },
        SubmitRequest { name: "a\nb".to_owned(), ..submit(|_| ()) },
    ]
}

#[test]
fn what_cannot_be_is_refused() {
    let cluster = Cluster::start();
    let mut peer = Peer::client(&cluster);
    let before = peer.events();
    let meter = Meter::start(&cluster);
    for (part, requests) in
        [counts_that_do_not_match(), graphs_that_cannot_be(), descriptions_beyond_limits()].into_iter().enumerate()
    {
        for (number, request) in requests.into_iter().enumerate() {
            let answer = peer.try_ask(&Request::Submit(request));
            assert!(matches!(answer, Ok(Response::Refused(_))), "part {part}, request {number}: {answer:?}");
        }
    }
    meter.peers();
    assert_eq!((peer.events(), jobs_known(&cluster)), (before, 0));
}

#[test]
fn numbers_at_the_end_of_their_range_are_harmless() {
    let mut cluster = Cluster::start();
    let mut peer = Peer::client(&cluster);
    let meter = Meter::start(&cluster);
    let huge = |policy| variant(&[("cpus", u64::MAX, policy)]);
    let extremes = [
        submit(|submit| submit.ids = IdSet::range(0, u32::MAX)),
        submit(|submit| submit.ids = IdSet { ranges: vec![IdRange { start: 0, end: u32::MAX, gap: u32::MAX }] }),
        submit(|submit| submit.ids = IdSet { ranges: vec![IdRange::new(9, 0)] }),
        submit(|submit| submit.ids = IdSet::range(u32::MAX, u32::MAX)),
        submit(|submit| {
            submit.ids = IdSet::range(0, u32::MAX);
            submit.deps = vec![waits(7, TaskRef::new(0, 3)), waits(u32::MAX, TaskRef::new(0, 0))];
        }),
        requesting(vec![huge(Policy::Compact), huge(Policy::All), huge(Policy::Scatter)]),
        requesting(vec![Variant { weight_parts: u32::MAX, min_time: Span(u64::MAX), ..huge(Policy::Compact) }]),
        described(|desc| {
            desc.priority = i32::MIN;
            desc.time_limit = Some(Span(u64::MAX));
            desc.crash_limit = CrashLimit::Max(u32::MAX);
        }),
        described(|desc| desc.crash_limit = CrashLimit::Max(0)),
        SubmitRequest { max_fails: Some(u32::MAX), ..submit(|_| ()) },
    ];
    for request in extremes {
        let shown = format!("{request:?}");
        let answer = peer.try_ask(&Request::Submit(request));
        assert!(matches!(answer, Ok(Response::Refused(_) | Response::Submitted(_))), "{answer:?} {shown}");
    }
    meter.peers();
    // Without the list of tasks, of which there are billions.
    let shown = |cluster: &Cluster| {
        let info = cluster.hq(&["job", "info", "all"]).ok().stdout;
        // The time since the submit goes on.
        let lines: Vec<String> = info.lines().filter(|line| !line.contains("Makespan")).map(str::to_owned).collect();
        (cluster.json(&["job", "list", "--all"]), lines)
    };
    let before = shown(&cluster);
    cluster.kill_server();
    cluster.start_server();
    assert_eq!(shown(&cluster), before);
    cluster.start_worker(1);
    cluster.hq(&["job", "cancel", "all"]).ok();
    cluster.hq(&["submit", "--wait", "true"]).ok();
}

/// The same small value many times over.
struct Repeated<T>(T, usize);

impl<T: Serialize> Serialize for Repeated<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut array = serializer.serialize_seq(Some(self.1))?;
        for _ in 0..self.1 {
            array.serialize_element(&self.0)?;
        }
        array.end()
    }
}

#[test]
fn short_messages_do_not_become_large_in_memory() {
    let cluster = Cluster::start();
    let meter = Meter::start(&cluster);
    let empty = std::collections::BTreeMap::<u8, u8>::new();
    let descs = std::collections::BTreeMap::from([(1u8, Repeated(&empty, 1_000_000))]);
    let body = std::collections::BTreeMap::from([(2u8, &descs)]);
    let answer = Peer::client(&cluster).try_ask(&(1u8, &body));
    assert!(matches!(answer, Err(End::Closed | End::Broken(_)) | Ok(Response::Refused(_))), "{answer:?}");
    meter.peers();
    assert_eq!(jobs_known(&cluster), 0);
}
