//! From the options of `hq submit` to what the server is asked: the request, and the warnings about it.
//!
//! Everything here is a function of the options and of what was read; the command around it reads and asks.
//!
//! Holds: strings go into the request as they were typed; placeholders are resolved where a task starts.

use super::arguments::{JobOptions, PinWord, StreamOnError};
use super::directives::Directed;
use super::entries::Chosen;
use super::error::Error;
use crate::grammar::placeholder::{self, Place, Placeholder};
use crate::grammar::request::{self, NamedRequest};
use crate::grammar::stop::stop_plan;
use crate::grammar::{environment, free_text, retry, weight};
use hq_core::admission;
use hq_core::after::AfterRequest;
use hq_core::idset::IdSet;
use hq_core::limits;
use hq_core::resource::{ResourceRequest, Variant};
use hq_core::retry::RetryPolicy;
use hq_core::task::{CrashLimit, Destination, DestinationKind, SubmitDesc, SubmitRequest, TaskDesc};
use hq_core::time::Span;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Files that a job may create without a warning.
const FILES_UNWARNED_MAX: u64 = 999;

/// What the resources of the options ask for.
///
/// # Errors
/// [`Error::Invalid`] for resources that cannot be asked for together.
pub fn resources(options: &JobOptions) -> Result<ResourceRequest, Error> {
    let named = options.resource.iter().map(|named| named.entry.clone()).collect();
    let entries = request::combine(options.cpus, named);
    let entries = entries.map_err(|error| Error::Invalid(error.to_string()))?;
    let nodes = options.nodes.unwrap_or(0);
    let variant = Variant {
        nodes,
        // Whole workers are given to a multi-node task, whatever they have.
        entries: if nodes > 0 { Vec::new() } else { entries },
        min_time: options.time_request.map(Span::from_duration).unwrap_or_default(),
        // The default is not written down, so that tasks with it said and unsaid are of one kind.
        weight_parts: options.weight.filter(|parts| *parts != weight::PARTS_PER_UNIT).unwrap_or_default(),
    };
    Ok(ResourceRequest { variants: vec![variant] })
}

/// The ids of the tasks: those of the entries if there are any, else of `--array`, else 0.
pub fn task_ids(options: &JobOptions, chosen: Option<&Chosen>) -> IdSet {
    match (chosen, &options.array) {
        (Some(chosen), _) => chosen.ids.clone(),
        (None, Some(ids)) => ids.clone(),
        (None, None) => IdSet::single(0),
    }
}

/// What is worth a warning before submitting, in the order in which it is said.
pub fn warnings(options: &JobOptions, ids: &IdSet) -> Vec<String> {
    let is_array = options.array.is_some() || options.each_line.is_some() || options.from_json.is_some();
    let mut warnings = Vec::new();
    if is_array && ids.len() >= 2 {
        warnings.extend(many_files(options, ids.len()));
        warnings.extend(shared_file(options, options.stdout.as_ref(), "stdout"));
        warnings.extend(shared_file(options, options.stderr.as_ref(), "stderr"));
    }
    let path = |destination: &Option<Destination>| destination.as_ref().map(|to| to.path.clone());
    let places = [
        (path(&options.stdout), Place::Stdout),
        (path(&options.stderr), Place::Stderr),
        (options.stream.as_ref().map(|stream| stream.0.clone()), Place::Stream),
        (options.cwd.as_ref().map(|cwd| cwd.0.clone()), Place::Cwd),
    ];
    let unknown = |(path, place): (Option<String>, Place)| placeholder::unknown_names_warning(&path?, place);
    warnings.extend(places.into_iter().filter_map(unknown));
    warnings.extend(options.resource.iter().filter_map(NamedRequest::notice));
    if options.log.is_some() {
        warnings.push("`--log` is an older name of `--stream`; use the new one".to_owned());
    }
    if options.nodes.is_some_and(|nodes| nodes > 0) && !options.resource.is_empty() {
        warnings.push("Values of `--resource` are ignored for multi-node tasks, which get whole workers".to_owned());
    }
    warnings
}

