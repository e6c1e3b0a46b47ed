//! A long-lived copy of this program in the background.
//!
//! The copy is a fresh process in a session of its own: nothing of a running program with threads is forked, and a
//! closed terminal does not reach it. Who starts it learns whether it works: the copy reports through a pipe once it
//! is ready, and if it ends before that, its message or the lack of one is the answer.
//!
//! Invariants: the starter never says "ready" unless the copy said so; the copy holds none of the starter's terminal.

use std::ffi::{CString, OsStr, OsString};
use std::fmt;
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd, FromRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use nix::fcntl::{FcntlArg, FdFlag, OFlag, fcntl};

use super::fs;
use super::process::DetachedCall;

/// The descriptor by which the copy reports.
const REPORT_FD: i32 = 3;

/// The report of a copy that works; everything else is its error message.
const READY: &[u8] = b"\0ready\n";

/// Longest error message that is passed on, bytes.
const MESSAGE_BYTES_MAX: u64 = 64 * 1024;

/// The copy does not work.
#[derive(Debug)]
pub enum Error {
    /// It could not be started.
    Start {
        /// The program.
        program: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// Its log cannot be written.
    Log(fs::Error),
    /// It started and reported this.
    Failed {
        /// Its words.
        message: String,
    },
    /// It ended, or closed its end of the pipe, without a word.
    Silent {
        /// Where it may have left some.
        log: PathBuf,
    },
    /// This process was not started by [`start`].
    NotStarted,
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Start { program, source } => {
                write!(f, "Cannot start {} in the background: {source}", program.display())
            }
            Error::Log(source) => write!(f, "Cannot start in the background without a log: {source}"),
            Error::Failed { message } => f.write_str(message),
            Error::Silent { log } => {
                write!(f, "The background process ended before it was ready; see {}", log.display())
            }
            Error::NotStarted => f.write_str("This mode is only for a process that was started in the background"),
        }
    }
}

impl std::error::Error for Error {}

/// Starts `program` with `arguments` in the background, in `cwd`, with this process's environment, and waits until
/// it is ready. Its output is appended to `log` (mode 0600). The arguments must make it call [`Report::take`].
/// Returns its process id and what it printed with [`Report::ready`].
pub fn start(program: &Path, arguments: &[OsString], cwd: &Path, log: &Path) -> Result<(u32, String), Error> {
    let failed = |source| Error::Start { program: program.to_path_buf(), source };
    let log_file = fs::open_private_append(log).map_err(Error::Log)?;
    let null = File::open("/dev/null").map_err(failed)?;
    let (reader, writer) = nix::unistd::pipe2(OFlag::O_CLOEXEC).map_err(|error| failed(error.into()))?;
    let streams = [null.as_fd(), log_file.as_fd(), log_file.as_fd(), writer.as_fd()];
    let pid = call(program, arguments, cwd, streams).map_err(failed)?;
    drop(writer);

    let mut report = Vec::new();
    File::from(reader).take(MESSAGE_BYTES_MAX).read_to_end(&mut report).map_err(failed)?;
    if let Some(answer) = report.strip_prefix(READY) {
        return Ok((pid, String::from_utf8_lossy(answer).into_owned()));
    }
    if report.is_empty() {
        return Err(Error::Silent { log: log.to_path_buf() });
    }
    Err(Error::Failed { message: String::from_utf8_lossy(&report).into_owned() })
}

