//! Graphs: what dependencies cost beside the same tasks without them.
//!
//! Both come from job files, so that the way in is the same, and run on the same cluster in alternating rounds.
//!
//! What holds: all files have the same number of tasks with the same program; only `deps` differs.

use std::fmt::Write as _;
use std::path::Path;

use super::cluster::Cluster;
use super::measure::Sizes;
use super::report::{Better, Line, Report};

/// Layers of the layered graph.
const LAYERS: u64 = 10;

/// What tasks wait for.
#[derive(Clone, Copy)]
enum Shape {
    /// Nothing.
    Independent,
    /// Two tasks of the layer before.
    Layers,
    /// Up to three tasks anywhere before.
    Scattered,
}

/// A shape with its name, and what was found about it: the best times of submitting and of running, in seconds.
struct Found {
    shape: Shape,
    name: &'static str,
    submit: f64,
    drain: f64,
}

/// Times of graphs beside tasks that wait for nothing, without processes and with them.
pub fn graph(own: &Path, sizes: &Sizes, report: &mut Report) -> Result<(), String> {
    for (tasks, processes) in [(sizes.graph_tasks, false), (sizes.graph_processes, true)] {
        let with = if processes { "`/bin/true`" } else { "no processes" };
        let [independent, graphs @ ..] = rounds(own, sizes.rounds, tasks, processes)?;
        for graph in &graphs {
            let rate = |found: &Found| tasks as f64 / found.drain;
            report.add(Line {
                what: format!("{tasks} tasks in {}, {with}, tasks/s (limit: independent ones)", graph.name),
                limit: Some(rate(&independent)),
                own: rate(graph),
                other: None,
                better: Better::More,
            });
        }
        if !processes {
            for found in [&independent].into_iter().chain(&graphs) {
                report.add(Line {
                    what: format!("`job submit-file` of {tasks} tasks, {}, ms", found.name),
                    limit: None,
                    own: found.submit * 1e3,
                    other: None,
                    better: Better::Less,
                });
            }
        }
    }
    Ok(())
}

fn rounds(own: &Path, rounds: usize, tasks: u64, processes: bool) -> Result<[Found; 3], String> {
    let mut cluster = Cluster::start(own)?;
    cluster.add_worker("2", processes)?;
    let found = |shape, name| Found { shape, name, submit: f64::INFINITY, drain: f64::INFINITY };
    let mut all = [
        found(Shape::Independent, "no graph"),
        found(Shape::Layers, "layers"),
        found(Shape::Scattered, "a scattered graph"),
    ];
    for found in &all {
        std::fs::write(cluster.path(found.name), job_file(found.shape, tasks)).map_err(|e| e.to_string())?;
    }
    for _ in 0..rounds {
        for found in &mut all {
            found.submit = found.submit.min(cluster.time(&["job", "submit-file", found.name])?);
            found.drain = found.drain.min(cluster.time(&["job", "wait", "last"])?);
        }
    }
    Ok(all)
}

/// A job file with `tasks` tasks.
fn job_file(shape: Shape, tasks: u64) -> String {
    let mut text = String::new();
    let width = tasks.div_ceil(LAYERS);
    // Knuth's multiplier spreads what it multiplies over all numbers.
    let spread = |number: u64, among: u64| (number.wrapping_mul(2_654_435_761) >> 4) % among.max(1);
    for task in 0..tasks {
        let mut deps: Vec<u64> = match shape {
            Shape::Independent => Vec::new(),
            Shape::Layers if task < width => Vec::new(),
            Shape::Layers => vec![task - width, (task - width) / width * width + spread(task, width)],
            Shape::Scattered => (0..spread(task, 4)).map(|other| spread(task * 4 + other + 1, task)).collect(),
        };
        deps.retain(|on| *on < task);
        deps.sort_unstable();
        deps.dedup();
        let program = "command = [\"/bin/true\"]\nstdout = \"none\"\nstderr = \"none\"";
        // Writing to memory cannot fail.
        let _ = write!(text, "[[task]]\nid = {task}\n{program}\ndeps = {deps:?}\n\n");
    }
    text
}