fn many_files(options: &JobOptions, tasks: u64) -> Option<String> {
    let goes_to_file = |destination: &Option<Destination>| match destination {
        None => true,
        Some(to) => to.kind == DestinationKind::File && !to.path.is_empty(),
    };
    let names = match (goes_to_file(&options.stdout), goes_to_file(&options.stderr)) {
        (true, true) => "stdout and stderr",
        (true, false) => "stdout",
        (false, true) => "stderr",
        (false, false) => return None,
    };
    let files = tasks.saturating_mul(if names.contains(' ') { 2 } else { 1 });
    (options.stream.is_none() && files > FILES_UNWARNED_MAX).then(|| {
        format!(
            "The job will create {files} files for \"{names}\". \
             Consider using the `--stream` option to collect outputs in few files"
        )
    })
}

fn shared_file(options: &JobOptions, destination: Option<&Destination>, name: &str) -> Option<String> {
    let path = destination.filter(|to| to.kind == DestinationKind::File && !to.path.is_empty())?.path.as_str();
    let cwd = options.cwd.as_ref().map_or("", |cwd| cwd.0.as_str());
    let uses_cwd = !path.starts_with('/') || placeholder::contains(path, Placeholder::Cwd);
    let differs =
        placeholder::contains(path, Placeholder::TaskId) || uses_cwd && placeholder::contains(cwd, Placeholder::TaskId);
    (!differs).then(|| {
        format!(
            "You have submitted an array job, but the `{name}` path does not contain the task ID placeholder.\n\
             Individual tasks might thus overwrite the file. Consider adding `%{{TASK_ID}}` to the `--{name}` value."
        )
    })
}

/// The request. `submit_dir` is the absolute current directory, `stdin` what was read for the tasks.
///
/// # Errors
/// [`Error::Invalid`] for a working directory that names itself, a name that cannot be shown, and beyond the limits.
pub fn build(
    directed: &Directed,
    submit_dir: String,
    request: ResourceRequest,
    stdin: Vec<u8>,
    chosen: Option<Chosen>,
) -> Result<SubmitRequest, Error> {
    let options = &directed.options;
    let ids = task_ids(options, chosen.as_ref());
    let cwd = options.cwd.as_ref().map(|cwd| cwd.0.clone()).unwrap_or_default();
    placeholder::check_cwd(&cwd).map_err(|error| Error::Invalid(error.to_string()))?;
    let (env, overwritten) = environment::collect(options.env.iter().cloned());
    if overwritten {
        log::warn!("Some environment variables were ignored, are there duplicate keys?");
    }
    let name = match &options.name {
        Some(name) => {
            free_text::check_job_name(name).map_err(|error| Error::Invalid(error.to_string()))?;
            name.clone()
        }
        None => free_text::default_job_name(directed.command.first().map_or("", String::as_str)).to_owned(),
    };
    let desc = TaskDesc {
        args: directed.command.clone(),
        env,
        cwd,
        stdout: destination(options, options.stdout.as_ref()),
        stderr: destination(options, options.stderr.as_ref()),
        stdin: stdin.into(),
        request,
        priority: options.priority.unwrap_or(0),
        time_limit: options.time_limit.map(Span::from_duration),
        crash_limit: options.crash_limit.unwrap_or(CrashLimit::Max(limits::CRASH_LIMIT_DEFAULT)),
        pin: options.pin.map(PinWord::mode).unwrap_or_default(),
        task_dir: options.task_dir,
        stop: stop_plan(options.signal, options.kill_signal, options.grace.map(Span::from_duration)),
        retry: retry_policy(options)?,
    };
    // The server checks the same; what is too much need not be sent.
    admission::check_desc(&desc).map_err(Error::Invalid)?;
    let submit = SubmitDesc {
        ids,
        descs: vec![Arc::new(desc)],
        entries: chosen.map(|chosen| chosen.entries).unwrap_or_default(),
        submit_dir,
        stream: options.stream.as_ref().map(|stream| stream.0.clone()),
        stream_waits: options.stream_on_error == Some(StreamOnError::Wait),
        ..SubmitDesc::default()
    };
    let tags = tags(&options.tag)?;
    let after = options.after.iter().map(|spec| AfterRequest { tasks: IdSet::default(), spec: spec.clone() }).collect();
    let (max_fails, submit) = (options.max_fails, Arc::new(submit));
    Ok(SubmitRequest { name, max_fails, submit, tags, after, ..SubmitRequest::default() })
}

