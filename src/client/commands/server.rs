//! `hq server info`, `stop`, `wait`, `generate-access` and `debug-dump`.
//!
//! The record is what the running server says of itself, not what its access file says.
//!
//! Holds: stopping returns as soon as the server has taken the order; access files are all written or none.

use crate::access::{AccessFile, sealed};
use crate::client::arguments::{DebugDumpArgs, GenerateAccessArgs, GlobalOptions, NonEmpty, ServerWaitArgs};
use crate::client::console::Console;
use crate::client::error::Error;
use crate::client::link::{self, Link};
use crate::client::render::{OutputMode, escape, server};
use crate::grammar::duration;
use crate::platform::host;
use crate::wire::ServerUid;
use crate::wire::message::{Empty, Request, Response};
use std::path::Path;
use std::time::{Duration, Instant};

/// Pause between two tries to reach the server.
const RETRY_SPAN: Duration = Duration::from_millis(500);

/// Runs `hq server info`.
///
/// # Errors
/// See [`Error`].
pub fn info(link: &mut Link, console: &mut Console) -> Result<(), Error> {
    let Response::Server(view) = link.ask(&Request::ServerInfo(Empty {}))? else { return Err(Error::Unexpected) };
    match console.mode() {
        OutputMode::Cli => {
            let text = server::table(&view, None, console.palette());
            console.text(&text)
        }
        OutputMode::Json => console.json(&server::to_json(&view, None)),
        OutputMode::Quiet => Ok(()),
    }
}

/// Runs `hq server stop`.
///
/// # Errors
/// See [`Error`].
pub fn stop(link: &mut Link) -> Result<(), Error> {
    log::info!("Stopping server");
    match link.ask(&Request::StopServer(Empty {})) {
        // A server that ends may close the connection before its answer is through.
        Ok(Response::Stopping(_)) | Err(Error::Lost { .. }) => Ok(()),
        Ok(_) => Err(Error::Unexpected),
        Err(error) => Err(error),
    }
}

/// Runs `hq server wait`.
///
/// # Errors
/// [`Error::Invalid`] when the time is over.
pub fn wait(global: &GlobalOptions, args: &ServerWaitArgs) -> Result<(), Error> {
    let shown = duration::full(args.timeout);
    log::info!("Waiting for server to become available (timeout: {shown})...");
    let begun = Instant::now();
    loop {
        let error = match Link::open(global) {
            Ok(_) => {
                log::info!("Successfully connected to server");
                return Ok(());
            }
            Err(error) => error,
        };
        let left = args.timeout.saturating_sub(begun.elapsed());
        if left.is_zero() {
            log::debug!("{error}");
            let dir = link::server_dir(global)?;
            return Err(Error::Invalid(format!(
                "Timeout after {shown}: Could not connect to server at `{}`. Make sure that the server is running.",
                escape::path(&dir)
            )));
        }
        std::thread::sleep(RETRY_SPAN.min(left));
    }
}

/// Runs `hq server generate-access`.
///
/// # Errors
/// See [`Error`]; files that were written before the failure are removed again.
pub fn generate_access(args: &GenerateAccessArgs) -> Result<(), Error> {
    let own = || host::name().map_err(|source| Error::System { doing: "find the name of this machine", source });
    let choose = |host: &Option<NonEmpty>| match host.as_ref().or(args.host.as_ref()) {
        Some(host) => Ok(host.0.clone()),
        None => own(),
    };
    let (client, worker) = (choose(&args.client_host)?, choose(&args.worker_host)?);
    let server_uid = ServerUid::random().map_err(Error::Message)?;
    let (client, worker) = ((client.as_str(), args.client_port), (worker.as_str(), args.worker_port));
    let mut file = AccessFile::generate(crate::VERSION, server_uid, client, worker)?;
    if args.passphrase {
        let invalid = |trouble| Error::Invalid(format!("The access files cannot be sealed: {trouble}"));
        file.passphrase = Some(sealed::new_passphrase().map_err(invalid)?);
    }
    let mut written: Vec<&Path> = Vec::new();
    let done = write_all(&file, args, &mut written);
    if done.is_err() {
        written.iter().for_each(|path| drop(std::fs::remove_file(path)));
    }
    done
}

fn write_all<'a>(file: &AccessFile, args: &'a GenerateAccessArgs, written: &mut Vec<&'a Path>) -> Result<(), Error> {
    file.write(&args.access_file)?;
    written.push(&args.access_file);
    if let Some(path) = &args.client_file {
        file.write_client(path)?;
        written.push(path);
    }
    if let Some(path) = &args.worker_file {
        file.write_worker(path)?;
        written.push(path);
    }
    Ok(())
}

/// Runs `hq server debug-dump`.
///
/// # Errors
/// See [`Error`]; [`Error::Refused`] when the server cannot write the file.
pub fn debug_dump(link: &mut Link, args: &DebugDumpArgs) -> Result<(), Error> {
    let path = args.path.to_str().ok_or_else(|| Error::Invalid("The path is no valid UTF-8".to_owned()))?;
    match link.ask(&Request::DebugDump(path.to_owned()))? {
        Response::Dumped(_) => Ok(()),
        _ => Err(Error::Unexpected),
    }
}
