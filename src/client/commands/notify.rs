//! `hq task notify`: a task says something to whoever listens.
//!
//! Runs within a task and talks to the task's worker, not to the server, which the node may not even reach by itself.
//!
//! Holds: it succeeds when the server has made the message durable, and only then.

use crate::client::arguments::TaskNotifyArgs;
use crate::client::error::Error;
use crate::wire::notice;
use hq_core::limits::NOTICE_BYTES_MAX;
use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::UnixStream;
use std::time::Duration;

/// Variable that says where the worker is, and who the task.
const VARIABLE: &str = "HQ_ACCESS_KEY";
/// How long the answer may take: the server may be away for a moment.
const ANSWER_SPAN: Duration = Duration::from_secs(120);
/// Bytes of an answer.
const ANSWER_BYTES_MAX: u64 = 1_024;

/// Runs `hq task notify`.
///
/// # Errors
/// Outside of a task, with a message that is too long, and where the worker does not take it.
pub fn run(args: &TaskNotifyArgs) -> Result<(), Error> {
    let message = args.message.as_bytes();
    if message.len() > NOTICE_BYTES_MAX {
        let length = message.len();
        return Err(Error::Invalid(format!(
            "Notify message limit exceeded, message len: {length}, limit: {NOTICE_BYTES_MAX}"
        )));
    }
    let Some(key) = std::env::var_os(VARIABLE) else {
        let text = format!("{VARIABLE} variable not found. Are you running this command inside a task?");
        return Err(Error::Invalid(text));
    };
    let Some((path, token)) = key.to_str().and_then(notice::parse_key) else {
        return Err(Error::Invalid(format!("Value of {VARIABLE} has a wrong format")));
    };
    let answer = ask(path, &notice::request(token, message))
        .map_err(|error| Error::Invalid(format!("Cannot notify by the worker's socket {path}: {error}")))?;
    match answer.trim_end() {
        notice::ACCEPTED => Ok(()),
        "" => Err(Error::Invalid(
            "The worker did not take the notification: the token is not of a task that runs there under this user"
                .to_owned(),
        )),
        reason => Err(Error::Invalid(format!("The worker did not take the notification: {reason}"))),
    }
}

/// The line that the worker answers; empty when there is none.
fn ask(path: &str, request: &[u8]) -> std::io::Result<String> {
    let mut stream = UnixStream::connect(path)?;
    stream.set_read_timeout(Some(ANSWER_SPAN))?;
    stream.set_write_timeout(Some(ANSWER_SPAN))?;
    let mut answer = String::new();
    let asked = stream.write_all(request);
    match asked.and_then(|()| BufReader::new(stream.take(ANSWER_BYTES_MAX)).read_line(&mut answer)) {
        // A worker that does not want to hear this closes the connection.
        Err(error) if matches!(error.kind(), ErrorKind::BrokenPipe | ErrorKind::ConnectionReset) => Ok(String::new()),
        Err(error) => Err(error),
        Ok(_) => Ok(answer),
    }
}
