//! What differs between two runs of the same program, and what stands for it in the expected texts.
//!
//! Holds: only what is named here is replaced; every rule has an example.

use hyperqueue::VERSION;
use regex_lite::Regex;
use std::path::Path;
use std::sync::OnceLock;

/// Rules for text anywhere: what it is, pattern, replacement, an example.
const TEXT: &[(&str, &str, &str, &str)] = &[
    ("moment, RFC 3339", r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z", "<TIME>", "2030-01-02T03:04:05.006Z"),
    ("moment in a table", r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC", "<TIME>", "2030-01-02 03:04:05 UTC"),
    ("local time of a task", r"\d\d\.\d\d\.\d{4} \d\d:\d\d:\d\d", "<TIME>", "02.01.2030 03:04:05"),
    ("address with a port", r"\b(localhost|node-\d+|127\.0\.0\.1):\d+", "$1:<PORT>", "localhost:4001"),
    ("port in JSON", r#"("(client|worker)_port": )\d+"#, "$1<PORT>", r#""client_port": 4001"#),
    ("process id in JSON", r#"("pid": |"ProcessPid":")\d+"#, "$1<PID>", r#""pid": 17"#),
    ("directory of a worker", r"hq-worker[0-9A-Za-z]{12}\b", "hq-worker<RANDOM>", "hq-workerY09NQHHa6KNz"),
    ("stream file", r"\b[0-9A-Za-z]{12}\.hqs\b", "<RANDOM>.hqs", "st/Y09NQHHa6KNz.hqs"),
    ("time of a check", r"\b\d+ ms\b", "<SPAN>", "the key fits; 12 ms"),
    (
        "what an attempt used",
        r#""(cpu_time|run_time|max_memory|waited|min|median|p90|p99|max|cpu_efficiency)"(: ?)[0-9.e+-]+"#,
        r#""$1"$2<USED>"#,
        r#""cpu_time": 0.001"#,
    ),
    (
        "how long an attempt took",
        r"\b(retried|interrupted|finished|failed|canceled|aborted) after \d+m?s( \d+ms)?",
        "$1 after <SPAN>",
        "0: retried after 1s 500ms (exit code 3)",
    ),
    (
        "what an attempt used, in a table",
        r"\bCPU \d+m?s( \d+ms)?, \d+(\.\d+)? (B|KiB|MiB)",
        "CPU <SPAN>, <SIZE>",
        "(exit code 3, CPU 2ms, 3.25 MiB)",
    ),
    ("free space", r"\b\d+ MiB free", "<SPACE> free", "46910 MiB free"),
];

/// Rules for cells of tables: label of the row or title of the column, replacement.
const CELLS: &[(&str, &str)] = &[
    ("Makespan", "<SPAN>"),
    ("Run time", "<SPAN>"),
    ("CPU used of asked", "<USED>"),
    ("Min", "<USED>"),
    ("Median", "<USED>"),
    ("P90", "<USED>"),
    ("P99", "<USED>"),
    ("Max", "<USED>"),
    ("CPU time", "<SPAN>"),
    ("Peak memory", "<SIZE>"),
    ("Pid", "<PID>"),
    ("Process pid", "<PID>"),
    ("Client port", "<PORT>"),
    ("Worker port", "<PORT>"),
];

/// The rules for one server.
pub struct Volatile {
    dir: String,
    /// Uid of the server, once there is one.
    pub uid: Option<String>,
}

impl Volatile {
    /// Rules for a cluster in this directory.
    pub fn new(dir: &Path) -> Self {
        Self { dir: dir.to_str().expect("UTF-8").to_owned(), uid: None }
    }

    /// The text with placeholders.
    pub fn text(&self, text: &str) -> String {
        let mut text = text.replace(&self.dir, "<DIR>").replace(prefix(), "<PREFIX>").replace(VERSION, "<VERSION>");
        if let Some(uid) = &self.uid {
            text = text.replace(uid, "<UID>");
        }
        for (regex, replacement) in rules() {
            text = regex.replace_all(&text, *replacement).into_owned();
        }
        text
    }

    /// The content of a cell with placeholders. `label` is that of its row or column.
    pub fn cell(&self, label: &str, content: &str) -> String {
        match CELLS.iter().find(|(known, _)| *known == label) {
            Some((_, replacement)) if !content.is_empty() => (*replacement).to_owned(),
            _ => self.text(content),
        }
    }
}

/// Where the program is installed, as far as it knows: the directory above its own.
fn prefix() -> &'static str {
    let prefix = Path::new(env!("CARGO_BIN_EXE_hq")).parent().and_then(Path::parent);
    prefix.and_then(Path::to_str).expect("a directory in UTF-8")
}

fn rules() -> &'static [(Regex, &'static str)] {
    static RULES: OnceLock<Vec<(Regex, &'static str)>> = OnceLock::new();
    RULES.get_or_init(|| {
        let compile = |pattern| Regex::new(pattern).unwrap_or_else(|error| panic!("{pattern}: {error}"));
        TEXT.iter().map(|(_, pattern, replacement, _)| (compile(pattern), *replacement)).collect()
    })
}

#[test]
fn every_rule_does_something() {
    let volatile = Volatile { dir: "/tmp/x".to_owned(), uid: Some("AbCd12".to_owned()) };
    for (what, _, _, example) in TEXT {
        let text = volatile.text(example);
        assert!(text != *example && text.contains('<'), "{what}: `{example}` became `{text}`");
    }
    assert_eq!(volatile.text("/tmp/x/y of AbCd12, not 0:4001"), "<DIR>/y of <UID>, not 0:4001");
    assert_eq!(volatile.cell("Makespan", "1m 2s"), "<SPAN>");
    assert_eq!(volatile.cell("Makespan", ""), "");
    assert_eq!(volatile.cell("Name", "1m 2s"), "1m 2s");
}
