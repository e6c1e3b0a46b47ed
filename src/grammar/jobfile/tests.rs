//! Job files: what is read, what is refused, and where it points.

use super::*;
use crate::grammar::request as typed;
use hq_core::limits;
use hq_core::resource::{Amount, ResourceRequest};
use hq_core::task::{CrashLimit, Destination, DestinationKind, PinMode, StopPlan, TaskDesc, Warning};
use hq_core::time::Span;
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

fn read(text: &str) -> JobFile {
    parse(text, "/base".into()).unwrap_or_else(|error| panic!("{error}\n{text}"))
}

/// The one description of a file with one task that has these lines beside its command.
fn desc(lines: &str) -> TaskDesc {
    let submit = read(&format!("[[task]]\ncommand = [\"x\"]\n{lines}")).request.submit;
    assert_eq!((submit.descs.len(), submit.desc_of.as_slice(), submit.graph), (1, &[0][..], true));
    TaskDesc::clone(&submit.descs[0])
}

fn refusal(text: &str) -> String {
    parse(text, "/base".into()).expect_err(text).to_string()
}

/// What is said about a task with these lines beside its command.
fn task_refusal(lines: &str) -> String {
    refusal(&format!("[[task]]\ncommand = [\"x\"]\n{lines}"))
}

fn deps(file: &JobFile) -> Vec<(u32, u32)> {
    file.request.submit.deps.iter().map(|dep| (dep.task.0, dep.on.task.0)).collect()
}

#[test]
fn a_task_with_nothing_but_a_command() {
    let file = read("[[task]]\ncommand = [\"/bin/date\", \"+%s\"]\n");
    assert_eq!((file.request.name.as_str(), file.request.max_fails, file.notices.len()), ("", None, 0));
    let submit = &file.request.submit;
    assert_eq!((submit.ids.to_string().as_str(), submit.submit_dir.as_str(), &submit.stream), ("1", "/base", &None));
    let expected = TaskDesc {
        args: vec!["/bin/date".into(), "+%s".into()],
        request: ResourceRequest::cpus(Amount::units(1)),
        crash_limit: CrashLimit::Max(5),
        ..TaskDesc::default()
    };
    assert_eq!(*submit.descs[0], expected);
    assert!(desc("").stdin.is_empty());
    assert!(read("[[task]]\ncommand = []\n").request.submit.descs[0].args.is_empty());
}

#[test]
fn all_keys_of_a_task() {
    let lines = r#"
env = { A = "1", "B c" = "" }
stdin = "in\n"
stdout = "none"
stderr = { path = "e:x", on_close = "rm-if-finished", more = 1 }
cwd = "d/%{TASK_ID}"
pin = "omp"
task_dir = true
time_limit = "1m 10s"
priority = -3
crash_limit = "unlimited"
signal = "USR1@1m"
kill_signal = "SIGTERM"
grace = "30s"
"#;
    let desc = desc(lines);
    let env: Vec<(&str, &str)> = desc.env.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
    assert_eq!(env, [("A", "1"), ("B c", "")]);
    assert_eq!((desc.stdin.as_slice(), desc.cwd.as_str(), desc.priority), (&b"in\n"[..], "d/%{TASK_ID}", -3));
    assert_eq!(desc.stdout.kind, DestinationKind::Discard);
    let file = Destination { kind: DestinationKind::File, path: "e:x".into(), remove_if_finished: true };
    assert_eq!(desc.stderr, file);
    assert_eq!((desc.pin, desc.task_dir, desc.crash_limit), (PinMode::Omp, true, CrashLimit::Unlimited));
    assert_eq!(desc.time_limit, Some(Span::from_secs(70)));
    let warning = Some(Warning { signal: 10, before: Span::from_secs(60) });
    let stop = StopPlan { warning, signal: 15, grace: Some(Span::from_secs(30)) };
    assert_eq!(desc.stop.as_deref(), Some(&stop));
}

