//! What is in a journal directory, what is missing, and whether that matters.
//!
//! A crash leaves at most an unfinished write at the end of the newest tail file, or a pruning that was under way;
//! anything else that is wrong is damage, and a server that started on damage would lose work silently.
//!
//! **Invariant:** looking changes nothing, but for a page store that cannot be opened, which is set aside.
//! **Invariant:** records that were durable are either all there, or covered by a checkpoint, or the opening is
//! refused.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use super::Options;
use super::stores::{self, Chosen, store_name};
use crate::checkpoint::{self, Checkpoint};
use crate::disk::Disk;
use crate::error::Error;
use crate::kept::{Kept, kept_base};
use crate::log::{Extent, Log, Walk};
use crate::mark::{Mark, MarkFile};
use crate::record::Point;
use crate::tail::{self, Break, Part, Scanned};

/// Everything that was found in a journal directory.
pub(super) struct Survey {
    pub(super) mark: Option<Mark>,
    pub(super) checkpoint: Option<Checkpoint>,
    pub(super) log: Log,
    pub(super) store_number: u64,
    pub(super) extent: Extent,
    pub(super) kept: Option<Arc<Kept>>,
    /// Oldest first, without those that newer ones supersede.
    pub(super) parts: Vec<Part>,
    /// Generations whose files are superseded.
    pub(super) stale: Vec<u64>,
    pub(super) stale_stores: Vec<u64>,
    pub(super) stale_kept: Vec<String>,
    pub(super) torn: Option<(Break, u64)>,
    pub(super) base_seq: u64,
    pub(super) end: Point,
    pub(super) generation_max: u64,
    pub(super) notes: Vec<String>,
}

impl Survey {
    pub(super) fn is_new(&self) -> bool {
        self.mark.is_none() && self.parts.is_empty() && self.extent.is_empty() && self.checkpoint.is_none()
    }

    pub(super) fn is_clean(&self) -> bool {
        let marked = self.mark.is_some_and(|m| m.clean && m.durable.seq == self.end.seq);
        self.is_new() || (marked && self.torn.is_none())
    }

    pub(super) fn epoch(&self) -> u32 {
        let mark = self.mark.map_or(0, |m| m.durable.epoch);
        let image = self.checkpoint.as_ref().map_or(0, |c| c.at.epoch);
        mark.max(image).max(self.end.epoch).max(self.extent.end.epoch).saturating_add(1)
    }
}

/// The kept file that counts, and those that do not: of a pruning that did not come to its promise, or that went before.
fn choose_kept(
    disk: &dyn Disk,
    dir: &Path,
    names: &[String],
    base_max: u64,
    notes: &mut Vec<String>,
) -> Result<(Option<Arc<Kept>>, Vec<String>), Error> {
    let (mut chosen, mut stale) = (None, Vec::new());
    for name in names.iter().rev() {
        let Some(base) = kept_base(name) else { continue };
        if base > base_max || chosen.is_some() {
            stale.push(name.clone());
            continue;
        }
        match Kept::open(disk, &dir.join(name)) {
            Ok(kept) => chosen = Some(Arc::new(kept)),
            Err(e) if e.is_damage() => notes.push(format!("the history before record {base} cannot be read: {e}")),
            Err(e) => return Err(e),
        }
    }
    Ok((chosen, stale))
}

/// The base of a journal without a mark: that of the newest pruning which left an image behind.
fn base_without_mark(names: &[String], image: Option<&Checkpoint>) -> u64 {
    let reaches = image.map_or(0, |image| image.at.seq + 1);
    names.iter().rev().filter_map(|name| kept_base(name)).find(|base| *base <= reaches).unwrap_or(1)
}

