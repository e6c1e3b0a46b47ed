//! Messages over a sealed connection: sizes, limits, batches, ends, and calls that are dropped.
//!
//! The server's sessions rely on each of these without looking.
//!
//! What holds: every message arrives once and in order, or there is an error.

use std::time::Duration;

use proptest::prelude::*;
use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

use super::*;
use crate::wire::stream::tcp_halves;

#[derive(Serialize, Deserialize, Debug, PartialEq, Clone)]
enum Note {
    Text(String),
    Bytes(ByteBuf),
}

/// A later version of `Note`.
#[derive(Serialize, Deserialize, Debug, PartialEq, Clone)]
enum NewNote {
    Text(String),
    Novelty { answers: Vec<u32> },
}

fn text(text: &str) -> Note {
    Note::Text(text.to_owned())
}

#[tokio::test]
async fn messages_of_all_sizes_arrive() {
    let (client, server) = pair(Limits::of(Role::Client), 1 << 16).await;
    let (_keep, mut sender) = client.split();
    let (mut receiver, _keep_too) = server.split();
    let sizes = [0, 1, 100, 65_000, 65_517, 65_518, 65_519, 70_000, 131_036, 5 << 20];
    let notes = sizes.map(|bytes| Note::Bytes(ByteBuf::from(vec![5; bytes])));
    let expected = notes.clone();
    let send = tokio::spawn(async move {
        sender.send_batch(&notes).await.unwrap();
        for note in &notes {
            sender.send(note).await.unwrap();
        }
        sender.finish().await.unwrap();
    });
    for note in expected.iter().chain(&expected) {
        assert_eq!(receiver.recv().await.unwrap().as_ref(), Some(note));
    }
    assert_eq!(receiver.recv::<Note>().await.unwrap(), None);
    assert_eq!(receiver.recv::<Note>().await.unwrap(), None);
    send.await.unwrap();
}

#[tokio::test]
async fn small_messages_share_a_frame_and_come_in_one_turn() {
    let (client, server) = pair(Limits::of(Role::Client), 1 << 20).await;
    let (_keep, mut sender) = client.split();
    let (mut receiver, _keep_too) = server.split();
    let notes: Vec<_> = (0..1_000).map(|number| text(&number.to_string())).collect();
    sender.send_batch(&notes).await.unwrap();
    let mut seen: Vec<Note> = vec![receiver.recv().await.unwrap().unwrap()];
    while let Some(note) = receiver.try_recv().unwrap() {
        seen.push(note);
    }
    assert_eq!(seen, notes);
}

#[tokio::test]
async fn limits_hold_on_both_sides_and_a_refused_message_harms_nothing() {
    let small = Limits { message_bytes_max: 1_000, ..Limits::of(Role::Client) };
    let (mut client, mut server) = pair(small, 1 << 20).await;
    let large = Note::Bytes(ByteBuf::from(vec![0; 1_000]));
    let error = client.send(&large).await.unwrap_err();
    assert!(matches!(error, Error::MessageTooLarge { bytes_max: 1_000 }), "{error}");
    let notes = vec![Note::Bytes(ByteBuf::from(vec![0; 300])); 10];
    for note in &notes {
        client.send(note).await.unwrap();
        assert_eq!(server.recv().await.unwrap().as_ref(), Some(note));
    }
    let (_keep, mut sender) = client.split();
    sender.send_batch(&notes).await.unwrap();
    for note in &notes {
        assert_eq!(server.recv().await.unwrap().as_ref(), Some(note));
    }
}

#[tokio::test]
async fn a_peer_that_exceeds_the_limit_is_stopped_at_the_frame_that_does() {
    let identity = identity(Role::Client, 1, "abc123");
    let (near, far) = duplex(1 << 20);
    let ((reader, writer), (far_reader, far_writer)) = (split(near), split(far));
    let strict = Identity { limits: Limits { message_bytes_max: 100_000, ..identity.limits }, ..identity.clone() };
    let (client, server) =
        tokio::join!(initiate(reader, writer, &identity), respond(far_reader, far_writer, &strict, |_| ()),);
    let (mut client, mut server) = (client.unwrap(), server.unwrap());
    let large = Note::Bytes(ByteBuf::from(vec![0; 200_000]));
    client.send(&large).await.unwrap();
    let error = server.recv::<Note>().await.unwrap_err();
    assert!(matches!(error, Error::MessageTooLarge { bytes_max: 100_000 }), "{error}");
    assert!(matches!(server.recv::<Note>().await, Err(Error::Cut)));
}

