//! Whatever a peer with a key sends: messages are changed at random, decoded as the server does, and handed to a real
//! machine.
//!
//! Hand-made enemies send what somebody thought of. This one thinks of nothing, and is many times faster than a socket.
//!
//! Holds: nothing panics, decoding takes bounded memory, and the machine's state stays consistent and equal to its
//! replay. The same seed gives the same run. `HQ_CAMPAIGN` is a number of seconds; a campaign writes messages that led
//! somewhere new to the directory that `HQ_CORPUS` names, from where they can be put into `tests/hostile/corpus`.

use crate::mutation::{Random, mutate, mutate_bytes};
use crate::peer::{all, job, registration, staying_task, task};
use ciborium::Value;
use hq_core::attempt::{AssignedTask, Attempt, Ending, HeldAttempt, Outcome, Registration, Started, WorkerReport};
use hq_core::audit::audit;
use hq_core::cbor::{Metered, encode, within_memory};
use hq_core::command::{Command, Effect, Output, Reply};
use hq_core::event::Stamped;
use hq_core::id::{Epoch, Fence, JobId, TaskId, TaskRef, WorkerId};
use hq_core::idset::IdSet;
use hq_core::limits;
use hq_core::machine::Machine;
use hq_core::resource::PoolKind;
use hq_core::task::{CrashLimit, Dependency, SubmitRequest};
use hq_core::time::{Span, Time};
use hq_core::worker::LostReason;
use hyperqueue::server::requests::{self, Plan};
use hyperqueue::wire::message::{CancelRequest, Empty, Request, Response, TaskPageRequest, ToServer};
use serde::de::DeserializeOwned;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Messages of the ordinary run.
const MESSAGES: u64 = 6_000;
/// Messages to one machine before its state is checked and it is replaced.
const LIFE: u64 = 400;

/// A server without sockets: a machine, what it recorded, and what its workers were given.
struct Server {
    machine: Machine,
    now: Time,
    events: Vec<Stamped>,
    given: BTreeMap<WorkerId, Vec<Attempt>>,
    outbox: u64,
}

impl Server {
    fn new() -> Self {
        let now = Time(1_700_000_000_000_000);
        let (machine, events, given) = (Machine::default(), Vec::new(), BTreeMap::new());
        let mut server = Self { machine, now, events, given, outbox: 0 };
        server.command(Command::StartServer { server_uid: "abc123".into(), epoch: Epoch(3), version: "1".into() });
        for name in ["one", "two", "three"] {
            server.register(honest(name));
        }
        server.command(Command::Submit(job("waiting", IdSet::range(0, 40), staying_task())));
        server.place();
        server
    }

    fn absorb(&mut self, output: Output) -> Reply {
        for effect in output.effects {
            match effect {
                Effect::Assign { worker, assignment } => {
                    let attempts = assignment.tasks.iter().map(|AssignedTask { task, attempt, .. }| Attempt {
                        task: TaskRef { job: assignment.key.job, task: *task },
                        fence: Fence { epoch: assignment.epoch, attempt: *attempt },
                    });
                    self.given.entry(worker).or_default().extend(attempts);
                }
                Effect::CloseWorker { worker } => drop(self.given.remove(&worker)),
                _ => {}
            }
        }
        // What is recorded has to be readable again.
        for stamped in &output.events {
            let (kind, body) = (stamped.event.kind(), stamped.event.encode_body());
            let back = hq_core::event::Event::decode_body(kind, &body).expect("an event that can be read again");
            assert_eq!(back.encode_body(), body);
        }
        self.events.extend(output.events);
        output.reply
    }

    fn command(&mut self, command: Command) -> Reply {
        self.now = self.now.after(Span::from_ms(3));
        let output = self.machine.handle(self.now, command);
        self.absorb(output)
    }

    fn place(&mut self) {
        let (output, _) = self.machine.place(self.now);
        self.absorb(output);
    }

    fn register(&mut self, registration: Registration) -> String {
        match self.command(Command::Register(Box::new(registration))) {
            Reply::Registered { worker, .. } => {
                self.given.entry(worker).or_default();
                "registered".to_owned()
            }
            reply => format!("{reply:?}"),
        }
    }

