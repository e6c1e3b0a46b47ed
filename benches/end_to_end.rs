//! The end-to-end benchmark: the released binary against what the machine can do at best, in one run, as ratios.
//!
//! A figure alone says more about the machine than about the program. So each is taken beside its physical limit (a bare
//! posix_spawn loop, a bare append and fdatasync, spawning a process and waiting for it), in alternating rounds, and,
//! with `--other PATH`, beside a second binary with the same command line.
//!
//! What holds: nothing is asserted about time; everything runs in one temporary directory that is removed at the end;
//! every process that was started is ended.
//!
//! ```sh
//! cargo bench --bench end_to_end
//! cargo bench --bench end_to_end -- --quick --only throughput,latency --other /opt/old/hq
//! cargo bench --bench end_to_end -- --only graph
//! ```

mod end_to_end {
    pub mod bare;
    pub mod cluster;
    pub mod graph;
    pub mod journal;
    pub mod measure;
    pub mod report;
}

use std::path::PathBuf;
use std::process::ExitCode;

use end_to_end::measure::{self, Sizes};
use end_to_end::report::Report;

/// What was asked for on the command line.
struct Options {
    other: Option<PathBuf>,
    only: Vec<String>,
    quick: bool,
}

/// The parts in their order: name, what it measures.
const PARTS: &[(&str, &str)] = &[
    ("throughput", "tasks/s of a worker with two CPUs beside a bare posix_spawn loop with two threads"),
    ("latency", "`submit` and `submit --wait` beside spawning a program and waiting for it"),
    ("commit", "commit groups/s of the journal beside bare append and fdatasync"),
    ("graph", "tasks/s of graphs from job files beside as many independent tasks"),
    ("memory", "bytes a pending and a finished task, CPU a task, journal bytes a task, restart"),
];

fn parse(arguments: impl Iterator<Item = String>) -> Result<Options, String> {
    let mut options = Options { other: None, only: Vec::new(), quick: false };
    let mut arguments = arguments;
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            // Cargo adds it to every benchmark.
            "--bench" => {}
            "--quick" => options.quick = true,
            "--other" => {
                let path = arguments.next().ok_or("--other needs the path of a second hq")?;
                let path = std::fs::canonicalize(&path).map_err(|e| format!("--other {path}: {e}"))?;
                options.other = Some(path);
            }
            "--only" => {
                let names = arguments.next().ok_or("--only needs names of parts")?;
                options.only = names.split(',').map(str::to_owned).collect();
            }
            other => return Err(format!("unknown argument {other}; known: --quick, --only PARTS, --other PATH")),
        }
    }
    for name in &options.only {
        if !PARTS.iter().any(|(part, _)| part == name) {
            let known: Vec<&str> = PARTS.iter().map(|(part, _)| *part).collect();
            return Err(format!("--only {name}: the parts are {}", known.join(", ")));
        }
    }
    Ok(options)
}

fn run() -> Result<(), String> {
    let options = parse(std::env::args().skip(1))?;
    let own = PathBuf::from(env!("CARGO_BIN_EXE_hq"));
    let sizes = if options.quick { Sizes::quick() } else { Sizes::full() };
    let mut report = Report::new(options.other.is_some());
    println!("hq:    {}", own.display());
    if let Some(other) = &options.other {
        println!("other: {}", other.display());
    }
    for (name, what) in PARTS {
        if !options.only.is_empty() && !options.only.iter().any(|only| only == name) {
            continue;
        }
        eprintln!("-- {name}: {what}");
        let other = options.other.as_deref();
        match *name {
            "throughput" => measure::throughput(&own, other, &sizes, &mut report)?,
            "latency" => measure::latency(&own, other, &sizes, &mut report)?,
            "graph" => end_to_end::graph::graph(&own, &sizes, &mut report)?,
            "commit" => end_to_end::journal::commit(&sizes, &mut report)?,
            _ => measure::memory(&own, other, &sizes, &mut report)?,
        }
    }
    report.print();
    Ok(())
}

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("end_to_end: {message}");
            ExitCode::FAILURE
        }
    }
}
