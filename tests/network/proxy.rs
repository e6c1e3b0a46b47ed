//! A network that delays or swallows, by a process in between whose machine acknowledges everything.

use crate::harness::Cluster;
use crate::witness::{self, HEARTBEAT};
use serde_json::Value;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

/// What happens to bytes on their way, in both directions.
#[derive(Default)]
struct Weather {
    delay_ms: AtomicU64,
    swallows: AtomicBool,
}

/// Passes connections to a port of this machine on; its own port.
fn proxy(to: u16, weather: &Arc<Weather>) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let weather = Arc::clone(weather);
    thread::spawn(move || {
        for near in listener.incoming().flatten() {
            let Ok(far) = TcpStream::connect(("127.0.0.1", to)) else { continue };
            let ends = [(near.try_clone().unwrap(), far.try_clone().unwrap()), (far, near)];
            for (from, to) in ends {
                let weather = Arc::clone(&weather);
                thread::spawn(move || pass(from, to, &weather));
            }
        }
    });
    port
}

fn pass(mut from: TcpStream, mut to: TcpStream, weather: &Weather) {
    let mut bytes = [0; 65_536];
    while let Ok(count @ 1..) = from.read(&mut bytes) {
        thread::sleep(Duration::from_millis(weather.delay_ms.load(Ordering::Relaxed)));
        if !weather.swallows.load(Ordering::Relaxed) && to.write_all(&bytes[..count]).is_err() {
            break;
        }
    }
    if !weather.swallows.load(Ordering::Relaxed) {
        let _ = to.shutdown(Shutdown::Both);
    }
}

/// A directory for workers that leads through the proxy, without the server's signs of life.
fn directory_through(cluster: &Cluster, weather: &Arc<Weather>) -> String {
    let path = cluster.server_dir().join("hq-current/access.json");
    let mut access: Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    let server = u16::try_from(access["worker"]["port"].as_u64().unwrap()).unwrap();
    access["worker"]["host"] = "127.0.0.1".into();
    access["worker"]["port"] = proxy(server, weather).into();
    let dir = cluster.work().join("through");
    std::fs::create_dir(&dir).unwrap();
    std::fs::write(dir.join("access.json"), access.to_string()).unwrap();
    format!("--server-dir={}", dir.display())
}

#[test]
fn a_slow_network_is_no_broken_one() {
    let mut cluster = Cluster::start();
    let weather = Arc::new(Weather::default());
    weather.delay_ms.store(700, Ordering::Relaxed);
    let dir = directory_through(&cluster, &weather);
    cluster.start_worker_with(&["--cpus=1", "--heartbeat=1s", &dir]);
    let job = witness::submit(&cluster);
    thread::sleep(Duration::from_secs(9));
    witness::first_copy_was_the_only_one(&cluster, job);
    witness::wait_states(&cluster, &["RUNNING"]);
}

#[test]
fn acknowledgements_of_somebody_in_between_are_no_contact() {
    let mut cluster = Cluster::start();
    let weather = Arc::new(Weather::default());
    let dir = directory_through(&cluster, &weather);
    cluster.start_worker_with(&["--cpus=1", HEARTBEAT, &dir]);
    let job = witness::submit(&cluster);
    weather.swallows.store(true, Ordering::Relaxed);
    cluster.start_worker_with(&["--cpus=1", HEARTBEAT]);
    witness::second_copy_runs_alone(&cluster, job);
    weather.swallows.store(false, Ordering::Relaxed);
    witness::wait_states(&cluster, &["HEARTBEAT LOST", "RUNNING", "RUNNING"]);
}
