//! Whether a description of tasks can be submitted: for the client, which can point at what is wrong and need not send
//! it, and for the server, which must not trust it.
//!
//! Holds: whatever is accepted stays within the limits, and a refusal names the one that is not kept.

use crate::limits;
use crate::resource::{Amount, Policy, ResourceRequest, Variant};
use crate::retry::RetryPolicy;
use crate::task::{CrashLimit, StopPlan, TaskDesc, Warning};
use crate::time::Span;
use std::collections::BTreeSet;

/// Whether a description can be submitted.
///
/// # Errors
/// The reason for the refusal.
pub fn check_desc(desc: &TaskDesc) -> Result<(), String> {
    for (what, path) in [
        ("bytes in the working directory", &desc.cwd),
        ("bytes in the path for the standard output", &desc.stdout.path),
        ("bytes in the path for the standard error", &desc.stderr.path),
    ] {
        at_most(what, path.len(), limits::PATH_BYTES_MAX)?;
        if path.contains('\0') {
            return Err("a path contains a zero byte".to_owned());
        }
    }
    if let Some(name) = desc.env.keys().find(|name| name.is_empty() || name.contains('=')) {
        return Err(format!("`{name}` cannot be the name of an environment variable"));
    }
    at_most("words in the command", desc.args.len(), limits::TASK_ARGS_MAX)?;
    let words: usize = desc.args.iter().map(String::len).sum();
    let variables: usize = desc.env.iter().map(|(key, value)| key.len() + value.len() + 2).sum();
    at_most("bytes in the command and its environment", words + variables, limits::TASK_ARGS_BYTES_MAX)?;
    at_most("bytes of standard input", desc.stdin.len(), limits::TASK_STDIN_BYTES_MAX)?;
    if desc.args.iter().any(|word| word.contains('\0'))
        || desc.env.iter().any(|(k, v)| k.contains('\0') || v.contains('\0'))
    {
        return Err("the command or its environment contains a zero byte".to_owned());
    }
    if let Some(stop) = &desc.stop {
        check_stop(stop, desc.time_limit)?;
    }
    desc.retry.as_deref().map_or(Ok(()), |policy| check_retry(policy, desc.crash_limit))?;
    check_request(&desc.request)
}

fn check_retry(policy: &RetryPolicy, crash_limit: CrashLimit) -> Result<(), String> {
    at_most("retries", policy.max as usize, limits::TASK_RETRIES_MAX as usize)?;
    at_most("exit codes after which a task is tried again", policy.on.exit_codes.len(), limits::RETRY_EXIT_CODES_MAX)?;
    if let Some(code) = policy.on.exit_codes.iter().find(|code| !(1..=255).contains(*code)) {
        return Err(format!("no failed program exits with code {code}; exit codes are between 1 and 255"));
    }
    if policy.delay.max(policy.delay_max) > limits::RETRY_DELAY_MAX {
        let days = limits::RETRY_DELAY_MAX.0 / Span::from_secs(24 * 3_600).0;
        return Err(format!("the delay before the next attempt is too long; at most {days} days are allowed"));
    }
    if policy.on.node && crash_limit == CrashLimit::Never {
        return Err("a task that must never restart cannot be retried after the loss of its worker".to_owned());
    }
    Ok(())
}

fn check_stop(stop: &StopPlan, time_limit: Option<Span>) -> Result<(), String> {
    let StopPlan { warning, signal, grace } = *stop;
    let signals = warning.map(|warning| warning.signal).into_iter().chain((signal != 0).then_some(signal));
    if let Some(wrong) = signals.into_iter().find(|signal| !(1..=limits::SIGNAL_MAX).contains(signal)) {
        return Err(format!("{wrong} is not the number of a signal"));
    }
    let seconds = |span: Span| span.0.div_ceil(1_000_000);
    if let (Some(Warning { before, .. }), Some(limit)) = (warning, time_limit)
        && before >= limit
    {
        let (before, limit) = (seconds(before), seconds(limit));
        return Err(format!("the warning would come {before} s before the end, and the time limit is {limit} s"));
    }
    match grace {
        Some(grace) if grace > limits::KILL_GRACE_MAX => {
            let (grace, max) = (seconds(grace), seconds(limits::KILL_GRACE_MAX));
            Err(format!("the grace is {grace} s, at most {max} s are allowed"))
        }
        _ => Ok(()),
    }
}

fn check_request(request: &ResourceRequest) -> Result<(), String> {
    if request.variants.is_empty() {
        return Err("the resource request is empty".to_owned());
    }
    at_most("variants of a resource request", request.variants.len(), limits::REQUEST_VARIANTS_MAX)?;
    if request.variants.len() > 1 && request.variants.iter().any(|variant| variant.nodes > 0) {
        return Err("a multi-node request cannot be one of several variants".to_owned());
    }
    request.variants.iter().try_for_each(check_variant)
}

fn check_variant(variant: &Variant) -> Result<(), String> {
    at_most("nodes for one task", variant.nodes as usize, limits::TASK_NODES_MAX as usize)?;
    if variant.entries.is_empty() && variant.nodes == 0 {
        return Err("the resource request names no resource".to_owned());
    }
    at_most("resources in one request", variant.entries.len(), limits::RESOURCES_MAX)?;
    let mut names = BTreeSet::new();
    for entry in &variant.entries {
        at_most("bytes in the name of a resource", entry.resource.len(), limits::PATH_BYTES_MAX)?;
        if entry.amount == Amount::ZERO && entry.policy != Policy::All {
            return Err("Zero resources cannot be requested".to_owned());
        }
        if !names.insert(&entry.resource) {
            return Err(format!("Resource '{}' defined more than once", entry.resource));
        }
    }
    Ok(())
}

/// Refuses a count above the limit.
pub(crate) fn at_most(what: &str, count: usize, max: usize) -> Result<(), String> {
    if count > max { Err(format!("{count} {what} are too many; at most {max} are allowed")) } else { Ok(()) }
}
