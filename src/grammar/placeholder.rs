//! Placeholders in paths: `%{JOB_ID}` and its kin, and how the paths of a task become absolute.
//!
//! Resolving happens twice, with what is known: at submission (for display and the default paths) and when a
//! task starts. One function does both, so the two cannot disagree.
//!
//! **Invariant:** resolving with a part of the context and then with the whole gives the same as resolving with
//! the whole at once. A name that is unknown, or not valid at a place, stays in the text literally, and disturbs
//! no other placeholder.

use hq_core::id::{AttemptId, JobId, TaskId};
use hq_core::task::{Destination, DestinationKind, TaskDesc};
use std::fmt;

/// Working directory of a job that was given none.
pub const DEFAULT_CWD: &str = "%{SUBMIT_DIR}";
/// Standard output of a task that was given none.
pub const DEFAULT_STDOUT: &str = "%{CWD}/job-%{JOB_ID}/%{TASK_ID}.stdout";
/// Standard error of a task that was given none.
pub const DEFAULT_STDERR: &str = "%{CWD}/job-%{JOB_ID}/%{TASK_ID}.stderr";

/// A name that is replaced by a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Placeholder {
    /// `%{JOB_ID}`
    JobId,
    /// `%{TASK_ID}`
    TaskId,
    /// `%{INSTANCE_ID}`: number of the execution.
    InstanceId,
    /// `%{SUBMIT_DIR}`: absolute directory of the client.
    SubmitDir,
    /// `%{SERVER_UID}`
    ServerUid,
    /// `%{CWD}`: the resolved working directory of the task.
    Cwd,
}

/// A place where a template stands; each has names that are valid there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// The working directory.
    Cwd,
    /// The path of the standard output.
    Stdout,
    /// The path of the standard error.
    Stderr,
    /// The stream directory.
    Stream,
}

/// What is known; `None` leaves the placeholder in the text.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Context<'a> {
    /// The job.
    pub job: Option<JobId>,
    /// The task.
    pub task: Option<TaskId>,
    /// Number of the execution.
    pub instance: Option<AttemptId>,
    /// Absolute directory of the client at submission.
    pub submit_dir: Option<&'a str>,
    /// Identity of the server.
    pub server_uid: Option<&'a str>,
    /// Absolute working directory of the task; [`resolve_task_paths`] finds it itself.
    pub cwd: Option<&'a str>,
}

/// The paths of a task.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResolvedPaths {
    /// Working directory; absolute if the submit directory was known.
    pub cwd: String,
    /// Standard output; `None` if it goes to no file.
    pub stdout: Option<String>,
    /// Standard error; `None` if it goes to no file.
    pub stderr: Option<String>,
}

/// The working directory was said to be relative to itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CwdInCwd {
    /// The path as given.
    pub path: String,
}

impl fmt::Display for CwdInCwd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = self.path.escape_debug();
        write!(f, "Working directory path cannot contain the working directory placeholder `%{{CWD}}`; it is `{path}`")
    }
}

impl std::error::Error for CwdInCwd {}

impl Placeholder {
    const ALL: [Self; 6] = [Self::JobId, Self::TaskId, Self::InstanceId, Self::SubmitDir, Self::ServerUid, Self::Cwd];

    /// The name between `%{` and `}`.
    pub fn name(self) -> &'static str {
        match self {
            Self::JobId => "JOB_ID",
            Self::TaskId => "TASK_ID",
            Self::InstanceId => "INSTANCE_ID",
            Self::SubmitDir => "SUBMIT_DIR",
            Self::ServerUid => "SERVER_UID",
            Self::Cwd => "CWD",
        }
    }

    /// The placeholder called `name`, case-sensitive.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|placeholder| placeholder.name() == name)
    }

    fn value(self, context: &Context<'_>) -> Option<String> {
        match self {
            Self::JobId => context.job.map(|id| id.to_string()),
            Self::TaskId => context.task.map(|id| id.to_string()),
            Self::InstanceId => context.instance.map(|id| id.to_string()),
            Self::SubmitDir => context.submit_dir.map(str::to_owned),
            Self::ServerUid => context.server_uid.map(str::to_owned),
            Self::Cwd => context.cwd.map(str::to_owned),
        }
    }

    /// Whether the value is an absolute path.
    fn is_directory(self) -> bool {
        matches!(self, Self::SubmitDir | Self::Cwd)
    }
}

impl Place {
    /// Whether `placeholder` is replaced at this place.
    pub fn allows(self, placeholder: Placeholder) -> bool {
        use Placeholder::{Cwd, JobId, ServerUid, SubmitDir};
        match self {
            Self::Cwd => placeholder != Cwd,
            Self::Stdout | Self::Stderr => true,
            Self::Stream => matches!(placeholder, JobId | SubmitDir | ServerUid),
        }
    }

    /// How warnings call the place.
    pub fn label(self) -> &'static str {
        match self {
            Self::Cwd => "working directory path",
            Self::Stdout => "stdout path",
            Self::Stderr => "stderr path",
            Self::Stream => "log path",
        }
    }
}

/// A piece of a template.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part<'a> {
    Literal(&'a str),
    /// `%{name}`: the name, and the piece as it stands.
    Named(&'a str, &'a str),
}

