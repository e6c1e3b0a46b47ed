//! What the journal says, read by somebody who knows nothing of the state: one entry a task, no indices, no ranges.
//!
//! Every promise about outcomes, attempts, order and numbers is judged here, by the durable records alone. Beside it a
//! second state is folded from the same bytes, which has to equal the one that runs.
//!
//! Holds: records are read in order and once; what was read stays true over every crash.

mod ends;
mod kept;

use crate::dice::spread;
use hq_core::agent::ProcessStatus;
use hq_core::attempt::Attempt;
use hq_core::event::{Event, JobSubmitted, Stamped, TasksAssigned, WorkerLost};
use hq_core::id::{AttemptId, Epoch, Fence, JobId, TaskId, TaskRef, WorkerId};
use hq_core::idset::IdSet;
use hq_core::state::State;
use hq_core::task::{After, Condition, CrashLimit};
use hq_core::time::Time;
use hq_core::view::{TaskCounts, TaskState};
use kept::Kept;
pub use kept::named;
use std::collections::{BTreeMap, BTreeSet};

/// Something that somebody was told and that has to be in the journal.
#[derive(Debug, Clone)]
pub enum Claim {
    Submitted { job: JobId, tasks: u64, name: String },
    Did { job: JobId, kind: u16 },
    DidOne { job: JobId, kinds: Vec<u16> },
    Forgotten { jobs: Vec<JobId>, count: u64 },
    Completed { job: JobId },
    Ended { task: TaskRef, state: TaskState },
    Counts { job: JobId, counts: TaskCounts },
    Told { worker: WorkerId },
}

/// A task, as its events tell.
#[derive(Debug, Clone)]
pub struct Entry {
    pub state: TaskState,
    pub on: Option<WorkerId>,
    attempt: u32,
    /// In which it was given to its worker.
    epoch: Epoch,
    pub crashes: u32,
    pub crash_limit: CrashLimit,
    held: bool,
    due: Option<Time>,
    deps: Vec<(TaskRef, Condition)>,
    /// All of these were met once, and it has not run again since.
    is_free: bool,
    /// Numbers of the job's gates in front of it.
    gates: Vec<usize>,
}

#[derive(Debug, Clone)]
struct Gate {
    after: After,
    has_opened: bool,
}

/// A job, as its events tell.
#[derive(Debug, Clone, Default)]
pub struct Sheet {
    pub tasks: BTreeMap<u32, Entry>,
    gates: Vec<Gate>,
    pub max_fails: Option<u32>,
    is_open: bool,
    is_completed: bool,
    hold: bool,
    /// The last failure was one too many.
    is_over: bool,
}

/// See the module.
#[derive(Default)]
pub struct Book {
    /// The last record that was read.
    pub seq: u64,
    /// What each record was.
    pub marks: BTreeMap<u64, u64>,
    pub folded: State,
    pub jobs: BTreeMap<JobId, Sheet>,
    last_job: JobId,
    last_worker: WorkerId,
    epoch: Epoch,
    workers: BTreeSet<WorkerId>,
    started: BTreeSet<(TaskRef, u32)>,
    failed: BTreeSet<(TaskRef, u32)>,
    pub ended: BTreeSet<(TaskRef, TaskState)>,
    /// How often tasks of a job have ended in each state.
    tally: BTreeMap<(JobId, TaskState), u64>,
    submitted: BTreeMap<JobId, (u64, String)>,
    /// Of all submits.
    pub names: BTreeSet<String>,
    done: BTreeSet<(JobId, u16)>,
    completed: BTreeSet<JobId>,
    forgotten: BTreeSet<JobId>,
    told: BTreeSet<WorkerId>,
    pub outcomes: u64,
    /// Attempts whose programs ended when nobody had asked for it, on workers that live.
    pub ended_alone: BTreeSet<Attempt>,
    /// What became of the program of each attempt that has started: how it ended, or that it runs.
    pub programs: BTreeMap<Attempt, Option<ProcessStatus>>,
    /// What may leave the journal.
    pub kept: Kept,
    /// Names of jobs that were refused.
    pub refused: BTreeSet<String>,
}

