//! `hq job list` on the command line: which jobs, in which order.

use crate::grammar::job_filter::{self, JobFilter};
use clap::{Args, ValueEnum};
use hq_core::view::JobOrder;

/// Shown below the options of `hq job list`.
const EXAMPLES: &str = "\
A filter is a list of conditions separated by commas; a comma within a value is written `\\,`:
  waiting, running, finished, failed, canceled, aborted, opened
                        jobs in this state, or another one that is named; also `state=running`
  name=PATTERN          whose name matches: `*` any text, `?` one character, `[a-z]` one of a set
  tag=KEY[=VALUE]       that have the tag
  since=SPAN|DATE       submitted since, for example `2h`, `1 day`, `2030-01-31`, `2030-01-31 08:00` (UTC)

Examples:
  hq job list --filter running,failed
  hq job list --filter 'name=train-*,tag=project=x,since=1 day' --sort=-submitted --limit 10";

/// Options of `hq job list`.
#[derive(Debug, Clone, Args)]
#[command(after_long_help = EXAMPLES)]
pub struct JobListArgs {
    /// List completed jobs too
    #[arg(long, conflicts_with = "filter")]
    pub all: bool,
    /// List only jobs for which everything holds that is said, for example `running,failed` or `name=train-*,since=2h`
    #[arg(long, value_name = "FILTER", value_parser = job_filter::parse)]
    pub filter: Vec<JobFilter>,
    /// Show also why jobs were cancelled, and their tags
    #[arg(long)]
    pub verbose: bool,
    /// List at most this many jobs, the first ones of the order
    #[arg(long, value_name = "COUNT")]
    pub limit: Option<u32>,
    /// Sort by this instead of the id; with `-` in front, for example `--sort=-submitted`, the other way round
    #[arg(long, value_name = "KEY", value_parser = parse_sort, allow_hyphen_values = true)]
    pub sort: Option<Sort>,
    /// Turn the order round
    #[arg(long)]
    pub reverse: bool,
}

/// What a list is sorted by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sort {
    /// The key.
    pub key: SortWord,
    /// Whether a `-` stood in front.
    pub reverse: bool,
}

/// A key to sort by as it is written on the command line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum SortWord {
    /// The number of the job
    Id,
    /// Its name
    Name,
    /// Its state, what runs first
    State,
    /// When it was submitted
    Submitted,
    /// How many tasks it has
    Tasks,
}

fn parse_sort(text: &str) -> Result<Sort, String> {
    let (reverse, word) = match text.strip_prefix('-') {
        Some(word) => (true, word),
        None => (false, text),
    };
    let key = SortWord::from_str(word, false);
    let key = key.map_err(|_| "the keys are id, name, state, submitted and tasks".to_owned())?;
    Ok(Sort { key, reverse })
}

impl SortWord {
    /// The order that the word means.
    pub fn order(self) -> JobOrder {
        match self {
            Self::Id => JobOrder::Id,
            Self::Name => JobOrder::Name,
            Self::State => JobOrder::State,
            Self::Submitted => JobOrder::Submitted,
            Self::Tasks => JobOrder::Tasks,
        }
    }
}
