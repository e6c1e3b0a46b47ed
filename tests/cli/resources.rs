//! What tasks ask for and what they get of a worker's resources.
//!
//! Options, tables and the environment of the task have to agree on it.
//!
//! Holds: a wrong request is refused where it is typed, and nothing is submitted then.

use crate::harness::{Cluster, wait_until};
use serde_json::json;

#[test]
fn requests_are_shown_as_they_were_made() {
    let cluster = Cluster::start();
    let options = ["--resource=foo=1.50 tight!", "--resource", "bar/x = all", "--weight=2.5", "--time-request=1:00:00"];
    let words = ["submit"].iter().chain(&options).chain(&["--pin=omp", "--task-dir", "true"]).copied();
    cluster.hq(&words.collect::<Vec<_>>()).ok();
    let info = cluster.hq(&["job", "info", "1"]).ok();
    assert_eq!((info.cell("Resources"), info.cell("Pin")), ("bar/x: all".into(), "omp".into()));
    info.prints("| cpus: 1 compact").prints("| foo: 1.5 tight!").prints("| [weight: 2.5]");
    let desc = &cluster.json(&["job", "info", "1"])[0]["submits"][0]["array"];
    let entries = json!([
        {"resource": "cpus", "request": {"Compact": 10000}},
        {"resource": "foo", "request": {"ForceTight": 15000}},
        {"resource": "bar/x", "request": "All"},
    ]);
    let expected = json!([{"n_nodes": 0, "min_time": 3600.0, "weight": 25000, "resources": entries}]);
    assert_eq!(desc["resources"], expected);
    assert_eq!((&desc["pin_mode"], &desc["task_dir"]), (&json!("openmp"), &json!(true)));
    cluster.submit(&["--pin=taskset", "true"]);
    assert_eq!(cluster.json(&["job", "info", "2"])[0]["submits"][0]["array"]["pin_mode"], json!("taskset"));
}

#[test]
fn wrong_requests_are_refused() {
    let cluster = Cluster::start();
    for (option, text) in [
        ("--resource=x=0", "Zero resources cannot be requested"),
        ("--resource=x=2 compakt", "\n  x=2 compakt\n      ^^^^^^^"),
        ("--resource=a_b=1", "\n  a_b=1\n   ^"),
        ("--cpus=1.00001", "precision exceeded"),
        ("--weight=0", "Resource weight has to be positive number"),
        ("--weight=nan", "Resource weight has to be positive number"),
        ("--weight=0.00001", "Resource weight has to be positive number"),
        ("--time-request=1x", "Could not parse PBS walltime"),
        ("--pin=cores", "invalid value 'cores' for '--pin <MODE>'"),
    ] {
        cluster.hq(&["submit", option, "true"]).code(2).says(text);
    }
    for option in ["--cpus=2", "--pin=omp"] {
        cluster.hq(&["submit", "--nodes=2", option, "true"]).code(2).says("cannot be used with");
    }
    let both = ["submit", "--cpus=2", "--resource=cpus=2", "true"];
    cluster.hq(&both).code(1).says("--cpus and --resource cpus=... cannot be combined");
    let twice = ["submit", "--resource=x=2", "--resource=x=1", "true"];
    cluster.hq(&twice).code(1).says("Resource 'x' defined more than once");
    assert_eq!(cluster.json(&["job", "list", "--all"]), json!([]));
}

/// Starts three tasks of which two fit, and looks that the third starts when one of the others ends.
fn two_of_three_run(cluster: &Cluster, request: &str) {
    let script = "while ! test -e go-$HQ_TASK_ID; do sleep 0.01; done";
    let cpus = format!("--cpus={request}");
    let job = cluster.submit(&["--array=0-2", &cpus, "--", "sh", "-c", script]);
    let running = || {
        let tasks = cluster.tasks(job);
        let running = tasks.iter().filter(|task| task["state"] == "running");
        running.map(|task| task["id"].as_u64().unwrap()).collect::<Vec<_>>()
    };
    wait_until("two run and one went back", || {
        let export = cluster.hq(&["journal", "export", "--all", "journal"]).ok().stdout;
        running().len() == 2 && export.contains("\"rejected\":true")
    });
    let first = running();
    cluster.write(&format!("go-{}", first[0]), "");
    wait_until("the third one runs", || running().iter().any(|id| !first.contains(id)));
    (0..3).for_each(|id| drop(cluster.write(&format!("go-{id}"), "")));
    cluster.wait_job(job, "FINISHED");
}