#[test]
fn forms_of_single_keys() {
    assert_eq!(desc("crash_limit = 7").crash_limit, CrashLimit::Max(7));
    assert_eq!(desc("crash_limit = \"65535\"").crash_limit, CrashLimit::Max(65_535));
    assert_eq!(desc("crash_limit = \"never-restart\"").crash_limit, CrashLimit::Never);
    assert_eq!(desc("pin = \"none\"").pin, PinMode::None);
    assert_eq!(desc("pin = \"taskset\"").pin, PinMode::Taskset);
    let stdout = desc("stdout = \"a:rm-if-finished\"").stdout;
    assert_eq!((stdout.path.as_str(), stdout.remove_if_finished), ("a:rm-if-finished", false));
    let stdout = desc("stdout = { path = \"none\", on_close = \"none\" }").stdout;
    assert_eq!((stdout.kind, stdout.path.as_str()), (DestinationKind::File, "none"));
    assert_eq!(desc("priority = 0x10").priority, 16);
}

#[test]
fn the_top_level() {
    let task = "[[task]]\ncommand = [\"x\"]\nstdout = \"o\"\n";
    let file = read(&format!("name = \"n\"\nmax_fails = 3\nstream = \"s\"\ndata_layer = true\n{task}"));
    assert_eq!((file.request.name.as_str(), file.request.max_fails), ("n", Some(3)));
    let submit = &file.request.submit;
    assert_eq!(submit.stream.as_deref(), Some("s"));
    assert_eq!(submit.descs[0].stdout.kind, DestinationKind::File);
    assert_eq!(submit.descs[0].stderr.kind, DestinationKind::Stream);
    let older = read(&format!("stream_log = \"s\"\n{task}"));
    assert_eq!(older.request.submit.stream.as_deref(), Some("s"));
    assert!(older.notices[0].contains("`stream_log` is an older name"));
}

#[test]
fn ids_are_given_in_the_order_of_the_file() {
    let task = |line: &str| format!("[[task]]\n{line}\ncommand = [\"x\"]\n");
    let ids =
        |lines: &[&str]| read(&lines.iter().map(|line| task(line)).collect::<String>()).request.submit.ids.to_string();
    assert_eq!(ids(&["", "id = 12", "id = 3", "", ""]), "3,12-15");
    assert_eq!(ids(&["", ""]), "1-2");
    assert_eq!(ids(&["id = 0", ""]), "0-1");
    assert_eq!(ids(&["id = 4294967295"]), "4294967295");
    assert!(refusal(&(task("id = 4294967295") + &task(""))).contains("no task id is left"));
    let twice = refusal(&(task("id = 7") + &task("") + &task("id = 7")));
    assert_eq!(twice, "line 8, column 6, `task[2].id`: Task 7 is defined multiple times\n  id = 7\n       ^");
}

#[test]
fn dependencies() {
    let file = read(
        r#"
task = [
    { id = 3, command = ["c"], deps = [5, 1, 1] },
    { id = 5, command = ["b"], deps = [1] },
    { id = 1, command = ["b"] },
]"#,
    );
    assert_eq!(deps(&file), [(3, 5), (3, 1), (3, 1), (5, 1)]);
    let submit = &file.request.submit;
    assert!(submit.deps.iter().all(|dep| dep.on.job.0 == 0));
    assert_eq!((submit.ids.to_string().as_str(), submit.desc_of.as_slice()), ("1,3,5", &[1, 0, 1][..]));
    assert_eq!(submit.descs.iter().map(|desc| desc.args[0].as_str()).collect::<Vec<_>>(), ["c", "b"]);
}

#[test]
fn circles_and_unknown_tasks_are_refused() {
    let task = |id, deps| format!("[[task]]\nid = {id}\ncommand = [\"x\"]\ndeps = {deps}\n");
    let circle = refusal(&(task(1, "[3]") + &task(2, "[1]") + &task(3, "[2]") + &task(4, "[1]")));
    assert!(circle.contains("wait for each other in a cycle") && circle.contains("deps`: tasks"), "{circle}");
    assert!(!circle.contains('4'), "{circle}");
    let own = refusal(&task(1, "[1]"));
    assert!(own.starts_with("line 4, column 8, `task[0].deps`: task 1 waits for itself (a cycle"), "{own}");
    let unknown = refusal(&(task(1, "[]") + &task(2, "[1, 9]")));
    assert!(
        unknown.starts_with("line 8, column 8, `task[1].deps`: task 2 waits for task 9, which is not"),
        "{unknown}"
    );
    assert!(unknown.contains("cycle"), "{unknown}");
}

