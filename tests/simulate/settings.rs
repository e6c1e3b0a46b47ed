//! What kind of history a seed tells: each has its own rates, so that some know no faults and some little else.
//!
//! Holds: everything follows from the seed.

use crate::dice::Dice;
use crate::faults::{self, Fault};

/// Rates are in thousandths, times in microseconds.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Events until the faults end.
    pub steps: u32,
    /// Workers that the batch manager tries to have.
    pub workers: u64,
    pub heartbeat_ms: u64,
    /// Largest way of a message.
    pub latency_us: u64,
    /// Longest sync of the disk.
    pub sync_us: u64,
    /// Mean time between actions of clients, between faults, and between acts of the batch manager.
    pub client_us: u64,
    pub fault_us: u64,
    pub batch_us: u64,
    /// Longest task, and whether the others last nearly as long.
    pub task_ms: u64,
    pub long_tasks: bool,
    /// Tasks that fail, and programs that cannot be started.
    pub fail: u64,
    pub spawn_fail: u64,
    /// Tasks that are tried again when they fail.
    pub retries: u64,
    /// Messages after which the connection breaks.
    pub break_rate: u64,
    /// Answers and requests of clients that are lost.
    pub client_loss: u64,
    /// Weights of the faults, in the order of `faults::Fault`.
    pub weights: Vec<u64>,
    /// Workers that do not see the files of the server.
    pub blind: u64,
    /// Workers whose batch system ends them.
    pub time_limited: u64,
    /// Bytes after which the journal begins a new file.
    pub rotate_bytes: u64,
    /// The reserve of the journal.
    pub ballast_bytes: usize,
    pub idle_timeout_s: u64,
    /// Whether marks are written at each commit.
    pub marks: bool,
}

/// A rate that is often zero and at most `max`.
fn rate(dice: &mut Dice, max: u64) -> u64 {
    if dice.permille(400) { 0 } else { dice.span(1, max) }
}

impl Settings {
    pub fn new(seed: u64) -> Self {
        let mut dice = Dice::new(seed ^ 0x5E77_1465);
        let dice = &mut dice;
        let quiet = dice.permille(50);
        let kinds = faults::KINDS - faults::SELDOM.len();
        let mut weights: Vec<u64> = (0..kinds).map(|_| if quiet { 0 } else { rate(dice, 100) }).collect();
        // Some know two kinds of faults only, and these often.
        let is_storm = !quiet && dice.permille(250);
        if is_storm {
            weights.fill(0);
            for _ in 0..2 {
                let kind = dice.below(kinds as u64) as usize;
                weights[kind] = 100;
            }
        }
        let settings = Self {
            steps: 2_000,
            workers: dice.span(1, 20),
            heartbeat_ms: dice.pick(&[500, 1_000, 2_000, 8_000]).copied().unwrap_or(1_000),
            latency_us: dice.span(50, 200_000),
            sync_us: dice.span(100, 100_000),
            client_us: dice.span(50_000, 4_000_000),
            fault_us: if is_storm { dice.span(300_000, 3_000_000) } else { dice.span(300_000, 30_000_000) },
            batch_us: dice.span(200_000, 10_000_000),
            task_ms: dice.span(1, 30_000),
            long_tasks: false,
            fail: rate(dice, 400),
            spawn_fail: rate(dice, 50),
            break_rate: if quiet { 0 } else { rate(dice, 300) },
            retries: dice.span(20, 1_000),
            client_loss: if quiet { 0 } else { rate(dice, 300) },
            weights,
            blind: rate(dice, 300),
            time_limited: rate(dice, 400),
            rotate_bytes: dice.span(2_000, 200_000),
            ballast_bytes: 0,
            idle_timeout_s: if dice.permille(200) { dice.within(1, 60) } else { 0 },
            marks: dice.permille(500),
        };
        let settings = if quiet || is_storm { settings } else { settings.in_mood(&mut Dice::new(seed ^ 0x004D_004F)) };
        if quiet { settings } else { settings.with_seldom(&mut Dice::new(seed ^ 0x5E1D_0147)) }
    }

