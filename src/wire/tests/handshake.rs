//! The handshake between peers that do and do not belong together.
//!
//! What a stranger learns from a refusal is as important as the refusal.
//!
//! What holds: no combination but the right one succeeds, and all failures look the same outside.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex, split};
use tokio::time::{Instant, sleep};

use super::*;
use crate::wire::frame;
use crate::wire::preamble::refusal;

async fn shake(client: &Identity, server: &Identity) -> (Result<Hello, Error>, Result<Hello, Error>) {
    let (near, far) = duplex(64);
    let ((reader, writer), (far_reader, far_writer)) = (split(near), split(far));
    let (one, two) = tokio::join!(initiate(reader, writer, client), respond(far_reader, far_writer, server, |_| ()),);
    (one.map(|it| it.peer().clone()), two.map(|it| it.peer().clone()))
}

#[tokio::test(start_paused = true)]
async fn the_right_pair_learns_about_each_other() {
    for role in [Role::Client, Role::Worker] {
        for uid in ["", "abc123"] {
            let (mut client, server) = (identity(role, 1, uid), identity(role, 1, "abc123"));
            client.hello.features = vec!["zstd".to_owned()];
            let (seen_by_client, seen_by_server) = shake(&client, &server).await;
            let seen_by_client = seen_by_client.unwrap();
            assert_eq!(seen_by_client.server_uid.as_str(), "abc123");
            assert_eq!(seen_by_client.version, "1.2.3");
            assert!(seen_by_server.unwrap().has("zstd"));
        }
    }
}

#[tokio::test(start_paused = true)]
async fn every_other_pair_is_refused_on_both_sides() {
    use Role::{Client, Worker};
    let server = identity(Client, 1, "abc123");
    let cases = [
        (identity(Client, 2, "abc123"), "Cannot verify challenge"),
        (identity(Worker, 1, "abc123"), "Authentication failed: Expected peer role server, got hq-server"),
        (identity(Worker, 2, ""), "Authentication failed: Expected peer role server, got hq-server"),
        (identity(Client, 1, "other1"), "Cannot verify challenge"),
    ];
    for (client, text) in cases {
        let (one, two) = shake(&client, &server).await;
        let one = one.unwrap_err();
        assert!(one.to_string().starts_with(text), "{one}");
        assert!(one.is_rejection());
        assert!(two.unwrap_err().is_rejection());
    }
}

#[tokio::test(start_paused = true)]
async fn a_key_on_one_side_only_is_refused() {
    let keyed = |role| identity(role, 1, "abc123");
    let open = |role| Identity { key: SecretKey::absent(), ..keyed(role) };
    for role in [Role::Client, Role::Worker] {
        let (one, two) = shake(&open(role), &open(role)).await;
        assert_eq!(one.unwrap().server_uid.as_str(), "abc123");
        two.unwrap();
        let texts = [
            (open(role), keyed(role), "Peer requests authentication", "Peer does not support authentication"),
            (keyed(role), open(role), "Peer does not support authentication", "Peer requests authentication"),
        ];
        for (dialling, serving, seen, noticed) in texts {
            let (one, two) = shake(&dialling, &serving).await;
            let (one, two) = (one.unwrap_err(), two.unwrap_err());
            assert_eq!(one.to_string(), format!("Authentication failed: {seen}"));
            assert_eq!(two.to_string(), format!("Authentication failed: {noticed}"));
            assert!(one.is_rejection() && two.is_rejection());
        }
    }
    // The key that everybody knows is no key that somebody could have.
    let zeros = Identity { key: SecretKey::from_bytes([0; 32]), ..keyed(Role::Client) };
    shake(&zeros, &open(Role::Client)).await.0.unwrap_err();
}

#[tokio::test(start_paused = true)]
async fn guessed_keys_open_nothing() {
    let server = identity(Role::Client, 1, "abc123");
    let tries = if std::env::var_os("HQ_CAMPAIGN").is_some() { 10_000 } else { 500 };
    for _ in 0..tries {
        let guess = Identity { key: SecretKey::random().unwrap(), ..identity(Role::Client, 1, "abc123") };
        let (one, two) = shake(&guess, &server).await;
        assert!(one.unwrap_err().is_rejection() && two.unwrap_err().is_rejection());
    }
}

/// What a stranger sees who sends `bytes`: the reply, and after how long the connection ends.
async fn probe(bytes: Vec<u8>) -> (Vec<u8>, Duration) {
    let server = identity(Role::Client, 1, "abc123");
    let (near, far) = duplex(1 << 16);
    let (far_reader, far_writer) = split(far);
    let begun = Instant::now();
    let serve = tokio::spawn(async move {
        respond(far_reader, far_writer, &server, |_| ()).await.unwrap_err();
    });
    let (mut reader, mut writer) = split(near);
    writer.write_all(&bytes).await.unwrap();
    let mut reply = Vec::new();
    reader.read_to_end(&mut reply).await.unwrap();
    let took = begun.elapsed();
    serve.await.unwrap();
    (reply, took)
}

