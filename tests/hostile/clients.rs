//! Holders of the client's key who send what the program never would: unknown kinds, broken CBOR, absurd selections.
//!
//! A key is no reason for trust: it may be a program of another version, a faulty one, or a stolen key.
//!
//! Holds: each message is refused or answered, at once and in bounded memory; the server and its other clients go on.

use crate::harness::Cluster;
use crate::meter::Meter;
use crate::peer::{End, Peer, all, job, jobs_known, task};
use ciborium::Value;
use hq_core::id::{JobId, TaskId};
use hq_core::idset::{IdRange, IdSet};
use hq_core::time::Span;
use hq_core::view::TaskState;
use hyperqueue::wire::message::{
    CancelRequest, DrainRequest, Request, Response, Selector, SelectorKind, TaskPageRequest,
};
use serde::ser::{Serialize, SerializeMap, SerializeSeq, Serializer};

/// An array that announces more elements than follow.
struct Truncated(usize);

impl Serialize for Truncated {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut array = serializer.serialize_seq(Some(self.0))?;
        array.serialize_element(&1u8)?;
        array.end()
    }
}

/// A map that announces more entries than follow.
struct TruncatedMap;

impl Serialize for TruncatedMap {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(1 << 40))?;
        map.serialize_entry(&0u8, &0u8)?;
        map.end()
    }
}

/// Arrays within arrays.
struct Nested(usize);

impl Serialize for Nested {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut array = serializer.serialize_seq(Some(1))?;
        if self.0 > 0 {
            array.serialize_element(&Nested(self.0 - 1))?;
        }
        array.end()
    }
}

/// Each message goes over a connection of its own, and is answered by a refusal or the end of the connection.
#[track_caller]
fn refused<M: Serialize>(cluster: &Cluster, messages: &[M]) {
    for (number, message) in messages.iter().enumerate() {
        let mut peer = Peer::client(cluster);
        let answer = peer.try_ask(message);
        let refused = matches!(answer, Err(End::Closed | End::Broken(_)) | Ok(Response::Refused(_)));
        assert!(refused, "message {number}: {answer:?}");
    }
}

#[test]
fn messages_that_are_none() {
    let cluster = Cluster::start();
    let meter = Meter::start(&cluster);
    let pair = |kind: Value, body: Value| Value::Array(vec![kind, body]);
    let empty = || Value::Map(Vec::new());
    refused(
        &cluster,
        &[
            pair(99.into(), empty()),
            pair(65_536.into(), empty()),
            pair((-1).into(), empty()),
            pair("2".into(), empty()),
            pair(2.into(), Value::Null),
            pair(1.into(), Value::Array(vec![empty(); 3])),
            pair(4.into(), Value::Map(vec![("job".into(), 1.into())])),
            pair(4.into(), Value::Map(vec![(0.into(), Value::from(u64::MAX))])),
            pair(3.into(), Value::Map(vec![(0.into(), 77.into())])),
            Value::Array(vec![2.into()]),
            Value::Array(vec![2.into(), empty(), empty()]),
            Value::Bytes(vec![0; 1 << 20]),
            Value::Text("\u{1b}[2J".repeat(1_000)),
            Value::Float(f64::NAN),
            Value::Null,
        ],
    );
    refused(&cluster, &[Truncated(3), Truncated(1 << 20), Truncated(1 << 50)]);
    refused(&cluster, &[TruncatedMap]);
    let deep = || refused(&cluster, &[Nested(300), Nested(20_000)]);
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().stack_size(256 << 20);
        thread.spawn_scoped(scope, deep).expect("a thread").join().expect("a deep message");
    });
    meter.peers();
    assert!(!cluster.logs().contains("\u{1b}[2J"));
    assert_eq!(jobs_known(&cluster), 0);
}

fn ids(ranges: Vec<IdRange>) -> Selector {
    Selector { kind: SelectorKind::Ids, ids: IdSet { ranges } }
}

fn selecting(selector: &Selector) -> Vec<Request> {
    vec![
        Request::JobDetails(selector.clone()),
        Request::Cancel(CancelRequest { selector: selector.clone(), reason: None }),
        Request::Workers(selector.clone()),
        Request::StopWorkers(selector.clone()),
        Request::DrainWorkers(DrainRequest { selector: selector.clone(), timeout: Some(Span(u64::MAX)) }),
        Request::Wait(selector.clone()),
        Request::Progress(selector.clone()),
    ]
}

#[test]
fn selections_of_everything_there_could_be() {
    let cluster = Cluster::start();
    let mut owner = Peer::client(&cluster);
    let before = owner.events();
    let meter = Meter::start(&cluster);
    let whole = IdRange::new(0, u32::MAX);
    for selector in [
        ids(vec![whole]),
        ids(vec![whole; 1_000]),
        ids(vec![IdRange { start: 5, end: 1, gap: u32::MAX }; 10]),
        ids(vec![IdRange { start: 0, end: u32::MAX, gap: u32::MAX }; 1_000]),
        ids(vec![IdRange::stepped(0, u32::MAX, 2); 3]),
        ids((0..50_000).map(|id| IdRange::new(id * 2, id * 2)).collect()),
    ] {
        for request in selecting(&selector) {
            let answer = Peer::client(&cluster).try_ask(&request);
            assert!(!matches!(answer, Err(End::Silence)), "{request:?}");
        }
    }
    meter.peers();
    assert_eq!(owner.events(), before, "nothing was changed");
}