#[test]
fn a_fraction_is_not_put_together() {
    let mut cluster = Cluster::start_with(&["--journal=journal"]);
    cluster.start_worker(2);
    two_of_three_run(&cluster, "0.6");
}

#[test]
fn a_strict_request_waits_for_its_group() {
    let mut cluster = Cluster::start_with(&["--journal=journal"]);
    cluster.start_worker_with(&["--cpus=2x3"]);
    two_of_three_run(&cluster, "2 compact!");
}

#[test]
fn a_task_that_one_worker_cannot_place_runs_on_another() {
    let mut cluster = Cluster::start();
    cluster.start_worker_with(&["--cpus=2x3"]);
    let script = "while ! test -e go; do sleep 0.01; done";
    let words = ["--array=0-2", "--cpus=2 compact!", "--", "sh", "-c", script];
    let job = cluster.submit(&words);
    wait_until("two run", || cluster.tasks(job).iter().filter(|task| task["state"] == "running").count() == 2);
    cluster.start_worker_with(&["--cpus=2"]);
    wait_until("all run", || cluster.tasks(job).iter().filter(|task| task["state"] == "running").count() == 3);
    cluster.write("go", "");
    cluster.wait_job(job, "FINISHED");
}

/// Runs `env` as a task and gives the lines that begin so.
fn environment(cluster: &Cluster, options: &[&str], prefixes: &[&str]) -> Vec<String> {
    let words: Vec<&str> = options.iter().copied().chain(["--wait", "--", "env"]).collect();
    let job = cluster.submit(&words);
    let text = cluster.read(&format!("job-{job}/0.stdout"));
    let mut lines: Vec<String> =
        text.lines().filter(|line| prefixes.iter().any(|prefix| line.starts_with(prefix))).map(str::to_owned).collect();
    lines.sort_unstable();
    lines
}

#[test]
fn a_task_finds_what_it_was_given() {
    let mut cluster = Cluster::start();
    let resources = ["--cpus=[[a,b],[c,d]]", "--resource=gpus/nvidia=[x,y]", "--resource=mem=sum(100)"];
    cluster.start_worker_with(&resources);
    let prefixes = ["HQ_RESOURCE", "HQ_CPUS", "OMP_", "CUDA_", "ROCR_", "HQ_PIN"];
    let lines =
        environment(&cluster, &["--cpus=1.5 tight", "--resource=gpus/nvidia=0.5", "--resource=mem=10.5"], &prefixes);
    let cpus = lines.iter().find_map(|line| line.strip_prefix("HQ_CPUS=")).unwrap().to_owned();
    assert!(["a,b", "b,a", "c,d", "d,c"].contains(&cpus.as_str()), "{cpus}");
    let expected = [
        "CUDA_DEVICE_ORDER=PCI_BUS_ID",
        "CUDA_VISIBLE_DEVICES=y",
        &format!("HQ_CPUS={cpus}"),
        "HQ_RESOURCE_REQUEST_cpus=1.5 tight",
        "HQ_RESOURCE_REQUEST_gpus_nvidia=0.5 compact",
        "HQ_RESOURCE_REQUEST_mem=10.5 compact",
        &format!("HQ_RESOURCE_VALUES_cpus={cpus}"),
        "HQ_RESOURCE_VALUES_gpus_nvidia=y",
    ];
    assert_eq!(lines, expected);
    // GPUs that others may have been given are hidden, unless the job says otherwise.
    let expected = ["CUDA_VISIBLE_DEVICES=", "OMP_NUM_THREADS=4"];
    assert_eq!(environment(&cluster, &["--cpus=all"], &["CUDA_", "ROCR_", "OMP_"]), expected);
    let given = ["--env=CUDA_VISIBLE_DEVICES=x", "--env=OMP_NUM_THREADS=1", "--cpus=2"];
    let expected = ["CUDA_VISIBLE_DEVICES=x", "OMP_NUM_THREADS=1"];
    assert_eq!(environment(&cluster, &given, &["CUDA_", "ROCR_", "OMP_"]), expected);
}

