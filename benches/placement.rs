//! How good placing is and what it costs: workloads in virtual time on 1 to 1,024 workers, against what no schedule can
//! beat. `cargo bench --bench placement [-- --quick]`
//!
//! Holds: makespans are the same on every machine and in every run; times of the machine are measured.

#[path = "placement/simulate.rs"]
#[allow(dead_code)]
mod simulate;
#[path = "placement/workload.rs"]
mod workload;

/// Turns of the machine may take so long at most.
const TURN_MS_MAX: f64 = 50.0;

fn main() {
    let quick = std::env::args().any(|word| word == "--quick");
    let (tasks, workers): (u32, &[u32]) = if quick { (2_000, &[1, 16, 64]) } else { (10_000, &[1, 16, 256, 1_024]) };
    println!(
        "{tasks} tasks; seconds of virtual time. `ratio`: makespan over bound; `full`: how much of all there is was used;"
    );
    println!(
        "`tail`: what the makespan is above the bound, in longest tasks. Whoever does not know how long tasks run"
    );
    println!(
        "can only promise a tail of 1 (list scheduling; Graham, 1966). `us/task`: everything that the machine does"
    );
    println!("for a task, its reports included; `placing`: the part in which work is placed; then the turns.");
    println!(
        "{:<20} {:>7} {:>9} {:>9} {:>6} {:>6} {:>6} {:>6} {:>8} {:>8} {:>8} {:>8} {:>8}",
        "workload",
        "workers",
        "makespan",
        "bound",
        "ratio",
        "target",
        "tail",
        "full",
        "us/task",
        "placing",
        "us p50",
        "us p99",
        "ms max"
    );
    for workers in workers {
        for workload in workload::all(tasks, *workers) {
            report(&workload, *workers);
        }
    }
}

/// Simulates one workload and prints its line.
fn report(workload: &workload::Workload, workers: u32) {
    let figures = simulate::run(&workload.scenario);
    let makespan = figures.makespan.0 as f64 / 1e6;
    let ratio = makespan / workload.bound;
    let tail = (makespan - workload.bound) / workload.longest;
    let turn = |share: f64| {
        let at = ((figures.turns.len() - 1) as f64 * share) as usize;
        figures.turns.get(at).map_or(0.0, |turn| turn.as_secs_f64() * 1e6)
    };
    let per_task = |spent: std::time::Duration| spent.as_secs_f64() * 1e6 / figures.tasks.max(1) as f64;
    let longest = turn(1.0) / 1e3;
    let mut notes = Vec::new();
    if ratio > workload.target {
        notes.push(if tail <= 1.0 { "ratio above its target by the tail" } else { "ratio above its target" });
    }
    if longest > TURN_MS_MAX {
        notes.push("turn too long");
    }
    println!(
        "{:<20} {:>7} {:>9.2} {:>9.2} {:>6.3} {:>6.2} {:>6.2} {:>6.2} {:>8.2} {:>8.2} {:>8.2} {:>8.2} {:>8.3}  {}",
        workload.name,
        workers,
        makespan,
        workload.bound,
        ratio,
        workload.target,
        tail,
        workload.work / makespan,
        per_task(figures.spent),
        per_task(figures.placing),
        turn(0.5),
        turn(0.99),
        longest,
        notes.join(", "),
    );
}