/// What a record was, as one number.
pub fn mark(kind: u16, time_us: u64, body: &[u8]) -> u64 {
    let mut mark = spread(u64::from(kind)) ^ spread(time_us);
    for chunk in body.chunks(8) {
        let mut word = [0; 8];
        word[..chunk.len()].copy_from_slice(chunk);
        mark = spread(mark ^ u64::from_le_bytes(word));
    }
    mark
}

fn met(condition: Condition, states: impl IntoIterator<Item = TaskState>) -> Option<bool> {
    let states: Vec<TaskState> = states.into_iter().collect();
    if !states.iter().all(|state| state.is_final()) {
        return None;
    }
    Some(match condition {
        Condition::Ok => states.iter().all(|state| *state == TaskState::Finished),
        Condition::Any => true,
        Condition::Failed => states.contains(&TaskState::Failed),
    })
}

impl Book {
    /// Reads one record's event.
    pub fn read(&mut self, stamped: &Stamped) -> Result<(), String> {
        self.folded.apply(stamped);
        if let Some(job) = stamped.event.job() {
            self.done.insert((job, stamped.event.kind()));
        }
        self.kept.note(self.seq, &stamped.event);
        self.judge(stamped).map_err(|why| format!("{why}; in {:?}", stamped.event))
    }

    fn judge(&mut self, stamped: &Stamped) -> Result<(), String> {
        let name = match &stamped.event {
            Event::JobSubmitted(event) => Some(&event.name),
            Event::JobOpened(event) => Some(&event.name),
            _ => None,
        };
        if name.is_some_and(|name| self.refused.contains(name)) {
            return Err("that was refused".to_owned());
        }
        self.names.extend(name.cloned());
        match &stamped.event {
            Event::JobSubmitted(event) => return self.submitted(event),
            Event::JobOpened(event) => {
                self.new_job(event.job)?;
                let sheet = Sheet { is_open: true, max_fails: event.max_fails, ..Sheet::default() };
                self.jobs.insert(event.job, sheet);
                self.submitted.insert(event.job, (0, event.name.clone()));
            }
            Event::ServerStarted(event) => {
                if event.epoch <= self.epoch {
                    return Err("an epoch is given twice".to_owned());
                }
                self.epoch = event.epoch;
            }
            Event::JobClosed(event) => self.sheet(event.job)?.is_open = false,
            Event::JobCompleted(event) => return self.completed(event.job),
            Event::JobForgotten(event) => {
                let sheet = self.jobs.remove(&event.job).ok_or("forgotten twice")?;
                if !sheet.is_completed {
                    return Err("forgotten and not completed".to_owned());
                }
                self.forgotten.insert(event.job);
                self.open_gates(event.job, true);
            }
            Event::JobModified(event) => {
                let sheet = self.sheet(event.job)?;
                sheet.max_fails = event.max_fails.or(sheet.max_fails);
            }
            Event::JobHeld(event) => self.hold_all(event.job, true)?,
            Event::JobReleased(event) => self.hold_all(event.job, false)?,
            Event::TasksHeld(event) => self.hold(event.job, &event.tasks, true)?,
            Event::TasksReleased(event) => self.hold(event.job, &event.tasks, false)?,
            Event::TasksDue(event) => {
                for id in event.tasks.iter() {
                    self.entry(event.job, id)?.due = None;
                }
            }
            Event::WorkerConnected(event) => {
                if event.worker <= self.last_worker {
                    return Err("a number of a worker is given twice".to_owned());
                }
                self.last_worker = event.worker;
                self.workers.insert(event.worker);
            }
            Event::WorkerLost(event) => return self.lost(event),
            Event::WorkerStopping(event) => drop(self.told.insert(event.worker)),
            Event::WorkerDraining(event) => drop(self.told.insert(event.worker)),
            Event::DetailsForgotten(event) => return self.details_forgotten(event),
            _ => return self.judge_tasks(stamped),
        }
        Ok(())
    }

