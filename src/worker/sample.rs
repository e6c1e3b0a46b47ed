//! Overviews: samples how busy the machine is, again and again, and hands the newest to the connection.
//!
//! A thread of its own, because the programs that know GPUs take seconds; nothing else waits for it.
//!
//! What holds: there is no thread unless overviews are wanted; it ends with its [`Sampler`]; a maker's program that failed
//! [`FAILURES_MAX`] times in a row is not asked again.

use super::detect::{AMD, NVIDIA};
use super::error::Error;
use super::options::WorkerOptions;
use super::outbound::Outbound;
use crate::platform::usage::{self, CpuTimes};
use crate::platform::{capture, clock};
use hq_core::overview::{GpuUse, HardwareUse};
use hq_core::worker::WorkerConfig;
use std::path::Path;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

/// Failures in a row after which a program is not asked any more.
const FAILURES_MAX: u32 = 3;

/// The thread that samples; it ends when this is dropped.
pub(super) struct Sampler {
    _stop: SyncSender<()>,
}

/// One maker's GPUs.
struct Family {
    program: &'static str,
    ask: fn() -> Result<Vec<GpuUse>, capture::Error>,
    failures: u32,
}

struct Sampling {
    outbound: Weak<Outbound>,
    cpus: CpuTimes,
    nvidia: Option<Family>,
    amd: Option<Family>,
}

/// Starts sampling, if the worker is to tell overviews.
///
/// # Errors
/// [`Error::System`] without a thread.
pub(super) fn start(
    options: &WorkerOptions,
    config: &WorkerConfig,
    outbound: &Arc<Outbound>,
) -> Result<Option<Sampler>, Error> {
    let Some(interval) = config.overview_interval else { return Ok(None) };
    let family = |name: &str, short: &str, program, ask| {
        if options.resources.iter().any(|pool| pool.name == name) {
            log::info!("Observing {short} GPU usage because of manually passed resource {name}");
        }
        let offers = config.resources.pools.iter().any(|pool| pool.name == name);
        offers.then_some(Family { program, ask, failures: 0 })
    };
    let sampling = Sampling {
        outbound: Arc::downgrade(outbound),
        cpus: CpuTimes::read(Path::new("/")),
        nvidia: family(NVIDIA, "nvidia", "nvidia-smi", usage::nvidia),
        amd: family(AMD, "amd", "rocm-smi", usage::amd),
    };
    let (stop, stopped) = sync_channel(1);
    let thread = std::thread::Builder::new().name("hq-sample".into());
    // The thread may be waiting for a program when the worker ends, so nobody waits for the thread.
    let begun = thread.spawn(move || sampling.run(interval.to_duration(), &stopped));
    drop(begun.map_err(Error::system("starting a thread"))?);
    Ok(Some(Sampler { _stop: stop }))
}

impl Sampling {
    fn run(mut self, interval: Duration, stopped: &Receiver<()>) {
        let mut next = Instant::now() + interval;
        while stopped.recv_timeout(next.saturating_duration_since(Instant::now())) == Err(RecvTimeoutError::Timeout) {
            let sample = self.sample();
            let Some(outbound) = self.outbound.upgrade() else { return };
            outbound.tell(sample);
            // What took longer than the interval is not made up for.
            next = (next + interval).max(Instant::now());
        }
    }

    fn sample(&mut self) -> Box<HardwareUse> {
        let root = Path::new("/");
        let cpus = CpuTimes::read(root);
        let (memory_total_bytes, memory_free_bytes) = usage::memory(root);
        let sample = HardwareUse {
            at_s: clock::wall_us() / 1_000_000,
            cpus: cpus.since(&self.cpus),
            memory_total_bytes,
            memory_free_bytes,
            network: usage::network(root),
            nvidia: self.nvidia.as_mut().map(Family::sample),
            amd: self.amd.as_mut().map(Family::sample),
        };
        self.cpus = cpus;
        Box::new(sample)
    }
}

impl Family {
    fn sample(&mut self) -> Vec<GpuUse> {
        if self.failures >= FAILURES_MAX {
            return Vec::new();
        }
        match (self.ask)() {
            Ok(gpus) => {
                self.failures = 0;
                gpus
            }
            Err(error) => {
                self.failures += 1;
                if self.failures == FAILURES_MAX {
                    log::warn!("GPUs are not observed any more, because `{}` fails: {error}", self.program);
                }
                Vec::new()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicU32, Ordering};

    #[test]
    fn a_program_that_fails_is_given_up() {
        static ASKED: AtomicU32 = AtomicU32::new(0);
        fn ask() -> Result<Vec<GpuUse>, capture::Error> {
            // Works once after two failures.
            match ASKED.fetch_add(1, Ordering::Relaxed) {
                2 => Ok(vec![GpuUse::default()]),
                _ => Err(capture::Error::TooLong(1)),
            }
        }
        let mut family = Family { program: "x", ask, failures: 0 };
        let seen: Vec<usize> = (0..10).map(|_| family.sample().len()).collect();
        assert_eq!(seen, [0, 0, 1, 0, 0, 0, 0, 0, 0, 0]);
        assert_eq!(ASKED.load(Ordering::Relaxed), 6);
    }
}
