//! Every limit of the product, named with its unit last.
//!
//! A limit that is hit is always refused with a sentence that names it; nothing grows without one of these.

use crate::time::Span;

/// Tasks of one submit. Arrays are ranges, so this bounds numbers, not memory.
pub const SUBMIT_TASKS_MAX: u64 = u32::MAX as u64 + 1;
/// Stepped ranges of one id set that may overlap in span without sharing an id.
pub const INTERLEAVED_RANGES_MAX: usize = 1_000;
/// Ids of a stepped range that are listed one by one where sets are put together.
pub const LISTED_STEPS_MAX: u64 = 100_000;
/// Submits of one open job.
pub const JOB_SUBMITS_MAX: usize = 100_000;
/// Pairs of ranges that are compared for one submit into an open job.
pub const ATTACH_PAIRS_MAX: u64 = 4_000_000;
/// Tags of one job.
pub const JOB_TAGS_MAX: usize = 64;
/// Bytes of a pattern for the names of jobs.
pub const JOB_PATTERN_BYTES_MAX: usize = 1_024;
/// Bytes of the key of a tag.
pub const TAG_KEY_BYTES_MAX: usize = 64;
/// Bytes of the value of a tag.
pub const TAG_VALUE_BYTES_MAX: usize = 256;
/// Pairs of ranges of one id set that are compared, to see whether they share an id.
pub const RANGE_COMPARISONS_MAX: usize = 10_000_000;
/// Bytes of a job file.
pub const JOB_FILE_BYTES_MAX: usize = 64 * 1024 * 1024;
/// Words and signs of a part of a job file that is parsed at once: an individual task, or all else.
pub const JOB_FILE_PART_TOKENS_MAX: usize = 4_000_000;
/// Tasks of one submit that are listed one by one (a graph).
pub const GRAPH_TASKS_MAX: usize = 1_000_000;
/// Dependencies of one submit.
pub const SUBMIT_DEPS_MAX: usize = 4_000_000;
/// Dependencies of one submit on jobs and sets of tasks.
pub const SUBMIT_GATES_MAX: usize = 10_000;
/// Ranges of task ids in all of them.
pub const GATE_RANGES_MAX: usize = 1_000_000;
/// Members of stepped ranges that have to be found one by one for a dependency on tasks.
pub const GATE_STEPPED_TASKS_MAX: u64 = 1_000_000;
/// Dependencies on jobs that the detail of one job tells.
pub const SHOWN_GATES_MAX: usize = 1_000;
/// Dependencies that wait for one job as a whole.
pub const JOB_GATES_MAX: usize = 100_000;
/// Dependencies that wait for tasks of one job; each end of a task there looks at all of them.
pub const JOB_TASK_GATES_MAX: usize = 1_000;
/// Words of a command.
pub const TASK_ARGS_MAX: usize = 100_000;
/// Bytes of the words and the environment of one task description.
pub const TASK_ARGS_BYTES_MAX: usize = 2 * 1024 * 1024;
/// Bytes of the data that a task gets on its standard input.
pub const TASK_STDIN_BYTES_MAX: usize = 8 * 1024 * 1024;
/// Bytes of all entries of one submit.
pub const SUBMIT_ENTRIES_BYTES_MAX: usize = 32 * 1024 * 1024;
/// Entries of one submit; with their bytes they fit in one message.
pub const SUBMIT_ENTRIES_MAX: usize = 6_000_000;
/// Bytes of one element of a JSON file of entries, as it is written there.
pub const ENTRY_TEXT_BYTES_MAX: usize = 8 * 1024 * 1024;
/// Bytes of one entry; the kernel takes at most 128 KiB for one environment string.
pub const ENTRY_BYTES_MAX: usize = 120 * 1024;
/// Bytes of a job's name.
pub const JOB_NAME_BYTES_MAX: usize = 4 * 1024;
/// Bytes of the reason given with a cancel.
pub const CANCEL_REASON_BYTES_MAX: usize = 200;
/// Variants of a resource request.
pub const REQUEST_VARIANTS_MAX: usize = 32;
/// Retries of one task.
pub const TASK_RETRIES_MAX: u32 = 100_000;
/// Exit codes after which a task is tried again.
pub const RETRY_EXIT_CODES_MAX: usize = 255;
/// Longest time between a failure and the next attempt.
pub const RETRY_DELAY_MAX: Span = Span::from_secs(30 * 24 * 3_600);
/// Tasks whose delay ends in one turn; the others follow in the next turns.
pub const TURN_DUE_MAX: usize = 4_096;
/// Nodes of one multi-node task.
pub const TASK_NODES_MAX: u32 = 16_384;
/// Resources of one variant, and pools of one worker.
pub const RESOURCES_MAX: usize = 256;
/// Bytes of a directory, a path or the name of a resource in a submit; the kernel takes no path over 4 KiB.
pub const PATH_BYTES_MAX: usize = 16 * 1024;
/// Bytes of one text in what a worker says about itself.
pub const WORKER_TEXT_BYTES_MAX: usize = 4 * 1024;
/// Labels of all pools of one worker.
pub const WORKER_LABELS_MAX: usize = 100_000;
/// Couplings of one worker.
pub const WORKER_COUPLINGS_MAX: usize = 4_096;
/// Further facts that a worker tells about itself.
pub const WORKER_FACTS_MAX: usize = 256;
/// Tasks that lie on one worker, whatever it claims to have.
pub const WORKER_TASKS_MAX: u32 = 65_536;
/// Tasks looked at for one page, whether they are wanted or not: bounds the time of a turn.
pub const PAGE_SCAN_TASKS_MAX: usize = 50_000;
/// Jobs whose tasks one page tells of.
pub const PAGE_JOBS_MAX: usize = 1_000;
/// Tasks of one table: its columns are as wide as the widest cell, so all of it is in memory.
pub const TABLE_TASKS_MAX: usize = 1_000_000;
/// Ranges of a selection of more tasks than are looked at for one page.
pub const PAGE_RANGES_MAX: usize = 200;
/// Changed descriptions of one submit, beyond as many as it has descriptions.
pub const SUBMIT_REVISIONS_MAX: usize = 10_000;
/// Jobs of one question why they are where they are.
pub const WHY_JOBS_MAX: usize = 256;
/// Different reasons for which tasks of one job are aborted at once; if there are more, all get one that says less.
pub const ABORT_REASONS_MAX: usize = 256;
/// Distinct reasons of canceled and aborted tasks kept in memory for one job, within those of [`JOB_ERRORS_MAX`].
pub const JOB_REASONS_MAX: usize = 2_000;
/// Ranges of ids of one selection of tasks that something is done to, times the ranges of the job where these
/// interleave.
pub const ACT_STEPS_MAX: usize = 10_000_000;
/// Members of stepped ranges of such a selection.
pub const ACT_STEPPED_TASKS_MAX: u64 = 1_000_000;
/// Memory that the values of one message may take, beside [`MESSAGE_MEMORY_FACTOR`] times its length.
pub const MESSAGE_MEMORY_BYTES_MIN: usize = 4 * 1024 * 1024;
/// How much larger than its bytes a message may become in memory.
pub const MESSAGE_MEMORY_FACTOR: usize = 32;
/// Words of a command that are kept for display.
pub const SHOWN_ARGS_MAX: usize = 128;
/// Bytes of a word that is shown; a longer one is replaced by its size.
pub const SHOWN_ARG_BYTES_MAX: usize = 256;
/// Bytes of an error text kept for a task.
pub const ERROR_BYTES_MAX: usize = 64 * 1024;
/// Distinct error texts kept in memory for one job; later ones share a text that says where to look.
pub const JOB_ERRORS_MAX: usize = 10_000;