/// Scans the tail files and drops those that newer ones supersede. Damaged heads of older files become notes: the
/// check for missing records decides whether they matter.
fn scan_parts(survey: &mut Survey, disk: &dyn Disk, dir: &Path, generations: &[u64]) -> Result<Vec<Scanned>, Error> {
    // Newest last; each new one is compared with its younger neighbour at the end of the reversed list.
    let mut kept: Vec<Scanned> = Vec::new();
    for (n, generation) in generations.iter().rev().enumerate() {
        let mut found = match tail::scan(disk, dir, *generation) {
            Ok(found) => found,
            Err(e) if e.is_damage() && n > 0 => {
                survey.notes.push(format!("a tail file was passed over: {e}"));
                continue;
            }
            Err(e) => return Err(e),
        };
        // An empty successor of a file with more records was never in use.
        while kept.last().is_some_and(|q| q.part.is_empty() && found.part.end.seq > q.part.before.seq) {
            survey.stale.extend(kept.pop().map(|q| q.part.generation));
        }
        if let Some(newer) = kept.last() {
            let limit = newer.part.before;
            if limit.seq <= found.part.before.seq {
                survey.stale.push(*generation);
                continue;
            }
            if found.part.end.seq > limit.seq {
                found.part.end = limit;
                found.broken = None;
            } else if found.part.end.seq == limit.seq {
                found.broken = None;
                if found.part.end.chain != limit.chain {
                    let (path, to) = (found.part.path, found.file_bytes);
                    let why = "the next tail file does not continue it".to_owned();
                    return Err(Error::Damaged { path, from: 0, to, why });
                }
            }
        }
        kept.push(found);
    }
    kept.reverse();
    Ok(kept)
}

/// Checks the part of the log that the tail files can replace, and cuts what is broken there.
fn check_log(survey: &mut Survey, dir: &Path, repair: bool) -> Result<(), Error> {
    let Some(first) = survey.parts.first() else {
        return Ok(());
    };
    let (before, from_seq) = (first.before, first.before.seq + 1);
    let reaches = survey.parts.last().map_or(0, |p| p.end.seq);
    let walk = survey.log.walk(&survey.extent, from_seq, Some(before), &mut |_| true)?;
    let Walk::Broken(broken) = walk else {
        return Ok(());
    };
    let good = survey.log.end_before(&survey.extent, broken.entry)?;
    if good.seq < before.seq || reaches < survey.extent.end.seq || !repair {
        let (path, why) =
            (dir.join(store_name(survey.store_number)), format!("after record {}: {}", good.seq, broken.why));
        return Err(Error::Damaged { path, from: broken.entry, to: broken.entry + 1, why });
    }
    survey.notes.push(format!(
        "the page store is damaged after record {} ({}); the tail files replace what follows",
        good.seq, broken.why
    ));
    survey.log.cut(broken.entry)?;
    survey.log.sync()?;
    survey.extent = survey.log.extent()?;
    Ok(())
}

/// Ranges of sequences that ought to be there but are not.
fn missing_ranges(base_seq: u64, required: u64, extent: &Extent, parts: &[Part]) -> Vec<(u64, u64)> {
    let log = (!extent.is_empty()).then_some((extent.first_seq, extent.end.seq));
    let mut have: BTreeMap<u64, u64> = BTreeMap::new();
    for (from, to) in log.into_iter().chain(parts.iter().map(|p| (p.before.seq + 1, p.end.seq))) {
        let longest = have.entry(from).or_insert(to);
        *longest = (*longest).max(to);
    }
    let mut missing = Vec::new();
    let mut next = base_seq;
    for (from, to) in have {
        if from > next && next <= required {
            missing.push((next, (from - 1).min(required)));
        }
        next = next.max(to + 1);
    }
    if next <= required {
        missing.push((next, required));
    }
    missing
}

/// Decides whether what is missing matters: a checkpoint may stand for it, or the writer may have agreed to lose the
/// end.
fn judge_missing(survey: &mut Survey, scanned: &[Scanned], options: &Options) -> Result<(), Error> {
    let marked = survey.mark.map_or(0, |m| m.durable.seq);
    let image = survey.checkpoint.as_ref().map_or(Point::default(), |c| c.at);
    let required = survey.end.seq.max(marked).max(image.seq);
    for (from, to) in missing_ranges(survey.base_seq, required, &survey.extent, &survey.parts) {
        if to <= image.seq {
            survey.base_seq = to + 1;
            survey.notes.push(format!(
                "records {from} to {to} are gone: the state is whole, since a checkpoint covers them, but not the history"
            ));
            if to > survey.end.seq {
                survey.end = image;
            }
            continue;
        }
        if image.seq > survey.end.seq && image.seq >= from {
            survey.base_seq = image.seq + 1;
            survey.end = image;
        }
        if from > survey.end.seq && options.accept_loss {
            survey.notes.push(format!("records {from} to {to} were durable and are lost, as was agreed to"));
            continue;
        }
        let broken = scanned.iter().find(|s| s.part.end.seq + 1 == from && s.broken.is_some());
        if let Some((found, broken)) = broken.and_then(|s| s.broken.map(|b| (s, b))) {
            let why = format!("records {from} to {to} were durable there");
            return Err(Error::Damaged { path: found.part.path.clone(), from: broken.from, to: broken.to, why });
        }
        let why = "the mark or a later file says that they were durable".to_owned();
        return Err(Error::Missing { from_seq: from, to_seq: to, why });
    }
    Ok(())
}