    /// What has dice of its own, so that histories without it are what they were before it was there: in every third one.
    fn with_seldom(mut self, dice: &mut Dice) -> Self {
        let most = self.weights.iter().copied().max().unwrap_or(0).max(1);
        let first = faults::KINDS - faults::SELDOM.len();
        self.weights.resize(faults::KINDS, 0);
        for chosen in &mut self.weights[first..] {
            let weight = if dice.permille(350) { dice.within(1, 2 * most) } else { 0 };
            *chosen = weight.max(*chosen);
        }
        self.ballast_bytes = if dice.permille(250) { 64 * 1024 } else { 0 };
        self
    }

    /// Some histories lead to where little else does: tasks that crash again and again, servers that die while what they
    /// gave away is not durable, outcomes that are told twice, workers that are away and come back, long tasks on workers
    /// that are cut off or were given them by a server that is gone.
    fn in_mood(mut self, dice: &mut Dice) -> Self {
        let weigh = |pairs: &[(Fault, u64)]| {
            let of = |kind: &Fault| pairs.iter().find(|(found, _)| found == kind).map_or(0, |(_, weight)| *weight);
            faults::ALL.iter().map(of).collect()
        };
        match dice.below(8) {
            0 => {
                self.weights = weigh(&[(Fault::KillWorker, 100), (Fault::KillServer, 10)]);
                (self.fault_us, self.batch_us) = (dice.span(200_000, 2_000_000), dice.span(200_000, 1_000_000));
                (self.task_ms, self.workers, self.fail) = (dice.within(5_000, 60_000), dice.within(1, 4), 0);
                (self.time_limited, self.break_rate, self.long_tasks) = (0, 0, true);
            }
            1 => {
                self.weights = weigh(&[(Fault::KillServer, 100), (Fault::FreezeWorker, 15), (Fault::Partition, 15)]);
                (self.fault_us, self.sync_us) = (dice.span(300_000, 3_000_000), dice.within(20_000, 100_000));
                (self.latency_us, self.client_us) = (dice.within(50, 3_000), dice.span(50_000, 1_000_000));
                (self.task_ms, self.workers) = (dice.within(2_000, 30_000), dice.within(5, 20));
            }
            2 => {
                self.weights = weigh(&[(Fault::BreakLink, 100), (Fault::KillServer, 20)]);
                (self.fault_us, self.break_rate) = (dice.span(100_000, 2_000_000), 300);
                (self.fail, self.retries, self.task_ms) = (dice.within(200, 600), 1_000, dice.span(20, 2_000));
            }
            3 => {
                let kinds =
                    [Fault::FreezeWorker, Fault::Partition, Fault::FreezeServer, Fault::NoSigns, Fault::BreakLink];
                self.weights = weigh(&kinds.map(|kind| (kind, dice.within(1, 100))));
                (self.fault_us, self.task_ms) = (dice.span(500_000, 10_000_000), dice.within(5_000, 60_000));
                self.long_tasks = true;
                self.heartbeat_ms = dice.pick(&[500, 1_000, 2_000]).copied().unwrap_or(1_000);
            }
            4 => {
                self.weights = weigh(&[(Fault::Partition, 100), (Fault::LoseAssignment, 50)]);
                (self.fault_us, self.client_us) = (dice.span(1_000_000, 10_000_000), dice.span(500_000, 4_000_000));
                (self.task_ms, self.workers) = (dice.within(20_000, 90_000), dice.within(3, 20));
                (self.long_tasks, self.fail, self.break_rate) = (true, 0, 0);
                self.heartbeat_ms = dice.pick(&[500, 1_000, 2_000]).copied().unwrap_or(1_000);
            }
            _ => {}
        }
        self
    }
}