    /// What the server does with a message of a worker.
    fn worker(&mut self, worker: WorkerId, message: ToServer) -> String {
        match message {
            ToServer::Register(registration) => self.register(registration),
            ToServer::Report(report) => format!("{:?}", self.command(Command::Report { worker, report })),
            ToServer::Leaving(reason) => format!("{:?}", self.command(Command::Leaving { worker, reason })),
            other => format!("{}", other.kind()),
        }
    }

    /// What the server does with a request of a client.
    fn client(&mut self, request: Request) -> String {
        let response = match requests::plan(self.machine.state(), request) {
            Plan::Answer(response) => response,
            Plan::Command(command) | Plan::CommandWatched(command, _) => requests::response(self.command(command)),
            Plan::Watch(jobs, _) => return format!("watches {}", jobs.len().min(2)),
            Plan::Explain(task) => match self.machine.explain(self.now, task) {
                Ok(explanation) => Response::Explained(explanation),
                Err(reason) => Response::Refused(reason),
            },
            Plan::Why(jobs, task) => requests::say_why(&self.machine, self.now, &jobs, task),
            Plan::Flush => return "flushes".to_owned(),
            Plan::Prune => return "prunes".to_owned(),
            Plan::Stop => return "stops".to_owned(),
            Plan::Session => return "is for the session".to_owned(),
        };
        encode(&response);
        format!("{response:?}")
    }

    /// Checks what no single message may break.
    fn check(&self) {
        audit(self.machine.state()).unwrap_or_else(|error| panic!("the state is inconsistent: {error}"));
        let mut replayed = Machine::default();
        self.events.iter().for_each(|stamped| replayed.replay(stamped));
        let image = |machine: &Machine| format!("{:?}", machine.state().image().collect::<Vec<_>>());
        assert_eq!(image(&self.machine), image(&replayed), "replay differs");
    }
}

fn honest(name: &str) -> Registration {
    let pools = vec![
        ("cpus", PoolKind::Groups(vec![vec!["0".into(), "1".into()], vec!["2".into(), "3".into()]])),
        ("gpus/nvidia", PoolKind::List(vec!["a".into(), "b".into()])),
        ("mem", PoolKind::range(0, 63)),
    ];
    let mut registration = registration(name, pools);
    registration.config.extra = BTreeMap::from([("ProcessPid".to_owned(), "7".to_owned())]);
    registration.config.time_limit = Some(Span::from_secs(3_600));
    registration.config.idle_timeout = Some(Span::from_secs(60));
    registration
}

/// A message that is right, of a random kind, about what there is.
fn honest_worker_message(server: &mut Server, worker: WorkerId, random: &mut Random) -> ToServer {
    let now = server.now;
    let given = server.given.entry(worker).or_default();
    let attempt = match given.len() {
        0 => Attempt::new(1, 0, 3, 0),
        len => given[random.below(len as u64) as usize],
    };
    server.outbox += 1;
    let outcome = Outcome {
        number: server.outbox,
        attempt,
        started: Some(now),
        ended: now,
        ending: [Ending::Finished, Ending::Failed, Ending::Canceled, Ending::Interrupted][random.below(4) as usize],
        error: "no".to_owned(),
        exit_code: Some(1),
        ..Outcome::default()
    };
    let started = Started { attempt, at: now, variant: 0 };
    match random.below(6) {
        0 => {
            let held = vec![HeldAttempt { attempt, started: Some(now), variant: 0 }];
            let name = ["one", "two", "three", "four"][random.below(4) as usize];
            ToServer::Register(Registration {
                held,
                server_uid: "abc123".into(),
                outbox: vec![outcome],
                ..honest(name)
            })
        }
        1 => ToServer::Report(WorkerReport { started: vec![started], ..WorkerReport::default() }),
        2 => ToServer::Report(WorkerReport { returned: vec![attempt], ..WorkerReport::default() }),
        3 if random.below(20) == 0 => ToServer::Leaving(LostReason::Stopped),
        3 => ToServer::Heartbeat(Empty {}),
        _ => ToServer::Report(WorkerReport { started: vec![started], ended: vec![outcome], ..WorkerReport::default() }),
    }
}