/// The tags of a job.
///
/// # Errors
/// [`Error::Invalid`] for a key that is given twice, and for too many.
pub fn tags(given: &[(String, String)]) -> Result<BTreeMap<String, String>, Error> {
    let mut tags = BTreeMap::new();
    for (key, value) in given {
        if tags.insert(key.clone(), value.clone()).is_some() {
            return Err(Error::Invalid(format!("The tag `{key}` is given more than once; each key has one value")));
        }
    }
    if tags.len() > limits::JOB_TAGS_MAX {
        let (count, max) = (tags.len(), limits::JOB_TAGS_MAX);
        return Err(Error::Invalid(format!("{count} tags are too many, a job has at most {max}")));
    }
    Ok(tags)
}

/// Checks options for tasks that are added to an open job: what it has as a whole was said when it was opened.
///
/// # Errors
/// [`Error::Invalid`] for options of the whole job.
pub fn check_attached(options: &JobOptions) -> Result<(), Error> {
    let refused = [
        ("--name", options.name.is_some()),
        ("--max-fails", options.max_fails.is_some()),
        ("--tag", !options.tag.is_empty()),
    ];
    match refused.iter().find(|(_, given)| *given) {
        Some((name, _)) => {
            Err(Error::Invalid(format!("Parameter {name} is not allowed when submitting to an open job.")))
        }
        None => Ok(()),
    }
}

/// The first id that nobody typed: without `--array` all of them are counted.
pub fn free_ids_from(options: &JobOptions) -> Option<u32> {
    options.array.is_none().then_some(0)
}

/// When a failed task is tried again.
fn retry_policy(options: &JobOptions) -> Result<Option<Box<RetryPolicy>>, Error> {
    let Some(max) = options.retries else {
        return match (options.retry_on.is_empty(), options.retry_delay) {
            (true, None) => Ok(None),
            _ => Err(Error::Invalid("`--retry-on` and `--retry-delay` need `--retries`".to_owned())),
        };
    };
    let delay = options.retry_delay.unwrap_or_default();
    let on = retry::joined(options.retry_on.iter().cloned());
    Ok((max > 0).then(|| Box::new(RetryPolicy { max, on, delay: delay.first, delay_max: delay.last })))
}

