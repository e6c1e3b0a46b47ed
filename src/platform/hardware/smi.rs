//! The names of the parts of divided GPUs, as `nvidia-smi -L` tells them.
//!
//! The driver's files show which parts there are, but not by which names programs choose them.
//!
//! Invariants: the program is asked once, and only on a machine with a divided GPU; without an answer names are unknown.

use super::gpu::Mig;
use crate::platform::capture;
use std::collections::BTreeMap;
use std::time::Duration;

const PROGRAM: &str = "nvidia-smi";
/// How long it may take; on machines with many GPUs it takes seconds.
const LIMIT: Duration = Duration::from_secs(20);
const BYTES_MAX: usize = 1024 * 1024;

/// Asks the program; by number of the GPU and of the part.
pub(super) fn mig_names() -> BTreeMap<(u32, u32), String> {
    match capture::output(PROGRAM, &["-L"], LIMIT, BYTES_MAX) {
        Ok(bytes) => parse(&String::from_utf8_lossy(&bytes)),
        Err(error) => {
            log::warn!("{PROGRAM} does not tell the names of MIG instances, names of the old form are used: {error}");
            BTreeMap::new()
        }
    }
}

/// Lines `GPU 0: <name> (UUID: GPU-..)`, each followed by `  MIG <profile> Device 0: (UUID: MIG-..)` for its parts.
fn parse(text: &str) -> BTreeMap<(u32, u32), String> {
    let mut names = BTreeMap::new();
    let mut gpu = None;
    for line in text.lines() {
        let number_after = |word: &str| {
            let rest = line.split_once(word)?.1.trim_start();
            rest.split(':').next()?.trim().parse::<u32>().ok()
        };
        if line.starts_with("GPU ") {
            gpu = number_after("GPU ");
        } else if line.trim_start().starts_with("MIG ")
            && let (Some(gpu), Some(part)) = (gpu, number_after("Device "))
            && let Some((_, uuid)) = line.rsplit_once("UUID: ")
        {
            names.insert((gpu, part), uuid.trim_end().trim_end_matches(')').to_owned());
        }
    }
    names
}

/// The name of one part.
pub(super) fn name_of(names: &BTreeMap<(u32, u32), String>, mig: &Mig) -> Option<String> {
    names.get(&(mig.gpu, mig.part)).cloned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        let text = "\
GPU 0: NVIDIA H100 80GB HBM3 (UUID: GPU-5d5ba0d6-d33d-2b2c-524d-9e3d8d2b8a77)
  MIG 3g.40gb     Device  0: (UUID: MIG-11111111-aaaa-5b4f-8b0c-000000000001)
  MIG 1g.10gb     Device  1: (UUID: MIG-11111111-aaaa-5b4f-8b0c-000000000002)
GPU 1: NVIDIA H100 80GB HBM3 (UUID: GPU-5d5ba0d6-d33d-2b2c-524d-9e3d8d2b8a78)
No devices found.
  MIG nonsense
";
        let names = parse(text);
        let name = |gpu, part| name_of(&names, &Mig { gpu, part });
        assert_eq!(name(0, 1).as_deref(), Some("MIG-11111111-aaaa-5b4f-8b0c-000000000002"));
        assert_eq!((name(1, 0), names.len()), (None, 2));
    }
}