#[test]
fn arrays() {
    let array = |lines: &str| read(&format!("[array]\ncommand = [\"x\"]\n{lines}")).request.submit;
    let ids = array("ids = \"2, 5-9:2\"");
    assert_eq!((ids.ids.to_string().as_str(), ids.graph, ids.desc_of.len()), ("2,5-9:2", false, 0));
    let entries = array("entries = [\"a\", \"\", \"c\"]");
    assert_eq!((entries.ids.to_string().as_str(), entries.entries.get(2)), ("0-2", Some(&b"c"[..])));
    let both = array("ids = \"1-9:4\"\nentries = [\"a\", \"b\", \"c\"]");
    assert_eq!((both.ids.to_string().as_str(), both.entries.len()), ("1-9:4", 3));
    assert!(array("entries = []").ids.is_empty());
    let refused = |lines: &str| refusal(&format!("[array]\ncommand = [\"x\"]\n{lines}"));
    assert!(refused("").contains("`ids` or `entries`"));
    assert!(refused("ids = \"1-3\"\nentries = [\"a\"]").contains("3 `ids` and 1 `entries` do not match"));
    assert!(refused("ids = \"3-1\"").contains("invalid range"));
    assert!(refused("ids = \"1\"\ndeps = [1]").contains("unknown field `deps`"));
    assert!(refused("ids = \"1\"\nid = 1").contains("unknown field `id`"));
}

fn variants(request: &str) -> ResourceRequest {
    desc(request).request
}

#[test]
fn requests_and_their_variants() {
    let lines = r#"
[[task.request]]
resources = { "gpus/nvidia" = 1, cpus = "2 compact!" }
time_request = "1h"
weight = 2.5
[[task.request]]
resources = { cpus = 8, mem = 0.00011 }
"#;
    let request = variants(lines);
    let entry = |text: &str| typed::parse_named(text).unwrap().entry;
    let [first, second] = request.variants.as_slice() else { panic!("{request:?}") };
    assert_eq!(first.entries, [entry("cpus=2 compact!"), entry("gpus/nvidia=1")]);
    assert_eq!((first.min_time, first.weight_parts, first.nodes), (Span::from_secs(3_600), 25_000, 0));
    assert_eq!(second.entries, [entry("cpus=8"), entry("mem=0.0002")]);
    let nodes = variants("request = [{ n_nodes = 2, weight = 1 }]");
    assert_eq!((nodes.variants[0].nodes, nodes.variants[0].weight_parts), (2, 0));
    // Floats that no binary fraction meets are what they say.
    for text in ["1.1", "0.7", "0.0003", "2.0001", "123456.7891", "4294967295.0"] {
        let request = variants(&format!("request = [{{ resources = {{ x = {text} }} }}]"));
        assert_eq!(Ok(request.variants[0].entries[0].amount), Amount::parse(text), "{text}");
    }
    assert_eq!(variants("request = [{ resources = { x = 1e-4 } }]").variants[0].entries[0].amount, Amount(1));
    let all = variants("request = [{ resources = { x = \"all\" } }]");
    assert_eq!(all.variants[0].entries, [entry("x=all")]);
}

#[test]
fn older_and_idle_forms_of_requests_are_noticed() {
    let task = "[[task]]\ncommand = [\"x\"]\n";
    let file = read(&format!("{task}request = [{{ resources = {{ mem = \"2GB\" }} }}]"));
    assert!(file.notices[0].contains("`mem=1907.3487` is the same"), "{:?}", file.notices);
    let file = read(&format!("{task}request = [{{ n_nodes = 2, resources = {{ cpus = 4 }} }}]"));
    assert_eq!(file.notices.len(), 1);
    assert!(file.notices[0].starts_with("`task[0].request[0].resources` is ignored"), "{:?}", file.notices);
    assert!(file.request.submit.descs[0].request.variants[0].entries.is_empty());
    let twice = format!("{task}request = [{{ resources = {{ mem = \"2GB\" }} }}]\n").repeat(3);
    assert_eq!(read(&twice).notices.len(), 1);
    let many: String =
        (1..=30).map(|gb| format!("{task}request = [{{ resources = {{ mem = \"{gb}GB\" }} }}]\n")).collect();
    let notices = read(&many).notices;
    assert_eq!((notices.len(), notices[10].as_str()), (11, "... and 20 more of this kind"));
}

