//! How near `platform::process` comes to the limit that the kernel sets for starting programs.
//!
//! The rate of tasks of a worker is bounded by starts, so each microsecond that is added to the bare system calls
//! shows. Both sides start the same program the same number of times with as many threads, in alternating rounds of
//! one run; only ratios mean anything, and on a machine that others use only those of processor time.
//!
//! Run: `cargo bench --bench spawn`. The program is `/bin/true`, or the first argument that is an absolute path.

use std::ffi::CString;
use std::path::Path;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};

use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeValLike;

use hyperqueue::platform::process::{Environment, Output, SpawnJob, SpawnSpec, Spawner, Status, Stdin, lease_term};

const THREADS: usize = 2;
const STARTS: usize = 4000;
const ROUNDS: usize = 7;

/// The argument that makes this program measure the bare calls only.
const BARE: &str = "--bare";

fn main() {
    let program = std::env::args().skip(1).find(|word| word.starts_with('/')).unwrap_or("/bin/true".into());
    if std::env::args().any(|word| word == BARE) {
        let cost = bare(&program);
        println!("{} {}", cost.rate, cost.cpu_us);
        return;
    }
    let dir = std::env::temp_dir();
    println!("{program}, {STARTS} starts a round, {THREADS} threads; median of {ROUNDS} alternating rounds");
    let pool = Spawner::start(THREADS, STARTS).unwrap();
    let null = Output::Null;
    let file = Output::File(dir.join(format!("hq-bench-spawn-{}", std::process::id())));
    let mut costs = [const { Vec::new() }; 4];
    for _ in 0..ROUNDS {
        costs[0].push(bare_beside(&program));
        costs[1].push(through_pool(&pool, &program, &dir, THREADS, &null));
        costs[2].push(through_pool(&pool, &program, &dir, THREADS * 2, &null));
        costs[3].push(through_pool(&pool, &program, &dir, THREADS * 2, &file));
    }
    if let Output::File(path) = &file {
        let _ = std::fs::remove_file(path);
    }
    let rates = costs.each_ref().map(|costs| median(costs.iter().map(|cost| cost.rate)));
    let cpus = costs.each_ref().map(|costs| median(costs.iter().map(|cost| cost.cpu_us)));
    let names = ["bare posix_spawn + waitpid", "pool, 2 at a time", "pool, 4 at a time", "pool, 4, stdout to a file"];
    for ((name, rate), cpu) in names.iter().zip(rates).zip(cpus) {
        let (rate_ratio, cpu_ratio) = (rate / rates[0], cpus[0] / cpu);
        println!("{name:<27} {rate:>6.0} /s, ratio {rate_ratio:.3}; {cpu:>5.0} us of cpu each, ratio {cpu_ratio:.3}");
    }
}

/// What starting and reaping cost.
struct Cost {
    /// Programs a second.
    rate: f64,
    /// Processor time of this process and of the programs, a program, microseconds.
    cpu_us: f64,
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// Runs `starts`, which starts and reaps `STARTS` programs.
fn cost(starts: impl FnOnce()) -> Cost {
    let (start, cpu_before) = (Instant::now(), cpu());
    starts();
    let rate = STARTS as f64 / start.elapsed().as_secs_f64();
    Cost { rate, cpu_us: (cpu() - cpu_before).as_secs_f64() * 1e6 / STARTS as f64 }
}

/// Processor time of this process and of its reaped children so far.
fn cpu() -> Duration {
    let times = [UsageWho::RUSAGE_SELF, UsageWho::RUSAGE_CHILDREN].map(|who| {
        let usage = getrusage(who).unwrap();
        usage.user_time() + usage.system_time()
    });
    let total = times[0] + times[1];
    Duration::from_micros(total.num_microseconds() as u64)
}

/// [`bare`] in a process of its own: the reaper of this one would look at its children too.
fn bare_beside(program: &str) -> Cost {
    let mut command = std::process::Command::new(std::env::current_exe().unwrap());
    let output = command.args([BARE, program]).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let (rate, cpu_us) = text.trim().split_once(' ').unwrap();
    Cost { rate: rate.parse().unwrap(), cpu_us: cpu_us.parse().unwrap() }
}

/// The limit: nothing but the two calls.
fn bare(program: &str) -> Cost {
    let program = CString::new(program).unwrap();
    let variables: Vec<CString> =
        std::env::vars().map(|(name, value)| CString::new(format!("{name}={value}")).unwrap()).collect();
    let start_some = || {
        let words = [program.as_ptr(), std::ptr::null()];
        let environment: Vec<_> = variables.iter().map(|text| text.as_ptr()).chain([std::ptr::null()]).collect();
        for _ in 0..STARTS / THREADS {
            bare_start(&program, words.as_ptr(), environment.as_ptr());
        }
    };
    cost(|| {
        std::thread::scope(|scope| {
            for _ in 0..THREADS {
                scope.spawn(start_some);
            }
        });
    })
}

fn bare_start(program: &CString, words: *const *const libc::c_char, environment: *const *const libc::c_char) {
    let mut pid = 0;
    let mut status = 0;
    // SAFETY: `words` and `environment` are null-terminated arrays of C strings that outlive the calls.
    unsafe {
        let (no_actions, no_attributes) = (std::ptr::null(), std::ptr::null());
        let (words, environment) = (words.cast(), environment.cast());
        let result = libc::posix_spawn(&mut pid, program.as_ptr(), no_actions, no_attributes, words, environment);
        assert_eq!(result, 0);
        assert_eq!(libc::waitpid(pid, &mut status, 0), pid);
    }
    assert_eq!(status, 0);
}

/// The same through the pool and the reaper, with `at_a_time` programs started or running.
fn through_pool(pool: &Spawner, program: &str, cwd: &Path, at_a_time: usize, stdout: &Output) -> Cost {
    let spec = SpawnSpec {
        renames: Vec::new(),
        words: vec![program.into()],
        cwd: cwd.to_path_buf(),
        environment: Environment::inherited(),
        stdin: Stdin::Null,
        stdout: stdout.clone(),
        stderr: Output::Null,
    };
    let (ended, ends): (Sender<bool>, Receiver<bool>) = channel();
    cost(|| {
        for number in 0..STARTS {
            if number >= at_a_time {
                assert!(ends.recv().unwrap());
            }
            let ended = ended.clone();
            let job = SpawnJob {
                spec: spec.clone(),
                term: lease_term(),
                on_started: Box::new(|result| drop(result.unwrap())),
                on_exit: Box::new(move |exit| ended.send(exit.status == Status::Code(0)).unwrap()),
            };
            pool.submit(job).unwrap();
        }
        for _ in 0..at_a_time {
            assert!(ends.recv().unwrap());
        }
    })
}