    fn judge_tasks(&mut self, stamped: &Stamped) -> Result<(), String> {
        match &stamped.event {
            Event::TasksAssigned(event) => return self.assigned(stamped.at, event),
            Event::TaskAdopted(event) => {
                self.is_worker(event.worker)?;
                let entry = self.entry(event.job, event.task.0)?;
                if entry.state != TaskState::Waiting || entry.on.is_some() {
                    return Err("adopted and not waiting".to_owned());
                }
                (entry.on, entry.due, entry.epoch) = (Some(event.worker), None, event.epoch);
            }
            Event::TasksReturned(event) => {
                for id in event.tasks.iter() {
                    let entry = self.entry(event.job, id)?;
                    if entry.on.take() != Some(event.worker) || entry.state.is_final() {
                        return Err(format!("task {id} comes back from where it was not"));
                    }
                    let was = std::mem::replace(&mut entry.state, TaskState::Waiting);
                    let attempt = entry.attempt;
                    let fence = Fence { epoch: entry.epoch, attempt: AttemptId(attempt) };
                    let task = TaskRef { job: event.job, task: TaskId(id) };
                    // A server that is gone may have given the task away, and nobody knows of that but who runs it.
                    let all = Attempt { task, fence: Fence::default() }..;
                    let mut later = self.programs.range(all).take_while(|(other, _)| other.task == task);
                    let is_superseded = later.any(|(other, _)| other.fence.attempt.0 > attempt);
                    if was == TaskState::Running
                        && self.ended_alone.contains(&Attempt { task, fence })
                        && !is_superseded
                    {
                        return Err(format!("attempt {attempt} of {task} had ended, and its outcome is lost"));
                    }
                    if was == TaskState::Running && self.programs.get(&Attempt { task, fence }) == Some(&None) {
                        return Err(format!("attempt {attempt} of {task} comes back, and its program runs"));
                    }
                }
            }
            Event::TasksStarted(event) => {
                for (position, id) in event.tasks.iter().enumerate() {
                    let attempt = event.attempts.get(position).map_or(0, |attempt| attempt.0);
                    let task = TaskRef { job: event.job, task: *id };
                    if !self.started.insert((task, attempt)) {
                        return Err(format!("attempt {attempt} of {task} starts twice"));
                    }
                    let entry = self.entry(event.job, id.0)?;
                    if entry.on != Some(event.worker) || entry.state != TaskState::Waiting {
                        return Err(format!("{task} starts where it was not given"));
                    }
                    (entry.state, entry.held, entry.attempt) = (TaskState::Running, false, attempt);
                }
            }
            _ => return self.judge_ends(stamped),
        }
        Ok(())
    }

    pub fn sheet(&mut self, job: JobId) -> Result<&mut Sheet, String> {
        self.jobs.get_mut(&job).ok_or_else(|| format!("there is no job {job}"))
    }

    fn entry(&mut self, job: JobId, task: u32) -> Result<&mut Entry, String> {
        self.sheet(job)?.tasks.get_mut(&task).ok_or_else(|| format!("there is no task {task} in job {job}"))
    }

    fn is_worker(&self, worker: WorkerId) -> Result<(), String> {
        if self.workers.contains(&worker) { Ok(()) } else { Err(format!("there is no worker {worker}")) }
    }

    fn new_job(&mut self, job: JobId) -> Result<(), String> {
        if job <= self.last_job {
            return Err("a number of a job is given twice".to_owned());
        }
        self.last_job = job;
        Ok(())
    }

