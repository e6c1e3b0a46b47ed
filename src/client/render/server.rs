//! The record of a server as `server start` and `server info` show it.
//!
//! Scripts take ports and the uid from it.
//!
//! Holds: nine rows for `server info`, ten with the directory at the start; JSON has ten keys. While the journal cannot be
//! written there is one more of each, and one once details of jobs were forgotten.

use super::color::Palette;
use super::table::Table;
use super::{journal, time};
use hq_core::view::ServerView;
use serde_json::{Value, json};

/// The table; the first row only with the directory, which only the machine that starts the server knows.
pub fn table(server: &ServerView, server_dir: Option<&str>, palette: Palette) -> String {
    let mut table = Table::vertical();
    if let Some(server_dir) = server_dir {
        table.line("Server directory", server_dir);
    }
    table.line("Server UID", server.server_uid.as_str());
    table.line("Client host", server.client_host.as_str());
    table.line("Client port", server.client_port.to_string());
    table.line("Worker host", server.worker_host.as_str());
    table.line("Worker port", server.worker_port.to_string());
    table.line("Version", server.version.as_str());
    table.line("Pid", server.pid.to_string());
    table.line("Start date", time::utc_seconds(server.started));
    table.line("Journal path", server.journal_path.as_deref().unwrap_or_default());
    if let Some(trouble) = &server.trouble {
        table.line("Journal trouble", trouble.as_str());
    }
    if server.forgotten.jobs > 0 {
        table.line("Forgotten details", journal::forgotten(&server.forgotten));
    }
    table.render(palette)
}

/// The object.
pub fn to_json(server: &ServerView, server_dir: Option<&str>) -> Value {
    let mut value = json!({
        "server_dir": server_dir,
        "server_uid": server.server_uid,
        "client_host": server.client_host,
        "client_port": server.client_port,
        "worker_host": server.worker_host,
        "worker_port": server.worker_port,
        "version": server.version,
        "pid": server.pid,
        "start_date": time::rfc3339(server.started),
        "journal_path": server.journal_path,
    });
    if let (Some(trouble), Some(map)) = (&server.trouble, value.as_object_mut()) {
        map.insert("journal_trouble".to_owned(), json!(trouble));
    }
    if let Some(map) = value.as_object_mut().filter(|_| server.forgotten.jobs > 0) {
        map.insert("forgotten_details".to_owned(), journal::forgotten_json(&server.forgotten));
    }
    value
}

#[cfg(test)]
mod tests {
    use super::*;
    use hq_core::id::JobId;
    use hq_core::retention::{DetailsGone, ForgetCause};
    use hq_core::time::Time;
    use hq_core::view::ForgottenDetails;

    #[test]
    fn the_record() {
        let server = ServerView {
            server_uid: "AbCd12".into(),
            client_host: "login1".into(),
            client_port: 4000,
            worker_host: "login1".into(),
            worker_port: 4001,
            version: "0.1.0-dev".into(),
            pid: 17,
            started: Time(1_893_553_445_250_000),
            journal_path: None,
            now: Time::default(),
            trouble: None,
            forgotten: ForgottenDetails::default(),
        };
        let expected = "\
+--------------+-------------------------+
| Server UID   | AbCd12                  |
| Client host  | login1                  |
| Client port  | 4000                    |
| Worker host  | login1                  |
| Worker port  | 4001                    |
| Version      | 0.1.0-dev               |
| Pid          | 17                      |
| Start date   | 2030-01-02 03:04:05 UTC |
| Journal path |                         |
+--------------+-------------------------+
";
        assert_eq!(table(&server, None, Palette::OFF), expected);
        assert!(table(&server, Some("/d/hq"), Palette::OFF).contains("\n| Server directory | /d/hq "));
        let value = to_json(&server, None);
        assert_eq!(value.as_object().map(serde_json::Map::len), Some(10));
        assert_eq!(value["start_date"], "2030-01-02T03:04:05.250Z");
        assert_eq!(value["journal_path"], Value::Null);
        let sick = ServerView { trouble: Some("the disk is full".into()), ..server };
        assert!(table(&sick, None, Palette::OFF).contains("| Journal trouble | the disk is full "));
        assert_eq!(to_json(&sick, None)["journal_trouble"], "the disk is full");
        let latest = Some(DetailsGone { at: Time(1_893_553_445_000_000), cause: ForgetCause::Size });
        let forgotten = ForgottenDetails { jobs: 3, last_job: Some(JobId(7)), latest };
        let full = ServerView { forgotten, ..sick };
        let text = "| Forgotten details | 3 jobs, up to job 7, since 2030-01-02 03:04:05 UTC: the journal had grown";
        assert!(table(&full, None, Palette::OFF).contains(text), "{}", table(&full, None, Palette::OFF));
        let value = &to_json(&full, None)["forgotten_details"];
        assert_eq!((&value["jobs"], &value["last_job"], &value["cause"]), (&json!(3), &json!(7), &json!("size")));
    }
}
