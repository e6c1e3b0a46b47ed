//! `hq job forget`: completed jobs are kept no longer.
//!
//! Holds: the exit code is 0, also when nothing was forgotten.

use crate::client::arguments::ForgetArgs;
use crate::client::error::Error;
use crate::client::link::{Link, selector};
use crate::wire::message::{ForgetRequest, ForgetResult, Request, Response};

/// Runs the command.
///
/// # Errors
/// See [`Error`].
pub fn run(link: &mut Link, args: &ForgetArgs) -> Result<(), Error> {
    let states = args.filter.iter().map(|word| word.state()).collect();
    let request = ForgetRequest { selector: selector(args.jobs.clone()), states };
    let Response::Forgotten(result) = link.ask(&Request::Forget(request))? else { return Err(Error::Unexpected) };
    log::info!("{}", line(&result));
    Ok(())
}

/// The words are those that scripts know, also where there is one job only.
fn line(result: &ForgetResult) -> String {
    let ignored = match result.ignored {
        0 => String::new(),
        count => format!(", {count} were ignored due to wrong state or invalid ID"),
    };
    format!("{} {} were forgotten{ignored}", result.forgotten, if result.forgotten == 1 { "job" } else { "jobs" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines() {
        let line = |forgotten, ignored| line(&ForgetResult { forgotten, ignored });
        assert_eq!(line(1, 0), "1 job were forgotten");
        assert_eq!(line(0, 0), "0 jobs were forgotten");
        assert_eq!(line(2, 1), "2 jobs were forgotten, 1 were ignored due to wrong state or invalid ID");
    }
}
