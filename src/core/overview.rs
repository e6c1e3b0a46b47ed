//! Overviews: how busy the hardware of a worker is, as the worker sampled it.
//!
//! They are shown and kept, and nothing is decided by them. Shares are whole numbers in 1/100 of a percent, so that an
//! event is the same bytes wherever it is made.

use crate::limits;

int_struct! {
    /// How busy one GPU is.
    #[derive(Eq)]
    pub struct GpuUse {
        /// PCI address.
        0 => pub id: String,
        /// Use of its processors, in 1/100 percent.
        1 => pub processor: u32,
        /// Use of its memory, in 1/100 percent.
        2 => pub memory: u32,
    }
}

int_struct! {
    /// What passed all network interfaces since the start of the machine.
    #[derive(Copy, Eq)]
    pub struct NetworkUse {
        /// Bytes received.
        0 => pub rx_bytes: u64,
        /// Bytes sent.
        1 => pub tx_bytes: u64,
        /// Packets received.
        2 => pub rx_packets: u64,
        /// Packets sent.
        3 => pub tx_packets: u64,
        /// Errors of receiving.
        4 => pub rx_errors: u64,
        /// Errors of sending.
        5 => pub tx_errors: u64,
    }
}

int_struct! {
    /// How busy the hardware of a worker is.
    #[derive(Eq)]
    pub struct HardwareUse {
        /// When it was sampled, Unix time in seconds.
        0 => pub at_s: u64,
        /// Use of each CPU of the machine since the sample before, in 1/100 percent.
        1 => pub cpus: Vec<u32>,
        /// Memory of the machine, bytes.
        2 => pub memory_total_bytes: u64,
        /// Memory that programs can still get, bytes.
        3 => pub memory_free_bytes: u64,
        /// The network.
        4 => pub network: NetworkUse,
        /// GPUs of NVIDIA; none where they are not observed.
        5 => pub nvidia: Option<Vec<GpuUse>>,
        /// GPUs of AMD; none where they are not observed.
        6 => pub amd: Option<Vec<GpuUse>>,
    }
}

impl HardwareUse {
    /// Whether it is one that a machine can have; a larger one is not kept.
    pub fn is_bounded(&self) -> bool {
        let gpus = || self.nvidia.iter().chain(&self.amd);
        let is_short = |gpu: &GpuUse| gpu.id.len() <= limits::OVERVIEW_GPU_ID_BYTES_MAX;
        self.cpus.len() <= limits::OVERVIEW_CPUS_MAX
            && gpus().all(|list| list.len() <= limits::OVERVIEW_GPUS_MAX && list.iter().all(is_short))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cbor;

    #[test]
    fn survives_encoding() {
        let gpu = GpuUse { id: "0000:1b:00.0".into(), processor: 1_250, memory: 0 };
        let whole = HardwareUse { at_s: 9, cpus: vec![0, 10_000], nvidia: Some(vec![gpu]), ..HardwareUse::default() };
        assert_eq!(cbor::decode::<HardwareUse>(&cbor::encode(&whole)), Ok(whole.clone()));
        // Observed, but none there.
        let none = HardwareUse { amd: Some(Vec::new()), ..HardwareUse::default() };
        assert_eq!(cbor::decode::<HardwareUse>(&cbor::encode(&none)), Ok(none.clone()));
        assert!(whole.is_bounded() && none.is_bounded());
    }

    #[test]
    fn what_no_machine_has_is_refused() {
        let cpus = vec![0; limits::OVERVIEW_CPUS_MAX + 1];
        assert!(!HardwareUse { cpus, ..HardwareUse::default() }.is_bounded());
        let many = vec![GpuUse::default(); limits::OVERVIEW_GPUS_MAX + 1];
        assert!(!HardwareUse { amd: Some(many), ..HardwareUse::default() }.is_bounded());
        let named = GpuUse { id: "x".repeat(limits::OVERVIEW_GPU_ID_BYTES_MAX + 1), ..GpuUse::default() };
        assert!(!HardwareUse { nvidia: Some(vec![named]), ..HardwareUse::default() }.is_bounded());
    }
}