/// Tasks assigned in one turn; what remains is placed in the next one, which follows at once.
pub const TURN_ASSIGNMENTS_MAX: usize = 4_096;
/// Queues that every turn looks at, the most important ones.
pub const TURN_HEAD_LEVELS_MAX: usize = 64;
/// Further queues that one turn looks at; the others follow in the next turns.
pub const TURN_LEVELS_MAX: usize = 1_024;
/// Queues among which the tasks for one worker are chosen together; the others are served one by one.
pub const TURN_FILL_LEVELS_MAX: usize = 16;
/// Steps of one turn in search of better choices than the greedy one.
pub const TURN_SEARCH_STEPS_MAX: u32 = 20_000;
/// Queues for which one turn reserves workers against queues of lower priorities.
pub const TURN_RESERVING_LEVELS_MAX: usize = 64;
/// Workers to which one turn gives tasks ahead.
pub const TURN_HUNGRY_WORKERS_MAX: usize = 256;
/// Commands handled in one turn before placing.
pub const TURN_COMMANDS_MAX: usize = 1_024;
/// Bytes of entries in one message with assignments.
pub const ASSIGNMENT_BYTES_MAX: usize = 2 * 1024 * 1024;
/// Commands from sessions that wait for the machine; sessions wait when it is full.
pub const INBOX_COMMANDS_MAX: usize = 4_096;
/// Groups of events that wait for the disk; the machine waits when it is full.
pub const COMMIT_GROUPS_MAX: usize = 1_024;
/// Events of one commit.
pub const COMMIT_EVENTS_MAX: usize = 16_384;
/// How long a commit may be delayed while nobody waits for it.
pub const COMMIT_DELAY_SPAN: Span = Span::from_ms(20);
/// Pause between attempts to write while the disk refuses.
pub const COMMIT_RETRY_SPAN: Span = Span::from_ms(200);
/// Pause between two looks whether there is space for the journal's ballast again.
pub const COMMIT_LOOK_SPAN: Span = Span::from_ms(1_000);
/// How long a disk that refuses is tried before what waits for it is taken back and refused.
pub const COMMIT_PATIENCE_SPAN: Span = Span::from_ms(800);
/// Messages that wait for one worker; a worker that does not read them is disconnected.
pub const WORKER_QUEUE_MESSAGES_MAX: usize = 16_384;
/// Answers that wait for one client.
pub const CLIENT_QUEUE_ANSWERS_MAX: usize = 64;
/// The same for a client that is told of messages of tasks.
pub const CLIENT_QUEUE_NOTICES_MAX: usize = 8_192;
/// Messages of tasks that may wait for all clients that are told of them; one that keeps more than its share of these waiting
/// is told that it is too slow.
pub const QUEUED_NOTICES_MAX: usize = 4_096;
/// Events after which a new checkpoint is written.
pub const CHECKPOINT_EVENTS: u64 = 100_000;
/// Bytes of events after which a page of history is sent to a client.
pub const HISTORY_PAGE_BYTES: usize = 256 * 1024;
/// Faults of a journal that are told one by one.
pub const JOURNAL_FAULTS_MAX: usize = 1_000;
/// Records that are looked at for one page of history.
pub const HISTORY_PAGE_SCANNED_MAX: usize = 100_000;
/// Jobs, workers and tasks that the turn looks at in one go for who asks for the past of a server without a journal.
pub const RECALL_SLICE_THINGS: usize = 10_000;
/// Time that `server info` waits for the turn.
pub const FORGOTTEN_PATIENCE_SPAN: Span = Span::from_ms(1_000);
/// Moments of the past that are put in order for such a reader at once.
pub const RECALL_SORTED_MOMENTS: usize = 256 * 1024;
/// Moments whose events the turn puts together for it in one go.
pub const RECALL_EVENTS: usize = 500;
/// Bytes of events that wait for a reader of a server without a journal; one that is further behind is cut off.
pub const LISTENER_BYTES_MAX: usize = 16 * 1024 * 1024;
/// Batches of such events.
pub const LISTENER_BATCHES_MAX: usize = 64 * 1024;
/// Bytes of events after which a new checkpoint is written.
pub const CHECKPOINT_BYTES: u64 = 64 * 1024 * 1024;
/// Time after which a new checkpoint is written when there were at least [`CHECKPOINT_IDLE_EVENTS`].
pub const CHECKPOINT_SPAN: Span = Span::from_secs(600);
/// Events that are worth a checkpoint when there is nothing else to do, and at the end of the server.
pub const CHECKPOINT_IDLE_EVENTS: u64 = 2_000;
/// Bytes of a journal's directory up to which details of completed jobs are kept, unless the user says otherwise.
pub const JOURNAL_KEEP_BYTES: u64 = 1024 * 1024 * 1024;
/// Smallest limit that a user may set for it.
pub const JOURNAL_KEEP_BYTES_MIN: u64 = 4_000_000;
/// Time for workers to end when the server is stopped.
pub const SERVER_STOP_SPAN: Span = Span::from_ms(3_000);

