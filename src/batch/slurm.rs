//! A job of Slurm: `SLURM_*` variables and `scontrol show job`.
//!
//! Holds: of several jobs in one answer (arrays, heterogeneous jobs) the one with the own id counts.

use super::{Allocation, Manager, Missing, Variables, ask, left, seconds};
use hq_core::time::Span;
use std::collections::BTreeMap;

pub(super) fn find(variables: Variables<'_>) -> Result<Allocation, Missing> {
    let manager = Manager::Slurm;
    let id = variables("SLURM_JOB_ID").or_else(|| variables("SLURM_JOBID"));
    let id = id.ok_or(Missing { manager, variable: "SLURM_JOB_ID" })?;
    let remaining = ask("scontrol", &["show", "job", &id]).and_then(|text| {
        let remaining = remaining(&text, &id);
        if remaining.is_none() {
            log::warn!("The remaining time of Slurm job {id} is not known: it has no time limit that can be read");
        }
        remaining
    });
    Ok(Allocation { manager, remaining, memory_mib: memory_mib(variables), id })
}

/// `TimeLimit` less `RunTime` of the job.
fn remaining(text: &str, id: &str) -> Option<Span> {
    let mut jobs: Vec<BTreeMap<&str, &str>> = Vec::new();
    for (key, value) in text.split_whitespace().filter_map(|word| word.split_once('=')) {
        if key == "JobId" || jobs.is_empty() {
            jobs.push(BTreeMap::new());
        }
        if let Some(job) = jobs.last_mut() {
            job.entry(key).or_insert(value);
        }
    }
    let job = jobs.iter().find(|job| job.get("JobId") == Some(&id)).or(jobs.first())?;
    Some(left(seconds(job.get("TimeLimit")?)?, seconds(job.get("RunTime")?)?))
}

/// Memory on this node; zero means all of it.
fn memory_mib(variables: Variables<'_>) -> Option<u64> {
    let number = |name: &str| variables(name)?.parse::<u64>().ok().filter(|number| *number > 0);
    number("SLURM_MEM_PER_NODE").or_else(|| number("SLURM_MEM_PER_CPU")?.checked_mul(number("SLURM_CPUS_ON_NODE")?))
}

#[cfg(test)]
mod tests {
    use super::*;

    const JOB: &str = "\
JobId=118 JobName=wrap
   UserId=me(1000) GroupId=me(1000) MCS_label=N/A
   JobState=RUNNING Reason=None Dependency=(null)
   RunTime=00:13:45 TimeLimit=01:12:34 TimeMin=N/A
   NumNodes=1 NumCPUs=4 TRES=cpu=4,mem=2000M,node=1
   Command=/home/me/a=b c.sh RunTime=5
";

    #[test]
    fn what_is_left() {
        assert_eq!(remaining(JOB, "118"), Some(Span::from_secs(3_529)));
        let array = format!("JobId=117 RunTime=00:00:01 TimeLimit=00:00:02\n\n{JOB}");
        assert_eq!(remaining(&array, "118"), Some(Span::from_secs(3_529)));
        assert_eq!(remaining(&array, "1"), Some(Span::from_secs(1)));
        assert_eq!(remaining("JobId=1 RunTime=00:00:01 TimeLimit=UNLIMITED", "1"), None);
        assert_eq!(remaining("JobId=1 RunTime=1-00:00:00 TimeLimit=3-01:00:00", "1"), Some(Span::from_secs(176_400)));
        for text in ["", "=", "slurm_load_jobs error: Invalid job id specified", "RunTime=1 TimeLimit="] {
            assert_eq!(remaining(text, "1"), None, "{text}");
        }
    }

    #[test]
    fn memory() {
        let with = |pairs: &'static [(&str, &str)]| {
            memory_mib(&move |name| pairs.iter().find(|(own, _)| *own == name).map(|(_, value)| (*value).to_owned()))
        };
        assert_eq!(with(&[("SLURM_MEM_PER_NODE", "2048"), ("SLURM_MEM_PER_CPU", "1")]), Some(2_048));
        assert_eq!(with(&[("SLURM_MEM_PER_CPU", "512"), ("SLURM_CPUS_ON_NODE", "4")]), Some(2_048));
        assert_eq!(with(&[("SLURM_MEM_PER_NODE", "0")]), None);
        assert_eq!(with(&[("SLURM_MEM_PER_NODE", "2G")]), None);
    }
}
