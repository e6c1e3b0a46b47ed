//! Asks another program something: runs it, and takes what it prints.
//!
//! Commands of batch systems and drivers may hang, print without end, or not be there. None of that may hold up a worker,
//! so each question has a limit of time and of bytes, and every failure is a value.
//!
//! Invariants: when this returns, the program has ended and was reaped; with it its process group, unless it has left
//! that; nothing is read from the standard input.

use std::fmt;
use std::io::{self, Read};
use std::os::fd::AsFd;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;

/// Bytes read at once.
const CHUNK_BYTES: usize = 16 * 1024;
/// Bytes of the error output that are kept, for messages.
const ERRORS_BYTES_MAX: usize = 2 * 1024;
/// Pause between two looks at a program that has closed its output and not ended.
const END_POLL_SPAN: Duration = Duration::from_millis(2);

/// The program gave no answer.
#[derive(Debug)]
pub enum Error {
    /// It cannot be started.
    Start(io::Error),
    /// Its output cannot be read.
    Read(io::Error),
    /// It took longer than this.
    Timeout(Duration),
    /// It printed more than so many bytes.
    TooLong(usize),
    /// It ended with another status than success.
    Failed {
        /// How.
        status: ExitStatus,
        /// The beginning of what it said about that.
        words: String,
    },
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Start(source) => write!(f, "it cannot be started: {source}"),
            Self::Read(source) => write!(f, "its output cannot be read: {source}"),
            Self::Timeout(limit) => write!(f, "it gave no answer within {limit:?}"),
            Self::TooLong(bytes) => write!(f, "it printed more than {bytes} bytes"),
            Self::Failed { status, words } => {
                let line = words.lines().find(|line| !line.trim().is_empty()).unwrap_or("").trim();
                write!(f, "it ended with {status}{}{line}", if line.is_empty() { "" } else { ": " })
            }
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Start(source) | Self::Read(source) => Some(source),
            _ => None,
        }
    }
}

/// Runs `program` (found in the PATH) with `arguments`; what it printed to its standard output.
///
/// # Errors
/// See [`Error`].
pub fn output(program: &str, arguments: &[&str], limit: Duration, bytes_max: usize) -> Result<Vec<u8>, Error> {
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).process_group(0);
    let child = command.spawn().map_err(Error::Start)?;
    let mut running = Running { child, ended: None };
    let answer = running.read(Instant::now() + limit, limit, bytes_max);
    running.end();
    let (bytes, words) = answer?;
    match running.ended {
        Some(status) if status.success() => Ok(bytes),
        Some(status) => Err(Error::Failed { status, words: String::from_utf8_lossy(&words).into_owned() }),
        None => Err(Error::Timeout(limit)),
    }
}

struct Running {
    child: Child,
    ended: Option<ExitStatus>,
}

