//! Arrays of ids as users type them: `1-10:2,20`.
//!
//! Ranges stay ranges: `0-4294967295` costs three numbers, and the order and form typed are kept for display.
//!
//! Holds: a parsed set names no id twice; printing it (`IdSet` in `core`) and parsing again gives the same set.

use super::Error;
use super::cursor::Cursor;
use hq_core::idset::{IdRange, IdSet};

/// Reads `range ("," range)*` with `range = uint ["-" uint [":" uint]]`; blanks are allowed around a range.
///
/// # Errors
/// A wrong token, an empty or backward range, a step that is zero or longer than the range, or ranges that
/// share an id.
pub fn parse(text: &str) -> Result<IdSet, Error> {
    let mut cursor = Cursor::new(text);
    let (mut ranges, mut places) = (Vec::new(), Vec::new());
    loop {
        cursor.blanks();
        let start = cursor.at();
        ranges.push(range(&mut cursor)?);
        places.push(start..cursor.at());
        cursor.blanks();
        if cursor.is_end() {
            break;
        }
        if !cursor.eat(',') {
            return Err(cursor.unexpected("`,`, `-`, `:` or the end"));
        }
    }
    let set = IdSet { ranges };
    if let Err(met) = set.check() {
        let position = set.ranges.iter().rposition(|range| *range == met);
        let place = position.and_then(|at| places.get(at).cloned()).unwrap_or(0..text.len());
        return Err(cursor.refused("ranges overlap: an id would be named twice", place));
    }
    Ok(set)
}

fn range(cursor: &mut Cursor<'_>) -> Result<IdRange, Error> {
    let begin = cursor.at();
    let start = cursor.uint()?;
    if !cursor.eat('-') {
        return match cursor.peek() {
            Some(':') => Err(cursor.unexpected("`-` and an end before a step")),
            _ => Ok(IdRange::new(start, start)),
        };
    }
    let end = cursor.uint()?;
    if start > end {
        return Err(cursor.refused("invalid range: the start is larger than the end", begin..cursor.at()));
    }
    if !cursor.eat(':') {
        return Ok(IdRange::new(start, end));
    }
    let step = cursor.uint()?;
    if step == 0 || step > end - start {
        let reason = "invalid range: the step has to be at least 1 and at most the length of the range";
        return Err(cursor.refused(reason, begin..cursor.at()));
    }
    Ok(IdRange::stepped(start, end, step))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn shown(text: &str) -> String {
        parse(text).map_or_else(|error| format!("error {:?}", error.bytes()), |set| set.to_string())
    }

    #[test]
    fn reads_the_examples() {
        for (typed, printed) in [
            ("5", "5"),
            ("1_000", "1000"),
            ("1__0", "10"),
            ("1_", "1"),
            ("1-10:4", "1-10:4"),
            (" 2 , 7,9\t,20-30", "2,7,9,20-30"),
            ("9,2", "9,2"),
            ("0-4294967295", "0-4294967295"),
            ("0-4294967294:2,1-4294967295:2", "0-4294967294:2,1-4294967295:2"),
            ("5-6:1", "5-6"),
        ] {
            assert_eq!(shown(typed), printed, "{typed}");
        }
    }

    #[test]
    fn refuses_and_points() {
        for (typed, place) in [
            ("", 0..0),
            (" ", 1..1),
            ("_1", 0..1),
            ("1,", 2..2),
            ("1-", 2..2),
            ("-1", 0..1),
            ("+1", 0..1),
            ("1 - 3", 2..3),
            ("1,,2", 2..3),
            ("3-1", 0..3),
            ("5-5:1", 0..5),
            ("1-5:0", 0..5),
            ("1-5:5", 0..5),
            ("7:2", 1..2),
            ("1-5:2:2", 5..6),
            ("1,1", 2..3),
            ("1-5,3", 4..5),
            ("9,0-9:3", 0..1),
            ("4294967296", 0..10),
            ("1,é", 2..4),
        ] {
            assert_eq!(shown(typed), format!("error {place:?}"), "{typed}");
        }
    }

    #[test]
    fn names_the_reason() {
        let message = |text| parse(text).unwrap_err().to_string();
        assert!(message("3-1").starts_with("invalid range"));
        assert!(message("1,1").starts_with("ranges overlap"));
        assert!(message("1x").starts_with("unexpected token"));
    }

    fn ranges() -> impl Strategy<Value = Vec<IdRange>> {
        let range = (0u32..2000, 0u32..50, 1u32..9).prop_map(|(start, len, step)| match step <= len {
            true => IdRange::stepped(start, start + len, step),
            false => IdRange::new(start, start + len),
        });
        proptest::collection::vec(range, 1..6)
    }

    proptest! {
        #[test]
        fn any_text_gives_a_value_or_an_error(text in "[0-9_:, -]{0,12}|\\PC{0,12}") {
            let _ = parse(&text);
        }

        #[test]
        fn print_then_parse_is_identity(ranges in ranges()) {
            let set = IdSet { ranges };
            let parsed = parse(&set.to_string());
            match set.check() {
                Ok(()) => prop_assert_eq!(parsed, Ok(set)),
                Err(_) => prop_assert!(parsed.is_err()),
            }
        }
    }
}
