//! The two doors and their keys: who holds another key, or the key of the other door, stays outside.
//!
//! A worker's key lies on every compute node; it must not open what users do, and no key at all must open nothing.
//!
//! Holds: a refused peer changes nothing, and the owner's key works before and after.

use crate::harness::Cluster;
use crate::peer::{End, Peer, access_of, all, job, jobs_known, registration, task};
use hq_core::idset::IdSet;
use hq_core::resource::PoolKind;
use hyperqueue::VERSION;
use hyperqueue::wire::message::{CancelRequest, Request, Response, ToServer, ToWorker};
use hyperqueue::wire::{DialError, Identity, Role, SecretKey, ServerUid};
use serde_json::Value;

fn refused(identity: &Identity, port: u16) -> String {
    match Peer::dial(identity, port) {
        Err(error @ (DialError::Rejected(_) | DialError::Version { .. })) => error.to_string(),
        Err(error) => panic!("not refused but: {error:?}"),
        Ok(_) => panic!("{identity:?} was let in at {port}"),
    }
}

#[test]
fn another_key_or_role_opens_nothing() {
    let cluster = Cluster::start();
    let [client, worker] = [Role::Client, Role::Worker].map(|role| access_of(&cluster.server_dir(), role));
    let uid = client.server_uid.clone();
    let identity = |role, key: &SecretKey| Identity::new(role, key.clone(), uid.clone(), VERSION);
    let (client_port, worker_port) = (client.endpoint.port, worker.endpoint.port);
    let (client_key, worker_key) = (client.endpoint.key, worker.endpoint.key);
    let random = SecretKey::random().unwrap();
    let (zero, challenge) = (SecretKey::from_bytes([0; 32]), "Cannot verify challenge");
    for (role, key, port, text) in [
        (Role::Client, &worker_key, client_port, challenge),
        (Role::Worker, &client_key, worker_port, challenge),
        (Role::Client, &client_key, worker_port, "Expected peer role hq-server, got server"),
        (Role::Worker, &worker_key, client_port, "Expected peer role server, got hq-server"),
        (Role::Worker, &client_key, client_port, "Expected peer role server, got hq-server"),
        (Role::Client, &worker_key, worker_port, "Expected peer role hq-server, got server"),
        (Role::Client, &random, client_port, challenge),
        (Role::Worker, &random, worker_port, challenge),
        (Role::Client, &zero, client_port, challenge),
    ] {
        let answer = refused(&identity(role, key), port);
        assert!(answer.contains(text), "{role:?} at {port}: {answer}");
    }
    let other_server = Identity::new(Role::Client, client_key, ServerUid::parse("other1").unwrap(), VERSION);
    refused(&other_server, client_port);
    assert_eq!(jobs_known(&cluster), 0);
    assert_eq!(cluster.json(&["worker", "list", "--all"]), serde_json::json!([]));
}

/// Writes a copy of the access file into a server directory of its own and gives the directory's name.
fn copy_of_access(cluster: &Cluster, name: &str, change: impl Fn(&mut Value)) -> String {
    let text = std::fs::read_to_string(cluster.server_dir().join("hq-current/access.json")).unwrap();
    let mut access: Value = serde_json::from_str(&text).unwrap();
    change(&mut access);
    let dir = cluster.path().join(name);
    std::fs::create_dir(&dir).unwrap();
    std::fs::write(dir.join("access.json"), access.to_string()).unwrap();
    format!("--server-dir={}", dir.display())
}

#[test]
fn the_program_says_what_is_wrong_with_its_key() {
    let cluster = Cluster::start();
    let keys = copy_of_access(&cluster, "keys", |access| {
        let key = access["worker"]["secret_key"].take();
        access["worker"]["secret_key"] = access["client"]["secret_key"].take();
        access["client"]["secret_key"] = key;
    });
    let ports = copy_of_access(&cluster, "ports", |access| {
        let port = access["worker"]["port"].take();
        access["worker"]["port"] = access["client"]["port"].take();
        access["client"]["port"] = port;
    });
    let none = copy_of_access(&cluster, "none", |access| access["client"]["secret_key"] = Value::Null);
    cluster.hq(&[&keys, "submit", "true"]).code(1).says("Cannot verify challenge");
    cluster.hq(&[&keys, "worker", "start"]).code(1).says("Cannot verify challenge");
    cluster.hq(&[&ports, "submit", "true"]).code(1).says("Expected peer role hq-server, got server");
    cluster.hq(&[&ports, "worker", "start"]).code(1).says("Expected peer role server, got hq-server");
    cluster.hq(&[&none, "submit", "true"]).code(1);
    assert_eq!(jobs_known(&cluster), 0);
    assert_eq!(cluster.json(&["worker", "list", "--all"]), serde_json::json!([]));
}

#[test]
fn one_door_does_not_understand_the_language_of_the_other() {
    let cluster = Cluster::start();
    let mut owner = Peer::client(&cluster);
    let before = owner.events();
    let mut client = Peer::client(&cluster);
    let register = ToServer::Register(registration("a", vec![("cpus", PoolKind::range(0, 3))]));
    let answer = client.try_ask(&register);
    assert!(matches!(answer, Err(_) | Ok(Response::Refused(_))), "{answer:?}");

    let submit = Request::Submit(job("smuggled", IdSet::single(0), task()));
    let mut early = Peer::worker(&cluster);
    early.send(&submit).unwrap();
    let answer = early.next::<Response>();
    assert!(matches!(answer, Err(End::Closed | End::Broken(_))), "{answer:?}");
    let mut late = Peer::worker(&cluster);
    late.send(&ToServer::Register(registration("b", vec![("cpus", PoolKind::range(0, 0))]))).unwrap();
    let answer = late.next();
    assert!(matches!(answer, Ok(ToWorker::Registered(_))), "{answer:?}");
    late.send(&submit).unwrap();
    late.send(&Request::Cancel(CancelRequest { selector: all(), reason: None })).unwrap();
    assert_eq!(jobs_known(&cluster), 0);
    assert_eq!(owner.events(), before + 1, "the second worker and nothing else");
}
