//! Workers in tables and JSON, against the texts that scripts read.

use super::*;
use hq_core::id::{TaskRef, WorkerId};
use hq_core::time::Time;
use hq_core::view::{LastStarted, WorkerEnd};
use hq_core::worker::WorkerConfig;

/// 2030-01-02T03:04:05Z
const STARTED: Time = Time(1_893_553_445_000_000);

fn worker(id: u32) -> WorkerView {
    let pools = vec![Pool { name: "cpus".into(), kind: PoolKind::range(0, 3) }];
    let config = WorkerConfig {
        resources: WorkerResources { pools, ..Default::default() },
        hostname: "node1".into(),
        group: "default".into(),
        work_dir: "/tmp/w".into(),
        listen_address: "node1:4000".into(),
        heartbeat: Span::from_secs(8),
        time_limit: Some(Span::from_secs(3_529)),
        extra: [("ProcessPid".to_owned(), "17".to_owned())].into(),
        ..WorkerConfig::default()
    };
    WorkerView { id: WorkerId(id), config: Box::new(config), started: STARTED, ..WorkerView::default() }
}

fn ended(id: u32, reason: LostReason) -> WorkerView {
    WorkerView { ended: Some(WorkerEnd { at: STARTED, reason }), ..worker(id) }
}

#[test]
fn a_list() {
    let mut in_slurm = ended(2, LostReason::TimeLimitReached);
    let facts = r#"{"manager":"Slurm","allocation_id":"1234","time_limit":null,"max_memory_mb":null}"#;
    in_slurm.config.extra.insert("JobManager".to_owned(), facts.to_owned());
    let workers = [worker(1), in_slurm];
    let expected = "\
+----+--------------------+----------+-----------+---------+----------------+
| ID | State              | Hostname | Resources | Manager | Manager Job ID |
+----+--------------------+----------+-----------+---------+----------------+
|  1 | RUNNING            | node1    | cpus 4    | None    | N/A            |
|  2 | TIME LIMIT REACHED | node1    | cpus 4    | SLURM   | 1234           |
+----+--------------------+----------+-----------+---------+----------------+
";
    assert_eq!(list(&workers, Palette::OFF), expected);
    assert_eq!(list_quiet(&workers), "1 RUNNING\n2 TIME LIMIT REACHED\n");
    assert_eq!(to_json(&workers[1], false)["allocation"], json!({"manager": "Slurm", "id": "1234"}));
    assert_eq!(state_word(&ended(1, LostReason::HeartbeatLost)), "HEARTBEAT LOST");
}

#[test]
fn details() {
    let mut view = worker(1);
    view.last_started = Some(LastStarted { task: TaskRef::new(3, 9), at: STARTED });
    (view.assigned_tasks, view.running_tasks) = (3, 2);
    let expected = "\
+-------------------+-------------------------------------+
| Worker            | 1                                   |
| State             | RUNNING                             |
| Hostname          | node1                               |
| Started           | \"2030-01-02T03:04:05Z\"              |
| Data provider     | node1:4000                          |
| Working directory | /tmp/w                              |
| Heartbeat         | 8s                                  |
| Idle timeout      | None                                |
| Overview interval | None                                |
| Resources         | cpus: 4                             |
| Time Limit        | 58m 49s                             |
| Process pid       | 17                                  |
| Group             | default                             |
| Manager           | None                                |
| Manager Job ID    | N/A                                 |
| Last task started | 3@9; Time: \"2030-01-02T03:04:05Z\"   |
| Runtime Info      | assigned tasks: 3; running tasks: 2 |
+-------------------+-------------------------------------+
";
    assert_eq!(info(&view, true, Palette::OFF), expected);
    assert!(!info(&view, false, Palette::OFF).contains("Runtime Info"));
    assert!(!info(&ended(1, LostReason::Stopped), true, Palette::OFF).contains("Runtime Info"));
}

#[test]
fn a_worker_of_a_multi_node_task() {
    let role = |gang| WorkerView { gang, ..worker(1) };
    let text = |gang| info(&role(gang), true, Palette::OFF);
    assert!(text(GangRole::Root).contains("| Runtime Info      | running multinode task; main node "));
    assert!(text(GangRole::Node).contains("| Runtime Info      | running multinode task; secondary node "));
    let runtime = |gang| to_json(&role(gang), true)["runtime_info"].clone();
    assert_eq!(runtime(GangRole::Root), json!({"MultiNodeTask": {"main_node": true}}));
    assert_eq!(runtime(GangRole::Node), json!({"MultiNodeTask": {"main_node": false}}));
}

#[test]
fn in_json() {
    let mut view = worker(1);
    view.running_tasks = 1;
    let expected = json!({
        "id": 1,
        "configuration": {
            "hostname": "node1", "listen_address": "node1:4000", "work_dir": "/tmp/w", "group": "default",
            "heartbeat_interval": 8.0, "idle_timeout": null, "time_limit": 3529.0,
            "on_server_lost": "stop", "min_utilization": 0.0,
            "resources": {
                "resources": [{"name": "cpus", "kind": "range", "start": 0, "end": 3}],
                "coupling": {"weights": []},
            },
        },
        "allocation": null,
        "started": "2030-01-02T03:04:05Z",
        "ended": null,
        "last_task_started": null,
        "runtime_info": {"SingleNodeTasks": {"assigned_tasks": 0, "running_tasks": 1, "is_reserved": false}},
    });
    assert_eq!(to_json(&view, true), expected);
    assert_eq!(to_json(&view, false)["runtime_info"], Value::Null);
    assert_eq!(to_json(&ended(1, LostReason::Stopped), true)["ended"], json!({"at": "2030-01-02T03:04:05Z"}));
}
