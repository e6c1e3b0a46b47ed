//! From an order of the agent to the description of a process.
//!
//! What all tasks of a description share is worked out once; a task costs its own few variables and paths.
//!
//! What holds: a task sees the worker's environment, then its job's variables, then ours, which overwrite; variables
//! of a task in which the worker itself may run are not passed on; a task that asked for no GPUs sees none of those
//! that the worker gives to others, unless its job's variables say so.

use super::local::{self, WorkDir};
use crate::grammar::placeholder::{self, Context, ResolvedPaths};
use crate::platform::process::{Environment, Output, SpawnSpec, Stdin};
use hq_core::agent::SpawnOrder;
use hq_core::attempt::{DescKey, SharedDesc};
use hq_core::id::AttemptId;
use hq_core::resource::{Amount, CPUS, Policy, Variant, WorkerResources};
use hq_core::task::{Destination, DestinationKind, PinMode, TaskDesc};
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Variables that belong to one task; a worker that runs inside a task does not hand them to its own.
const TASK_VARIABLES: [&str; 12] = [
    "HQ_ACCESS_KEY",
    "HQ_ACCESS_PASSPHRASE",
    "HQ_ACCESS_PASSPHRASE_FD",
    "HQ_CPUS",
    "HQ_ENTRY",
    "HQ_ERROR_FILENAME",
    "HQ_HOST_FILE",
    "HQ_NODE_FILE",
    "HQ_NUM_NODES",
    "HQ_PIN",
    "HQ_RESOURCE_VARIANT",
    "HQ_TASK_DIR",
];

/// A process to start, and what to do about it later.
#[derive(Debug)]
pub(super) struct Launch {
    /// What to start.
    pub(super) spec: SpawnSpec,
    /// Files to remove when the task has finished successfully.
    pub(super) remove_if_finished: Vec<PathBuf>,
    /// The task's own directory, removed at its end.
    pub(super) task_dir: Option<PathBuf>,
    /// Where its streamed output goes, if any is streamed.
    pub(super) stream_dir: Option<String>,
    /// Whether it waits while that cannot be written.
    pub(super) stream_waits: bool,
}

/// GPUs by the name of the resource, with the variable that shows them to programs.
const GPU_VARIABLES: [(&str, &str); 2] =
    [("gpus/nvidia", "CUDA_VISIBLE_DEVICES"), ("gpus/amd", "ROCR_VISIBLE_DEVICES")];

type Gpus = Vec<(&'static str, &'static str)>;

/// Turns orders into launches.
#[derive(Debug)]
pub(super) struct Launcher {
    base: Environment,
    /// GPUs that this worker offers, of [`GPU_VARIABLES`].
    gpus: Gpus,
    server_uid: String,
    work_dir: WorkDir,
    prepared: BTreeMap<(DescKey, u32), Prepared>,
}

/// What all tasks of a description and a variant share.
#[derive(Debug)]
struct Prepared {
    shared: Arc<SharedDesc>,
    words: Vec<OsString>,
    environment: Environment,
    stdin: Stdin,
    /// Paths with everything resolved that does not depend on the task.
    paths: ResolvedPaths,
    resources: Vec<Resource>,
    stream_dir: Option<String>,
    stream_waits: bool,
}

/// The variables of one entry of the request.
#[derive(Debug)]
struct Resource {
    values: String,
    also: Option<&'static str>,
    is_cpus: bool,
    /// The number of CPUs is known only with the labels.
    count_threads: bool,
}

impl Launcher {
    /// A launcher for a worker whose own program is at `executable` and that offers these resources.
    pub(super) fn new(executable: Option<PathBuf>, work_dir: WorkDir, resources: &WorkerResources) -> Self {
        let mut base = Environment::inherited();
        for (name, _) in std::env::vars_os() {
            let is_of_task = name.to_str().is_some_and(|name| {
                TASK_VARIABLES.contains(&name)
                    || name.starts_with("HQ_RESOURCE_REQUEST_")
                    || name.starts_with("HQ_RESOURCE_VALUES_")
            });
            if is_of_task {
                base.remove(name);
            }
        }
        if let Some(executable) = executable {
            base.set("HQ", executable);
        }
        let offered = GPU_VARIABLES.iter().copied().filter(|(name, _)| resources.size_of(name) > Amount::ZERO);
        Self { base, gpus: offered.collect(), server_uid: String::new(), work_dir, prepared: BTreeMap::new() }
    }

    /// The server's uid, for placeholders.
    pub(super) fn set_server_uid(&mut self, server_uid: String) {
        if self.server_uid != server_uid {
            self.prepared.clear();
            self.server_uid = server_uid;
        }
    }

    /// A description is not needed any more.
    pub(super) fn forget(&mut self, key: &DescKey) {
        self.prepared.retain(|(known, _), _| known != key);
    }

