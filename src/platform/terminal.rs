//! What the standard streams are connected to.
//!
//! Colours, progress lines and table widths depend on whether a person looks at the output.
//!
//! Invariants: a width is only ever reported for a terminal, and is at least one column.

use std::io::IsTerminal;
use std::os::fd::{AsRawFd, RawFd};

/// Whether standard output is a terminal.
pub fn stdout_is_terminal() -> bool {
    std::io::stdout().is_terminal()
}

/// Whether standard error is a terminal.
pub fn stderr_is_terminal() -> bool {
    std::io::stderr().is_terminal()
}

/// Width of standard output in columns; `None` when it is no terminal or does not tell.
pub fn stdout_columns() -> Option<u16> {
    columns(std::io::stdout().as_raw_fd())
}

/// Width of standard error in columns; `None` when it is no terminal or does not tell.
pub fn stderr_columns() -> Option<u16> {
    columns(std::io::stderr().as_raw_fd())
}

fn columns(fd: RawFd) -> Option<u16> {
    let mut size = libc::winsize { ws_row: 0, ws_col: 0, ws_xpixel: 0, ws_ypixel: 0 };
    // SAFETY: TIOCGWINSZ writes one `winsize`, which `size` is; a descriptor that is no terminal gives an error.
    let result = unsafe { libc::ioctl(fd, libc::TIOCGWINSZ, &mut size) };
    (result == 0 && size.ws_col > 0).then_some(size.ws_col)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_has_no_width() {
        let file = tempfile::tempfile().unwrap();
        assert_eq!(columns(file.as_raw_fd()), None);
    }

    #[test]
    fn a_pseudo_terminal_tells_its_width() {
        let (mut master, mut slave) = (-1, -1);
        let size = libc::winsize { ws_row: 24, ws_col: 132, ws_xpixel: 0, ws_ypixel: 0 };
        // SAFETY: both descriptors are valid places to write to, the name and the settings may be null.
        let result = unsafe { libc::openpty(&mut master, &mut slave, std::ptr::null_mut(), std::ptr::null(), &size) };
        assert_eq!(result, 0);
        assert_eq!(columns(slave), Some(132));
        for fd in [master, slave] {
            // SAFETY: the descriptors were opened above and are used nowhere else.
            unsafe { libc::close(fd) };
        }
    }
}
