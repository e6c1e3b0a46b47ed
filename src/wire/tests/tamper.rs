//! Somebody between the two peers who can read and change every byte.
//!
//! The promise is that such a one can end a connection, and nothing else.
//!
//! What holds for every edit: each side sees a prefix of what the other sent, and where its
//! stream was touched it sees an error, not an end.

use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex, split};

use super::*;

const MESSAGES: usize = 3;

/// A change to the bytes of one direction.
#[derive(Clone, Debug)]
enum Edit {
    None,
    /// Flip one bit of the byte at this offset.
    Flip(usize),
    /// End the stream before this offset.
    Cut(usize),
    /// Send this frame twice.
    Repeat(usize),
    /// Leave this frame out.
    Remove(usize),
    /// Exchange this frame with the one after it.
    Swap(usize),
    /// Put this frame of an earlier session in the place of our own.
    Splice(usize, Vec<u8>),
}

/// Cuts a stream into frames, lengths included.
fn frames(mut bytes: &[u8]) -> Vec<Vec<u8>> {
    let mut frames = Vec::new();
    while let Some(length) = bytes.first_chunk::<4>() {
        let end = 4 + u32::from_le_bytes(*length) as usize;
        frames.push(bytes[..end].to_vec());
        bytes = &bytes[end..];
    }
    frames
}

/// The edited stream up to what can be said after `seen`: whole frames for edits of frames.
fn edited(edit: &Edit, seen: &[u8]) -> Vec<u8> {
    let mut list = frames_so_far(seen);
    match edit {
        Edit::None => return seen.to_vec(),
        Edit::Flip(at) => {
            let mut bytes = seen.to_vec();
            if let Some(byte) = bytes.get_mut(*at) {
                *byte ^= 1 << (at % 8);
            }
            return bytes;
        }
        Edit::Cut(at) => return seen[..seen.len().min(*at)].to_vec(),
        Edit::Repeat(at) if list.len() > *at => list.insert(*at, list[*at].clone()),
        Edit::Remove(at) if list.len() > *at => drop(list.remove(*at)),
        Edit::Swap(at) if list.len() > at + 1 => list.swap(*at, at + 1),
        Edit::Swap(at) => list.truncate(*at),
        Edit::Splice(at, frame) if list.len() > *at => list[*at].clone_from(frame),
        _ => {}
    }
    list.concat()
}

fn frames_so_far(seen: &[u8]) -> Vec<Vec<u8>> {
    let mut whole = 0;
    while let Some(length) = seen[whole..].first_chunk::<4>() {
        let end = whole + 4 + u32::from_le_bytes(*length) as usize;
        if end > seen.len() {
            break;
        }
        whole = end;
    }
    frames(&seen[..whole])
}

/// Copies one direction through the edit; returns the bytes as the sender wrote them.
async fn pump(mut from: ReadHalf<DuplexStream>, mut to: WriteHalf<DuplexStream>, edit: Edit) -> Vec<u8> {
    let (mut seen, mut sent) = (Vec::new(), 0);
    let mut broken = false;
    loop {
        let read = from.read_buf(&mut seen).await.unwrap_or(0);
        let out = edited(&edit, &seen);
        if !broken && out.len() > sent {
            broken = to.write_all(&out[sent..]).await.is_err();
            sent = out.len();
        }
        let cut = matches!(edit, Edit::Cut(at) if seen.len() >= at);
        if read == 0 || broken || cut {
            let _ = to.shutdown().await;
            if read == 0 {
                return seen;
            }
            broken = true;
        }
    }
}

/// What one side saw.
#[derive(Debug)]
struct Seen {
    messages: Vec<u32>,
    clean: bool,
}

async fn talk(connection: Result<MemoryConnection, Error>) -> Seen {
    let mut seen = Seen { messages: Vec::new(), clean: false };
    let Ok(connection) = connection else {
        return seen;
    };
    let (mut receiver, mut sender) = connection.split();
    let send = async {
        for number in 0..u32::try_from(MESSAGES).unwrap() {
            if sender.send(&number).await.is_err() {
                return;
            }
        }
        let _ = sender.finish().await;
    };
    let receive = async {
        loop {
            match receiver.recv::<u32>().await {
                Ok(Some(number)) => seen.messages.push(number),
                end => {
                    seen.clean = matches!(end, Ok(None));
                    return;
                }
            }
        }
    };
    tokio::join!(send, receive);
    seen
}