    fn submitted(&mut self, event: &JobSubmitted) -> Result<(), String> {
        if !event.attached {
            self.new_job(event.job)?;
            self.jobs.insert(event.job, Sheet { max_fails: event.max_fails, ..Sheet::default() });
        }
        let submit = &event.submit;
        let total = self.submitted.entry(event.job).or_insert((0, event.name.clone()));
        total.0 += submit.ids.len();
        let sheet = self.sheet(event.job)?;
        sheet.is_over = false;
        let first_gate = sheet.gates.len();
        sheet.gates.extend(submit.after.iter().map(|after| Gate { after: after.clone(), has_opened: false }));
        for (position, id) in submit.ids.iter().enumerate() {
            let crash_limit = submit.desc_at(position).map_or(CrashLimit::default(), |desc| desc.crash_limit);
            let in_front = submit.after.iter().enumerate();
            let in_front = in_front.filter(|(_, after)| after.tasks.is_empty() || after.tasks.contains(id));
            let entry = Entry {
                state: TaskState::Waiting,
                on: None,
                attempt: 0,
                epoch: Epoch(0),
                crashes: 0,
                crash_limit,
                held: sheet.hold,
                due: None,
                deps: Vec::new(),
                is_free: false,
                gates: in_front.map(|(number, _)| first_gate + number).collect(),
            };
            if sheet.tasks.insert(id, entry).is_some() {
                return Err(format!("task {id} is there twice"));
            }
        }
        for dep in &submit.deps {
            let on_job = if dep.on.job.0 == 0 { event.job } else { dep.on.job };
            let on = TaskRef { job: on_job, task: dep.on.task };
            self.entry(event.job, dep.task.0)?.deps.push((on, dep.condition));
        }
        let partners: BTreeSet<JobId> = submit.after.iter().map(|after| after.on).collect();
        partners.into_iter().for_each(|on| self.open_gates(on, false));
        Ok(())
    }

    fn completed(&mut self, job: JobId) -> Result<(), String> {
        let sheet = self.sheet(job)?;
        if sheet.is_open || sheet.is_completed || sheet.tasks.values().any(|task| !task.state.is_final()) {
            return Err("completed too early, or twice".to_owned());
        }
        sheet.is_completed = true;
        self.completed.insert(job);
        self.open_gates(job, false);
        Ok(())
    }

    fn hold_all(&mut self, job: JobId, hold: bool) -> Result<(), String> {
        let sheet = self.sheet(job)?;
        sheet.hold = hold;
        sheet.tasks.values_mut().for_each(|task| task.held = hold && task.state == TaskState::Waiting);
        Ok(())
    }

    fn hold(&mut self, job: JobId, tasks: &IdSet, hold: bool) -> Result<(), String> {
        tasks.iter().try_for_each(|id| {
            self.entry(job, id)?.held = hold;
            Ok(())
        })
    }

    fn lost(&mut self, event: &WorkerLost) -> Result<(), String> {
        if !self.workers.remove(&event.worker) {
            return Err("lost twice".to_owned());
        }
        let is_crash = event.reason.is_crash();
        let tasks = self.jobs.values_mut().flat_map(|sheet| sheet.tasks.values_mut());
        for task in tasks.filter(|task| task.on == Some(event.worker)) {
            task.crashes += u32::from(is_crash && task.state == TaskState::Running);
            (task.on, task.state) = (None, TaskState::Waiting);
        }
        Ok(())
    }

    fn assigned(&mut self, at: Time, event: &TasksAssigned) -> Result<(), String> {
        self.is_worker(event.worker)?;
        for id in event.tasks.iter() {
            self.may_run(at, event.job, id)?;
            let epoch = self.epoch;
            let entry = self.entry(event.job, id)?;
            (entry.on, entry.epoch) = (Some(event.worker), epoch);
        }
        Ok(())
    }

    /// Whether nothing keeps a task from being given to a worker.
    fn may_run(&self, at: Time, job: JobId, id: u32) -> Result<(), String> {
        let sheet = self.jobs.get(&job).ok_or("there is no such job")?;
        let entry = sheet.tasks.get(&id).ok_or("there is no such task")?;
        if entry.state != TaskState::Waiting || entry.on.is_some() {
            return Err(format!("task {id} is given twice: {entry:?}"));
        }
        if entry.held {
            return Err(format!("task {id} is held"));
        }
        if let Some(due) = entry.due {
            return Err(format!("task {id} waits until {due:?}, and it is {at:?}"));
        }
        if let Some(unmet) = self.unmet(entry).filter(|_| !entry.is_free) {
            return Err(format!("task {id} waits for {unmet:?}"));
        }
        let closed = entry.gates.iter().filter_map(|number| sheet.gates.get(*number)).find(|gate| {
            let is_forgotten = self.forgotten.contains(&gate.after.on);
            let on = TaskRef { job: gate.after.on, task: TaskId(id) };
            let is_open = match gate.after.each {
                true => {
                    self.jobs.get(&on.job).is_none_or(|sheet| !sheet.tasks.contains_key(&id))
                        || met(gate.after.condition, [self.state_of(on)]) == Some(true)
                }
                false => gate.has_opened,
            };
            !is_open && !is_forgotten
        });
        match closed {
            Some(gate) => Err(format!("task {id} waits at {gate:?}")),
            None => Ok(()),
        }
    }

