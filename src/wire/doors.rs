//! Where a port listens: one socket for each address, all with the same number of the port.
//!
//! A machine has several networks, and a user may want to be reached over some of them only. The access file has one
//! number for each port, so that the sockets have to agree on it.
//!
//! What holds: either all addresses are listened at, or none.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::os::fd::AsFd;

use nix::sys::socket::{setsockopt, sockopt};
use tokio::net::{TcpListener, TcpSocket};

use super::limits::BACKLOG_MAX;

/// Tries to find a number that is free at all addresses.
const TRIES_MAX: usize = 20;

/// Listens at `port` (0: any) of all IPv4 addresses of this machine, with a long queue.
///
/// # Errors
/// What the system says, such as that the port is taken.
pub fn listen(port: u16) -> io::Result<TcpListener> {
    listen_at(IpAddr::from(Ipv4Addr::UNSPECIFIED), port, false)
}

/// Listens at one number of a port, `port` or any that is free everywhere (0), of each of `addresses`.
///
/// # Errors
/// What the system says about the first address that cannot be listened at.
pub fn listen_on(addresses: &[IpAddr], port: u16) -> io::Result<Vec<TcpListener>> {
    let mut last = io::Error::from(io::ErrorKind::AddrInUse);
    for _ in 0..if port == 0 { TRIES_MAX } else { 1 } {
        match try_all(addresses, port) {
            Ok(listeners) => return Ok(listeners),
            // The number that the first address gave may be taken at another one.
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => last = error,
            Err(error) => return Err(error),
        }
    }
    Err(last)
}

fn try_all(addresses: &[IpAddr], port: u16) -> io::Result<Vec<TcpListener>> {
    // The unspecified IPv6 address covers IPv4 as well, unless that is listened at by itself.
    let only_v6 = addresses.iter().any(IpAddr::is_ipv4);
    let mut port = port;
    let mut listeners = Vec::with_capacity(addresses.len());
    for address in addresses {
        let listener = listen_at(*address, port, only_v6)?;
        port = listener.local_addr()?.port();
        listeners.push(listener);
    }
    Ok(listeners)
}

fn listen_at(address: IpAddr, port: u16, only_v6: bool) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    if address.is_ipv6() {
        setsockopt(&socket.as_fd(), sockopt::Ipv6V6Only, &only_v6)?;
    }
    socket.set_reuseaddr(true)?;
    socket.bind(SocketAddr::new(address, port))?;
    socket.listen(BACKLOG_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn all_addresses_share_one_number() {
        let addresses = [IpAddr::from([127, 0, 0, 1]), IpAddr::from([127, 0, 0, 2])];
        let listeners = listen_on(&addresses, 0).unwrap();
        let bound: Vec<SocketAddr> = listeners.iter().map(|it| it.local_addr().unwrap()).collect();
        assert_eq!(bound.iter().map(SocketAddr::ip).collect::<Vec<_>>(), addresses);
        assert_eq!(bound[0].port(), bound[1].port());
        let taken = listen_on(&addresses[1..], bound[0].port()).unwrap_err();
        assert_eq!(taken.kind(), io::ErrorKind::AddrInUse);
        assert!(listen_on(&[IpAddr::from([192, 0, 2, 1])], 0).is_err(), "no address of this machine");
    }
}
