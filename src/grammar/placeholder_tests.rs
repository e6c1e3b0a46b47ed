//! Tests of the placeholders: the examples, the odd forms, and that resolving in two steps is resolving in one.
//!
//! They stand apart because they are a table of their own.

use super::*;
use proptest::prelude::*;

const AT_SUBMIT: Context<'_> = Context {
    job: Some(JobId(1)),
    task: None,
    instance: None,
    submit_dir: Some("/base"),
    server_uid: Some("aBc123"),
    cwd: None,
};
const AT_START: Context<'_> = Context { task: Some(TaskId(7)), instance: Some(AttemptId(2)), ..AT_SUBMIT };

fn output(cwd: &str, stdout: &str, context: &Context<'_>) -> String {
    resolve_task_paths(cwd, Some(stdout), None, context).stdout.unwrap()
}

#[test]
fn the_examples_of_a_job() {
    assert_eq!(output(DEFAULT_CWD, DEFAULT_STDOUT, &AT_SUBMIT), "/base/job-1/%{TASK_ID}.stdout");
    assert_eq!(output("/d/%{TASK_ID}", DEFAULT_STDOUT, &AT_SUBMIT), "/d/%{TASK_ID}/job-1/%{TASK_ID}.stdout");
    assert_eq!(output("/d/%{TASK_ID}", DEFAULT_STDERR, &AT_START), "/d/7/job-1/7.stderr");
    let none = resolve_task_paths(DEFAULT_CWD, None, None, &AT_START);
    assert_eq!(none, ResolvedPaths { cwd: "/base".into(), stdout: None, stderr: None });
}

#[test]
fn the_paths_of_a_description() {
    let default = TaskDesc::default();
    let paths = resolve_desc_paths(&default, &AT_START);
    assert_eq!((paths.cwd.as_str(), paths.stdout.as_deref()), ("/base", Some("/base/job-1/7.stdout")));
    assert_eq!(paths.stderr.as_deref(), Some("/base/job-1/7.stderr"));
    let discard = Destination { kind: DestinationKind::Discard, ..Destination::default() };
    let file = Destination { path: "e-%{INSTANCE_ID}".into(), ..Destination::default() };
    let desc = TaskDesc { cwd: "sub".into(), stdout: discard, stderr: file, ..default };
    let expected = ResolvedPaths { cwd: "/base/sub".into(), stdout: None, stderr: Some("/base/sub/e-2".into()) };
    assert_eq!(resolve_desc_paths(&desc, &AT_START), expected);
}

#[test]
fn relative_paths() {
    assert_eq!(output("sub/%{TASK_ID}", "out", &AT_START), "/base/sub/7/out");
    assert_eq!(output("sub/%{TASK_ID}", DEFAULT_STDOUT, &AT_START), "/base/sub/7/job-1/7.stdout");
    assert_eq!(output("/", "out-%{FOO}", &AT_START), "/out-%{FOO}");
    assert_eq!(output("sub", "%{SUBMIT_DIR}/x", &AT_START), "/base/x");
    assert_eq!(resolve_stream_dir("log-%{TASK_ID}-%{JOB_ID}-%{CWD}", &AT_START), "/base/log-%{TASK_ID}-1-%{CWD}");
    assert_eq!(resolve_stream_dir("/x/%{SERVER_UID}", &AT_START), "/x/aBc123");
    assert_eq!(resolve_stream_dir("%{TASK_ID}", &AT_START), "/base/%{TASK_ID}");
}

#[test]
fn odd_forms_are_literal_and_disturb_nothing() {
    let shown = |template| resolve(template, Place::Stdout, &Context { cwd: Some("/c"), ..AT_START });
    for (template, expected) in [
        ("100% %{JOB_ID}", "100% 1"),
        ("%%{JOB_ID}", "%1"),
        ("%{%{JOB_ID}", "%{1"),
        ("%{FOO %{JOB_ID}", "%{FOO 1"),
        ("%{}%{job_id}%{JOB_ID", "%{}%{job_id}%{JOB_ID"),
        ("%{ JOB_ID}", "%{ JOB_ID}"),
        ("%{INSTANCE_ID}é%{TASK_ID}", "2é7"),
        ("", ""),
        ("%", "%"),
        ("%{CWD}/%{FOO}", "/c/%{FOO}"),
    ] {
        assert_eq!(shown(template), expected, "{template}");
    }
}

