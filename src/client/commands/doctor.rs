//! `hq server doctor`: which of the ways between this machine and the server work.
//!
//! "Unreachable" has a dozen causes; this tries each step alone and says which one fails.
//!
//! Holds: nothing is changed anywhere; the exit code is 0 exactly if a client can talk to the server from here.

use crate::access::{self, PeerAccess};
use crate::client::arguments::GlobalOptions;
use crate::client::console::Console;
use crate::client::error::Error;
use crate::client::link;
use crate::client::render::OutputMode;
use crate::client::render::error::text;
use crate::client::render::table::Table;
use crate::platform::{clock, fs};
use crate::wire::message::{Empty, Request, Response};
use crate::wire::{self, Connection, Role};
use hq_core::view::ServerView;
use serde_json::{Value, json};
use std::path::Path;
use std::time::{Duration, Instant};

/// Time for one way.
const WAY_SPAN: Duration = Duration::from_secs(6);
/// A server that lives shows it within this time.
const SIGN_SPAN: Duration = Duration::from_millis(2_500);
/// Clocks that differ by more than this make times look wrong.
const SKEW_MAX: Duration = Duration::from_secs(2);
/// With less space left the journal will soon be full.
const FREE_BYTES_MIN: u64 = 256 * 1024 * 1024;

/// One thing that was tried.
struct Finding {
    what: String,
    good: bool,
    detail: String,
}

#[derive(Default)]
struct Findings(Vec<Finding>);

impl Findings {
    fn add(&mut self, what: impl Into<String>, result: Result<String, String>) {
        let good = result.is_ok();
        self.0.push(Finding { what: what.into(), good, detail: result.unwrap_or_else(|reason| reason) });
    }
}

/// Runs `hq server doctor`.
///
/// # Errors
/// [`Error::Invalid`] when a client cannot talk to the server from here, and what makes trying impossible.
pub fn run(global: &GlobalOptions, console: &mut Console) -> Result<(), Error> {
    let dir = link::server_dir(global)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|source| Error::System { doing: "start the network", source })?;
    let mut findings = Findings::default();
    let reached = runtime.block_on(examine(&dir, &mut findings));
    match console.mode() {
        OutputMode::Cli => {
            let mut table = Table::vertical();
            for Finding { what, good, detail } in &findings.0 {
                table.line(what, format!("{} - {detail}", if *good { "ok" } else { "FAILED" }));
            }
            let shown = table.render(console.palette());
            console.text(&shown)?;
        }
        OutputMode::Json => {
            let list: Vec<Value> =
                findings.0.iter().map(|it| json!({"check": it.what, "ok": it.good, "detail": it.detail})).collect();
            console.json(&json!({"reachable": reached, "checks": list}))?;
        }
        OutputMode::Quiet => {}
    }
    match reached {
        true => Ok(()),
        false => Err(Error::Invalid("No way leads from this machine to the server".to_owned())),
    }
}

/// Tries everything; true if a client can talk to the server.
async fn examine(dir: &Path, findings: &mut Findings) -> bool {
    let client = load(dir, Role::Client, findings);
    let worker = load(dir, Role::Worker, findings);
    let mut server = None;
    if let Some(access) = &client {
        for host in access.endpoint.hosts() {
            if let Some(connection) = way(access, host, findings).await {
                server = server.or(ask(connection).await);
            }
        }
    }
    if let Some(access) = &worker {
        for host in access.endpoint.hosts() {
            way(access, host, findings).await;
        }
    }
    sign(dir, findings).await;
    if let Some((server, skew)) = &server {
        let shown = format!("{} ms", skew.as_millis());
        findings.add("Clocks", if *skew <= SKEW_MAX { Ok(shown) } else { Err(format!("they differ by {shown}")) });
        findings.add("Journal", journal(server));
    }
    server.is_some()
}

fn load(dir: &Path, role: Role, findings: &mut Findings) -> Option<PeerAccess> {
    let loaded = match role {
        Role::Client => access::load_client(dir, crate::VERSION),
        Role::Worker => access::load_worker(dir, crate::VERSION),
    };
    let what = format!("Access file ({})", word(role));
    let result = match &loaded {
        Ok(access) if access.endpoint.key.is_absent() => Ok("version fits; no key is needed".to_owned()),
        Ok(_) => Ok("version fits".to_owned()),
        Err(error) => Err(one_line(error)),
    };
    findings.add(what, result);
    loaded.ok()
}

fn word(role: Role) -> &'static str {
    match role {
        Role::Client => "client",
        Role::Worker => "worker",
    }
}

fn one_line(error: &dyn std::error::Error) -> String {
    text(error).split_whitespace().collect::<Vec<_>>().join(" ")
}

/// One address of one port.
async fn way(access: &PeerAccess, host: &str, findings: &mut Findings) -> Option<Connection> {
    let (port, begun) = (access.endpoint.port, Instant::now());
    let identity = access.identity(crate::VERSION);
    let dialled = wire::dial(host, port, &identity);
    let dialled = tokio::time::timeout(WAY_SPAN, dialled).await;
    let result = match &dialled {
        Ok(Ok(_)) => Ok(format!("the key fits; {} ms", begun.elapsed().as_millis())),
        Ok(Err(error)) => Err(one_line(error)),
        Err(_) => Err("no answer in time".to_owned()),
    };
    findings.add(format!("{} port at {}", word(access.role), wire::dial::place(host, port)), result);
    dialled.ok()?.ok()
}

/// The server's record, and how much its clock differs from ours.
async fn ask(mut connection: Connection) -> Option<(ServerView, Duration)> {
    let before = clock::wall_us();
    connection.send(&Request::ServerInfo(Empty {})).await.ok()?;
    let answer = tokio::time::timeout(WAY_SPAN, connection.recv()).await.ok()?;
    let Ok(Some(Response::Server(server))) = answer else { return None };
    // The answer was given somewhere in between.
    let after = clock::wall_us();
    let skew = server.now.0.saturating_sub(after).max(before.saturating_sub(server.now.0));
    Some((server, Duration::from_micros(skew)))
}

/// Whether the directory is the one that the server sees.
async fn sign(dir: &Path, findings: &mut Findings) {
    let end = Instant::now() + SIGN_SPAN;
    let first = access::read_sign(dir);
    let result = loop {
        match (&first, access::read_sign(dir)) {
            (Ok(Some(first)), Ok(Some(now))) if *first != now => {
                break Ok(
                    "the server is seen to live; workers can be reached by `hq worker start --reverse`".to_owned()
                );
            }
            (Err(error), _) => break Err(one_line(error)),
            (Ok(None), _) => break Err("this directory is a copy: it shows no sign of life of the server".to_owned()),
            _ if Instant::now() >= end => break Err("the sign of life stands still: the server is dead".to_owned()),
            _ => tokio::time::sleep(Duration::from_millis(100)).await,
        }
    };
    findings.add("Shared directory", result);
}

fn journal(server: &ServerView) -> Result<String, String> {
    let Some(path) = &server.journal_path else { return Err("there is none: a restart forgets everything".to_owned()) };
    if let Some(trouble) = &server.trouble {
        return Err(format!("{path} cannot be written: {trouble}"));
    }
    let free =
        fs::free_bytes(Path::new(path)).map_err(|error| format!("{path} cannot be looked at from here: {error}"))?;
    let shown = format!("{path}: {} MiB free", free / (1024 * 1024));
    if free >= FREE_BYTES_MIN { Ok(shown) } else { Err(shown) }
}
