//! What the standard streams are connected to.
//!
//! Colours and progress lines depend on whether a person looks at the output; passphrases are asked for where a person is.
//!
//! Invariant: a terminal shows what is typed again after it was asked for something hidden, however that ended.

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{Signal, raise};
use nix::sys::termios::{LocalFlags, SetArg, Termios, tcgetattr, tcsetattr};
use std::fs::{File, OpenOptions};
use std::io::{self, IsTerminal, Read, Write};
use std::os::fd::AsFd;
use std::time::Duration;
use zeroize::Zeroizing;

/// What the terminal sends for Ctrl-C when that is no signal.
const INTERRUPT: u8 = 3;

/// Whether standard output is a terminal.
pub fn stdout_is_terminal() -> bool {
    std::io::stdout().is_terminal()
}

/// Whether standard error is a terminal.
pub fn stderr_is_terminal() -> bool {
    std::io::stderr().is_terminal()
}

/// Waits. Nobody may read the standard output any more meanwhile: then this process ends as at its next write, by the
/// signal of a broken pipe, unless it ignores that.
pub fn pause_while_read(span: Duration) {
    let out = std::io::stdout();
    let mut watched = [PollFd::new(out.as_fd(), PollFlags::empty())];
    let timeout = PollTimeout::try_from(span).unwrap_or(PollTimeout::MAX);
    match poll(&mut watched, timeout) {
        // Its time is over, or a signal came.
        Ok(0) | Err(Errno::EINTR) => {}
        Ok(_) | Err(_) => {
            let found = watched.first().and_then(PollFd::revents).unwrap_or(PollFlags::empty());
            if found.intersects(PollFlags::POLLERR | PollFlags::POLLHUP) {
                // There is nobody left to tell if this fails.
                let _ = raise(Signal::SIGPIPE);
            }
            std::thread::sleep(span);
        }
    }
}

/// Asks the person at the terminal for a line that is not shown; `None` where there is no terminal.
///
/// # Errors
/// What the terminal says; [`io::ErrorKind::Interrupted`] when the person gave up.
pub fn ask_hidden(prompt: &str, bytes_max: usize) -> io::Result<Option<Zeroizing<String>>> {
    let Ok(mut terminal) = OpenOptions::new().read(true).write(true).open("/dev/tty") else { return Ok(None) };
    let quiet = Quiet::make(terminal.try_clone()?)?;
    terminal.write_all(prompt.as_bytes())?;
    let line = read_line(&mut terminal, bytes_max);
    drop(quiet);
    terminal.write_all(b"\n")?;
    line.map(Some)
}

/// The first line of what an open descriptor of this process leads to.
///
/// # Errors
/// What the system says; [`io::ErrorKind::InvalidData`] for what is no text or too long.
pub fn line_of_descriptor(number: u32, bytes_max: usize) -> io::Result<Zeroizing<String>> {
    read_line(&mut File::open(format!("/proc/self/fd/{number}"))?, bytes_max)
}

fn read_line(source: &mut impl Read, bytes_max: usize) -> io::Result<Zeroizing<String>> {
    let mut line = Zeroizing::new(Vec::with_capacity(bytes_max + 1));
    let mut byte = [0];
    while source.read(&mut byte)? == 1 && byte != *b"\n" {
        if byte == [INTERRUPT] {
            return Err(io::ErrorKind::Interrupted.into());
        }
        if line.len() >= bytes_max {
            return Err(io::ErrorKind::InvalidData.into());
        }
        line.extend_from_slice(&byte);
    }
    let text = std::str::from_utf8(&line).map_err(|_| io::Error::from(io::ErrorKind::InvalidData))?;
    Ok(Zeroizing::new(text.trim_end_matches('\r').to_owned()))
}

/// A terminal that does not show what is typed, until this is dropped.
struct Quiet {
    terminal: File,
    before: Termios,
}

impl Quiet {
    fn make(terminal: File) -> io::Result<Self> {
        let before = tcgetattr(&terminal)?;
        let mut quiet = before.clone();
        // Ctrl-C would end the process and leave the terminal mute.
        quiet.local_flags &= !(LocalFlags::ECHO | LocalFlags::ISIG);
        tcsetattr(&terminal, SetArg::TCSAFLUSH, &quiet)?;
        Ok(Quiet { terminal, before })
    }
}

impl Drop for Quiet {
    fn drop(&mut self) {
        // Nothing else can be done about a terminal that refuses.
        let _ = tcsetattr(&self.terminal, SetArg::TCSAFLUSH, &self.before);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::fd::AsRawFd;

    #[test]
    fn one_line_is_read_and_no_more() {
        let read = |bytes: &[u8], max| read_line(&mut &*bytes, max).map(|line| line.to_string());
        assert_eq!(read(b"secret\r\nrest", 20).unwrap(), "secret");
        assert_eq!(read(b"secret", 6).unwrap(), "secret");
        assert_eq!(read(b"", 6).unwrap(), "");
        assert_eq!(read(b"secrets", 6).unwrap_err().kind(), io::ErrorKind::InvalidData);
        assert_eq!(read(&[255, 10], 6).unwrap_err().kind(), io::ErrorKind::InvalidData);
        assert_eq!(read(b"sec\x03ret", 20).unwrap_err().kind(), io::ErrorKind::Interrupted);
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(b"of a file\n").unwrap();
        let number = u32::try_from(file.as_raw_fd()).unwrap();
        assert_eq!(line_of_descriptor(number, 20).unwrap().as_str(), "of a file");
    }
}
