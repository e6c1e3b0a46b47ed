//! How busy this machine is: CPUs, memory and network by the kernel's files, GPUs by the programs of their makers.
//!
//! Invariants: every reader takes the root of the file system; what cannot be read is zero or left out, never an error that
//! ends anything; shares are in 1/100 percent and at most 10000.

use super::capture;
use hq_core::overview::{GpuUse, NetworkUse};
use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

/// The whole, in 1/100 percent.
const WHOLE: u64 = 10_000;
/// How long a program may take.
const QUERY_LIMIT: Duration = Duration::from_secs(10);
const ANSWER_BYTES_MAX: usize = 1024 * 1024;

/// Times of each CPU since the start of the machine, in ticks: those that it was busy, and all.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CpuTimes(BTreeMap<u32, (u64, u64)>);

impl CpuTimes {
    /// Reads `proc/stat` below `root`; see proc(5).
    pub fn read(root: &Path) -> Self {
        Self::parse(&std::fs::read_to_string(root.join("proc/stat")).unwrap_or_default())
    }

    fn parse(text: &str) -> Self {
        let cpu = |line: &str| {
            let mut fields = line.strip_prefix("cpu")?.split_whitespace();
            let number: u32 = fields.next()?.parse().ok()?;
            // user, nice, system, idle, iowait, irq, softirq, steal; what guests used is part of user and nice.
            let times: Vec<u64> = fields.take(8).map_while(|field| field.parse().ok()).collect();
            let all = times.iter().fold(0_u64, |sum, time| sum.saturating_add(*time));
            let idle = times.iter().skip(3).take(2).fold(0_u64, |sum, time| sum.saturating_add(*time));
            Some((number, (all.saturating_sub(idle), all)))
        };
        Self(text.lines().filter(|line| !line.starts_with("cpu ")).filter_map(cpu).collect())
    }

    /// The use of each CPU, by number, since an earlier reading.
    pub fn since(&self, earlier: &Self) -> Vec<u32> {
        let share = |(number, (busy, all)): (&u32, &(u64, u64))| {
            let (busy_before, all_before) = earlier.0.get(number).copied().unwrap_or_default();
            part(busy.saturating_sub(busy_before), all.saturating_sub(all_before))
        };
        self.0.iter().map(share).collect()
    }
}

/// A share in 1/100 percent; nothing of nothing is none.
fn part(of: u64, whole: u64) -> u32 {
    let share = (u128::from(of) * u128::from(WHOLE)).checked_div(u128::from(whole)).unwrap_or(0);
    u32::try_from(share.min(u128::from(WHOLE))).unwrap_or(0)
}

/// Memory of the machine, and what programs can still get of it, bytes.
pub fn memory(root: &Path) -> (u64, u64) {
    let text = std::fs::read_to_string(root.join("proc/meminfo")).unwrap_or_default();
    let field = |name: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(name));
        let kib = line.and_then(|line| line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok());
        kib.and_then(|kib| kib.checked_mul(1024)).unwrap_or(0)
    };
    (field("MemTotal:"), field("MemAvailable:"))
}

/// What passed all network interfaces: `proc/net/dev`.
pub fn network(root: &Path) -> NetworkUse {
    let text = std::fs::read_to_string(root.join("proc/net/dev")).unwrap_or_default();
    let mut sum = NetworkUse::default();
    for line in text.lines() {
        let Some((_, numbers)) = line.split_once(':') else { continue };
        let numbers: Vec<u64> = numbers.split_whitespace().map(|number| number.parse().unwrap_or(0)).collect();
        let at = |place: usize| numbers.get(place).copied().unwrap_or(0);
        // Eight columns for what was received, then as many for what was sent: bytes, packets, errors, ..
        for (field, place) in [
            (&mut sum.rx_bytes, 0),
            (&mut sum.rx_packets, 1),
            (&mut sum.rx_errors, 2),
            (&mut sum.tx_bytes, 8),
            (&mut sum.tx_packets, 9),
            (&mut sum.tx_errors, 10),
        ] {
            *field = field.saturating_add(at(place));
        }
    }
    sum
}

/// The use of the GPUs of NVIDIA, as `nvidia-smi` tells it.
///
/// # Errors
/// The program gives no answer.
pub fn nvidia() -> Result<Vec<GpuUse>, capture::Error> {
    let query = "--query-gpu=pci.bus_id,utilization.gpu,memory.used,memory.total";
    let bytes = capture::output("nvidia-smi", &["--format=csv,noheader", query], QUERY_LIMIT, ANSWER_BYTES_MAX)?;
    Ok(parse_nvidia(&String::from_utf8_lossy(&bytes)))
}

/// Lines such as `00000000:1B:00.0, 35 %, 1024 MiB, 81559 MiB`; what is `[N/A]` (the use of a divided GPU) is zero.
fn parse_nvidia(text: &str) -> Vec<GpuUse> {
    let gpu = |line: &str| {
        let mut fields = line.split(',').map(str::trim);
        let id = fields.next().filter(|id| !id.is_empty())?.to_owned();
        let mut numbers = fields.map(|field| field.split(' ').next().and_then(|number| number.parse::<u64>().ok()));
        let (processor, used, total) = (numbers.next()?, numbers.next()?, numbers.next()?);
        let memory = part(used.unwrap_or(0), total.unwrap_or(0));
        Some(GpuUse { id, processor: part(processor.unwrap_or(0), 100), memory })
    };
    text.lines().filter_map(gpu).collect()
}