/// Splits a template; a lone `%` and a `%{` without a name and `}` are literal.
fn parts(template: &str) -> Vec<Part<'_>> {
    let mut parts = Vec::new();
    let mut rest = template;
    while let Some(start) = rest.find("%{") {
        let (before, here) = rest.split_at(start);
        let (mark, inside) = here.split_at(2);
        parts.push(Part::Literal(before));
        let length = inside.find(['%', '{', '}']).unwrap_or(inside.len());
        let (name, after) = inside.split_at(length);
        match after.strip_prefix('}') {
            Some(after) if !name.is_empty() => {
                parts.push(Part::Named(name, here.get(..mark.len() + name.len() + 1).unwrap_or(here)));
                rest = after;
            }
            _ => {
                parts.push(Part::Literal(mark));
                rest = inside;
            }
        }
    }
    parts.push(Part::Literal(rest));
    parts
}

/// Replaces what is known and valid at `place`.
pub fn resolve(template: &str, place: Place, context: &Context<'_>) -> String {
    let mut text = String::with_capacity(template.len());
    for part in parts(template) {
        match part {
            Part::Literal(literal) => text.push_str(literal),
            Part::Named(name, whole) => {
                let known = Placeholder::from_name(name).filter(|placeholder| place.allows(*placeholder));
                match known.and_then(|placeholder| placeholder.value(context)) {
                    Some(value) => text.push_str(&value),
                    None => text.push_str(whole),
                }
            }
        }
    }
    text
}

/// Whether the template names `placeholder`.
pub fn contains(template: &str, placeholder: Placeholder) -> bool {
    parts(template).into_iter().any(|part| matches!(part, Part::Named(name, _) if name == placeholder.name()))
}

/// Where the output of an earlier attempt is kept that has the same path as that of a later one.
pub fn attempt_path(path: &str, attempt: AttemptId) -> String {
    format!("{path}.attempt-{attempt}")
}

/// The names in the template that are no placeholder anywhere, each once, in order.
pub fn unknown_names(template: &str) -> Vec<&str> {
    let mut names = Vec::new();
    for part in parts(template) {
        if let Part::Named(name, _) = part
            && Placeholder::from_name(name).is_none()
            && !names.contains(&name)
        {
            names.push(name);
        }
    }
    names
}

/// The warning about unknown names in the template, if there are any.
pub fn unknown_names_warning(template: &str, place: Place) -> Option<String> {
    let names = unknown_names(template);
    let plural = if names.len() > 1 { "s" } else { "" };
    let list = names.join(", ");
    (!names.is_empty()).then(|| format!("Found unknown placeholder{plural} `{list}` in {}", place.label()))
}

/// Checks a working directory given on the command line.
///
/// # Errors
/// The path contains `%{CWD}`.
pub fn check_cwd(template: &str) -> Result<(), CwdInCwd> {
    if contains(template, Placeholder::Cwd) { Err(CwdInCwd { path: template.to_owned() }) } else { Ok(()) }
}

/// Resolves the paths of a task: first the working directory, relative to the submit directory; then the outputs,
/// relative to the working directory. `context.cwd` is not used.
///
/// An empty path stands for the default one. Every path is made absolute as soon as its base is known, also while
/// placeholders are left in it.
pub fn resolve_task_paths(
    cwd: &str,
    stdout: Option<&str>,
    stderr: Option<&str>,
    context: &Context<'_>,
) -> ResolvedPaths {
    let cwd =
        resolve_path(or_default(cwd, DEFAULT_CWD), Place::Cwd, &Context { cwd: None, ..*context }, context.submit_dir);
    let known = Some(cwd.as_str()).filter(|cwd| is_absolute(cwd));
    let context = Context { cwd: known, ..*context };
    let output = |template: Option<&str>, default, place| {
        template.map(|path| resolve_path(or_default(path, default), place, &context, known))
    };
    let stdout = output(stdout, DEFAULT_STDOUT, Place::Stdout);
    let stderr = output(stderr, DEFAULT_STDERR, Place::Stderr);
    ResolvedPaths { cwd, stdout, stderr }
}

/// Resolves the paths of a task's description; an output that goes to no file has none.
pub fn resolve_desc_paths(desc: &TaskDesc, context: &Context<'_>) -> ResolvedPaths {
    resolve_task_paths(&desc.cwd, file_of(&desc.stdout), file_of(&desc.stderr), context)
}

fn file_of(destination: &Destination) -> Option<&str> {
    (destination.kind == DestinationKind::File).then_some(destination.path.as_str())
}

fn or_default<'a>(path: &'a str, default: &'a str) -> &'a str {
    if path.is_empty() { default } else { path }
}

/// Resolves a stream directory, relative to the submit directory.
pub fn resolve_stream_dir(template: &str, context: &Context<'_>) -> String {
    resolve_path(template, Place::Stream, context, context.submit_dir)
}

fn resolve_path(template: &str, place: Place, context: &Context<'_>, base: Option<&str>) -> String {
    let path = resolve(template, place, context);
    match base {
        Some(base) if !is_absolute(&path) && !may_become_absolute(&path, place) => join(base, &path),
        _ => path,
    }
}

fn is_absolute(path: &str) -> bool {
    path.starts_with('/')
}

/// Whether the path begins with a placeholder that is still to be replaced by a directory.
fn may_become_absolute(path: &str, place: Place) -> bool {
    let first = parts(path).into_iter().find(|part| *part != Part::Literal(""));
    let Some(Part::Named(name, _)) = first else { return false };
    Placeholder::from_name(name).is_some_and(|placeholder| placeholder.is_directory() && place.allows(placeholder))
}

fn join(base: &str, path: &str) -> String {
    let separator = if base.ends_with('/') { "" } else { "/" };
    format!("{base}{separator}{path}")
}

#[cfg(test)]
#[path = "placeholder_tests.rs"]
mod tests;