    /// Describes the process of an order; the error is for the user.
    pub(super) fn launch(&mut self, order: &SpawnOrder) -> Result<Launch, String> {
        let at = (order.key, order.variant);
        let current = self.prepared.get(&at).is_some_and(|prepared| Arc::ptr_eq(&prepared.shared, &order.shared));
        if !current {
            let prepared = Prepared::new(order, &self.base, &self.gpus, &self.server_uid);
            self.prepared.insert(at, prepared);
        }
        let Some(prepared) = self.prepared.get(&at) else { return Err("the description of the task is gone".into()) };
        let task_dir = if prepared.shared.desc.task_dir || !order.nodes.is_empty() {
            Some(self.work_dir.create_task_dir().map_err(|error| format!("Cannot create task directory: {error}"))?)
        } else {
            None
        };
        let launch = prepared.launch(order, task_dir.clone());
        if let (Err(_), Some(dir)) = (&launch, &task_dir) {
            // Nobody knows of the directory yet.
            let _ = std::fs::remove_dir_all(dir);
        }
        launch
    }
}

impl Prepared {
    fn new(order: &SpawnOrder, base: &Environment, gpus: &Gpus, server_uid: &str) -> Self {
        let shared = Arc::clone(&order.shared);
        let desc = &shared.desc;
        let context = Context {
            job: Some(order.key.job),
            submit_dir: Some(&shared.submit_dir),
            server_uid: Some(server_uid),
            ..Context::default()
        };
        let mut environment = base.clone();
        desc.env.iter().for_each(|(name, value)| environment.set(name, value));
        environment.set("HQ_JOB_ID", order.key.job.to_string());
        environment.set("HQ_SUBMIT_DIR", &shared.submit_dir);
        let variant = usize::try_from(order.variant).ok().and_then(|at| desc.request.variants.get(at));
        let variant = variant.filter(|variant| variant.nodes == 0);
        let resources = variant.map(|variant| static_resources(desc, variant, &mut environment)).unwrap_or_default();
        if let Some(variant) = variant {
            // What others were given is not for this task.
            let asked = |name| variant.entries.iter().any(|entry| entry.resource == name);
            let hidden = gpus.iter().filter(|(name, _)| !asked(*name));
            hidden.for_each(|(_, variable)| set_unless_given(desc, &mut environment, variable, ""));
        }
        if desc.request.variants.len() > 1 {
            environment.set("HQ_RESOURCE_VARIANT", order.variant.to_string());
        }
        match desc.pin {
            PinMode::None => {}
            PinMode::Taskset => environment.set("HQ_PIN", "taskset"),
            PinMode::Omp => environment.set("HQ_PIN", "omp"),
        }
        let streams = is_streamed(&desc.stdout) || is_streamed(&desc.stderr);
        let stream = shared.stream.as_ref().filter(|_| streams);
        Self {
            words: desc.args.iter().map(OsString::from).collect(),
            stdin: if desc.stdin.is_empty() { Stdin::Null } else { Stdin::Bytes(Arc::from(desc.stdin.as_slice())) },
            paths: placeholder::resolve_desc_paths(desc, &context),
            stream_dir: stream.map(|dir| placeholder::resolve_stream_dir(dir, &context)),
            stream_waits: shared.stream_waits,
            environment,
            resources,
            shared,
        }
    }

    fn launch(&self, order: &SpawnOrder, task_dir: Option<PathBuf>) -> Result<Launch, String> {
        let desc = &self.shared.desc;
        let attempt = order.attempt;
        let context = Context {
            task: Some(attempt.task.task),
            instance: Some(attempt.fence.attempt),
            submit_dir: Some(&self.shared.submit_dir),
            ..Context::default()
        };
        let paths = &self.paths;
        let (stdout, stderr) = (paths.stdout.as_deref(), paths.stderr.as_deref());
        let (templates, paths) = (paths, placeholder::resolve_task_paths(&paths.cwd, stdout, stderr, &context));
        let renames = renames(desc, templates, &paths, &context);
        let mut environment = self.environment.clone();
        environment.set("HQ_TASK_ID", attempt.task.task.to_string());
        environment.set("HQ_INSTANCE_ID", attempt.fence.attempt.to_string());
        if let Some(entry) = &order.entry {
            environment.set("HQ_ENTRY", OsString::from_vec(entry.to_vec()));
        }
        if let Some(dir) = &task_dir {
            environment.set("HQ_TASK_DIR", dir);
            environment.set("HQ_ERROR_FILENAME", dir.join(ERROR_FILE_NAME));
            set_nodes(&order.nodes, dir, &mut environment)?;
        }
        let mut words = self.words.clone();
        self.set_resources(order, &mut environment, &mut words)?;
        let mut remove_if_finished = Vec::new();
        let mut output = |destination: &Destination, path: Option<String>| match (destination.kind, path) {
            (DestinationKind::File, Some(path)) => {
                if destination.remove_if_finished {
                    remove_if_finished.push(PathBuf::from(&path));
                }
                Output::File(PathBuf::from(path))
            }
            (DestinationKind::Stream, _) if self.stream_dir.is_some() => Output::Pipe,
            _ => Output::Null,
        };
        let (stdout, stderr) = (output(&desc.stdout, paths.stdout), output(&desc.stderr, paths.stderr));
        let cwd = PathBuf::from(paths.cwd);
        let spec = SpawnSpec { words, cwd, environment, renames, stdin: self.stdin.clone(), stdout, stderr };
        Ok(Launch {
            spec,
            remove_if_finished,
            task_dir,
            stream_dir: self.stream_dir.clone(),
            stream_waits: self.stream_waits,
        })
    }