fn call(program: &Path, arguments: &[OsString], cwd: &Path, streams: [BorrowedFd<'_>; 4]) -> io::Result<u32> {
    let words = [program.as_os_str()].into_iter().chain(arguments.iter().map(OsString::as_os_str));
    let words: Vec<CString> = words.map(c_string).collect::<io::Result<_>>()?;
    let environment = std::env::vars_os().map(|(name, value)| {
        let mut text = name;
        text.push("=");
        text.push(value);
        c_string(&text)
    });
    let environment: Vec<CString> = environment.collect::<io::Result<_>>()?;
    let program = c_string(program.as_os_str())?;
    let cwd = c_string(cwd.as_os_str())?;
    DetachedCall { program: &program, words: &words, environment: &environment, cwd: &cwd, streams }.run()
}

fn c_string(text: &OsStr) -> io::Result<CString> {
    Ok(CString::new(text.as_bytes())?)
}

/// The copy's side: to be taken at its start and used once. Dropped unused, the starter hears that it ended.
#[derive(Debug)]
pub struct Report(File);

impl Report {
    /// Takes the pipe to the starter. Errors: this process was not started by [`start`]. To be called once, and before
    /// [`seal_inherited_descriptors`](super::process::seal_inherited_descriptors).
    pub fn take() -> Result<Self, Error> {
        // SAFETY: only looked at until it is known to be a pipe; by the contract of `start` it is then ours alone.
        let descriptor = unsafe { BorrowedFd::borrow_raw(REPORT_FD) };
        let status = fcntl(descriptor, FcntlArg::F_GETFL).map_err(|_| Error::NotStarted)?;
        let writable = OFlag::from_bits_truncate(status) & OFlag::O_ACCMODE == OFlag::O_WRONLY;
        let inherited = fcntl(descriptor, FcntlArg::F_GETFD).is_ok_and(|flags| flags & FdFlag::FD_CLOEXEC.bits() == 0);
        let kind = nix::sys::stat::fstat(descriptor).map_err(|_| Error::NotStarted)?.st_mode & libc::S_IFMT;
        if !writable || !inherited || kind != libc::S_IFIFO {
            return Err(Error::NotStarted);
        }
        fcntl(descriptor, FcntlArg::F_SETFD(FdFlag::FD_CLOEXEC)).map_err(|_| Error::NotStarted)?;
        // SAFETY: it is open, was inherited, and nobody else in this process knows of it: a second call finds the
        // mark that was set above.
        Ok(Self(File::from(unsafe { OwnedFd::from_raw_fd(REPORT_FD) })))
    }

    /// Tells the starter that this process works, with text for its standard output.
    pub fn ready(mut self, answer: &str) {
        // A starter that is gone does not need to know.
        let _ = self.0.write_all(&[READY, answer.as_bytes()].concat());
    }

    /// Tells the starter why this process does not work.
    pub fn failed(mut self, message: &str) {
        let message = if message.is_empty() { "unknown error" } else { message };
        let _ = self.0.write_all(message.as_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const VARIABLE: &str = "HQ_TEST_DAEMON";

    /// As the copy, this test reports what it is told to; as the test, it starts the copies.
    #[test]
    fn the_starter_learns_what_became_of_the_copy() {
        const NAME: &str = "platform::daemon::tests::the_starter_learns_what_became_of_the_copy";
        if let Some(behaviour) = std::env::var_os(VARIABLE) {
            let report = Report::take().unwrap();
            assert!(matches!(Report::take(), Err(Error::NotStarted)));
            eprintln!("log line of {}", behaviour.display());
            match behaviour.to_str() {
                Some("ready") => {
                    let session = nix::unistd::getsid(None).unwrap().as_raw();
                    report.ready(&format!("{session} {}", std::env::current_dir().unwrap().display()));
                }
                Some("failed") => report.failed("port taken"),
                _ => drop(report),
            }
            return;
        }
        let dir = tempfile::tempdir().unwrap();
        let cwd = dir.path().canonicalize().unwrap();
        let log = cwd.join("log");
        let run = |behaviour: &str| {
            // The variable must reach the copy but not tests beside this one.
            let program = Path::new("/usr/bin/env");
            let copy = std::env::current_exe().unwrap();
            let mut arguments = vec![OsString::from(format!("{VARIABLE}={behaviour}")), copy.into()];
            arguments.extend(["--exact", NAME, "--nocapture"].map(OsString::from));
            start(program, &arguments, &cwd, &log)
        };
        let (pid, answer) = run("ready").unwrap();
        assert_eq!(answer, format!("{pid} {}", cwd.display()));
        assert_eq!(run("failed").unwrap_err().to_string(), "port taken");
        assert!(matches!(run("silent").unwrap_err(), Error::Silent { log: named } if named == log));
        let text = std::fs::read_to_string(&log).unwrap();
        for behaviour in ["ready", "failed", "silent"] {
            assert!(text.contains(&format!("log line of {behaviour}")), "{text}");
        }
    }

    #[test]
    fn a_program_that_is_not_there_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let missing = dir.path().join("missing");
        let error = start(&missing, &[], dir.path(), &dir.path().join("log")).unwrap_err();
        assert_eq!(
            error.to_string(),
            format!("Cannot start {} in the background: No such file or directory (os error 2)", missing.display())
        );
        let error = start(&missing, &[], dir.path(), dir.path()).unwrap_err();
        assert!(matches!(error, Error::Log(_)));
    }
}
