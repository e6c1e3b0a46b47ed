//! Runs commands against a cluster from threads other than the one that owns it.
//!
//! Clients have to go on while the owner kills and starts the server, which it can do only if nobody borrows it.
//!
//! Holds: a command gets the environment and the directory that the cluster itself would give it.

use crate::harness::{Cluster, Done};
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// See the module.
pub struct Caller {
    program: OsString,
    variables: Vec<(OsString, Option<OsString>)>,
    dir: PathBuf,
    /// Only waits for the commands; it has no server.
    runner: Cluster,
}

impl Caller {
    /// A caller for this cluster.
    pub fn of(cluster: &Cluster) -> Self {
        let command = cluster.command::<&str>(&[]);
        let variables = command.get_envs().map(|(name, value)| (name.to_owned(), value.map(OsString::from)));
        Self {
            program: command.get_program().to_owned(),
            variables: variables.collect(),
            dir: cluster.work(),
            runner: Cluster::offline(),
        }
    }

    /// Another program, in the environment of the cluster's commands.
    pub fn other(&self, program: &str) -> Command {
        self.prepare(Command::new(program))
    }

    /// Path of the program under test.
    pub fn program(&self) -> &str {
        self.program.to_str().expect("a path in UTF-8")
    }

    /// The directory in which commands run.
    pub fn work(&self) -> &Path {
        &self.dir
    }

    /// Runs a command to its end.
    pub fn hq(&self, words: &[&str]) -> Done {
        let mut command = self.prepare(Command::new(&self.program));
        command.args(words);
        self.runner.run(command, b"", &words.join(" "))
    }

    fn prepare(&self, mut command: Command) -> Command {
        for (name, value) in &self.variables {
            match value {
                Some(value) => command.env(name, value),
                None => command.env_remove(name),
            };
        }
        command.current_dir(&self.dir).stdin(Stdio::null());
        command
    }
}