/// The use of the GPUs of AMD, as `rocm-smi` tells it.
///
/// # Errors
/// The program gives no answer.
pub fn amd() -> Result<Vec<GpuUse>, capture::Error> {
    let arguments = ["--json", "--showuse", "--showbus", "--showmemuse"];
    let bytes = capture::output("rocm-smi", &arguments, QUERY_LIMIT, ANSWER_BYTES_MAX)?;
    Ok(parse_amd(&bytes))
}

/// An object with one for each card, sorted by the name of the card.
fn parse_amd(bytes: &[u8]) -> Vec<GpuUse> {
    let cards: BTreeMap<String, serde_json::Value> = serde_json::from_slice(bytes).unwrap_or_default();
    let gpu = |card: &serde_json::Value| {
        let text = |name: &str| card.get(name).and_then(|value| value.as_str()).map(str::trim);
        let share = |names: [&str; 2]| {
            let percent = names.iter().find_map(|name| text(name)?.parse::<f64>().ok()).unwrap_or(0.0);
            // The cast is of a number from 0 to 10000.
            (percent.clamp(0.0, 100.0) * 100.0).round() as u32
        };
        Some(GpuUse {
            id: text("PCI Bus")?.to_owned(),
            processor: share(["GPU use (%)", "GPU use (%)"]),
            // Newer versions of the program have another name.
            memory: share(["GPU memory use (%)", "GPU Memory Allocated (VRAM%)"]),
        })
    };
    let mut sorted: Vec<(&String, &serde_json::Value)> = cards.iter().collect();
    // `card10` after `card2`.
    sorted.sort_by_key(|(name, _)| (name.len(), *name));
    sorted.into_iter().filter_map(|(_, card)| gpu(card)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn root(name: &str, text: &str) -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
        root
    }

    #[test]
    fn cpus() {
        let at = |zero: &str, two: &str| {
            let text = format!("cpu  9 9 9 9\ncpu0 {zero}\ncpu2 {two}\nintr 5\nctxt 7\n");
            CpuTimes::read(root("proc/stat", &text).path())
        };
        let before = at("100 0 50 800 50 0 0 0 0 0", "0 0 0 100 0 0 0 0 0 0");
        let after = at("130 10 60 840 60 0 0 0 77 0", "0 0 0 150 50 0 0 0 0 0");
        assert_eq!(after.since(&before), [5_000, 0]);
        assert_eq!(after.since(&after), [0, 0]);
        // A CPU that came later, and one that seems to go backwards.
        assert_eq!(after.since(&CpuTimes::default()).len(), 2);
        assert_eq!(before.since(&after), [0, 0]);
        assert_eq!(CpuTimes::parse("cpux 1\ncpu\ncpu3 a b\n"), CpuTimes([(3, (0, 0))].into()));
        assert!(CpuTimes::read(Path::new("/nonexistent")).since(&after).is_empty());
    }

    #[test]
    fn memory_and_network() {
        let text = "MemTotal:       2048 kB\nMemFree: 1 kB\nMemAvailable:    1024 kB\n";
        assert_eq!(memory(root("proc/meminfo", text).path()), (2 << 20, 1 << 20));
        assert_eq!(memory(root("proc/meminfo", "MemTotal: x kB\nMemAvailable: 5").path()), (0, 0));
        let text = "\
Inter-|   Receive                                                |  Transmit
 face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop fifo colls carrier compressed
    lo: 1000 10 0 0 0 0 0 0 1000 10 0 0 0 0 0 0
  eth0:5000 50 1 0 0 0 0 0 700 7 2 0 0 0 0 0
 broken: 1
";
        let expected =
            NetworkUse { rx_bytes: 6_001, tx_bytes: 1_700, rx_packets: 60, tx_packets: 17, rx_errors: 1, tx_errors: 2 };
        assert_eq!(network(root("proc/net/dev", text).path()), expected);
    }

    #[test]
    fn gpus_of_nvidia() {
        let text = "\
00000000:1B:00.0, 35 %, 1024 MiB, 4096 MiB
00000000:43:00.0, [N/A], 40780 MiB, 81559 MiB
00000000:52:00.0, 0 %, [Insufficient Permissions], [N/A]
No devices were found

x,1
";
        let gpu = |id: &str, processor, memory| GpuUse { id: id.into(), processor, memory };
        let expected =
            [gpu("00000000:1B:00.0", 3_500, 2_500), gpu("00000000:43:00.0", 0, 5_000), gpu("00000000:52:00.0", 0, 0)];
        assert_eq!(parse_nvidia(text), expected);
    }

    #[test]
    fn gpus_of_amd() {
        let text = br#"{
            "card10": {"GPU use (%)": "7", "GPU memory use (%)": "3", "PCI Bus": "0000:C6:00.0"},
            "card2": {"GPU use (%)": "12.5", "GPU Memory Allocated (VRAM%)": "100", "PCI Bus": "0000:C1:00.0"},
            "card3": {"GPU use (%)": "N/A"},
            "system": {"Driver version": "6.2"}
        }"#;
        let gpu = |id: &str, processor, memory| GpuUse { id: id.into(), processor, memory };
        assert_eq!(parse_amd(text), [gpu("0000:C1:00.0", 1_250, 10_000), gpu("0000:C6:00.0", 700, 300)]);
        for text in ["", "[]", "WARNING: no GPU", r#"{"card0": 5}"#] {
            assert_eq!(parse_amd(text.as_bytes()), []);
        }
    }
}