#[test]
fn requests_that_mean_nothing_are_refused() {
    for (request, reason) in [
        (
            "{ resources = { x = 0 } }",
            "column 32, `task[0].request[0].resources.x`: Zero resources cannot be requested",
        ),
        ("{ resources = { x = 0.0 } }", "Zero resources cannot be requested"),
        ("{ resources = { x = \"0\" } }", "Zero resources cannot be requested"),
        ("{ resources = { x = -1 } }", "has to be from 0 to 4294967295"),
        ("{ resources = { x = -0.5 } }", "from 0.0001 to 4294967295"),
        ("{ resources = { x = nan } }", "from 0.0001 to 4294967295"),
        ("{ resources = { x = inf } }", "from 0.0001 to 4294967295"),
        ("{ resources = { x = 4294967296 } }", "has to be from 0 to 4294967295"),
        ("{ resources = { x = true } }", "invalid type: boolean, expected a string"),
        (
            "{ resources = { x = \"2 compakt\" } }",
            "or scatter\n  request = [{ resources = { x = \"2 compakt\" } }]\n                                    ^^^^^^^",
        ),
        (
            "{ resources = { x = \"2 \\u0063ompakt\" } }",
            "{ x = \"2 \\u0063ompakt\" } }]\n                                 ^^^^^^^^^^^^^^^^\n",
        ),
        (
            "{ resources = { a_b = 1 } }",
            "column 29, `task[0].request[0].resources.a_b`: unexpected token, expected a letter",
        ),
        ("{ resources = { \"a b\" = 1 } }", "column 30, `task[0].request[0].resources.a b`: unexpected token"),
        ("{ resources = {} }", "names no resource"),
        ("{ }", "names no resource"),
        ("{ n_nodes = 0 }", "names no resource"),
        ("{ n_nodes = 20000 }", "too many"),
        ("{ n_nodes = 2 }, { resources = { x = 1 } }", "request[0]`: a multi-node request cannot be one of several"),
        ("{ n_nodes = 2 }, { n_nodes = 3 }", "a multi-node request cannot be one of several variants"),
        ("{ resources = { x = 1 }, weight = 0 }", "weight has to be positive"),
        ("{ resources = { x = 1 }, weight = \"1\" }", "expected a number"),
        ("{ resources = { x = 1 }, time_request = \"5\" }", "a unit"),
        ("{ cpus = 1 }", "unknown field `cpus`, expected one of `resources`, `n_nodes`, `time_request`, `weight`"),
    ] {
        let text = task_refusal(&format!("request = [{request}]"));
        assert!((text.clone() + "\n").contains(reason), "{request}: {text}");
        assert_eq!(text.lines().count(), 3, "one picture: {text}");
    }
    assert!(task_refusal("request = []").contains("no table"));
    let many = "{ n_nodes = 1 },".repeat(33);
    assert!(task_refusal(&format!("request = [{many}]")).contains("at most 32"));
}

