//! Overviews of workers as the journal's readers know them.
//!
//! Holds: shares are percent; a maker whose GPUs are not observed is null.

use hq_core::event::WorkerOverview;
use hq_core::overview::{GpuUse, HardwareUse};
use serde_json::{Value, json};

/// The keys of a `worker-overview` event.
pub fn overview(overview: &WorkerOverview) -> Value {
    json!({"id": overview.worker, "hw-state": overview.state.as_deref().map(|state| json!({"state": hardware(state)}))})
}

fn hardware(state: &HardwareUse) -> Value {
    let network = &state.network;
    json!({
        "timestamp": state.at_s,
        "cpu_usage": {
            "cpu_per_core_percent_usage": state.cpus.iter().map(|share| percent(*share)).collect::<Vec<_>>(),
        },
        "memory_usage": {"total": state.memory_total_bytes, "free": state.memory_free_bytes},
        "network_usage": {
            "rx_bytes": network.rx_bytes,
            "tx_bytes": network.tx_bytes,
            "rx_packets": network.rx_packets,
            "tx_packets": network.tx_packets,
            "rx_errors": network.rx_errors,
            "tx_errors": network.tx_errors,
        },
        "nvidia_gpus": state.nvidia.as_deref().map(gpus),
        "amd_gpus": state.amd.as_deref().map(gpus),
    })
}

fn gpus(list: &[GpuUse]) -> Value {
    let gpu = |gpu: &GpuUse| json!({"id": gpu.id, "processor_usage": percent(gpu.processor), "mem_usage": percent(gpu.memory)});
    json!({"gpus": list.iter().map(gpu).collect::<Vec<_>>()})
}

fn percent(parts: u32) -> f64 {
    f64::from(parts) / 100.0
}

#[cfg(test)]
mod tests {
    use super::*;
    use hq_core::id::WorkerId;
    use hq_core::overview::NetworkUse;

    #[test]
    fn shapes() {
        let gpu = GpuUse { id: "0000:1b:00.0".into(), processor: 3_550, memory: 10_000 };
        let network = NetworkUse { rx_bytes: 1, tx_bytes: 2, rx_packets: 3, tx_packets: 4, rx_errors: 5, tx_errors: 6 };
        let state = HardwareUse {
            at_s: 1_893_553_445,
            cpus: vec![0, 1_234],
            memory_total_bytes: 10,
            memory_free_bytes: 7,
            network,
            nvidia: Some(vec![gpu]),
            amd: None,
        };
        let event = WorkerOverview { worker: WorkerId(4), state: Some(Box::new(state)) };
        let expected = json!({"id": 4, "hw-state": {"state": {
            "timestamp": 1_893_553_445,
            "cpu_usage": {"cpu_per_core_percent_usage": [0.0, 12.34]},
            "memory_usage": {"total": 10, "free": 7},
            "network_usage": {
                "rx_bytes": 1, "tx_bytes": 2, "rx_packets": 3, "tx_packets": 4, "rx_errors": 5, "tx_errors": 6
            },
            "nvidia_gpus": {"gpus": [{"id": "0000:1b:00.0", "processor_usage": 35.5, "mem_usage": 100.0}]},
            "amd_gpus": null,
        }}});
        assert_eq!(overview(&event), expected);
        let none = WorkerOverview { worker: WorkerId(4), state: None };
        assert_eq!(overview(&none), json!({"id": 4, "hw-state": null}));
    }
}
