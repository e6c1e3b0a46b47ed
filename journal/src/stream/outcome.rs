//! How an attempt ended, as the record at the end of its output tells and the index repeats.
//!
//! Whoever reads a directory without a server can so tell failed tasks from finished ones.
//!
//! **Invariant:** what is not known is left out; an ending that a later version adds reads as none.

use ciborium::value::Value;

/// Bit of the first index byte: the second one is a signal.
const IS_SIGNAL: u8 = 0x80;
/// Bit of the first index byte: the second one is an exit code.
const IS_EXIT_CODE: u8 = 0x40;
/// Longest body in bytes that is read.
const BODY_BYTES_MAX: usize = 4096;

/// In which way an attempt ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Ending {
    /// With exit code 0.
    Finished,
    /// In another way that was its own fault.
    Failed,
    /// It was ended because a user wanted so.
    Canceled,
    /// It was ended because its worker ended; the task runs again.
    Interrupted,
}

impl Ending {
    const ALL: [Self; 4] = [Self::Finished, Self::Failed, Self::Canceled, Self::Interrupted];

    /// The number on disk, from 1; 0 stands for not known.
    fn number(self) -> u8 {
        self as u8 + 1
    }

    fn of_number(number: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|ending| ending.number() == number)
    }
}

/// The end of an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Outcome {
    /// In which way.
    pub ending: Ending,
    /// Why it failed, by the numbers of the events, at most 7; 0: not known, or it did not fail.
    pub cause: u8,
    /// Exit code of the program, if it has exited.
    pub exit_code: Option<u8>,
    /// Number of the signal that ended the program, if one did.
    pub signal: Option<u8>,
}

impl Outcome {
    /// The body of the record.
    pub(super) fn encode(&self) -> Vec<u8> {
        let pairs = [
            (0, Some(self.ending.number())),
            (1, Some(self.cause).filter(|cause| *cause != 0)),
            (2, self.exit_code),
            (3, self.signal),
        ];
        let entries = pairs.into_iter().filter_map(|(key, value)| Some((Value::from(key), Value::from(value?))));
        let mut out = Vec::new();
        // Writing into memory does not fail; an empty body reads as an outcome that is not known.
        if ciborium::into_writer(&Value::Map(entries.collect()), &mut out).is_err() {
            out.clear();
        }
        out
    }

    /// The outcome in the body of an end record; `None` when it says nothing.
    pub(super) fn parse(body: &[u8]) -> Option<Self> {
        if body.is_empty() || body.len() > BODY_BYTES_MAX {
            return None;
        }
        let value: Value = ciborium::from_reader(body).ok()?;
        let of = |wanted: u8| {
            let mut pairs = value.as_map()?.iter();
            let (_, found) = pairs.find(|(key, _)| key.as_integer().is_some_and(|key| key == wanted.into()))?;
            u8::try_from(found.as_integer()?).ok()
        };
        let ending = Ending::of_number(of(0)?)?;
        Some(Self { ending, cause: of(1).unwrap_or(0), exit_code: of(2), signal: of(3) })
    }

    /// The two bytes in the index: `ending | cause << 3 | kind of the second byte`, exit code or signal.
    pub(super) fn pack(outcome: Option<Self>) -> [u8; 2] {
        let Some(Self { ending, cause, exit_code, signal }) = outcome else { return [0, 0] };
        let (kind, number) = match (exit_code, signal) {
            (_, Some(signal)) => (IS_SIGNAL, signal),
            (Some(code), None) => (IS_EXIT_CODE, code),
            (None, None) => (0, 0),
        };
        [ending.number() | (cause & 7) << 3 | kind, number]
    }

    /// What [`Self::pack`] gave.
    pub(super) fn unpack([first, number]: [u8; 2]) -> Option<Self> {
        let ending = Ending::of_number(first & 7)?;
        let exit_code = (first & IS_EXIT_CODE != 0).then_some(number);
        let signal = (first & IS_SIGNAL != 0).then_some(number);
        Some(Self { ending, cause: first >> 3 & 7, exit_code, signal })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_and_index_return_what_was_written() {
        for ending in Ending::ALL {
            for (cause, exit_code, signal) in
                [(0, None, None), (1, Some(255), None), (2, None, Some(9)), (7, Some(0), None)]
            {
                let outcome = Outcome { ending, cause, exit_code, signal };
                assert_eq!(Outcome::parse(&outcome.encode()), Some(outcome));
                assert_eq!(Outcome::unpack(Outcome::pack(Some(outcome))), Some(outcome));
            }
        }
        assert_eq!(Outcome::unpack(Outcome::pack(None)), None);
        assert_eq!(Outcome::parse(b""), None);
    }

    #[test]
    fn later_versions_may_say_more() {
        let entry = |key: u8, value: Value| (Value::from(key), value);
        let body = |entries| {
            let mut out = Vec::new();
            ciborium::into_writer(&Value::Map(entries), &mut out).unwrap();
            Outcome::parse(&out)
        };
        let known = Outcome { ending: Ending::Failed, cause: 0, exit_code: Some(3), signal: None };
        let more = vec![entry(0, 2.into()), entry(2, 3.into()), entry(9, Value::Text("x".into()))];
        assert_eq!(body(more), Some(known));
        assert_eq!(body(vec![entry(0, 77.into())]), None);
        assert_eq!(body(vec![entry(2, 3.into())]), None);
    }
}