#[test]
fn wrong_files_are_refused_with_their_place() {
    for (text, reason) in [
        ("", "line 1, column 1: No tasks defined"),
        ("name = \"x\"\ntask = []", "No tasks defined"),
        ("[[task]]\n", "line 1, column 1, `task[0]`: missing field `command`"),
        ("x = 1", "line 1, column 1: unknown field `x`, expected one of `name`"),
        ("\n  a b", "line 2, column 5: "),
        ("[task]\ncommand = [\"x\"]", "invalid type: table, expected an array of tables, as `[[task]]`"),
        ("[[array]]\ncommand = [\"x\"]", "`array`: invalid type: array, expected a table"),
        ("[[task]]\ncommand = [\"x\"]\n[array]\ncommand = [\"x\"]", "array job and individual task cannot be mixed"),
        ("name = 5", "invalid type: integer, expected a string"),
        ("name = \"a\\tb\"", "newline or a tab"),
        ("max_fails = -1", "from 0 to 4294967295"),
        ("stream = \"\"", "cannot be empty"),
        ("stream = \"a\"\nstream_log = \"a\"", "line 2, column 14, `stream_log`: `stream_log` is an older name"),
        ("data_layer = 1", "expected a boolean"),
        ("name = \"a\"\nname = \"b\"", "line 2"),
    ] {
        let said = refusal(text);
        assert!(said.contains(reason), "{text}: {said}");
    }
    for (lines, reason) in [
        ("command2 = []", "line 3, column 1, `task[0]`: unknown field `command2`, expected one of `command`, `id`"),
        ("ids = \"1\"", "unknown field `ids`"),
        ("id = -1", "line 3, column 6, `task[0].id`: the number has to be from 0 to 4294967295"),
        ("deps = [\"1\"]", "`task[0].deps[0]`: invalid type: string, expected a whole number"),
        ("env = { A = 1 }", "`task[0].env.A`: invalid type: integer, expected a string"),
        ("env = { \"A=\" = \"1\" }", "cannot be an environment variable"),
        ("stdout = \"\"", "the path cannot be empty"),
        ("stdout = { path = \"x\" }", "`task[0].stdout`: missing field `on_close`"),
        ("stdout = { on_close = \"none\" }", "missing field `path`"),
        ("stdout = { path = \"x\", on_close = \"never\" }", "expected `none` or `rm-if-finished`"),
        ("stdin = 1", "expected a string"),
        ("pin = \"cores\"", "expected `none`, `taskset` or `omp`"),
        ("task_dir = \"yes\"", "expected a boolean"),
        ("time_limit = \"5\"", "`task[0].time_limit`: unexpected end of input"),
        ("time_limit = 5", "invalid type: integer, expected a string"),
        ("priority = 2147483648", "a 32-bit integer"),
        ("crash_limit = 0", "Crash limit cannot be 0. Use "),
        (
            "signal = \"USR9@1s\"",
            "`task[0].signal`: there is no signal of this name\n  signal = \"USR9@1s\"\n            ^^^^",
        ),
        ("kill_signal = \"STOP\"", "SIGSTOP does not ask"),
        ("grace = \"2h\"", "the longest grace is 1h"),
        ("crash_limit = 65536", "larger than 65535"),
        ("crash_limit = \"x\"", "`never-restart`, `unlimited` or a number"),
        ("request = { n_nodes = 1 }", "expected an array of tables"),
    ] {
        let said = task_refusal(lines);
        assert!(said.contains(reason), "{lines}: {said}");
    }
    assert!(
        refusal("[[task]]\ncommand = \"x\"").contains("`task[0].command`: invalid type: string, expected an array")
    );
    assert!(refusal("[[task]]\ncommand = [1]").contains("`task[0].command[0]`: invalid type: integer"));
}

/// The same file, read as one document.
fn read_whole(text: &str) -> Result<JobFile, Error> {
    let whole = Pieces::cut(text).and_then(Pieces::whole);
    let job = whole.and_then(|whole| job(&Item::root(&whole.head()?), &whole, "/base".into(), false));
    job.map_err(|mistake| mistake.locate(text))
}

