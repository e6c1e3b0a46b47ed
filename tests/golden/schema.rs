//! The schemas of the JSON answers in `docs/schema`, and a validator of the part of JSON Schema that they use.
//!
//! Users write programs against these files, so every answer in a session is checked against the one of its command. The
//! crates that know all of JSON Schema are larger than the rest of what the tests need together.
//!
//! Holds: a word of JSON Schema that the validator does not know fails the test; an object that is not open says
//! `additionalProperties`, so that a new key fails until its schema names it.

use regex_lite::Regex;
use serde_json::{Map, Value};
use std::collections::BTreeSet;

/// The schemas of the commands that answer with something. Others print an empty object.
const SCHEMAS: &[(&str, &str)] = &[
    ("job hold", "acted"),
    ("job info", "job-info"),
    ("job list", "job-list"),
    ("job open", "submit"),
    ("job submit", "submit"),
    ("job submit-file", "submit"),
    ("job modify", "acted"),
    ("job report", "job-report"),
    ("job resubmit", "acted"),
    ("job retry", "acted"),
    ("job release", "acted"),
    ("job summary", "job-summary"),
    ("job task-ids", "job-task-ids"),
    ("job why", "job-why"),
    ("jobs", "job-list"),
    ("journal info", "journal-info"),
    ("journal repair", "journal-repair"),
    ("journal verify", "journal-verify"),
    ("output-log compact", "output-log-compact"),
    ("output-log export", "output-log-export"),
    ("output-log summary", "output-log-summary"),
    ("server doctor", "server-doctor"),
    ("server info", "server-info"),
    ("server start", "server-info"),
    ("submit", "submit"),
    ("task cancel", "acted"),
    ("task explain", "task-explain"),
    ("task hold", "acted"),
    ("task info", "task-info"),
    ("task list", "task-list"),
    ("task release", "acted"),
    ("task why", "task-why"),
    ("worker address", "worker-address"),
    ("worker hwdetect", "worker-hwdetect"),
    ("worker info", "worker-list"),
    ("worker list", "worker-list"),
    ("worker start", "worker-start"),
];

/// The schemas of commands that print many values, one a line.
const LINES: &[(&str, &str)] =
    &[("journal export", "journal-export"), ("journal replay", "journal-export"), ("journal stream", "journal-export")];

/// Commands that print something else than JSON in every mode, and why.
const RAW: &[(&str, &str)] = &[
    ("doc", "an address, then an empty object"),
    ("generate-completion", "a script, then an empty object"),
    ("journal report", "nothing; its answer is the file"),
    ("output-log cat", "what tasks wrote"),
    ("output-log grep", "what tasks wrote"),
    ("output-log jobs", "numbers"),
    ("output-log show", "what tasks wrote"),
];

