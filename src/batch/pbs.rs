//! A job of PBS: `PBS_*` variables and `qstat -f <id> -F json`.
//!
//! Holds: a missing or unreadable time of use counts as none; a missing limit is not guessed.

use super::{Allocation, Manager, Missing, Variables, ask, left, seconds};
use hq_core::time::Span;
use serde_json::Value;

pub(super) fn find(variables: Variables<'_>) -> Result<Allocation, Missing> {
    let manager = Manager::Pbs;
    variables("PBS_ENVIRONMENT").ok_or(Missing { manager, variable: "PBS_ENVIRONMENT" })?;
    let id = variables("PBS_JOBID").ok_or(Missing { manager, variable: "PBS_JOBID" })?;
    let job = ask("qstat", &["-f", &id, "-F", "json"]).and_then(|text| job(&text, &id));
    let remaining = job.as_ref().and_then(remaining);
    if job.is_some() && remaining.is_none() {
        log::warn!("The remaining time of PBS job {id} is not known: it has no walltime that can be read");
    }
    Ok(Allocation { manager, remaining, memory_mib: job.as_ref().and_then(memory_mib), id })
}

/// The job within an answer.
fn job(text: &str, id: &str) -> Option<Value> {
    let answer: Value = match serde_json::from_str(text) {
        Ok(answer) => answer,
        Err(error) => {
            log::warn!("The remaining time of PBS job {id} is not known, since qstat did not print JSON: {error}");
            return None;
        }
    };
    let jobs = answer.get("Jobs")?.as_object()?;
    jobs.get(id).or_else(|| jobs.values().next().filter(|_| jobs.len() == 1)).cloned()
}

/// `Resource_List.walltime` less `resources_used.walltime`.
fn remaining(job: &Value) -> Option<Span> {
    let time = |list: &str| seconds(job.get(list)?.get("walltime")?.as_str()?);
    Some(left(time("Resource_List")?, time("resources_used").unwrap_or(0)))
}

/// Memory of a job on one node; that of a larger job is not that of each of its nodes.
fn memory_mib(job: &Value) -> Option<u64> {
    let list = job.get("Resource_List")?;
    let nodes = list.get("nodect")?;
    let is_one = nodes.as_u64() == Some(1) || nodes.as_str() == Some("1");
    let text = list.get("mem").filter(|_| is_one)?.as_str()?;
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit = match text.get(digits.len()..)?.to_ascii_lowercase().as_str() {
        "" | "b" => 1,
        "kb" => 1_u64 << 10,
        "mb" => 1 << 20,
        "gb" => 1 << 30,
        "tb" => 1 << 40,
        _ => return None,
    };
    digits.parse::<u64>().ok()?.checked_mul(unit).map(|bytes| bytes >> 20).filter(|mib| *mib > 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn an_answer() {
        let text = json!({
            "timestamp": 1_700_000_000, "pbs_version": "20.0.1",
            "Jobs": {"118.pbs": {
                "Resource_List": {"walltime": "01:12:34", "nodect": 1, "mem": "8gb"},
                "resources_used": {"walltime": "00:13:45"},
            }},
        })
        .to_string();
        let found = job(&text, "118.pbs").unwrap();
        assert_eq!(remaining(&found), Some(Span::from_secs(3_529)));
        assert_eq!(memory_mib(&found), Some(8_192));
        // Servers differ in how they name themselves.
        assert!(job(&text, "118.pbs.cluster").is_some());
        for text in ["", "{}", "[1]", r#"{"Jobs": 3}"#, r#"{"Jobs": {}}"#, "qstat: Unknown Job Id"] {
            assert_eq!(job(text, "118.pbs"), None, "{text}");
        }
    }

    #[test]
    fn what_is_left_and_what_is_not_known() {
        let of = |limit: Value, used: Value| {
            remaining(&json!({"Resource_List": {"walltime": limit}, "resources_used": {"walltime": used}}))
        };
        assert_eq!(of(json!("01:00:00"), json!("bad")), Some(Span::from_secs(3_600)));
        assert_eq!(of(json!("01:00:00"), json!(null)), Some(Span::from_secs(3_600)));
        assert_eq!(of(json!(5), json!("00:00:01")), None);
        assert_eq!(remaining(&json!({"Resource_List": {"walltime": "00:10:00"}})), Some(Span::from_secs(600)));
        assert_eq!(remaining(&json!({})), None);
    }

    #[test]
    fn memory_of_one_node() {
        let of = |nodes: Value, mem: &str| memory_mib(&json!({"Resource_List": {"nodect": nodes, "mem": mem}}));
        assert_eq!(of(json!(1), "2097152kb"), Some(2_048));
        assert_eq!(of(json!("1"), "300MB"), Some(300));
        assert_eq!(of(json!(2), "8gb"), None);
        for mem in ["", "gb", "-1gb", "8xb", "99999999999999tb", "100b"] {
            assert_eq!(of(json!(1), mem), None, "{mem}");
        }
    }
}