/// Tasks of one worker that were given ahead of free resources.
pub const WORKER_AHEAD_TASKS_MAX: u32 = 512;
/// Work that may lie ahead on a worker, as time of its observed task durations.
pub const WORKER_AHEAD_SPAN: Span = Span::from_ms(40);

/// Shortest lease of a worker on its tasks: how long after its last contact with the server it may keep them running
/// while it cannot know that the server is dead. See [`crate::worker::WorkerConfig::lease`].
pub const LEASE_MIN: Span = Span::from_secs(8);
/// What the server waits beyond the end of a lease: for the killing of tasks, and for clocks that do not run alike.
pub const LEASE_MARGIN: Span = Span::from_ms(2_500);
/// How often a server shows on the file system that it lives.
pub const SIGN_STEP: Span = Span::from_secs(1);
/// A server that has not shown it for this long takes no tasks from silent workers: they may think that it is dead.
pub const SIGN_GAP_MAX: Span = Span::from_secs(4);
/// A worker that has watched for this long without seeing a sign of life takes the server for dead.
pub const SIGN_STALE_SPAN: Span = Span::from_secs(6);
/// How long a worker may be away whose connection was closed before the server calls it lost, when the server kept
/// running.
pub const WORKER_AWAY_SPAN: Span = Span::from_ms(2_000);
/// Bytes of a message by which a task notifies whoever listens.
pub const NOTICE_BYTES_MAX: usize = 1_024;
/// Messages of tasks of one worker that the server has not made durable; further ones are refused.
pub const WORKER_NOTICES_MAX: usize = 1_024;