/// An output without an option goes to the stream if there is one, else to its default file.
fn destination(options: &JobOptions, given: Option<&Destination>) -> Destination {
    match given {
        Some(destination) => destination.clone(),
        None if options.stream.is_some() => Destination { kind: DestinationKind::Stream, ..Destination::default() },
        None => Destination::default(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::arguments::{Cli, Command};
    use crate::client::render::resources;
    use clap::Parser;
    use hq_core::task::{Entries, PinMode};

    fn args(line: &[&str]) -> Directed {
        let words = ["hq", "submit"].iter().chain(line).copied();
        match Cli::try_parse_from(words).unwrap().command {
            Command::Submit(args) => Directed { command: args.command, options: args.options },
            other => panic!("{other:?}"),
        }
    }

    fn built(line: &[&str]) -> Result<SubmitRequest, Error> {
        let args = args(line);
        build(&args, "/base".into(), resources(&args.options)?, Vec::new(), None)
    }

    fn warned(line: &[&str]) -> Vec<String> {
        let args = args(line);
        warnings(&args.options, &task_ids(&args.options, None))
    }

    #[test]
    fn a_plain_submit() {
        let request = built(&["--", "/bin/date", "+%s"]).unwrap();
        assert_eq!((request.name.as_str(), request.max_fails), ("date", None));
        let submit = &request.submit;
        assert_eq!((submit.ids.to_string().as_str(), submit.submit_dir.as_str()), ("0", "/base"));
        let desc = &submit.descs[0];
        assert_eq!(desc.args, ["/bin/date", "+%s"]);
        assert_eq!((desc.cwd.as_str(), desc.stdout.clone()), ("", Destination::default()));
        assert_eq!(desc.crash_limit, CrashLimit::Max(5));
        assert_eq!(desc.request, ResourceRequest::cpus(hq_core::resource::Amount::units(1)));
        assert!(!submit.graph && submit.entries.is_empty() && submit.stream.is_none());
    }

    #[test]
    fn a_stream_takes_the_outputs_without_an_option() {
        let submit = built(&["--stream=s", "--stdout=:rm-if-finished", "x"]).unwrap().submit;
        assert_eq!(submit.stream.as_deref(), Some("s"));
        assert_eq!(submit.descs[0].stdout.kind, DestinationKind::File);
        assert!(submit.descs[0].stdout.remove_if_finished);
        assert_eq!(submit.descs[0].stderr.kind, DestinationKind::Stream);
    }

    #[test]
    fn entries_bring_their_ids() {
        let chosen = Chosen { entries: Entries::pack([&b"a"[..], b"b"]), ids: IdSet::range(4, 5) };
        let args = args(&["--array=4-9", "--each-line=f", "x"]);
        let request = build(&args, "/".into(), resources(&args.options).unwrap(), Vec::new(), Some(chosen)).unwrap();
        assert_eq!(request.submit.ids.to_string(), "4-5");
        assert_eq!(request.submit.entries.len(), 2);
    }

    #[test]
    fn resources_of_all_kinds() {
        let desc = |line: &[&str]| built(line).unwrap().submit.descs[0].clone();
        let shown = |line: &[&str]| resources::request_text(&desc(line).request);
        assert_eq!(shown(&["--resource", "x=2.50 tight!", "x"]), "cpus: 1 compact\nx: 2.5 tight!");
        assert_eq!(shown(&["--resource=cpus=all", "--resource=b/c = 1", "x"]), "b/c: 1 compact\ncpus: all");
        let timed = desc(&["--time-request=1:30", "--weight=2.5", "--pin=omp", "--task-dir", "x"]);
        let variant = &timed.request.variants[0];
        assert_eq!((variant.min_time, variant.weight_parts), (Span::from_secs(90), 25_000));
        assert_eq!((timed.pin, timed.task_dir), (PinMode::Omp, true));
        assert_eq!(desc(&["--weight=1.0", "x"]).request, desc(&["x"]).request);
        assert_eq!(desc(&["--nodes=0", "x"]).request, desc(&["x"]).request);
        let several = &["--nodes=3", "--resource=x=1", "--weight=2", "x"];
        assert_eq!(shown(several), "nodes: 3\n[weight: 2]");
        assert!(warned(several)[0].contains("`--resource` are ignored"), "{:?}", warned(several));
        assert!(warned(&["--resource=x=1", "x"]).is_empty());
    }

    #[test]
    fn refusals_at_run_time() {
        let text = |line: &[&str]| built(line).unwrap_err().to_string();
        let refused = text(&["--cwd=%{CWD}/x", "x"]);
        assert!(
            refused.contains("Working directory path cannot contain the working directory placeholder"),
            "{refused}"
        );
        assert!(refused.contains("`%{CWD}`"), "{refused}");
        for name in ["--name=a\nb", "--name=a\tb"] {
            assert!(text(&[name, "x"]).contains("cannot have a newline or a tab"), "{}", text(&[name, "x"]));
        }
        let twice = text(&["--resource=x=1", "--resource=x=2", "x"]);
        assert!(twice.contains("Resource 'x' defined more than once"), "{twice}");
        let both = text(&["--cpus=1", "--resource=cpus=2", "x"]);
        assert!(both.contains("--cpus and --resource cpus=... cannot be combined"), "{both}");
        let long = "x".repeat(limits::TASK_ARGS_BYTES_MAX + 1);
        assert!(
            text(&["x", &long])
                .contains("bytes in the command and its environment are too many; at most 2097152 are allowed")
        );
    }

    #[test]
    fn what_an_open_job_has_as_a_whole_is_not_said_again() {
        let checked = |line: &[&str]| check_attached(&args(line).options).map_err(|error| error.to_string());
        assert_eq!(checked(&["--array=1-3", "x"]), Ok(()));
        for (option, name) in [("--name=a", "--name"), ("--max-fails=1", "--max-fails"), ("--tag=a=b", "--tag")] {
            let expected = format!("Parameter {name} is not allowed when submitting to an open job.");
            assert_eq!(checked(&[option, "x"]), Err(expected));
        }
        assert_eq!(free_ids_from(&args(&["--array=1-3", "x"]).options), None);
        assert_eq!(free_ids_from(&args(&["--each-line=f", "x"]).options), Some(0));
    }

    #[test]
    fn tags_of_a_job() {
        let request = built(&["--tag=b=1", "--tag", "a=x=y", "x"]).unwrap();
        let expected = [("a", "x=y"), ("b", "1")].map(|(key, value)| (key.to_owned(), value.to_owned()));
        assert_eq!(request.tags, expected.into());
        let twice = built(&["--tag=a=1", "--tag=a=2", "x"]).unwrap_err().to_string();
        assert!(twice.contains("The tag `a` is given more than once"), "{twice}");
    }

    #[test]
    fn retries_have_a_policy() {
        let policy = |line: &[&str]| built(line).unwrap().submit.descs[0].retry.clone();
        assert_eq!(policy(&["x"]), None);
        assert_eq!(policy(&["--retries=0", "x"]), None);
        let plain = policy(&["--retries=3", "x"]).unwrap();
        assert_eq!((plain.max, plain.on.any, plain.delay), (3, true, Span(0)));
        let line = ["--retries=2", "--retry-on=exit=1,7", "--retry-on=oom,signal", "--retry-delay=1s..8s", "x"];
        let chosen = policy(&line).unwrap();
        assert_eq!(retry::print_policy(&chosen), "2 after exit=1,7,signal,oom, 1s..8s apart");
        assert!(built(&["--retry-on=any", "x"]).unwrap_err().to_string().contains("need `--retries`"));
    }

    #[test]
    fn many_files_are_worth_a_warning() {
        let text = &warned(&["--array=1-500", "x"])[0];
        assert!(text.contains("create 1000 files for \"stdout and stderr\""), "{text}");
        assert!(text.contains("`--stream`"), "{text}");
        assert!(warned(&["--array=1-499", "x"]).is_empty());
        assert!(warned(&["--array=1-500", "--stderr=none", "x"]).is_empty());
        assert!(warned(&["--array=1-1000", "--stderr=:rm-if-finished", "x"])[0].contains("files for \"stdout\""));
        assert!(warned(&["--array=1-5000", "--stream=s", "x"]).is_empty());
        assert!(warned(&["--array=0-10000:5000", "x"]).is_empty());
    }

    #[test]
    fn a_shared_file_is_worth_a_warning() {
        let expected =
            "You have submitted an array job, but the `stdout` path does not contain the task ID placeholder.\n";
        let warning = &warned(&["--array=1-2", "--stdout=out", "x"])[0];
        assert!(warning.starts_with(expected) && warning.contains("%{TASK_ID}") && warning.contains("--stdout"));
        assert!(warned(&["--stdout=out", "x"]).is_empty());
        assert!(warned(&["--array=1", "--stdout=out", "x"]).is_empty());
        assert!(warned(&["--array=1-2", "--stdout=out-%{TASK_ID}", "x"]).is_empty());
        assert!(warned(&["--array=1-2", "--cwd=/d/%{TASK_ID}", "--stdout=out", "x"]).is_empty());
        assert_eq!(warned(&["--array=1-2", "--cwd=/d/%{TASK_ID}", "--stdout=/out", "x"]).len(), 1);
    }

    #[test]
    fn unknown_placeholders_are_worth_a_warning() {
        let line = ["--stdout=%{BAR}-%{BAZ}", "--stream=%{FOO}", "--cwd=%{X}", "x"];
        let expected = [
            "Found unknown placeholders `BAR, BAZ` in stdout path",
            "Found unknown placeholder `FOO` in log path",
            "Found unknown placeholder `X` in working directory path",
        ];
        assert_eq!(warned(&line), expected);
        assert!(warned(&["--stream=%{TASK_ID}", "--stdout=%{INSTANCE_ID}", "x"]).is_empty());
    }
}