    fn unmet<'a>(&self, entry: &'a Entry) -> Option<&'a (TaskRef, Condition)> {
        entry.deps.iter().find(|(on, condition)| met(*condition, [self.state_of(*on)]) != Some(true))
    }

    /// What has nothing to wait for does not wait again when others run again.
    fn let_go(&mut self, job: JobId) {
        let Some(sheet) = self.jobs.get(&job) else { return };
        let free = sheet.tasks.iter().filter(|(_, entry)| !entry.state.is_final() && self.unmet(entry).is_none());
        let free: Vec<u32> = free.map(|(id, _)| *id).collect();
        for id in free {
            if let Ok(entry) = self.entry(job, id) {
                entry.is_free = true;
            }
        }
    }

    fn state_of(&self, task: TaskRef) -> TaskState {
        let sheet = self.jobs.get(&task.job);
        sheet.and_then(|sheet| sheet.tasks.get(&task.task.0)).map_or(TaskState::Waiting, |entry| entry.state)
    }

    /// Notes which gates on a job are met now; once is enough.
    fn open_gates(&mut self, on: JobId, forgotten: bool) {
        let target = self.jobs.get(&on).cloned();
        for sheet in self.jobs.values_mut() {
            for gate in
                sheet.gates.iter_mut().filter(|gate| gate.after.on == on && !gate.after.each && !gate.has_opened)
            {
                gate.has_opened = match (&target, &gate.after.on_tasks) {
                    _ if forgotten => true,
                    (None, _) => false,
                    (Some(target), None) => {
                        let states = target.tasks.values().map(|task| task.state);
                        target.is_completed && met(gate.after.condition, states) == Some(true)
                    }
                    (Some(target), Some(ids)) => {
                        let tasks = target.tasks.iter().filter(|(id, _)| ids.contains(**id));
                        met(gate.after.condition, tasks.map(|(_, task)| task.state)) == Some(true)
                    }
                };
            }
        }
    }

    /// Whether a task was ever submitted.
    pub fn has(&self, task: TaskRef) -> bool {
        let is_there = |sheet: &Sheet| sheet.tasks.contains_key(&task.task.0);
        self.forgotten.contains(&task.job) || self.jobs.get(&task.job).is_some_and(is_there)
    }

    /// Whether what somebody was told is there.
    pub fn holds(&self, claim: &Claim) -> bool {
        match claim {
            Claim::Submitted { job, tasks, name } => self
                .submitted
                .get(job)
                .is_some_and(|(total, first)| total >= tasks && (*tasks == 0 || !first.is_empty()) && !name.is_empty()),
            Claim::Did { job, kind } => self.done.contains(&(*job, *kind)),
            Claim::DidOne { job, kinds } => kinds.iter().any(|kind| self.done.contains(&(*job, *kind))),
            Claim::Forgotten { jobs, count } => {
                jobs.iter().filter(|job| self.forgotten.contains(job)).count() as u64 >= *count
            }
            Claim::Completed { job } => {
                self.completed.contains(job)
                    || !self.submitted.contains_key(job)
                    || self.jobs.get(job).is_some_and(|sheet| sheet.is_done())
            }
            Claim::Ended { task, state } => self.ended.contains(&(*task, *state)),
            Claim::Counts { job, counts } => {
                let ended = |state| self.tally.get(&(*job, state)).copied().unwrap_or_default();
                counts.finished <= ended(TaskState::Finished) && counts.failed <= ended(TaskState::Failed)
            }
            Claim::Told { worker } => self.told.contains(worker),
        }
    }
}

impl Sheet {
    /// Whether tasks are left that should have been aborted.
    pub fn goes_on(&self) -> bool {
        self.is_over && self.tasks.values().any(|task| !task.state.is_final())
    }

    fn is_done(&self) -> bool {
        !self.is_open && self.tasks.values().all(|task| task.state.is_final())
    }
}