fn honest_request(random: &mut Random) -> Request {
    match random.below(9) {
        0 => Request::JobList(Empty {}),
        1 => Request::JobDetails(all()),
        2 => Request::Tasks(TaskPageRequest {
            job: JobId(1),
            limit: 100,
            ids: Some(IdSet::range(0, 9)),
            also: IdSet::range(1, 5),
            ..Default::default()
        }),
        3 => Request::Cancel(CancelRequest { selector: all(), reason: Some("why".to_owned()) }),
        4 => Request::Wait(all()),
        5 => Request::Workers(all()),
        6 => Request::StopWorkers(all()),
        _ => Request::Submit(honest_submit(random)),
    }
}

fn honest_submit(random: &mut Random) -> SubmitRequest {
    let mut desc = if random.below(2) == 0 { task() } else { staying_task() };
    desc.env = BTreeMap::from([("A".to_owned(), "b".to_owned())]);
    desc.time_limit = Some(Span::from_secs(10));
    desc.crash_limit = [CrashLimit::Max(3), CrashLimit::Never, CrashLimit::Unlimited][random.below(3) as usize];
    desc.priority = 3;
    let mut request = job("fuzz", IdSet::range(0, 5), desc);
    request.max_fails = Some(1);
    let submit = Arc::make_mut(&mut request.submit);
    if random.below(3) == 0 {
        submit.graph = true;
        submit.deps =
            (1..6).map(|n| Dependency { task: TaskId(n), on: TaskRef::new(0, n - 1), ..Default::default() }).collect();
    }
    request
}

/// As the connection decodes.
fn decode<M: DeserializeOwned>(bytes: &[u8]) -> Option<M> {
    let memory = limits::MESSAGE_MEMORY_BYTES_MIN + limits::MESSAGE_MEMORY_FACTOR * bytes.len();
    let message: Result<Metered<M>, _> = within_memory(memory, || ciborium::from_reader(bytes));
    message.ok().map(|message| message.0)
}

/// Where a message led: its decoder, and the beginning of what became of it without its numbers.
fn place_of(outcome: &str) -> String {
    outcome.chars().filter(|it| !it.is_ascii_digit()).take(48).collect()
}

struct Fuzzer {
    server: Server,
    random: Random,
    corpus: Vec<Vec<u8>>,
    seen: BTreeSet<String>,
    understood: u64,
}

impl Fuzzer {
    fn new(seed: u64) -> Self {
        let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/hostile/corpus");
        let mut paths: Vec<_> = std::fs::read_dir(dir).expect("a corpus").flatten().map(|entry| entry.path()).collect();
        paths.sort();
        let corpus = paths.iter().filter(|path| path.extension().is_some_and(|it| it == "cbor"));
        let corpus = corpus.map(|path| std::fs::read(path).expect("a message")).collect();
        Self { server: Server::new(), random: Random::new(seed), corpus, seen: BTreeSet::new(), understood: 0 }
    }

    /// Hands bytes to the server as from a worker and from a client; true when that led somewhere new.
    fn feed(&mut self, bytes: &[u8], from_worker: bool) -> bool {
        let workers: Vec<WorkerId> = self.server.machine.state().workers.keys().copied().collect();
        let outcome = if from_worker {
            let worker = match workers.len() {
                0 => WorkerId(1),
                len => workers[self.random.below(len as u64) as usize],
            };
            decode::<ToServer>(bytes)
                .map(|message| format!("W{} {}", message.kind(), self.server.worker(worker, message)))
        } else {
            decode::<Request>(bytes).map(|request| format!("C{} {}", request.kind(), self.server.client(request)))
        };
        self.server.place();
        if self.random.below(50) == 0 {
            self.server.now = self.server.now.after(Span::from_secs(self.random.below(100)));
            self.server.command(Command::Tick);
        }
        let Some(outcome) = outcome else { return false };
        self.understood += 1;
        self.seen.insert(place_of(&outcome))
    }

    /// One message: from the corpus or made, changed or not.
    fn step(&mut self) -> Option<Vec<u8>> {
        let from_worker = self.random.below(2) == 0;
        let workers: Vec<WorkerId> = self.server.given.keys().copied().collect();
        let worker =
            if workers.is_empty() { WorkerId(1) } else { workers[self.random.below(workers.len() as u64) as usize] };
        let mut bytes = match (self.random.below(4), from_worker) {
            (0, _) if !self.corpus.is_empty() => {
                self.corpus[self.random.below(self.corpus.len() as u64) as usize].clone()
            }
            (_, true) => encode(&honest_worker_message(&mut self.server, worker, &mut self.random)),
            (_, false) => encode(&honest_request(&mut self.random)),
        };
        match self.random.below(10) {
            0 => {}
            1 => mutate_bytes(&mut bytes, &mut self.random),
            _ => {
                if let Ok(mut value) = ciborium::from_reader::<Value, _>(bytes.as_slice()) {
                    (0..=self.random.below(3)).for_each(|_| mutate(&mut value, &mut self.random));
                    bytes.clear();
                    ciborium::into_writer(&value, &mut bytes).expect("an encoded value");
                }
            }
        }
        self.feed(&bytes, from_worker).then_some(bytes)
    }