#[test]
fn warnings() {
    let warning = unknown_names_warning;
    assert_eq!(warning("a-%{FOO}", Place::Stream).unwrap(), "Found unknown placeholder `FOO` in log path");
    let several = "Found unknown placeholders `BAR, BAZ` in stdout path";
    assert_eq!(warning("%{BAR}%{JOB_ID}%{BAZ}%{BAR}", Place::Stdout).unwrap(), several);
    assert_eq!(warning("%{TASK_ID}", Place::Stream), None);
    assert!(warning("%{task_id}", Place::Cwd).unwrap().ends_with("`task_id` in working directory path"));
    assert!(contains("x%{TASK_ID}", Placeholder::TaskId) && !contains("x%{TASK_ID", Placeholder::TaskId));
    let message = check_cwd("/a/%{CWD}").unwrap_err().to_string();
    assert!(message.contains("Working directory path cannot contain the working directory placeholder"));
    assert!(message.contains("`%{CWD}`"));
    assert_eq!(check_cwd("/a/%{JOB_ID}"), Ok(()));
}

fn template(names: &'static [&'static str]) -> impl Strategy<Value = String> {
    let part = prop_oneof![
        proptest::sample::select(names).prop_map(str::to_owned),
        "[a-z/.]{1,3}",
        Just("%".to_owned()),
        Just("%{".to_owned()),
        Just("%{FOO}".to_owned()),
    ];
    proptest::collection::vec(part, 1..5).prop_map(|parts| parts.concat())
}

const IN_CWD: &[&str] = &["%{JOB_ID}", "%{TASK_ID}", "%{INSTANCE_ID}", "%{SUBMIT_DIR}", "%{SERVER_UID}"];
const IN_OUTPUT: &[&str] = &["%{JOB_ID}", "%{TASK_ID}", "%{INSTANCE_ID}", "%{SUBMIT_DIR}", "%{SERVER_UID}", "%{CWD}"];

fn part_of_context() -> impl Strategy<Value = Context<'static>> {
    any::<[bool; 5]>().prop_map(|known| Context {
        job: AT_START.job.filter(|_| known[0]),
        task: AT_START.task.filter(|_| known[1]),
        instance: AT_START.instance.filter(|_| known[2]),
        submit_dir: AT_START.submit_dir.filter(|_| known[3]),
        server_uid: AT_START.server_uid.filter(|_| known[4]),
        cwd: None,
    })
}

proptest! {
    #[test]
    fn two_steps_are_one(cwd in template(IN_CWD), out in template(IN_OUTPUT), known in part_of_context()) {
        let at_once = resolve_task_paths(&cwd, Some(&out), None, &AT_START);
        let first = resolve_task_paths(&cwd, Some(&out), None, &known);
        let then = resolve_task_paths(&first.cwd, first.stdout.as_deref(), None, &AT_START);
        prop_assert_eq!(&then, &at_once);
        prop_assert!(at_once.cwd.starts_with('/'));
        prop_assert!(at_once.stdout.is_some_and(|path| path.starts_with('/')));
        let stream = resolve_stream_dir(&cwd, &AT_START);
        prop_assert_eq!(resolve_stream_dir(&resolve_stream_dir(&cwd, &known), &AT_START), stream);
    }

    #[test]
    fn any_text_resolves(text in "[%{}A-Z_ ]{0,20}|\\PC{0,20}") {
        let nothing = Context::default();
        prop_assert_eq!(resolve(&text, Place::Stdout, &nothing), text);
    }
}