    fn set_resources(
        &self,
        order: &SpawnOrder,
        environment: &mut Environment,
        words: &mut Vec<OsString>,
    ) -> Result<(), String> {
        let desc = &self.shared.desc;
        let mut cpus = None;
        for (resource, labels) in self.resources.iter().zip(&order.labels) {
            let Some(labels) = labels else { continue };
            environment.set(&resource.values, labels);
            resource.also.iter().for_each(|name| environment.set(*name, labels));
            if resource.is_cpus {
                cpus = Some(labels);
            }
            if resource.count_threads {
                let count = labels.split(',').count();
                environment.set("OMP_NUM_THREADS", count.to_string());
            }
        }
        if desc.pin != PinMode::None {
            let cpus = cpus.filter(|cpus| !cpus.is_empty());
            let cpus = cpus.ok_or("Pinning failed, no CPU ids allocated for task")?;
            if desc.pin == PinMode::Taskset {
                words.splice(0..0, ["taskset", "-c", cpus].map(OsString::from));
            } else {
                set_unless_given(desc, environment, "OMP_PROC_BIND", "close");
                set_unless_given(desc, environment, "OMP_PLACES", &format!("{{{cpus}}}"));
            }
        }
        Ok(())
    }
}

/// The output files of the attempt before that would be lost by this one: kept where the user asked for retries.
fn renames(
    desc: &TaskDesc,
    templates: &ResolvedPaths,
    paths: &ResolvedPaths,
    context: &Context<'_>,
) -> Vec<(PathBuf, PathBuf)> {
    let earlier = context.instance.and_then(|attempt| attempt.0.checked_sub(1)).map(AttemptId);
    let (Some(earlier), Some(_)) = (earlier, &desc.retry) else { return Vec::new() };
    let context = Context { instance: Some(earlier), ..*context };
    let (stdout, stderr) = (templates.stdout.as_deref(), templates.stderr.as_deref());
    let before = placeholder::resolve_task_paths(&templates.cwd, stdout, stderr, &context);
    let pairs = [(before.stdout, &paths.stdout), (before.stderr, &paths.stderr)];
    let same = pairs.into_iter().filter(|(before, now)| before == *now).filter_map(|(before, _)| before);
    // The second of two equal ones finds nothing any more.
    same.map(|path| (PathBuf::from(&path), PathBuf::from(placeholder::attempt_path(&path, earlier)))).collect()
}

/// Name of the file in a task directory by which a program says why it failed.
pub(super) const ERROR_FILE_NAME: &str = "hq-error";

fn is_streamed(destination: &Destination) -> bool {
    destination.kind == DestinationKind::Stream
}

fn set_unless_given(desc: &TaskDesc, environment: &mut Environment, name: &str, value: &str) {
    if !desc.env.contains_key(name) {
        environment.set(name, value);
    }
}

/// Writes down the nodes of a multi-node task, and where.
fn set_nodes(nodes: &[String], task_dir: &Path, environment: &mut Environment) -> Result<(), String> {
    if nodes.is_empty() {
        return Ok(());
    }
    let files = local::write_node_files(task_dir, nodes);
    let files = files.map_err(|error| format!("Cannot write the node files of the task: {error}"))?;
    environment.set("HQ_NUM_NODES", nodes.len().to_string());
    environment.set("HQ_NODE_FILE", files.short_names);
    environment.set("HQ_HOST_FILE", files.full_names);
    Ok(())
}

/// Sets the variables that the request alone decides.
fn static_resources(desc: &TaskDesc, variant: &Variant, environment: &mut Environment) -> Vec<Resource> {
    let mut resources = Vec::with_capacity(variant.entries.len());
    for entry in &variant.entries {
        let replaced = |c: char| if c.is_ascii_alphanumeric() { c } else { '_' };
        let name: String = entry.resource.chars().map(replaced).collect();
        environment.set(format!("HQ_RESOURCE_REQUEST_{name}"), entry.to_string());
        let is_cpus = entry.resource == CPUS;
        let threads_given = desc.env.contains_key("OMP_NUM_THREADS");
        let integral = entry.amount.fraction() == 0 && entry.amount > Amount::ZERO;
        if is_cpus && !threads_given && integral && entry.policy != Policy::All {
            environment.set("OMP_NUM_THREADS", entry.amount.whole().to_string());
        }
        let gpus = GPU_VARIABLES.iter().find(|(name, _)| *name == entry.resource);
        let also = if is_cpus { Some("HQ_CPUS") } else { gpus.map(|(_, variable)| *variable) };
        if entry.resource == "gpus/nvidia" {
            environment.set("CUDA_DEVICE_ORDER", "PCI_BUS_ID");
        }
        resources.push(Resource {
            values: format!("HQ_RESOURCE_VALUES_{name}"),
            also,
            is_cpus,
            count_threads: is_cpus && !threads_given && entry.policy == Policy::All,
        });
    }
    resources
}
