//! The command line, end to end: the real program, one file a group of commands.
//!
//! Scripts of users depend on texts, streams and exit codes; these tests are such scripts.
//!
//! Holds: no test depends on another one, on timing, or on anything outside its temporary directory.

#[path = "../harness/mod.rs"]
mod harness;

mod access;
mod acts;
mod after;
mod directives;
mod event_order;
mod find_jobs;
mod hardware;
mod job;
mod job_file;
mod journal;
mod journal_files;
mod journal_inspect;
mod journal_memory;
mod journal_repair;
mod journal_stream;
mod live;
mod notify;
mod offline;
mod open_jobs;
mod output_log;
mod prune;
mod report;
mod resources;
mod retries;
mod server;
mod stream_scenarios;
mod submit;
mod task;
mod terminal;
mod why;
mod worker;