    /// So many messages; gives those that led somewhere new.
    fn life(&mut self, messages: u64) -> Vec<Vec<u8>> {
        self.server = Server::new();
        let found: Vec<Vec<u8>> = (0..messages).filter_map(|_| self.step()).collect();
        self.server.check();
        found
    }
}

/// Runs a part with a seed of its own, so that a failure can be repeated alone.
fn life_with_seed(fuzzer: &mut Fuzzer, seed: u64) -> Vec<Vec<u8>> {
    fuzzer.random = Random::new(seed);
    let run = std::panic::AssertUnwindSafe(|| fuzzer.life(LIFE));
    match std::panic::catch_unwind(run) {
        Ok(found) => found,
        Err(panic) => {
            eprintln!("the messages of the seed {seed} broke the server");
            std::panic::resume_unwind(panic)
        }
    }
}

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok().and_then(|text| text.parse().ok())
}

#[test]
fn no_message_breaks_the_machine() {
    let first = number("HQ_SEED").unwrap_or(1);
    let mut fuzzer = Fuzzer::new(first);
    for bytes in fuzzer.corpus.clone() {
        fuzzer.feed(&bytes, true);
        fuzzer.feed(&bytes, false);
    }
    fuzzer.server.check();
    let campaign = number("HQ_CAMPAIGN").map(|seconds| Instant::now() + Duration::from_secs(seconds));
    let mut lives = 0;
    while campaign.map_or(lives * LIFE < MESSAGES, |end| Instant::now() < end) {
        let found = life_with_seed(&mut fuzzer, first.wrapping_add(lives));
        lives += 1;
        let Some(dir) = std::env::var_os("HQ_CORPUS").filter(|_| campaign.is_some()) else { continue };
        for bytes in found.into_iter().filter(|bytes| bytes.len() <= 2_048) {
            let name = format!("{:06}-{:06}.cbor", lives, fuzzer.corpus.len());
            std::fs::write(Path::new(&dir).join(name), &bytes).expect("a written message");
            fuzzer.corpus.push(bytes);
        }
    }
    eprintln!("{} messages, {} understood, {} places", lives * LIFE, fuzzer.understood, fuzzer.seen.len());
    assert!(fuzzer.understood > lives * LIFE / 4, "most messages are refused before they can do harm");
    assert!(fuzzer.seen.len() > 20, "{:?}", fuzzer.seen);
}

#[test]
fn a_list_of_nothing_is_charged() {
    // A text of no bytes is one byte here and twenty-four in a list.
    let texts = Value::Array(vec![Value::Text(String::new()); 4_000_000]);
    let desc = Value::Map(vec![(0.into(), texts)]);
    let submit = Value::Map(vec![(1.into(), Value::Array(vec![desc]))]);
    let request = Value::Array(vec![1.into(), Value::Map(vec![(2.into(), submit)])]);
    let mut bytes = Vec::new();
    ciborium::into_writer(&request, &mut bytes).unwrap();
    assert!(decode::<Request>(&bytes).is_some(), "within what may be taken for its length");
    let nested = Value::Array(vec![Value::Array(vec![]); 3_000_000]);
    let config = Value::Map(vec![(
        0.into(),
        Value::Map(vec![(
            0.into(),
            Value::Array(vec![Value::Map(vec![(1.into(), Value::Array(vec![1.into(), nested]))])]),
        )]),
    )]);
    let register = Value::Array(vec![1.into(), Value::Map(vec![(1.into(), config)])]);
    bytes.clear();
    ciborium::into_writer(&register, &mut bytes).unwrap();
    let taken = within_memory(16 * bytes.len(), || ciborium::from_reader::<Metered<ToServer>, _>(bytes.as_slice()));
    assert!(taken.is_err());
}
