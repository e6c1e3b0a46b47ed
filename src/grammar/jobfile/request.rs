//! `[[task.request]]`: the ways in which a task can run, the preferred one first.
//!
//! Whoever writes several means "on a GPU, or else on eight CPUs"; the worker tells the task which one it was.
//!
//! Holds: a request that was read asks for something, and only whole nodes stand alone. Nothing here can wait forever
//! for lack of a meaning.

use super::error::Mistake;
use super::item::{Fields, Item};
use super::notices::Notices;
use crate::grammar::{duration, request, weight};
use hq_core::limits;
use hq_core::resource::{Amount, Policy, RequestEntry, ResourceRequest, Variant};
use hq_core::time::Span;
use toml::de::DeValue;

const KEYS: &[&str] = &["resources", "n_nodes", "time_request", "weight"];
/// How far a product of decimals may be off a whole number of parts before it counts as more.
const FLOAT_ERROR: f64 = 1e-9;

/// Reads the array of tables.
pub(super) fn read(item: &Item<'_>, notices: &mut Notices) -> Result<ResourceRequest, Mistake> {
    let elements = item.elements("an array of tables")?;
    let count = elements.len();
    if count == 0 {
        return Err(item.mistake("the request has no table; leave it out for one CPU"));
    }
    if count > limits::REQUEST_VARIANTS_MAX {
        let max = limits::REQUEST_VARIANTS_MAX;
        return Err(item.mistake(format!("{count} variants of a request are too many; at most {max} are allowed")));
    }
    let mut variants = Vec::with_capacity(count);
    for element in elements {
        let variant = variant(&element, notices)?;
        if variant.nodes > 0 && count > 1 {
            return Err(element.mistake("a multi-node request cannot be one of several variants"));
        }
        variants.push(variant);
    }
    Ok(ResourceRequest { variants })
}

fn variant(item: &Item<'_>, notices: &mut Notices) -> Result<Variant, Mistake> {
    let fields = item.fields(&[KEYS])?;
    let nodes = fields.get("n_nodes").map_or(Ok(0), |item| nodes(&item))?;
    let min_time = fields.get("time_request").map(|item| item.parsed(duration::parse_human)).transpose()?;
    let mut entries = match fields.get("resources") {
        Some(item) => entries(&item, notices)?,
        None => Vec::new(),
    };
    if nodes > 0 && !entries.is_empty() {
        notices.say(format!("`{item}.resources` is ignored for multi-node tasks, which get whole workers"));
        entries.clear();
    }
    if nodes == 0 && entries.is_empty() {
        return Err(fields.mistake(
            "the request names no resource, so that no worker could tell what to give; \
             write `resources = { cpus = 1 }` or `n_nodes = 2`",
        ));
    }
    Ok(Variant {
        nodes,
        entries,
        min_time: min_time.map(Span::from_duration).unwrap_or_default(),
        weight_parts: importance(&fields)?,
    })
}

fn nodes(item: &Item<'_>) -> Result<u32, Mistake> {
    let nodes = item.uint()?;
    if nodes > limits::TASK_NODES_MAX {
        let max = limits::TASK_NODES_MAX;
        return Err(item.mistake(format!("{nodes} nodes for one task are too many; at most {max} are allowed")));
    }
    Ok(nodes)
}

fn importance(fields: &Fields<'_>) -> Result<u32, Mistake> {
    let Some(item) = fields.get("weight") else { return Ok(0) };
    let parts = weight::from_number(item.float()?).map_err(|reason| item.mistake(reason))?;
    // The default is not written down, so that tasks with it said and unsaid are of one kind.
    Ok(if parts == weight::PARTS_PER_UNIT { 0 } else { parts })
}

fn entries(item: &Item<'_>, notices: &mut Notices) -> Result<Vec<RequestEntry>, Mistake> {
    let mut entries = Vec::new();
    for (key, value) in item.table("a table of resources")?.all() {
        key.checked(request::check_name)?;
        let name = key.name;
        let quantity = match value.value() {
            DeValue::Integer(_) => whole(&value)?,
            DeValue::Float(_) => fraction(&value)?,
            _ => {
                let read = value.parsed(|text| request::parse_of(name, text))?;
                if let Some(notice) = read.notice() {
                    notices.say(notice);
                }
                entries.push(read.entry);
                continue;
            }
        };
        entries.push(RequestEntry { resource: name.to_owned(), amount: quantity, policy: Policy::Compact });
    }
    Ok(entries)
}

fn whole(item: &Item<'_>) -> Result<Amount, Mistake> {
    above_zero(item, Amount::units(item.uint()?))
}

/// A fraction rounded up to what can be told apart.
fn fraction(item: &Item<'_>) -> Result<Amount, Mistake> {
    let parts = item.float()? * Amount::UNIT as f64;
    if !(0.0..=Amount::units(u32::MAX).0 as f64).contains(&parts) {
        return Err(item.mistake("the amount has to be from 0.0001 to 4294967295"));
    }
    let nearest = parts.round();
    let is_nearest = (parts - nearest).abs() <= FLOAT_ERROR * nearest;
    above_zero(item, Amount(if is_nearest { nearest } else { parts.ceil() } as u64))
}

fn above_zero(item: &Item<'_>, amount: Amount) -> Result<Amount, Mistake> {
    if amount == Amount::ZERO { Err(item.mistake("Zero resources cannot be requested")) } else { Ok(amount) }
}