/// What was pruned is needed no more only while an image of what it led to is there.
fn judge_base(survey: &mut Survey, options: &Options) -> Result<(), Error> {
    let reaches = survey.checkpoint.as_ref().map_or(0, |c| c.at.seq);
    let before = survey.base_seq - 1;
    if reaches >= before {
        return Ok(());
    }
    let why = format!("the journal begins behind record {before}, and no intact checkpoint holds what those led to");
    if !options.accept_loss {
        return Err(Error::Missing { from_seq: reaches + 1, to_seq: before, why });
    }
    survey.notes.push(format!("records {} to {before} are lost, as was agreed to: {why}", reaches + 1));
    Ok(())
}

/// Tail files whose records are all before the base: a pruning was about to remove them.
fn set_pruned_aside(survey: &mut Survey) {
    let last = survey.parts.len().saturating_sub(1);
    let base = survey.base_seq;
    let before = survey.parts.iter().take(last).take_while(|part| part.end.seq < base).count();
    survey.stale.extend(survey.parts.drain(..before).map(|part| part.generation));
}

/// Looks at everything.
pub(super) fn survey(dir: &Path, options: &Options, repair: bool) -> Result<Survey, Error> {
    let disk = &*options.disk;
    let mut notes = Vec::new();
    let mark = MarkFile::read(disk, dir)?;
    let checkpoint = checkpoint::newest(disk, dir, &mut notes)?;
    let names = disk.list(dir).map_err(|e| Error::io("list", dir, e))?;
    let mut generations: Vec<u64> = names.iter().filter_map(|n| tail::part_generation(n)).collect();
    generations.sort_unstable();
    if mark.is_none() && !generations.is_empty() {
        notes.push("the journal's mark cannot be read; a loss at the end of the log would go unnoticed".to_owned());
    }
    let base_seq = mark.map_or_else(|| base_without_mark(&names, checkpoint.as_ref()), |m| m.base_seq.max(1));
    let (kept, stale_kept) = choose_kept(disk, dir, &names, base_seq, &mut notes)?;
    let Chosen { number: store_number, log, extent, stale: stale_stores } =
        stores::choose(dir, options, base_seq, repair, &mut notes)?;
    let generation_max = generations.last().copied().unwrap_or(0);
    let mut survey = Survey {
        mark,
        checkpoint,
        log,
        store_number,
        extent,
        kept,
        parts: Vec::new(),
        stale: Vec::new(),
        stale_stores,
        stale_kept,
        torn: None,
        base_seq,
        end: extent.end,
        generation_max,
        notes,
    };
    let scanned = scan_parts(&mut survey, disk, dir, &generations)?;
    survey.parts = scanned.iter().map(|s| s.part.clone()).collect();
    check_log(&mut survey, dir, repair)?;
    if let Some(last) = survey.parts.last().filter(|p| p.end.seq >= survey.extent.end.seq) {
        survey.end = last.end;
    }
    if let Some((last, broken)) = scanned.last().and_then(|s| s.broken.map(|b| (s, b))) {
        if broken.proven_seq > last.part.end.seq {
            let why = format!("records {} to {} were durable there", last.part.end.seq + 1, broken.proven_seq);
            return Err(Error::Damaged { path: last.part.path.clone(), from: broken.from, to: broken.to, why });
        }
        survey.torn = Some((broken, last.file_bytes));
    }
    judge_missing(&mut survey, &scanned, options)?;
    set_pruned_aside(&mut survey);
    judge_base(&mut survey, options)?;
    let marked = survey.mark.map(|m| m.durable).filter(|m| m.seq == survey.end.seq && m.seq > 0);
    if marked.is_some_and(|m| m.chain != survey.end.chain) {
        let why = "it ends with another record than the mark says".to_owned();
        return Err(Error::Damaged { path: dir.to_path_buf(), from: 0, to: 0, why });
    }
    Ok(survey)
}