/// Fails where what a command printed in JSON mode is not what its schema says.
pub fn check(command: &str, stdout: &str) {
    let find = |list: &[(&str, &'static str)]| list.iter().find(|(known, _)| *known == command).map(|(_, name)| *name);
    if find(RAW).is_some() {
        return;
    }
    let lines: Vec<&str> = match find(LINES) {
        Some(_) => stdout.lines().collect(),
        None => vec![stdout],
    };
    let schema = find(LINES).or_else(|| find(SCHEMAS)).unwrap_or("nothing");
    lines.iter().for_each(|text| check_value(schema, command, text));
}

/// Fails where a text is no JSON of this schema.
pub fn check_value(schema: &str, what: &str, text: &str) {
    let value: Value =
        serde_json::from_str(text).unwrap_or_else(|error| panic!("`{what}` printed no JSON: {error}\n{text}"));
    let file = format!("{schema}.json");
    let mut found = Vec::new();
    validate(&load(&file), &file, &value, "", &mut found);
    assert!(found.is_empty(), "`{what}` does not follow docs/schema/{file}:\n{}\n{text}", found.join("\n"));
}

fn load(file: &str) -> Value {
    let path = format!("{}/docs/schema/{file}", env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// Adds what is wrong with a value to `found`; `place` is a JSON pointer, `file` where the schema stands.
fn validate(schema: &Value, file: &str, value: &Value, place: &str, found: &mut Vec<String>) {
    let schema = schema.as_object().unwrap_or_else(|| panic!("{file}: a schema is an object, not {schema}"));
    for (word, rule) in schema {
        match word.as_str() {
            "$schema" | "$id" | "$defs" | "title" | "description" | "format" => {}
            "additionalProperties" | "properties" | "required" | "propertyNames" => {}
            "$ref" => {
                let (target, inner) = follow(rule.as_str().expect("a reference"), file);
                validate(&inner, &target, value, place, found);
            }
            "type" => {
                let types = rule.as_array().cloned().unwrap_or_else(|| vec![rule.clone()]);
                if !types.iter().any(|kind| is_of(value, kind.as_str().expect("a type"))) {
                    found.push(format!("{place}: {value} is not of type {rule}"));
                }
            }
            "const" if rule != value => found.push(format!("{place}: {value} is not {rule}")),
            "enum" if !rule.as_array().expect("a list").contains(value) => {
                found.push(format!("{place}: {value} is none of {rule}"));
            }
            "const" | "enum" => {}
            "minimum" if value.as_f64() < rule.as_f64() => found.push(format!("{place}: {value} is less than {rule}")),
            "maximum" if value.as_f64() > rule.as_f64() => found.push(format!("{place}: {value} is more than {rule}")),
            "minimum" | "maximum" => {}
            "pattern" => {
                let pattern = Regex::new(rule.as_str().expect("a pattern")).expect("a pattern");
                if !value.as_str().is_some_and(|text| pattern.is_match(text)) {
                    found.push(format!("{place}: {value} does not match {rule}"));
                }
            }
            "items" => {
                for (number, item) in value.as_array().into_iter().flatten().enumerate() {
                    validate(rule, file, item, &format!("{place}/{number}"), found);
                }
            }
            "anyOf" => any_of(rule.as_array().expect("a list"), file, value, place, found),
            other => panic!("{file}: the word `{other}` of JSON Schema is not known here"),
        }
    }
    if let Some(object) = value.as_object() {
        validate_keys(schema, file, object, place, found);
    }
}

fn any_of(choices: &[Value], file: &str, value: &Value, place: &str, found: &mut Vec<String>) {
    let mut least: Option<Vec<String>> = None;
    for choice in choices {
        let mut wrong = Vec::new();
        validate(choice, file, value, place, &mut wrong);
        if least.as_ref().is_none_or(|least| wrong.len() < least.len()) {
            least = Some(wrong);
        }
    }
    // What comes nearest says most.
    found.extend(least.unwrap_or_default());
}

fn validate_keys(
    schema: &Map<String, Value>,
    file: &str,
    object: &Map<String, Value>,
    place: &str,
    found: &mut Vec<String>,
) {
    for key in schema.get("required").and_then(Value::as_array).into_iter().flatten() {
        if !object.contains_key(key.as_str().expect("a key")) {
            found.push(format!("{place}: {key} is missing"));
        }
    }
    for (key, value) in object {
        let place = format!("{place}/{key}");
        if let Some(names) = schema.get("propertyNames") {
            validate(names, file, &Value::from(key.as_str()), &place, found);
        }
        match (schema.get("properties").and_then(|known| known.get(key)), schema.get("additionalProperties")) {
            (Some(rule), _) => validate(rule, file, value, &place, found),
            (None, Some(Value::Bool(false))) => found.push(format!("{place}: this key is not in the schema")),
            (None, Some(Value::Bool(true)) | None) => {}
            (None, Some(rule)) => validate(rule, file, value, &place, found),
        }
    }
}

/// The schema that a reference leads to, with its file.
fn follow(reference: &str, file: &str) -> (String, Value) {
    let (target, pointer) = reference.split_once('#').unwrap_or((reference, ""));
    let target = if target.is_empty() { file } else { target };
    let found = load(target).pointer(pointer).cloned();
    (target.to_owned(), found.unwrap_or_else(|| panic!("{file}: `{reference}` leads nowhere")))
}

fn is_of(value: &Value, kind: &str) -> bool {
    match kind {
        "null" => value.is_null(),
        "boolean" => value.is_boolean(),
        "integer" => value.is_u64() || value.is_i64(),
        "number" => value.is_number(),
        "string" => value.is_string(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        other => panic!("`{other}` is no type"),
    }
}

/// The files of the schemas, without `.json`.
fn names() -> BTreeSet<String> {
    let dir = format!("{}/docs/schema", env!("CARGO_MANIFEST_DIR"));
    let files = std::fs::read_dir(dir).expect("the schemas");
    let names = files.map(|file| file.expect("a file").file_name().to_string_lossy().into_owned());
    names.filter_map(|name| name.strip_suffix(".json").map(str::to_owned)).collect()
}

#[test]
fn every_schema_is_used_and_closed() {
    let used = SCHEMAS.iter().chain(LINES).map(|(_, name)| (*name).to_owned());
    let used: BTreeSet<String> = used.chain(["error", "nothing", "parts"].map(str::to_owned)).collect();
    assert_eq!(names(), used);
    for name in names() {
        let schema = load(&format!("{name}.json"));
        assert_eq!(schema["$schema"], "https://json-schema.org/draft/2020-12/schema", "{name}");
        assert_eq!(schema["$id"], format!("{name}.json"));
        let mut open = Vec::new();
        find_open(&schema, "", &mut open);
        assert!(open.is_empty(), "{name}: {open:?} do not say `additionalProperties`");
    }
}

fn find_open(schema: &Value, place: &str, open: &mut Vec<String>) {
    if schema["type"] == "object" && schema.get("additionalProperties").is_none() {
        open.push(place.to_owned());
    }
    match schema {
        Value::Object(object) => {
            object.iter().for_each(|(key, value)| find_open(value, &format!("{place}/{key}"), open))
        }
        Value::Array(items) => items.iter().for_each(|value| find_open(value, place, open)),
        _ => {}
    }
}

#[test]
fn what_this_machine_has_follows_the_schema() {
    let cluster = crate::harness::Cluster::offline();
    for words in [&["worker", "hwdetect"][..], &["worker", "hwdetect", "--topology"]] {
        let done = cluster.hq(&[words, &["--output-mode=json"]].concat()).ok();
        check("worker hwdetect", &done.stdout);
    }
}

#[test]
fn every_command_with_a_schema_is_there() {
    for (command, _) in SCHEMAS.iter().chain(LINES).chain(RAW) {
        let words: Vec<String> = command.split(' ').map(str::to_owned).collect();
        assert_eq!(crate::coverage::command_of(&words), *command);
    }
}

#[test]
fn the_validator_finds_what_is_wrong() {
    let wrong = |schema: &str, value: Value| {
        let mut found = Vec::new();
        let file = format!("{schema}.json");
        validate(&load(&file), &file, &value, "", &mut found);
        found
    };
    assert_eq!(wrong("error", serde_json::json!({"error": "x"})), Vec::<String>::new());
    assert_eq!(wrong("error", serde_json::json!({"error": 1})), ["/error: 1 is not of type \"string\""]);
    assert_eq!(wrong("error", serde_json::json!({})), [": \"error\" is missing"]);
    assert_eq!(wrong("nothing", serde_json::json!({"a": 1})), ["/a: this key is not in the schema"]);
    assert_eq!(wrong("submit", serde_json::json!({"id": -1})), ["/id: -1 is less than 0"]);
    assert_eq!(wrong("task-list", serde_json::json!({"x": []})), ["/x: \"x\" does not match \"^\\\\d+$\""]);
    let task = serde_json::json!({"1": [{"id": 0, "state": "lost"}]});
    assert!(wrong("task-list", task)[0].starts_with("/1/0/state: \"lost\" is none of"));
    let task = serde_json::json!([{"id": 0, "state": "failed", "attempts": [], "finished_at": "yesterday"}]);
    assert!(wrong("task-info", task)[0].starts_with("/0/finished_at: \"yesterday\" "));
}
