//! The batch system: gives workers late, twice or not at all, and takes them back.

use crate::world::{Event, World};
use hq_core::resource::{Amount, Pool, PoolKind, WorkerResources};
use hq_core::time::Span;
use hq_core::worker::{OnServerLost, WorkerConfig};

/// What was asked for and has not come.
#[derive(Debug, Default)]
pub struct Batch {
    asked: u64,
}

fn pool(name: &str, kind: PoolKind) -> Pool {
    Pool { name: name.into(), kind }
}

impl World {
    /// Looks how many workers there are.
    pub fn batch(&mut self) {
        if !self.faults_on {
            return;
        }
        let mean = self.settings.batch_us;
        let after = self.dice.within(mean / 4, mean * 2);
        self.at(after, Event::Batch);
        if (self.workers.len() as u64) < self.settings.workers {
            self.batch.asked += 1;
            let number = self.batch.asked;
            let wait = self.dice.span(1_000, 10_000_000);
            self.at(wait, Event::Arrival { number });
            // The answer was lost, and it was asked again.
            if self.dice.permille(50) {
                self.at(wait + 1_000_000, Event::Arrival { number });
            }
        }
    }

    /// A worker starts on a machine that the batch system has given.
    pub fn arrival(&mut self, _number: u64) {
        if !self.faults_on || self.workers.len() as u64 > self.settings.workers + 2 {
            return;
        }
        let limit = self.dice.permille(self.settings.time_limited).then(|| self.dice.span(5_000, 600_000));
        let config = self.random_config(limit.map(Span::from_ms));
        let offset =
            if self.dice.permille(100) { i64::try_from(self.dice.span(1_000, 86_400_000_000)).unwrap_or(0) } else { 0 };
        let offset = if self.dice.permille(500) { offset } else { -offset };
        let slot = self.new_worker(config, offset);
        if let Some(limit) = limit {
            self.at(limit * 1_000 + 8_000_000, Event::End { worker: slot });
        }
    }

    fn random_config(&mut self, time_limit: Option<Span>) -> WorkerConfig {
        let cpus = self.dice.span(1, 16) as u32;
        let mut pools = vec![pool("cpus", PoolKind::range(0, cpus - 1))];
        if self.dice.permille(300) {
            let gpus = self.dice.within(1, 4) as u32;
            pools.push(pool("gpus", PoolKind::range(0, gpus - 1)));
        }
        if self.dice.permille(200) {
            pools.push(pool("mem", PoolKind::Sum(Amount::units(self.dice.within(1, 8) as u32))));
        }
        let mut config = self.config(pools);
        config.group = if self.dice.permille(700) { "a".into() } else { "b".into() };
        config.time_limit = time_limit;
        config.on_server_lost = if self.dice.permille(300) { OnServerLost::FinishRunning } else { OnServerLost::Stop };
        config.idle_timeout = self.dice.permille(100).then(|| Span::from_ms(self.dice.span(200, 60_000)));
        config.retract_check = Some(Span::from_secs(5));
        config
    }

    fn config(&self, pools: Vec<Pool>) -> WorkerConfig {
        WorkerConfig {
            resources: WorkerResources { pools, ..WorkerResources::default() },
            hostname: format!("node{}", self.last_slot + 1),
            heartbeat: Span::from_ms(self.settings.heartbeat_ms),
            ..WorkerConfig::default()
        }
    }

    /// Sees to it that there are workers that can run everything.
    pub fn large_workers(&mut self) {
        let there = self.workers.values().filter(|worker| worker.config.group == "large" && !worker.drains).count();
        (there..3).for_each(|_| self.large_worker());
    }

    fn large_worker(&mut self) {
        let pools = vec![
            pool("cpus", PoolKind::range(0, 15)),
            pool("gpus", PoolKind::range(0, 3)),
            pool("mem", PoolKind::Sum(Amount::units(8))),
        ];
        let mut config = self.config(pools);
        config.group = "large".into();
        config.idle_timeout = Some(Span::from_secs(30 * 24 * 3_600));
        self.new_worker(config, 0);
    }
}