impl Running {
    /// Both outputs, once both are closed and the program has ended.
    fn read(&mut self, end: Instant, limit: Duration, bytes_max: usize) -> Result<(Vec<u8>, Vec<u8>), Error> {
        let (mut stdout, mut stderr) = (self.child.stdout.take(), self.child.stderr.take());
        let (mut bytes, mut words) = (Vec::new(), Vec::new());
        while stdout.is_some() || stderr.is_some() {
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(Error::Timeout(limit));
            }
            let (has_output, has_errors) = wait(stdout.as_ref(), stderr.as_ref(), left).map_err(Error::Read)?;
            if has_output && !take(&mut stdout, &mut bytes, bytes_max.saturating_add(1)).map_err(Error::Read)? {
                stdout = None;
            }
            if has_errors && !take(&mut stderr, &mut words, ERRORS_BYTES_MAX).map_err(Error::Read)? {
                stderr = None;
            }
            if bytes.len() > bytes_max {
                return Err(Error::TooLong(bytes_max));
            }
        }
        while self.ended.is_none() {
            self.ended = self.child.try_wait().map_err(Error::Read)?;
            if self.ended.is_none() {
                if Instant::now() >= end {
                    return Err(Error::Timeout(limit));
                }
                std::thread::sleep(END_POLL_SPAN);
            }
        }
        Ok((bytes, words))
    }

    /// Ends what has not ended by itself, and reaps it.
    fn end(&mut self) {
        if self.ended.is_some() {
            return;
        }
        if let Ok(pid) = i32::try_from(self.child.id()) {
            // Not reaped yet, so that the group is still its own. One that has just ended needs no signal.
            let _ = killpg(Pid::from_raw(pid), Signal::SIGKILL);
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Waits until one of the two has something or is closed; which.
fn wait(first: Option<&impl AsFd>, second: Option<&impl AsFd>, left: Duration) -> io::Result<(bool, bool)> {
    let mut fds: Vec<PollFd<'_>> = Vec::with_capacity(2);
    fds.extend(first.map(|fd| PollFd::new(fd.as_fd(), PollFlags::POLLIN)));
    fds.extend(second.map(|fd| PollFd::new(fd.as_fd(), PollFlags::POLLIN)));
    let timeout = PollTimeout::try_from(left.as_millis().saturating_add(1)).unwrap_or(PollTimeout::MAX);
    match poll(&mut fds, timeout) {
        Ok(_) | Err(nix::Error::EINTR) => {}
        Err(error) => return Err(error.into()),
    }
    let mut ready = fds.iter().map(|fd| fd.any().unwrap_or(false));
    let first = first.is_some() && ready.next().unwrap_or(false);
    let second = second.is_some() && ready.next().unwrap_or(false);
    Ok((first, second))
}

/// Reads what is there and keeps it as long as there is room; `false` at the end.
fn take(stream: &mut Option<impl Read>, kept: &mut Vec<u8>, room: usize) -> io::Result<bool> {
    let Some(stream) = stream else { return Ok(false) };
    let mut chunk = [0; CHUNK_BYTES];
    let count = match stream.read(&mut chunk) {
        Err(error) if error.kind() == io::ErrorKind::Interrupted => return Ok(true),
        result => result?,
    };
    let left = room.saturating_sub(kept.len());
    kept.extend(chunk.iter().take(count.min(left)));
    Ok(count > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: Duration = Duration::from_secs(60);

    fn shell(script: &str, limit: Duration) -> Result<String, Error> {
        output("sh", &["-c", script], limit, 1_000).map(|bytes| String::from_utf8(bytes).unwrap())
    }

    #[test]
    fn answers_and_failures() {
        assert_eq!(shell("echo a; echo b >&2; cat", LONG).unwrap(), "a\n");
        let failed = shell("echo no such job >&2; exit 3", LONG).unwrap_err().to_string();
        assert_eq!(failed, "it ended with exit status: 3: no such job");
        assert_eq!(shell("kill -9 $$", LONG).unwrap_err().to_string(), "it ended with signal: 9 (SIGKILL)");
        let missing = output("/nonexistent/program", &[], LONG, 10).unwrap_err();
        assert!(matches!(missing, Error::Start(_)), "{missing}");
    }

    #[test]
    fn endless_output_ends() {
        assert!(matches!(output("yes", &[], LONG, 100_000), Err(Error::TooLong(100_000))));
        // Error output is cut, not counted.
        assert_eq!(shell("head -c 200000 /dev/zero >&2; echo done", LONG).unwrap(), "done\n");
    }

    #[test]
    fn a_program_that_hangs_is_ended_with_its_children() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("pid");
        let script = format!("sleep 1000 & echo $! > {}; wait", file.display());
        let asked = shell(&script, Duration::from_millis(500));
        assert!(matches!(asked, Err(Error::Timeout(_))), "{asked:?}");
        // Where the machine was too slow for the script to begin, there is nothing to be left.
        let Ok(pid) = std::fs::read_to_string(&file) else { return };
        let stat = format!("/proc/{}/stat", pid.trim());
        let is_alive = || std::fs::read_to_string(&stat).is_ok_and(|text| !text.contains(") Z ") && !pid.is_empty());
        let end = Instant::now() + LONG;
        while is_alive() {
            assert!(Instant::now() < end, "process {pid} is still there");
            std::thread::sleep(END_POLL_SPAN);
        }
    }

    #[test]
    fn one_that_closes_its_output_has_to_end_too() {
        assert!(matches!(shell("exec >&- 2>&-; sleep 1000", Duration::from_millis(300)), Err(Error::Timeout(_))));
    }
}
