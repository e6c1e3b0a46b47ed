//! Somebody on the way between a client and the server, who records, repeats and changes bytes.
//!
//! Networks of clusters are shared and names can be taken over; the promise is that such a one can end a connection and
//! nothing else.
//!
//! Holds: of all sessions that were altered or played again, none has an effect on the state.

use crate::harness::Cluster;
use crate::peer::{access_of, job, jobs_known, runtime, task};
use hq_core::idset::IdSet;
use hyperqueue::VERSION;
use hyperqueue::wire::message::{Request, Response};
use hyperqueue::wire::{self, Identity, Role};
use serde_json::Value;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;
use tokio::time::timeout;

/// How long an altered session may hang before its client gives up.
const GIVE_UP: Duration = Duration::from_millis(1_500);
/// Altered sessions at the same time; fewer than one source may have.
const ABREAST: usize = 8;

/// Passes one connection on and gives the bytes of the client, with the bit of one of them flipped on its way.
fn pass(listener: &TcpListener, server: u16, flip: Option<usize>) -> Vec<u8> {
    let (mut client, _) = listener.accept().expect("a client");
    let mut server = TcpStream::connect(("127.0.0.1", server)).expect("a server");
    let (mut back_from, mut back_to) = (server.try_clone().expect("a socket"), client.try_clone().expect("a socket"));
    let back = thread::spawn(move || {
        let _ = std::io::copy(&mut back_from, &mut back_to);
        let _ = back_to.shutdown(Shutdown::Both);
    });
    let (mut seen, mut buffer) = (Vec::new(), [0; 4096]);
    while let Ok(read @ 1..) = client.read(&mut buffer) {
        let begin = seen.len();
        seen.extend_from_slice(&buffer[..read]);
        let mut bytes = seen[begin..].to_vec();
        if let Some(at) = flip
            && let Some(byte) = at.checked_sub(begin).and_then(|at| bytes.get_mut(at))
        {
            *byte ^= 1 << (at % 8);
        }
        if server.write_all(&bytes).is_err() {
            break;
        }
    }
    let _ = server.shutdown(Shutdown::Both);
    back.join().expect("the way back");
    seen
}

/// Submits through `port`; true when the server acknowledged it.
fn submits(port: u16, identity: &Identity) -> bool {
    let request = Request::Submit(job("altered", IdSet::range(0, 9), task()));
    let session = async {
        let mut connection = wire::dial("127.0.0.1", port, identity).await.ok()?;
        connection.send(&request).await.ok()?;
        connection.recv::<Response>().await.ok()?
    };
    let answer = runtime().block_on(async { timeout(GIVE_UP, session).await });
    matches!(answer, Ok(Some(Response::Submitted(_))))
}

fn listener() -> (TcpListener, u16) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("an address").port();
    (listener, port)
}

#[test]
fn no_flipped_bit_of_a_submit_is_accepted() {
    let cluster = Cluster::start();
    let access = access_of(&cluster.server_dir(), Role::Client);
    let (server, identity) = (access.endpoint.port, access.identity(VERSION));
    let (way, port) = listener();
    let recorded = thread::scope(|scope| {
        let passing = scope.spawn(|| pass(&way, server, None));
        assert!(submits(port, &identity), "the way itself is good");
        passing.join().expect("a recording")
    });
    let next = AtomicUsize::new(0);
    thread::scope(|scope| {
        for _ in 0..ABREAST {
            scope.spawn(|| {
                loop {
                    let at = next.fetch_add(1, Ordering::Relaxed);
                    if at >= recorded.len() {
                        return;
                    }
                    let (way, port) = listener();
                    thread::scope(|scope| {
                        let passing = scope.spawn(|| pass(&way, server, Some(at)));
                        assert!(!submits(port, &identity), "byte {at} of {}", recorded.len());
                        passing.join().expect("a way");
                    });
                }
            });
        }
    });
    assert_eq!(jobs_known(&cluster), 1);
}

#[test]
fn a_recorded_command_played_again_does_nothing() {
    let cluster = Cluster::start();
    let server = access_of(&cluster.server_dir(), Role::Client).endpoint.port;
    let (way, port) = listener();
    let text = std::fs::read_to_string(cluster.server_dir().join("hq-current/access.json")).unwrap();
    let mut access: Value = serde_json::from_str(&text).unwrap();
    access["client"]["port"] = port.into();
    let dir = cluster.path().join("through-the-proxy");
    std::fs::create_dir(&dir).unwrap();
    std::fs::write(dir.join("access.json"), access.to_string()).unwrap();
    let dir = format!("--server-dir={}", dir.display());

    let recorded = thread::scope(|scope| {
        let passing = scope.spawn(|| pass(&way, server, None));
        cluster.hq(&[&dir, "submit", "--name=marker", "--", "echo", "marker"]).ok();
        passing.join().expect("a recording")
    });
    assert!(!recorded.windows(6).any(|bytes| bytes == b"marker"), "the session can be read on its way");
    for _ in 0..20 {
        let mut again = TcpStream::connect(("127.0.0.1", server)).expect("a server");
        // The server may close while the recording is still being sent.
        let _ = again.write_all(&recorded);
        let _ = again.shutdown(Shutdown::Write);
        let _ = again.read_to_end(&mut Vec::new());
    }
    assert_eq!(jobs_known(&cluster), 1);
    cluster.hq(&["submit", "true"]).ok();
    assert_eq!(jobs_known(&cluster), 2);
}
