//! Changes of a file's content, applied as a whole or sector by sector.
//!
//! A power loss may write any of the sectors of an unsynced write and leave out the others, in any order.
//!
//! **Invariant:** a sector of 512 bytes is written as a whole or not at all.

const SECTOR_BYTES: usize = 512;

/// A change of a file that is not synced yet.
#[derive(Debug, Clone)]
pub(super) enum Change {
    Write(u64, Vec<u8>),
    SetLen(u64),
}

/// splitmix64 (Steele, Lea, Flood 2014): small, seedable, good enough to pick sectors.
pub(super) fn random(seed: &mut u64) -> u64 {
    *seed = seed.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let mut z = *seed;
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

fn write_into(content: &mut Vec<u8>, offset: u64, bytes: &[u8]) {
    let at = usize::try_from(offset).unwrap_or(usize::MAX);
    let end = at.saturating_add(bytes.len());
    if content.len() < end {
        content.resize(end, 0);
    }
    if let Some(place) = content.get_mut(at..end) {
        place.copy_from_slice(bytes);
    }
}

pub(super) fn apply(content: &mut Vec<u8>, change: &Change) {
    match change {
        Change::Write(offset, bytes) => write_into(content, *offset, bytes),
        Change::SetLen(bytes) => content.resize(usize::try_from(*bytes).unwrap_or(usize::MAX), 0),
    }
}

/// Applies `change` sector by sector, each with a chance of `chance` in 4.
pub(super) fn apply_torn(content: &mut Vec<u8>, change: &Change, chance: u64, seed: &mut u64) {
    match change {
        Change::Write(offset, bytes) => {
            let mut at = 0;
            while let Some(rest) = bytes.get(at..).filter(|r| !r.is_empty()) {
                let inside = usize::try_from((offset + at as u64) % SECTOR_BYTES as u64).unwrap_or(0);
                let piece = rest.get(..SECTOR_BYTES - inside).unwrap_or(rest);
                if random(seed) % 4 < chance {
                    write_into(content, offset + at as u64, piece);
                }
                at += piece.len();
            }
        }
        Change::SetLen(_) if random(seed) % 4 < chance => apply(content, change),
        Change::SetLen(_) => {}
    }
}