#[test]
fn one_job_asked_for_a_million_times() {
    let cluster = Cluster::start();
    let mut owner = Peer::client(&cluster);
    let mut large = task();
    large.env.insert("A".to_owned(), "x".repeat(1 << 20));
    let id = owner.submit(job("large", IdSet::single(0), large));
    let meter = Meter::start(&cluster);
    let same = ids(vec![IdRange::new(id.0, id.0); 100_000]);
    match owner.ask(&Request::JobDetails(same.clone())) {
        Response::JobDetails((found, missing)) => assert_eq!((found.len(), missing.len()), (1, 0)),
        other => panic!("{other:?}"),
    }
    match owner.ask(&Request::Cancel(CancelRequest { selector: same, reason: None })) {
        Response::Canceled(results) => assert_eq!(results.iter().map(|result| result.canceled).sum::<u64>(), 1),
        other => panic!("{other:?}"),
    }
    let workers = ids(vec![IdRange::new(9, 9); 100_000]);
    match owner.ask(&Request::Workers(workers)) {
        Response::Workers((found, missing)) => assert_eq!((found.len(), missing.len()), (0, 1)),
        other => panic!("{other:?}"),
    }
    meter.peers();
}

fn page(job: JobId, ids: IdSet, states: Vec<TaskState>, from: u32) -> Request {
    let (limit, also) = (u32::MAX, IdSet::default());
    Request::Tasks(TaskPageRequest { job, ids: Some(ids), states, from: TaskId(from), limit, also })
}

fn page_and_more(job: JobId, ids: Option<IdSet>, also: IdSet) -> Request {
    let states = vec![TaskState::Failed];
    Request::Tasks(TaskPageRequest { job, ids, states, limit: u32::MAX, also, ..TaskPageRequest::default() })
}

#[test]
fn pages_of_four_billion_tasks() {
    let cluster = Cluster::start();
    let mut owner = Peer::client(&cluster);
    let id = owner.submit(job("array", IdSet::range(0, 4_000_000_000), task()));
    let every_other = owner.submit(job("steps", IdSet { ranges: vec![IdRange::stepped(0, u32::MAX, 2)] }, task()));
    let meter = Meter::start(&cluster);
    let all = || IdSet::range(0, u32::MAX);
    let odd = || IdSet { ranges: vec![IdRange::stepped(1, u32::MAX, 2)] };
    let requests = [
        page(id, all(), vec![TaskState::Failed], 0),
        page(id, IdSet::range(4_100_000_000, 4_200_000_000), Vec::new(), 0),
        page(id, IdSet::range(3_999_000_000, 4_200_000_000), Vec::new(), 0),
        page(id, IdSet { ranges: vec![IdRange::stepped(0, u32::MAX, 65_537)] }, Vec::new(), 7),
        page(id, IdSet { ranges: vec![IdRange::new(4_294_000_000, u32::MAX); 50_000] }, Vec::new(), 0),
        page(id, IdSet { ranges: (0..300_000).map(|n| IdRange::new(n * 3, n * 3)).collect() }, Vec::new(), 1),
        page(every_other, odd(), Vec::new(), 0),
        page(every_other, odd(), Vec::new(), u32::MAX),
        page(JobId(u32::MAX), all(), Vec::new(), 0),
        page_and_more(id, Some(IdSet::range(0, 40_000)), all()),
        page_and_more(id, None, IdSet { ranges: vec![IdRange::new(id.0, id.0); 100_000] }),
        page_and_more(id, Some(all()), IdSet { ranges: vec![IdRange::stepped(0, u32::MAX, 2); 1_000] }),
    ];
    for request in requests {
        let answer = owner.try_ask(&request);
        assert!(matches!(answer, Ok(Response::Tasks(_) | Response::Refused(_))), "{answer:?}");
    }
    match owner.ask(&page(id, IdSet::range(3_999_999_990, 4_200_000_000), Vec::new(), 0)) {
        Response::Tasks(Some(page)) => assert_eq!(page.tasks.first().map(|task| task.id.0), Some(3_999_999_990)),
        other => panic!("{other:?}"),
    }
    match owner.ask(&page(id, IdSet::range(3_999_999_990, 3_999_999_999), Vec::new(), 3_999_999_995)) {
        Response::Tasks(Some(page)) => assert_eq!((page.tasks.len(), page.missing.len(), page.next), (5, 0, None)),
        other => panic!("{other:?}"),
    }
    owner.ask(&Request::Cancel(CancelRequest { selector: self::all(), reason: None }));
    meter.peers();
}

#[test]
fn clients_that_ask_and_do_not_listen() {
    let cluster = Cluster::start();
    let mut owner = Peer::client(&cluster);
    for _ in 0..50 {
        let mut desc = task();
        desc.env.insert("A".to_owned(), "x".repeat(100_000));
        owner.submit(job("large", IdSet::single(0), desc));
    }
    let meter = Meter::start(&cluster);
    let mut deaf: Vec<Peer> = (0..8).map(|_| Peer::client(&cluster)).collect();
    for peer in &mut deaf {
        let request = Request::History(hyperqueue::wire::message::HistoryRequest { from_seq: 0, jobs: None });
        peer.send(&request).unwrap();
    }
    let mut asking = Peer::client(&cluster);
    asking.send(&Request::Progress(all())).unwrap();
    for _ in 0..100 {
        owner.submit(job("change", IdSet::single(0), task()));
    }
    cluster.hq(&["server", "info"]).ok();
    meter.peers();
    drop(deaf);
}
