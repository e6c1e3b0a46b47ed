//! The gate with real sockets: crowds, strangers, and the owner who must get through.
//!
//! What a listener does under pressure shows only with the kernel's queues in between.
//!
//! What holds: whatever stands at the gate, somebody with the key gets in.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::*;

struct Server {
    address: SocketAddr,
    sessions: Arc<AtomicUsize>,
    task: JoinHandle<()>,
}

/// A server that sends back every text it gets.
async fn server(role: Role) -> Server {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let sessions = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&sessions);
    let task = tokio::spawn(serve(listener, 1, identity(role, 1, "abc123"), move |peer| {
        count.fetch_add(1, Ordering::SeqCst);
        let mut connection = peer.connection;
        async move {
            while let Ok(Some(text)) = connection.recv::<String>().await {
                connection.send(&text).await.unwrap();
            }
        }
    }));
    Server { address, sessions, task }
}

async fn call(server: &Server, identity: &Identity) -> Result<(), DialError> {
    let mut connection = dial("127.0.0.1", server.address.port(), identity).await?;
    connection.send(&"hello").await.unwrap();
    assert_eq!(connection.recv::<String>().await.unwrap().as_deref(), Some("hello"));
    Ok(())
}

async fn from(source: [u8; 4], to: SocketAddr) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind(SocketAddr::from((source, 0))).unwrap();
    socket.connect(to).await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn peers_with_the_key_get_in_and_others_learn_why_not() {
    let server = server(Role::Worker).await;
    call(&server, &identity(Role::Worker, 1, "abc123")).await.unwrap();
    call(&server, &identity(Role::Worker, 1, "")).await.unwrap();
    for (wrong, text) in [
        (identity(Role::Worker, 2, ""), "Cannot verify challenge"),
        (identity(Role::Client, 1, ""), "Expected peer role hq-server, got server"),
    ] {
        let error = call(&server, &wrong).await.unwrap_err();
        assert!(matches!(error, DialError::Rejected(_)), "{error:?}");
        assert!(error.to_string().contains(text), "{error}");
    }
    assert_eq!(server.sessions.load(Ordering::SeqCst), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_listening_is_unreachable() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    drop(listener);
    let client = identity(Role::Client, 1, "");
    let error = dial("127.0.0.1", port, &client).await.unwrap_err();
    assert!(matches!(error, DialError::Unreachable { .. }), "{error:?}");
    let error = dial("host.invalid", port, &client).await.unwrap_err();
    assert!(matches!(error, DialError::Unreachable { .. }), "{error:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_owner_gets_through_a_crowd_of_the_silent() {
    let server = server(Role::Client).await;
    let owner = identity(Role::Client, 1, "abc123");
    let mut crowd = Vec::new();
    for round in 0..400u16 {
        let source = [127, 0, 0, u8::try_from(2 + round % 20).unwrap()];
        let source = if round % 2 == 0 { [127, 0, 0, 1] } else { source };
        let mut stream = from(source, server.address).await;
        if round % 3 == 0 {
            let _ = stream.write_all(&[255; 3]).await;
        }
        crowd.push(stream);
        if round % 20 == 0 {
            call(&server, &owner).await.unwrap();
        }
    }
    assert_eq!(server.sessions.load(Ordering::SeqCst), 20);
    // Who was pushed out sees the end of the connection; at most one table of places remains.
    let is_open = |stream: &TcpStream| {
        let read = stream.try_read(&mut [0]);
        read.is_err_and(|error| error.kind() == std::io::ErrorKind::WouldBlock)
    };
    let thinned = async {
        while crowd.iter().filter(|stream| is_open(stream)).count() > limits::UNPROVEN_MAX {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    timeout(Duration::from_secs(30), thinned).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_source_keeps_only_its_share() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let limits = GateLimits { unproven_max: 64, unproven_per_source_max: 4, ..GateLimits::default() };
    let gate = Gate::new(listener, identity(Role::Client, 1, "abc123"), limits);
    let serve = tokio::spawn(gate.serve(|_| async {}));
    let mut streams = Vec::new();
    for _ in 0..12 {
        streams.push(from([127, 0, 0, 1], address).await);
    }
    // The oldest eight had to leave, so that their sockets end without a byte.
    for stream in &mut streams[..8] {
        let mut rest = Vec::new();
        let read = stream.read_to_end(&mut rest).await;
        assert!(matches!(read, Ok(0) | Err(_)), "{read:?}");
    }
    serve.abort();
    for stream in &mut streams[8..] {
        let mut rest = Vec::new();
        let read = stream.read_to_end(&mut rest).await;
        assert!(matches!(read, Ok(0) | Err(_)), "{read:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sessions_outlive_the_listener() {
    let server = server(Role::Client).await;
    let owner = identity(Role::Client, 1, "abc123");
    let port = server.address.port();
    let mut connection = dial("127.0.0.1", port, &owner).await.unwrap();
    connection.send(&"one").await.unwrap();
    assert_eq!(connection.recv::<String>().await.unwrap().as_deref(), Some("one"));
    server.task.abort();
    assert!(server.task.await.unwrap_err().is_cancelled());
    connection.send(&"two").await.unwrap();
    assert_eq!(connection.recv::<String>().await.unwrap().as_deref(), Some("two"));
    let error = dial("127.0.0.1", port, &owner).await.unwrap_err();
    assert!(matches!(error, DialError::Unreachable { .. }), "{error:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_owner_gets_through_a_crowd_with_wrong_keys() {
    let server = server(Role::Client).await;
    let address = server.address;
    let wrong = super::handshake::first_frame(&identity(Role::Client, 2, "abc123")).await;
    let mut crowd = tokio::task::JoinSet::new();
    for _ in 0..32 {
        let wrong = wrong.clone();
        crowd.spawn(async move {
            loop {
                let mut stream = from([127, 0, 0, 1], address).await;
                let _ = stream.write_all(&wrong).await;
                let _ = stream.read_to_end(&mut Vec::new()).await;
            }
        });
    }
    let owner = identity(Role::Client, 1, "abc123");
    for _ in 0..20 {
        call(&server, &owner).await.unwrap();
    }
    crowd.shutdown().await;
    assert_eq!(server.sessions.load(Ordering::SeqCst), 20);
}