#[test]
fn pinning() {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let allowed = status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:\t")).unwrap();
    let cpu = allowed.split(['-', ',']).next().unwrap();
    let mut cluster = Cluster::start();
    cluster.start_worker_with(&[&format!("--cpus=[{cpu}]")]);
    let omp = environment(&cluster, &["--pin=omp"], &["HQ_PIN", "OMP_"]);
    let places = format!("OMP_PLACES={{{cpu}}}");
    assert_eq!(omp, ["HQ_PIN=omp", "OMP_NUM_THREADS=1", &places, "OMP_PROC_BIND=close"]);
    if std::process::Command::new("taskset").arg("--version").output().is_err() {
        eprintln!("there is no taskset here; pinning by it is not tested");
        return;
    }
    let job = cluster.submit(&[
        "--pin=taskset",
        "--wait",
        "--",
        "sh",
        "-c",
        "echo $HQ_PIN; grep Cpus_allowed_list /proc/self/status",
    ]);
    assert_eq!(cluster.read(&format!("job-{job}/0.stdout")), format!("taskset\nCpus_allowed_list:\t{cpu}\n"));
}

#[test]
fn a_task_on_several_nodes_finds_them() {
    let mut cluster = Cluster::start();
    for name in ["n1.cluster", "n2.cluster"] {
        cluster.start_worker_with(&["--cpus=1", &format!("--hostname={name}")]);
    }
    let script = "cat $HQ_NODE_FILE $HQ_HOST_FILE; echo $HQ_NUM_NODES; dirname $HQ_NODE_FILE; echo $HQ_TASK_DIR; env | \
        grep -c -e HQ_RESOURCE -e HQ_CPUS -e OMP_NUM_THREADS";
    let job = cluster.submit(&["--nodes=2", "--wait", "--", "sh", "-c", script]);
    let output = cluster.read(&format!("job-{job}/0.stdout"));
    let lines: Vec<&str> = output.lines().collect();
    assert_eq!(lines[..5], ["n1", "n2", "n1.cluster", "n2.cluster", "2"], "{output}");
    assert!(lines[5] == lines[6] && lines[5].starts_with('/') && lines[7] == "0", "{output}");
    assert!(!std::path::Path::new(lines[5]).exists());
}

#[test]
fn a_task_directory_is_there_for_the_task_alone() {
    let cluster = Cluster::with_worker(1);
    let script = "test -d $HQ_TASK_DIR && echo $HQ_TASK_DIR && echo my reason > $HQ_ERROR_FILENAME; exit 3";
    let job = cluster.submit(&["--task-dir", "--wait", "--", "sh", "-c", script]);
    let dir = cluster.read(&format!("job-{job}/0.stdout"));
    assert!(!std::path::Path::new(dir.trim()).exists() && dir.contains("/t"), "{dir}");
    assert_eq!(cluster.tasks(job)[0]["error"], json!("my reason\n"));
}

/// A task that holds 64 MiB and waits until it is told to go on.
const HOG: &str =
    "s=$(head -c 67108864 /dev/zero | tr '\\0' x); while ! test -e go; do sleep 0.01; done; exit $((${#s} == 0))";

#[test]
fn a_task_that_uses_more_memory_than_it_asked_for_is_killed() {
    let mut cluster = Cluster::start();
    cluster.start_worker_with(&["--cpus=3", "--resource=mem=sum(1000)", "--mem-enforce=kill"]);
    let hog = cluster.submit(&["--resource=mem=16", "--", "sh", "-c", HOG]);
    let modest = cluster.submit(&["--resource=mem=500", "--", "sh", "-c", HOG]);
    let without = cluster.submit(&["--", "sh", "-c", HOG]);
    cluster.wait_job(hog, "FAILED");
    let error = cluster.tasks(hog)[0]["error"].as_str().unwrap().to_owned();
    assert!(error.starts_with("Memory limit exceeded: the task ") && error.contains("16 MiB"), "{error}");
    cluster.write("go", "");
    cluster.wait_job(modest, "FINISHED");
    cluster.wait_job(without, "FINISHED");
}

