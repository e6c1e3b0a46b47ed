//! Strangers in numbers: connections, silence, announced lengths, rubbish.
//!
//! Anybody in the site's network can do this, so it must cost the owner next to nothing.
//!
//! Holds for each: the owner's client answers within a second throughout, the server grows by less than 16 MiB, its
//! log by less than 64 KiB, and afterwards everything works. With `HQ_CAMPAIGN` there are more of them.

use crate::harness::{Cluster, wait_until};
use crate::meter::Meter;
use crate::peer::access_of;
use hyperqueue::wire::Role;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

/// Connections of strangers that may be in the making at once.
const DIALLING_MAX: usize = 64;

/// How many strangers come: more of them where `HQ_CAMPAIGN` is set.
fn number(usual: usize, campaign: usize) -> usize {
    if std::env::var_os("HQ_CAMPAIGN").is_some() { campaign } else { usual }
}

fn ports(cluster: &Cluster) -> [u16; 2] {
    [Role::Client, Role::Worker].map(|role| access_of(&cluster.server_dir(), role).endpoint.port)
}

fn crowd_runtime() -> Runtime {
    nix::sys::resource::getrlimit(nix::sys::resource::Resource::RLIMIT_NOFILE)
        .and_then(|(_, hard)| nix::sys::resource::setrlimit(nix::sys::resource::Resource::RLIMIT_NOFILE, hard, hard))
        .expect("as many files as may be");
    Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("a runtime")
}

/// A connection from one of the many addresses of this machine; none where it is refused.
async fn stranger(number: usize, port: u16) -> Option<TcpStream> {
    let source = [127, 0, u8::try_from(number / 7 % 3).ok()?, u8::try_from(number % 40 + 1).ok()?];
    let socket = TcpSocket::new_v4().ok()?;
    socket.bind(SocketAddr::from((source, 0))).ok()?;
    socket.connect(SocketAddr::from(([127, 0, 0, 1], port))).await.ok()
}

/// `count` strangers at both ports, who send what `says` gives for their number; held until the result is dropped.
fn crowd(runtime: &Runtime, cluster: &Cluster, count: usize, says: fn(usize) -> Vec<u8>) -> Vec<TcpStream> {
    let (ports, gate) = (ports(cluster), Arc::new(Semaphore::new(DIALLING_MAX)));
    runtime.block_on(async {
        let mut strangers = JoinSet::new();
        for number in 0..count {
            let gate = Arc::clone(&gate);
            strangers.spawn(async move {
                let _place = gate.acquire().await;
                let mut stream = stranger(number, ports[number % 2]).await?;
                // Whoever was pushed out already cannot write any more.
                let _ = stream.write_all(&says(number)).await;
                Some(stream)
            });
        }
        strangers.join_all().await.into_iter().flatten().collect()
    })
}

/// Everything still works: a worker comes, a job runs.
#[track_caller]
fn works(cluster: &mut Cluster) {
    cluster.start_worker(1);
    cluster.hq(&["submit", "--wait", "true"]).ok();
    let job = cluster.hq(&["--output-mode=quiet", "job", "list", "--all"]).ok().stdout;
    assert!(job.ends_with("FINISHED\n"), "{job}");
    cluster.hq(&["server", "stop"]).ok();
    assert!(cluster.server_ends().success());
}

#[test]
fn a_thousand_idle_peers() {
    let mut cluster = Cluster::start();
    let (meter, runtime) = (Meter::start(&cluster), crowd_runtime());
    let strangers = number(1_000, 5_000);
    let silent = crowd(&runtime, &cluster, strangers, |number| vec![3; number % 4]);
    assert!(silent.len() > strangers * 9 / 10, "{} strangers", silent.len());
    cluster.hq(&["server", "info"]).ok();
    meter.strangers();
    drop(silent);
    works(&mut cluster);
}