/// How long workers may take to come back after the server was started again.
pub const WORKER_RETURN_SPAN: Span = Span::from_secs(30);
/// Outcomes of a worker that are not acknowledged since one before them belongs to a task that cannot be judged yet; with
/// more of them that task runs again.
pub const WITHHELD_OUTCOMES_MAX: u64 = 10_000;
/// How long a worker keeps its tasks running without a server.
pub const SERVER_LOST_LEASE_SPAN: Span = Span::from_secs(40 * 60);
/// How long a worker that was told to stop may take.
pub const WORKER_STOP_SPAN: Span = Span::from_secs(60);
/// Shortest heartbeat interval.
pub const HEARTBEAT_MIN: Span = Span::from_ms(200);
/// Longest heartbeat interval.
pub const HEARTBEAT_MAX: Span = Span::from_secs(3_600);
/// Heartbeat interval when none is given.
pub const HEARTBEAT_DEFAULT: Span = Span::from_secs(8);
/// Shortest interval between two overviews of one worker; earlier ones are dropped.
pub const OVERVIEW_INTERVAL_MIN: Span = Span::from_ms(100);
/// How often a worker looks at the time that its waiting tasks ask for, when nothing is said.
pub const RETRACT_CHECK_DEFAULT: Span = Span::from_secs(30);
/// CPUs in one overview.
pub const OVERVIEW_CPUS_MAX: usize = 8_192;
/// GPUs of one maker in one overview.
pub const OVERVIEW_GPUS_MAX: usize = 256;
/// Bytes of the address of a GPU in an overview.
pub const OVERVIEW_GPU_ID_BYTES_MAX: usize = 128;
/// Time from the first signal to KILL when a task is ended that does not say so itself.
pub const KILL_GRACE_SPAN: Span = Span::from_secs(1);
/// The longest time that a task can ask for between the first signal and KILL: also what bounds the end of a worker.
pub const KILL_GRACE_MAX: Span = Span::from_secs(3_600);
/// The first signal when a task is ended: SIGINT.
pub const KILL_SIGNAL: i32 = 2;
/// The largest number of a signal.
pub const SIGNAL_MAX: i32 = 64;
/// A task is warned of its end no sooner than this after its start.
pub const WARNING_DELAY_MIN: Span = Span::from_secs(1);
/// Crash limit when none is given.
pub const CRASH_LIMIT_DEFAULT: u32 = 5;
/// Records of finished workers kept; the oldest is forgotten first.
pub const PAST_WORKERS_MAX: usize = 100_000;