#[test]
fn an_excess_of_memory_is_said() {
    let mut cluster = Cluster::start();
    cluster.start_worker_with(&["--cpus=2", "--resource=mem=sum(1000)"]);
    let fine = cluster.submit(&["--resource=mem=16", "--", "sh", "-c", HOG]);
    let failing =
        cluster.submit(&["--resource=mem=16.5", "--", "sh", "-c", &format!("{HOG}; exit 3").replace("exit $", ": $")]);
    let log = || cluster.logs();
    for job in [fine, failing] {
        wait_until("the excess is said", || log().contains(&format!("WARN Task {job}@0 used ")));
    }
    cluster.write("go", "");
    cluster.wait_job(fine, "FINISHED");
    cluster.wait_job(failing, "FAILED");
    let error = cluster.tasks(failing)[0]["error"].as_str().unwrap().to_owned();
    let (usual, note) = error.split_once('\n').unwrap();
    assert_eq!(usual, "Program terminated with exit code 3.");
    assert!(
        note.starts_with("The task used ") && note.ends_with("of memory, 16.5 MiB were requested (mem)."),
        "{note}"
    );
    assert_eq!(log().matches(&format!("WARN Task {fine}@0 used ")).count(), 1, "{}", log());
}

#[test]
fn nobody_looks_at_memory_if_that_is_wanted() {
    let mut cluster = Cluster::start();
    cluster.start_worker_with(&["--cpus=1", "--resource=mem=sum(1000)", "--mem-enforce=off"]);
    cluster.write("go", "");
    let job = cluster.submit(&["--resource=mem=1", "--wait", "--", "sh", "-c", HOG]);
    assert_eq!(cluster.job_state(job).as_deref(), Some("FINISHED"));
    cluster.hq(&["worker", "start", "--mem-enforce=maybe"]).code(2).says("--mem-enforce");
}

#[test]
fn coupled_groups_go_together() {
    let mut cluster = Cluster::start();
    let coupling = "--coupling=cpus[0]:gpus/nvidia[1],cpus[1]:gpus/nvidia[0]";
    cluster.start_worker_with(&["--cpus=[[0,1],[2,3]]", "--resource=gpus/nvidia=[[a,b],[c,d]]", coupling]);
    for cpus in ["1", "2 compact!", "1.5 tight"] {
        let options = [&format!("--cpus={cpus}"), "--resource=gpus/nvidia=1"];
        let lines = environment(&cluster, &options, &["HQ_CPUS", "CUDA_VISIBLE_DEVICES"]);
        let value = |name: &str| lines.iter().find_map(|line| line.strip_prefix(name)).unwrap().to_owned();
        let (cpu, gpu) = (value("HQ_CPUS="), value("CUDA_VISIBLE_DEVICES="));
        assert_eq!(["0", "1"].contains(&&cpu[..1]), ["c", "d"].contains(&gpu.as_str()), "{lines:?}");
    }
}

#[test]
fn a_task_waits_for_a_worker_that_lives_long_enough() {
    let mut cluster = Cluster::start();
    cluster.start_worker_with(&["--cpus=2", "--time-limit=1h", "--retract-check-interval=1s"]);
    let same = cluster.submit(&["--time-request=1h", "true"]);
    let less = cluster.submit(&["--time-request=30m", "--wait", "true"]);
    assert_eq!(cluster.job_state(less).as_deref(), Some("FINISHED"));
    assert_eq!(cluster.job_state(same).as_deref(), Some("WAITING"));
    cluster.start_worker_with(&["--cpus=1"]);
    cluster.wait_job(same, "FINISHED");
}