/// The first frame of a client with this identity.
pub(super) async fn first_frame(identity: &Identity) -> Vec<u8> {
    let (near, mut far) = duplex(1 << 16);
    let (reader, writer) = split(near);
    let mut bytes = vec![0; 4 + 24 + 48];
    tokio::select! {
        _ = initiate(reader, writer, identity) => unreachable!("nobody answers"),
        read = far.read_exact(&mut bytes) => read.unwrap(),
    };
    bytes
}

#[tokio::test(start_paused = true)]
async fn all_failures_look_the_same() {
    let mut told = Vec::new();
    frame::put(&mut told, &refusal(Role::Client, false), 4096).unwrap();
    let right = first_frame(&identity(Role::Client, 1, "abc123")).await;
    let changed = |at: usize, to: u8| {
        let mut bytes = right.clone();
        bytes[at] = to;
        bytes
    };
    let framed = |body: &[u8]| {
        let mut out = Vec::new();
        frame::put(&mut out, body, 1 << 20).unwrap();
        out
    };
    let cases = [
        ("wrong key", first_frame(&identity(Role::Client, 2, "abc123")).await),
        ("wrong role", first_frame(&identity(Role::Worker, 1, "abc123")).await),
        ("wrong server", first_frame(&identity(Role::Client, 1, "other1")).await),
        ("wrong magic", changed(4, b'X')),
        ("wrong version", changed(8, 77)),
        ("unknown role", changed(10, 77)),
        ("bad uid length", changed(11, 255)),
        ("altered prologue", changed(12, b'z')),
        ("altered key", changed(28, right[28] ^ 1)),
        ("altered tag", changed(75, right[75] ^ 1)),
        ("short preamble", framed(&right[4..10])),
        ("short message", framed(&right[4..70])),
        ("long message", framed(&[&right[4..], b"x"].concat())),
        ("web browser", b"GET / HTTP/1.1\r\nHost: x\r\n\r\n".to_vec()),
        ("empty frame", vec![0; 4]),
        ("4 GiB frame", vec![255; 4]),
    ];
    for (name, bytes) in cases {
        let (reply, took) = probe(bytes).await;
        assert_eq!(reply, told, "{name}");
        assert_eq!(took, Duration::from_millis(limits::REFUSAL_MS_STEP), "{name}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_replayed_beginning_never_becomes_a_connection() {
    let client = identity(Role::Client, 1, "abc123");
    let recorded = first_frame(&client).await;
    for tail in [vec![], vec![0; 4], recorded.clone(), [&40u32.to_le_bytes()[..], &[7; 40]].concat()] {
        let (near, far) = duplex(1 << 16);
        let (far_reader, far_writer) = split(far);
        let (_reader, mut writer) = split(near);
        writer.write_all(&[&recorded[..], &tail].concat()).await.unwrap();
        let mut proven = false;
        let error =
            respond(far_reader, far_writer, &client, |stage| proven |= stage == Stage::Proven).await.unwrap_err();
        assert!(proven, "the first message itself is genuine");
        assert!(matches!(error, Error::Forged | Error::Malformed { .. } | Error::Timeout { .. }), "{error}");
    }
}

#[tokio::test(start_paused = true)]
async fn the_silent_and_the_slow_are_dropped_at_the_deadline() {
    let server = identity(Role::Client, 1, "abc123");
    let first = first_frame(&server).await;
    for bytes_sent in [0, 1, 30, first.len()] {
        let (near, far) = duplex(1 << 16);
        let (far_reader, far_writer) = split(far);
        let (_reader, mut writer) = split(near);
        let first = first.clone();
        let begun = Instant::now();
        let slow = tokio::spawn(async move {
            for byte in &first[..bytes_sent] {
                let _ = writer.write_all(&[*byte]).await;
                sleep(Duration::from_millis(200)).await;
            }
            sleep(Duration::from_secs(3600)).await;
        });
        let error = respond(far_reader, far_writer, &server, |_| ()).await.unwrap_err();
        assert!(matches!(error, Error::Timeout { .. }), "{error}");
        assert!(begun.elapsed() <= Duration::from_secs(6), "{:?}", begun.elapsed());
        slow.abort();
    }
}

#[tokio::test(start_paused = true)]
async fn a_silent_server_does_not_hold_a_client() {
    let (near, _far) = duplex(1 << 16);
    let (reader, writer) = split(near);
    let client = identity(Role::Worker, 1, "");
    let error = initiate(reader, writer, &client).await.unwrap_err();
    assert!(matches!(error, Error::Timeout { .. }));
}
