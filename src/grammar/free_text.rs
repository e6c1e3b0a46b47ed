//! Texts that users choose freely, within bounds: the name of a job, the reason of a cancel.
//!
//! Names stand in tables and in lines that scripts split, reasons are kept for each job; so both have limits.
//!
//! Holds: an accepted name has no newline and no tabulator.

use hq_core::limits::{CANCEL_REASON_BYTES_MAX, JOB_NAME_BYTES_MAX};
use std::fmt;

/// Why a text is not accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FreeTextError {
    /// A name with a newline or a tabulator.
    NameControl,
    /// A name that is too long; its length in bytes.
    NameLength(usize),
    /// A reason that is too long; its length in bytes.
    ReasonLength(usize),
}

impl fmt::Display for FreeTextError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NameControl => f.write_str("The name of a job cannot have a newline or a tab; choose another one"),
            Self::NameLength(bytes) => {
                write!(f, "The name of the job has {bytes} bytes, at most {JOB_NAME_BYTES_MAX} are possible")
            }
            Self::ReasonLength(bytes) => {
                write!(f, "the reason has {bytes} bytes, at most {CANCEL_REASON_BYTES_MAX} are possible")
            }
        }
    }
}

impl std::error::Error for FreeTextError {}

/// Checks the name of a job (an error at run time, not of usage).
///
/// # Errors
/// A newline, a tabulator, or more than [`JOB_NAME_BYTES_MAX`] bytes.
pub fn check_job_name(name: &str) -> Result<(), FreeTextError> {
    if name.contains(['\n', '\t']) {
        return Err(FreeTextError::NameControl);
    }
    if name.len() > JOB_NAME_BYTES_MAX { Err(FreeTextError::NameLength(name.len())) } else { Ok(()) }
}

/// The name of a job that was given none: the last part of the first command word, or `job`.
///
/// A word whose last part could not be a name also gives `job`.
pub fn default_job_name(first_word: &str) -> &str {
    let path = std::path::Path::new(first_word);
    let name = path.file_name().and_then(std::ffi::OsStr::to_str).unwrap_or("job");
    if check_job_name(name).is_ok() { name } else { "job" }
}

/// Reads the reason of a cancel.
///
/// # Errors
/// More than [`CANCEL_REASON_BYTES_MAX`] bytes.
pub fn parse_cancel_reason(text: &str) -> Result<String, FreeTextError> {
    if text.len() > CANCEL_REASON_BYTES_MAX {
        Err(FreeTextError::ReasonLength(text.len()))
    } else {
        Ok(text.to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        assert_eq!(check_job_name("my job é"), Ok(()));
        assert_eq!(check_job_name("a\tb"), Err(FreeTextError::NameControl));
        assert!(FreeTextError::NameControl.to_string().contains("name"));
        let long = "x".repeat(JOB_NAME_BYTES_MAX + 1);
        assert_eq!(check_job_name(&long), Err(FreeTextError::NameLength(long.len())));
        for (word, name) in [("/bin/date", "date"), ("date", "date"), ("/", "job"), ("", "job"), ("a\nb", "job")] {
            assert_eq!(default_job_name(word), name);
        }
    }

    #[test]
    fn reasons() {
        assert_eq!(parse_cancel_reason(&"x".repeat(200)), Ok("x".repeat(200)));
        assert_eq!(parse_cancel_reason(&"é".repeat(101)), Err(FreeTextError::ReasonLength(202)));
    }
}