#[test]
fn a_thousand_announced_frames_of_4_gib() {
    let mut cluster = Cluster::start();
    let (meter, runtime) = (Meter::start(&cluster), crowd_runtime());
    let huge = crowd(&runtime, &cluster, 1_000, |number| {
        let mut bytes = vec![255, 255, 255, 255];
        bytes.resize(if number % 10 == 0 { 256 * 1024 } else { 4 + number % 3_000 }, b'x');
        bytes
    });
    assert!(huge.len() > 900, "{} strangers", huge.len());
    cluster.hq(&["server", "info"]).ok();
    meter.strangers();
    drop(huge);
    works(&mut cluster);
}

#[test]
fn thousands_of_bad_handshakes_make_few_lines() {
    let mut cluster = Cluster::start();
    let (meter, runtime) = (Meter::start(&cluster), crowd_runtime());
    for _ in 0..4 {
        drop(crowd(&runtime, &cluster, 1_000, |number| match number % 4 {
            0 => b"GET / HTTP/1.1\r\nHost: \x1b]0;owned\x07\r\n\r\n".to_vec(),
            1 => [&72u32.to_le_bytes()[..], b"HQW\n\x01\x00", &[1; 66]].concat(),
            2 => [&72u32.to_le_bytes()[..], b"HQW\n\x01\x00\x02\x00", &[0; 64]].concat(),
            _ => vec![0; 4],
        }));
    }
    meter.strangers();
    assert!(!cluster.logs().contains("owned"), "bytes of a peer are in the log");
    works(&mut cluster);
}

#[test]
fn a_flood_at_a_low_limit_of_files() {
    for limit in ["1024", "96"] {
        let limit = format!("--nofile={limit}");
        let mut cluster = Cluster::start_under(&["prlimit", &limit]);
        let (meter, runtime) = (Meter::start(&cluster), crowd_runtime());
        let mut held = Vec::new();
        for round in 0..5 {
            held.extend(crowd(&runtime, &cluster, 1_000, |number| vec![number as u8; number % 5]));
            if round % 2 == 1 {
                held.clear();
            }
            cluster.hq(&["server", "info"]).ok();
        }
        meter.strangers();
        drop(held);
        works(&mut cluster);
    }
}

#[test]
fn slow_peers_are_not_waited_for() {
    let mut cluster = Cluster::start();
    let (meter, runtime) = (Meter::start(&cluster), crowd_runtime());
    let ports = ports(&cluster);
    // The beginning of a good handshake, a byte every tenth of a second: it would take more than seven seconds.
    let beginning = [&72u32.to_le_bytes()[..], b"HQW\n\x01\x00\x01\x00", &[0; 64]].concat();
    let sent = runtime.block_on(async {
        let mut slow = JoinSet::new();
        for number in 0..number(20, 500) {
            let beginning = beginning.clone();
            slow.spawn(async move {
                let Some(mut stream) = stranger(number, ports[number % 2]).await else { return 0 };
                for (count, byte) in beginning.iter().enumerate() {
                    if stream.write_all(&[*byte]).await.is_err() {
                        return count;
                    }
                    let mut answer = [0; 64];
                    let read = tokio::time::timeout(Duration::from_millis(100), stream.read(&mut answer)).await;
                    if read.is_ok() {
                        return count;
                    }
                }
                beginning.len()
            });
        }
        slow.join_all().await
    });
    assert!(sent.iter().all(|count| *count < beginning.len()), "{sent:?}");
    meter.strangers();
    works(&mut cluster);
}

#[test]
fn sockets_of_strangers_are_closed() {
    let cluster = Cluster::start();
    let runtime = crowd_runtime();
    let open = || std::fs::read_dir(format!("/proc/{}/fd", cluster.server_pid())).expect("files").count();
    let before = open();
    drop(crowd(&runtime, &cluster, 300, |number| vec![7; number % 90]));
    wait_until("the files are closed", || open() <= before);
}
