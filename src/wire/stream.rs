//! The byte streams under a connection: TCP, or a local pair that leads into a tunnel.
//!
//! Sessions do not care which it is, so that one type stands for both.
//!
//! What holds: a TCP stream that is used here notices by itself when the other machine has gone silent.

use std::io;
use std::net::SocketAddr;
use std::os::fd::AsFd;
use std::pin::Pin;
use std::task::{Context, Poll};

use nix::sys::socket::{setsockopt, sockopt};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, UnixStream, tcp, unix};

use crate::platform::net;

use super::limits::{KEEPALIVE_IDLE_S, KEEPALIVE_PROBES, KEEPALIVE_STEP_S, UNACKNOWLEDGED_MS_MAX};

/// The reading half of a stream.
#[derive(Debug)]
pub enum ReadHalf {
    /// Over the network.
    Tcp(tcp::OwnedReadHalf),
    /// To a process of this machine.
    Unix(unix::OwnedReadHalf),
}

/// The writing half of a stream.
#[derive(Debug)]
pub enum WriteHalf {
    /// Over the network.
    Tcp(tcp::OwnedWriteHalf),
    /// To a process of this machine.
    Unix(unix::OwnedWriteHalf),
}

/// The two halves of a TCP stream, which is told to send small messages at once and to notice a partition.
pub fn tcp_halves(stream: TcpStream) -> (ReadHalf, WriteHalf) {
    // A system that refuses one of these still gives a connection.
    let _ = tune(&stream);
    let (reader, writer) = stream.into_split();
    (ReadHalf::Tcp(reader), WriteHalf::Tcp(writer))
}

/// The two halves of a local stream.
pub fn unix_halves(stream: UnixStream) -> (ReadHalf, WriteHalf) {
    let (reader, writer) = stream.into_split();
    (ReadHalf::Unix(reader), WriteHalf::Unix(writer))
}

/// A machine that vanished, or a network that swallows packets, sends no reset: without these a connection to it lives
/// for hours. A process that is stopped does not break its connections, since its kernel answers.
fn tune(stream: &TcpStream) -> io::Result<()> {
    // Without it a small message waits for the acknowledgement of the one before.
    stream.set_nodelay(true)?;
    let socket = stream.as_fd();
    setsockopt(&socket, sockopt::KeepAlive, &true)?;
    setsockopt(&socket, sockopt::TcpKeepIdle, &KEEPALIVE_IDLE_S)?;
    setsockopt(&socket, sockopt::TcpKeepInterval, &KEEPALIVE_STEP_S)?;
    setsockopt(&socket, sockopt::TcpKeepCount, &KEEPALIVE_PROBES)?;
    setsockopt(&socket, sockopt::TcpUserTimeout, &UNACKNOWLEDGED_MS_MAX)?;
    Ok(())
}

impl WriteHalf {
    /// Bytes that the other machine has not acknowledged yet, and the address of this end; only a TCP stream has them.
    pub fn unacknowledged(&self) -> Option<(u32, SocketAddr)> {
        let WriteHalf::Tcp(half) = self else { return None };
        let stream: &TcpStream = half.as_ref();
        Some((net::unacknowledged_bytes(stream.as_fd()).ok()?, stream.local_addr().ok()?))
    }
}

impl AsyncRead for ReadHalf {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            ReadHalf::Tcp(half) => Pin::new(half).poll_read(context, buffer),
            ReadHalf::Unix(half) => Pin::new(half).poll_read(context, buffer),
        }
    }
}

impl AsyncWrite for WriteHalf {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            WriteHalf::Tcp(half) => Pin::new(half).poll_write(context, bytes),
            WriteHalf::Unix(half) => Pin::new(half).poll_write(context, bytes),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            WriteHalf::Tcp(half) => Pin::new(half).poll_flush(context),
            WriteHalf::Unix(half) => Pin::new(half).poll_flush(context),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            WriteHalf::Tcp(half) => Pin::new(half).poll_shutdown(context),
            WriteHalf::Unix(half) => Pin::new(half).poll_shutdown(context),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use nix::sys::socket::getsockopt;

    #[tokio::test]
    async fn a_silent_partition_is_noticed() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let stream = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        tune(&stream).unwrap();
        let socket = stream.as_fd();
        assert!(stream.nodelay().unwrap() && getsockopt(&socket, sockopt::KeepAlive).unwrap());
        assert_eq!(getsockopt(&socket, sockopt::TcpUserTimeout).unwrap(), UNACKNOWLEDGED_MS_MAX);
        assert_eq!(getsockopt(&socket, sockopt::TcpKeepIdle).unwrap(), KEEPALIVE_IDLE_S);
    }
}