#[test]
fn what_is_no_piece_is_not_cut() {
    let task = "[[task]]\ncommand = [\"x\"]\n";
    for (text, pieces) in [
        (format!("name = \"n\"\n{task}{task}"), 2),
        (format!("\u{feff}{task}\r\n  [[ task ]] # second\r\ncommand = [\r\n\"x\"\r\n]\r\n"), 2),
        (format!("[[task]]\ncommand = [\"\"\"\n{task}\"\"\", '''\n{task}''']\n{task}"), 2),
        (format!("{task}[task.env]\nA = \"1\"\n[[task.request]]\nn_nodes = 2\n{task}# [[task]]"), 2),
        (format!("[[\"task\"]]\ncommand = [\"y\"]\n{task}"), 1),
        (format!("{task}[[\"task\"]]\ncommand = [\"y\"]\n"), 0),
        (format!("name = \"[[task]]\"\n[[task]]\ncommand = [\"x\"] # [[\n{task}"), 2),
        ("[[task]]\ncommand = [\n[[task]]\n]".to_owned(), 1),
        (format!("{task}[array]\n"), 0),
        (format!("[array]\n{task}"), 1),
        (format!("{task}]\n{task}"), 0),
        (format!("{task}[task]\n"), 0),
        (format!("[task.env]\n{task}"), 0),
        (format!("{task}x = {{\n{task}"), 0),
    ] {
        let found = Pieces::cut(&text).unwrap();
        assert_eq!(found.len(), pieces, "{text}");
        assert_eq!(parse(&text, "/base".into()), read_whole(&text), "{text}");
    }
}

#[test]
fn a_part_has_an_end() {
    let words = "1,".repeat(limits::JOB_FILE_PART_TOKENS_MAX / 2);
    let said = refusal(&format!("[[task]]\ncommand = [\"x\"]\ndeps = [{words}]"));
    assert!(said.contains("words and signs, at most 4000000 are allowed"), "{said}");
    let tasks = "[[task]]\n".repeat(limits::GRAPH_TASKS_MAX + 1);
    assert!(refusal(&tasks).contains("1000001 individual tasks are too many; at most 1000000 are allowed"));
}

#[test]
fn deep_nesting_is_refused() {
    let deep = "[".repeat(100_000);
    assert!(refusal(&format!("name = {deep}")).starts_with("line 1, column "));
}

/// A file with these dependencies of tasks 0, 1, ..., in an order given by `turn`.
fn file_of(graph: &BTreeMap<u32, BTreeSet<u32>>, turn: usize) -> String {
    let mut text = String::new();
    for (id, deps) in graph.iter().cycle().skip(turn).take(graph.len()) {
        let deps: Vec<u32> = deps.iter().copied().collect();
        write!(text, "[[task]]\nid = {id}\ncommand = [\"x\", \"{}\"]\ndeps = {deps:?}\n", id % 3).unwrap();
    }
    text
}

proptest! {
    #[test]
    fn a_graph_is_read_as_it_was_written(
        // A task may wait for those before it only, so there is no circle.
        lists in proptest::collection::vec(proptest::collection::btree_set(0u32..20, 0..4), 1..20),
        turn in 0usize..20,
    ) {
        let graph: BTreeMap<u32, BTreeSet<u32>> =
            (0u32..).zip(lists).map(|(id, deps)| (id, deps.into_iter().filter(|on| *on < id).collect())).collect();
        let file = read(&file_of(&graph, turn));
        let expected: Vec<(u32, u32)> =
            graph.iter().flat_map(|(id, deps)| deps.iter().map(|on| (*id, *on))).collect();
        prop_assert_eq!(deps(&file), expected);
        let submit = &file.request.submit;
        prop_assert!(submit.descs.len() <= 3);
        for (position, id) in submit.ids.iter().enumerate() {
            prop_assert_eq!(&submit.desc_at(position).unwrap().args[1], &(id % 3).to_string());
        }
    }

    #[test]
    fn any_text_gives_a_job_or_an_error(
        parts in proptest::collection::vec(
            proptest::sample::select(vec![
                "[[task]]", "[array]", "[[task.request]]", "command", "id", "deps", "request", "resources", "=", "[",
                "]", "{", "}", "\"", "x", "1", "0.5", ",", "\n", " ", "\\", "é", "'''", "stdout", "path", "-", "true",
                "[[task]]\ncommand = []\n", "[task.env]\n", "#", "task", "\n[[", "]]\n",
            ]),
            0..40,
        ),
    ) {
        let text: String = parts.concat();
        let read = parse(&text, "/base".into());
        if let Err(error) = &read {
            prop_assert!(error.line <= text.lines().count() + 1);
        }
        // Of several mistakes, either may be named.
        prop_assert_eq!(read.ok(), read_whole(&text).ok());
    }
}
