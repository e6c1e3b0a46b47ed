//! What the system knows about a connection that bytes do not tell.
//!
//! Whether the other machine has got what was sent is known to the kernel long before a program answers.
//!
//! Invariants: the numbers are the kernel's own; nothing is guessed.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

/// Bytes of a TCP connection that were sent, or wait to be, and that the other machine has not acknowledged.
///
/// # Errors
/// What the system says, as for a descriptor that is no such connection.
pub fn unacknowledged_bytes(socket: BorrowedFd<'_>) -> io::Result<u32> {
    let mut bytes: libc::c_int = 0;
    // SAFETY: SIOCOUTQ, which has the number of TIOCOUTQ, writes one int.
    let result = unsafe { libc::ioctl(socket.as_raw_fd(), libc::TIOCOUTQ, &mut bytes) };
    if result == 0 { Ok(bytes.unsigned_abs()) } else { Err(io::Error::last_os_error()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;
    use std::net::{TcpListener, TcpStream};
    use std::os::fd::AsFd;

    #[test]
    fn bytes_count_until_the_other_side_has_them() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut near = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (far, _) = listener.accept().unwrap();
        near.write_all(b"word").unwrap();
        // The kernel of the other side acknowledges without any reader.
        while unacknowledged_bytes(near.as_fd()).unwrap() > 0 {
            std::thread::yield_now();
        }
        near.set_nonblocking(true).unwrap();
        while near.write(&[0; 65_536]).is_ok() {}
        assert!(unacknowledged_bytes(near.as_fd()).unwrap() > 0);
        drop(far);
        assert!(unacknowledged_bytes(std::fs::File::open("/dev/null").unwrap().as_fd()).is_err());
    }
}
