//! What a submit waits for: the values of `--after` and of the key `after`, such as `any:5@1-10`.
//!
//! `[each:][ok:|any:|failed:]` and then jobs (`5`, `1-3`, `last`, the name of one) or tasks of them (`5@1-10`), or tasks
//! of the job that is submitted to (`@1-10`).
//!
//! Holds: what looks like ids is ids and never a name; parsing the printed form (`core`) gives the value back.

use super::Error;
use super::array;
use super::cursor::Cursor;
use hq_core::after::{AfterSpec, AfterTarget};
use hq_core::idset::IdSet;
use hq_core::task::Condition;

/// What stands in front of the jobs for each condition.
const CONDITIONS: [(&str, Condition); 3] =
    [("ok:", Condition::Ok), ("any:", Condition::Any), ("failed:", Condition::Failed)];

/// Reads what is to be waited for.
///
/// # Errors
/// A wrong token, wrong ids, an empty name, and `each:` with tasks, each with its place.
pub fn parse(text: &str) -> Result<AfterSpec, Error> {
    let mut cursor = Cursor::new(text);
    let each = cursor.eat_word("each:");
    let mut conditions = CONDITIONS.into_iter();
    let condition = conditions.find(|(word, _)| cursor.eat_word(word)).map(|(_, condition)| condition);
    let start = cursor.at();
    let selector = cursor.rest();
    refuse_second_prefix(&cursor)?;
    // What follows the last `@` is tasks if it looks like ids; otherwise the sign belongs to a name.
    let (jobs, tasks) = match selector.rsplit_once('@') {
        Some((jobs, tasks)) if tasks.is_empty() || looks_like_ids(tasks) => (jobs, Some(tasks)),
        _ => (selector, None),
    };
    let spec = AfterSpec { condition: condition.unwrap_or_default(), each, ..AfterSpec::default() };
    let spec = match jobs {
        "" if tasks.is_some() => AfterSpec { target: AfterTarget::Own, ..spec },
        "" => return Err(cursor.unexpected("a job: an id, `last` or a name")),
        "last" => AfterSpec { target: AfterTarget::Last, ..spec },
        "all" => return Err(cursor.refused("`all` is not possible here; list the jobs", start..start + jobs.len())),
        ids if looks_like_ids(ids) => AfterSpec { jobs: ids_within(text, start, ids)?, ..spec },
        name => AfterSpec { target: AfterTarget::Name, name: name.to_owned(), ..spec },
    };
    let Some(tasks) = tasks else { return Ok(spec) };
    let at = start + jobs.len() + 1;
    if each {
        let reason = "each task waits for the task of its own id; tasks cannot be listed beside `each:`";
        return Err(cursor.refused(reason, at - 1..text.len()));
    }
    Ok(AfterSpec { on_tasks: Some(ids_within(text, at, tasks)?), ..spec })
}

/// A name that starts with one of the words before a colon is a mistake rather than a name.
fn refuse_second_prefix(cursor: &Cursor<'_>) -> Result<(), Error> {
    let mut words = CONDITIONS.iter().map(|(word, _)| *word).chain(["each:"]);
    let Some(word) = words.find(|word| cursor.rest().starts_with(word)) else { return Ok(()) };
    let reason = "write `each:` first, then one of `ok:`, `any:` and `failed:`, then the job";
    Err(cursor.refused(reason, cursor.at()..cursor.at() + word.len()))
}

/// Whether a text consists of what ids are written with.
fn looks_like_ids(text: &str) -> bool {
    text.chars().all(|c| c.is_ascii_digit() || "_,-: \t".contains(c)) && text.contains(|c: char| c.is_ascii_digit())
}

/// Reads ids that start at byte `at` of `text`; a mistake is marked in the whole text.
fn ids_within(text: &str, at: usize, ids: &str) -> Result<IdSet, Error> {
    array::parse(ids).map_err(|error| error.within(text, at))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn shown(text: &str) -> String {
        match parse(text) {
            Ok(spec) => spec.to_string(),
            Err(error) => format!("error {:?}", error.bytes()),
        }
    }

    #[test]
    fn reads_the_examples() {
        for (typed, printed) in [
            ("5", "ok:5"),
            ("ok:5", "ok:5"),
            ("any:last", "any:last"),
            ("failed:1-3", "failed:1-3"),
            ("5@1-10", "ok:5@1-10"),
            ("any:1-3,7@0-8:2", "any:1-3,7@0-8:2"),
            ("@1-10", "ok:@1-10"),
            ("failed:@7", "failed:@7"),
            ("each:5", "each:ok:5"),
            ("each:any:5,6", "each:any:5,6"),
            ("each:last", "each:ok:last"),
            ("train", "ok:train"),
            ("any:train@3", "any:train@3"),
            ("a@b", "ok:a@b"),
            ("a@b@3", "ok:a@b@3"),
            ("3d-fft", "ok:3d-fft"),
            ("exp:1", "ok:exp:1"),
            ("last@0", "ok:last@0"),
            ("latest", "ok:latest"),
            ("- a -", "ok:- a -"),
        ] {
            assert_eq!(shown(typed), printed, "{typed}");
        }
        assert_eq!(parse("any:train@3").unwrap().target, AfterTarget::Name);
        assert_eq!(parse("1_000").unwrap().jobs, IdSet::single(1000));
        assert_eq!(parse("@1").unwrap().target, AfterTarget::Own);
    }

    #[test]
    fn refuses_and_points() {
        for (typed, place) in [
            ("", 0..0),
            ("ok:", 3..3),
            ("each:", 5..5),
            ("any:ok:5", 4..7),
            ("ok:each:5", 3..8),
            ("each:each:5", 5..10),
            ("all", 0..3),
            ("any:all@1", 4..7),
            ("5@", 2..2),
            ("any:@", 5..5),
            ("each:5@1-3", 6..10),
            ("each:@1-3", 5..9),
            ("ok:3-1", 3..6),
            ("failed:5@1,1", 11..12),
            ("2024-01-02", 0..7),
        ] {
            assert_eq!(shown(typed), format!("error {place:?}"), "{typed}");
        }
        let shown = parse("failed:5@1,1").unwrap_err().to_string();
        assert_eq!(shown, "ranges overlap: an id would be named twice\n  failed:5@1,1\n             ^");
    }

    proptest! {
        #[test]
        fn print_then_parse_is_identity(
            before in "(each:)?(ok:|any:|failed:)?",
            jobs in "[0-9]{1,3}(-1[0-9]{3})?|last|[a-z@:0-9.]{1,6}",
            tasks in "(@[0-9]{1,2}(,9[0-9]{2})?)?",
        ) {
            let text = format!("{before}{jobs}{tasks}");
            if let Ok(spec) = parse(&text) {
                prop_assert_eq!(parse(&spec.to_string()), Ok(spec));
            }
        }

        #[test]
        fn any_text_gives_a_value_or_an_error(text in "[a-z0-9:@, -]{0,12}|\\PC{0,12}") {
            if let Ok(spec) = parse(&text) {
                prop_assert_eq!(parse(&spec.to_string()), Ok(spec));
            }
        }
    }
}