#[tokio::test]
async fn an_unknown_message_is_skipped_and_its_text_is_harmless() {
    let (mut client, mut server) = pair(Limits::of(Role::Worker), 1 << 16).await;
    client.send(&NewNote::Novelty { answers: vec![1, 2] }).await.unwrap();
    client.send(&"\x1b[2Jplain string").await.unwrap();
    client.send(&NewNote::Text("known".to_owned())).await.unwrap();
    for _ in 0..2 {
        let error = server.recv::<Note>().await.unwrap_err();
        assert!(matches!(error, Error::Unknown { .. }), "{error}");
        assert!(error.to_string().chars().all(|c| !c.is_control()), "{error}");
    }
    assert_eq!(server.recv().await.unwrap(), Some(text("known")));
}

#[tokio::test]
async fn the_session_ends_before_a_counter_repeats() {
    let short = Limits { frames_max: 5, ..Limits::of(Role::Client) };
    let (client, server) = pair(short, 1 << 16).await;
    let (_keep, mut sender) = client.split();
    let (mut receiver, _keep_too) = server.split();
    // One was the hello, one is kept for the end.
    for _ in 0..3 {
        sender.send(&text("x")).await.unwrap();
        receiver.recv::<Note>().await.unwrap().unwrap();
    }
    assert!(matches!(sender.send(&text("x")).await, Err(Error::Exhausted)));
}

#[tokio::test]
async fn an_end_that_was_not_said_is_a_cut() {
    let (mut client, mut server) = pair(Limits::of(Role::Client), 1 << 16).await;
    client.send(&text("x")).await.unwrap();
    drop(client);
    assert_eq!(server.recv().await.unwrap(), Some(text("x")));
    for _ in 0..2 {
        assert!(matches!(server.recv::<Note>().await, Err(Error::Cut)));
    }
    assert!(matches!(server.send(&text("x")).await, Err(Error::Cut)));
}

/// A process that ends closes its connections; anybody on the way can reset them.
#[tokio::test]
async fn a_reset_is_told_from_a_close() {
    for is_reset in [false, true] {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (near, far) = tokio::join!(TcpStream::connect(address), listener.accept());
        let (near, far) = (near.unwrap(), far.unwrap().0);
        if is_reset {
            near.set_zero_linger().unwrap();
        }
        drop(near);
        let (reader, writer) = tcp_halves(far);
        let error = respond(reader, writer, &identity(Role::Worker, 1, "abc123"), |_| ()).await.unwrap_err();
        assert!(matches!((is_reset, &error), (false, Error::Cut) | (true, Error::Reset)), "{is_reset}: {error:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn dropped_calls_lose_nothing() {
    let (client, server) = pair(Limits::of(Role::Client), 100).await;
    let (_keep, mut sender) = client.split();
    let (mut receiver, _keep_too) = server.split();
    let notes: Vec<_> = (0..300).map(|size| Note::Bytes(ByteBuf::from(vec![1; size * 5]))).collect();
    let expected = notes.clone();
    let moment = Duration::from_nanos(1);
    let send = tokio::spawn(async move {
        for note in &notes {
            sender.queue(note).unwrap();
            let _ = timeout(moment, sender.flush()).await.map(Result::unwrap);
        }
        while timeout(moment, sender.flush()).await.is_err() {}
        assert_eq!(sender.queued_bytes(), 0);
        sender.finish().await.unwrap();
    });
    let mut seen = Vec::new();
    loop {
        match timeout(moment, receiver.recv::<Note>()).await {
            Ok(Ok(Some(note))) => seen.push(note),
            Ok(end) => {
                assert_eq!(end.unwrap(), None);
                break;
            }
            Err(_) => tokio::task::yield_now().await,
        }
    }
    send.await.unwrap();
    assert_eq!(seen.len(), expected.len());
    assert!(seen == expected);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(ProptestConfig::default().cases / 4))]
    #[test]
    fn any_batching_gives_the_same_messages(
        batches in prop::collection::vec(prop::collection::vec(0usize..40_000, 0..6), 0..12),
        pipe_bytes in 1usize..200_000,
    ) {
        let note = |bytes: &usize| Note::Bytes(ByteBuf::from(vec![1; *bytes]));
        let batches: Vec<Vec<_>> =
            batches.iter().map(|sizes| sizes.iter().map(note).collect()).collect();
        let expected = batches.concat();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        let seen = runtime.block_on(async {
            let (client, server) = pair(Limits::of(Role::Client), pipe_bytes.max(64)).await;
            let (_keep, mut sender) = client.split();
            let (mut receiver, _keep_too) = server.split();
            let send = async {
                for batch in &batches {
                    sender.send_batch(batch).await.unwrap();
                }
                sender.finish().await.unwrap();
            };
            let receive = async {
                let mut seen = Vec::new();
                while let Some(note) = receiver.recv::<Note>().await.unwrap() {
                    seen.push(note);
                }
                seen
            };
            tokio::join!(send, receive).1
        });
        prop_assert!(seen == expected);
    }
}