/// A session through an editor: what client and server saw, and what each of them wrote.
async fn session(to_server: Edit, to_client: Edit) -> (Seen, Seen, Vec<u8>, Vec<u8>) {
    let identity = identity(Role::Worker, 1, "abc123");
    let (client, client_far) = duplex(1 << 16);
    let (server, server_far) = duplex(1 << 16);
    let (from_client, into_client) = split(client_far);
    let (from_server, into_server) = split(server_far);
    let up = tokio::spawn(pump(from_client, into_server, to_server));
    let down = tokio::spawn(pump(from_server, into_client, to_client));
    let ((reader, writer), (far_reader, far_writer)) = (split(client), split(server));
    let dial = async { talk(initiate(reader, writer, &identity).await).await };
    let serve = async { talk(respond(far_reader, far_writer, &identity, || ()).await).await };
    let (client, server) = tokio::join!(dial, serve);
    (client, server, up.await.unwrap(), down.await.unwrap())
}

fn is_prefix(messages: &[u32]) -> bool {
    messages.iter().zip(0..).all(|(seen, sent)| *seen == sent) && messages.len() <= MESSAGES
}

async fn check(edit: &Edit) {
    for up in [true, false] {
        let (to_server, to_client) = match up {
            true => (edit.clone(), Edit::None),
            false => (Edit::None, edit.clone()),
        };
        let (client, server, ..) = session(to_server, to_client).await;
        assert!(is_prefix(&client.messages) && is_prefix(&server.messages), "{edit:?} {up}");
        let touched = if up { &server } else { &client };
        assert!(!touched.clean, "{edit:?} {up}: {touched:?}");
    }
}

async fn lengths() -> (usize, usize) {
    let (client, server, up, down) = session(Edit::None, Edit::None).await;
    assert!(client.clean && server.clean);
    assert_eq!((client.messages.len(), server.messages.len()), (MESSAGES, MESSAGES));
    assert_eq!((frames(&up).len(), frames(&down).len()), (2 + MESSAGES + 1, 2 + MESSAGES + 1));
    (up.len(), down.len())
}

#[tokio::test(start_paused = true)]
async fn no_flipped_byte_is_accepted() {
    let (up, down) = lengths().await;
    for at in 0..up.min(down) {
        check(&Edit::Flip(at)).await;
    }
    for at in up.min(down)..up.max(down) {
        let (mut to_server, mut to_client) = (Edit::None, Edit::None);
        *(if up > down { &mut to_server } else { &mut to_client }) = Edit::Flip(at);
        let (client, server, ..) = session(to_server, to_client).await;
        assert!(is_prefix(&client.messages) && is_prefix(&server.messages));
        assert!(!(if up > down { server } else { client }).clean, "{at}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_cut_is_never_an_end() {
    let (up, down) = lengths().await;
    for at in 0..up.min(down) {
        check(&Edit::Cut(at)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn no_repeated_missing_or_moved_frame_is_accepted() {
    for at in 0..2 + MESSAGES {
        check(&Edit::Remove(at)).await;
        check(&Edit::Repeat(at)).await;
        check(&Edit::Swap(at)).await;
    }
    check(&Edit::Remove(2 + MESSAGES)).await;
}

#[tokio::test(start_paused = true)]
async fn no_frame_of_another_session_is_accepted() {
    let (_, _, up, down) = session(Edit::None, Edit::None).await;
    for (at, (mine, theirs)) in frames(&up).into_iter().zip(frames(&down)).enumerate() {
        let (client, server, ..) = session(Edit::Splice(at, mine), Edit::None).await;
        assert!(!server.clean && is_prefix(&server.messages) && is_prefix(&client.messages), "{at}");
        let (client, server, ..) = session(Edit::None, Edit::Splice(at, theirs)).await;
        assert!(!client.clean && is_prefix(&server.messages) && is_prefix(&client.messages), "{at}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_whole_session_played_again_has_no_effect() {
    let (_, _, recorded, _) = session(Edit::None, Edit::None).await;
    let identity = identity(Role::Worker, 1, "abc123");
    let (near, far) = duplex(1 << 16);
    let (far_reader, far_writer) = split(far);
    let (_reader, mut writer) = split(near);
    writer.write_all(&recorded).await.unwrap();
    let error = respond(far_reader, far_writer, &identity, || ()).await.unwrap_err();
    assert!(matches!(error, Error::Forged), "{error}");
}
