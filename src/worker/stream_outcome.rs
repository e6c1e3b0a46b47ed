//! How an attempt ended, in the words of a stream.
//!
//! Streams are read without a server; what a reader may ask of a task, whether it failed say, has to stand in them.
//!
//! Holds: an attempt that was asked to end has ended for that reason, whatever its program made of it.

use crate::platform::process::Status;
use hq_core::attempt;
use hq_core::retry::FailureCause;
use hq_journal::stream::{Ending, Outcome};

/// The outcome of a program that ended with `status`; `early` is why it was asked to, if it was.
pub(super) fn of(status: Status, early: Option<(attempt::Ending, FailureCause)>) -> Outcome {
    let (exit_code, signal) = match status {
        Status::Code(code) => (u8::try_from(code).ok(), None),
        Status::Signal(signal) => (None, u8::try_from(signal).ok()),
        Status::Lost => (None, None),
    };
    let (ending, cause) = early.unwrap_or(match status {
        Status::Code(0) => (attempt::Ending::Finished, FailureCause::Other),
        Status::Code(_) => (attempt::Ending::Failed, FailureCause::Exit),
        Status::Signal(_) => (attempt::Ending::Failed, FailureCause::Signal),
        Status::Lost => (attempt::Ending::Failed, FailureCause::Other),
    });
    let ending = match ending {
        attempt::Ending::Finished => Ending::Finished,
        attempt::Ending::Failed => Ending::Failed,
        attempt::Ending::Canceled => Ending::Canceled,
        attempt::Ending::Interrupted => Ending::Interrupted,
    };
    Outcome { ending, cause: cause as u8, exit_code, signal }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_was_asked_to_end_has_ended_for_that_reason() {
        let outcome = |ending, cause, exit_code, signal| Outcome { ending, cause, exit_code, signal };
        assert_eq!(of(Status::Code(0), None), outcome(Ending::Finished, 0, Some(0), None));
        assert_eq!(of(Status::Code(3), None), outcome(Ending::Failed, 1, Some(3), None));
        assert_eq!(of(Status::Signal(9), None), outcome(Ending::Failed, 2, None, Some(9)));
        let limit = Some((attempt::Ending::Failed, FailureCause::TimeLimit));
        assert_eq!(of(Status::Code(0), limit), outcome(Ending::Failed, 3, Some(0), None));
        let canceled = Some((attempt::Ending::Canceled, FailureCause::Other));
        assert_eq!(of(Status::Signal(2), canceled), outcome(Ending::Canceled, 0, None, Some(2)));
    }
}
