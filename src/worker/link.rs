//! The connection to the server: made, kept, and made again.
//!
//! A server may be started again with another address and other keys, so the access file is read before each try;
//! what the worker holds is told with each registration, so that nothing is lost between two connections.
//!
//! What holds: a registration that was answered once is never given up before the agent says so; heartbeats are
//! sent whatever the agent does.

use super::error::Error;
use super::inbox::{Holdings, Inbox, Input};
use super::lease::{Beats, Lease};
use super::options::WorkerOptions;
use super::outbound::{Departure, Outbound};
use super::route::Route;
use crate::access::{self, PeerAccess};
use crate::platform::{clock, random};
use crate::wire::message::{Empty, Registered, ToServer, ToWorker};
use crate::wire::{self, Connection, DialError};
use hq_core::attempt::{Notice, Outcome, Registration, WorkerReport};
use hq_core::overview::HardwareUse;
use hq_core::time::{Span, Time};
use hq_core::view::WorkerView;
use hq_core::worker::WorkerConfig;
use std::error::Error as _;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::oneshot;
use tokio::time::{Instant, MissedTickBehavior, interval, interval_at, sleep, timeout};

/// First pause between two tries; it doubles up to [`RETRY_MAX`].
const RETRY_MIN: Duration = Duration::from_millis(50);
const RETRY_MAX: Duration = Duration::from_secs(2);
/// How long a new worker tries to find its server.
const FIRST_CONNECT_SPAN: Duration = Duration::from_secs(40);
/// How long the server may take to answer a registration.
const REGISTRATION_SPAN: Duration = Duration::from_secs(15);
/// How long the last words may take.
const FAREWELL_SPAN: Duration = Duration::from_secs(3);
/// How often it is looked whether the server's machine has acknowledged what was sent; more often than that where
/// heartbeats are.
const ARRIVAL_SPAN: Duration = Duration::from_secs(1);
/// How long a start may wait for company.
const START_SPAN: Duration = Duration::from_millis(5);
/// Messages that go at once; further ones at most one in each [`PACE_SPAN`] while tasks wait on this worker, so that no
/// slot is empty meanwhile. Without such tasks everything goes at once. Each message costs some 50 us of processor time on
/// both sides together, as much as a tenth of a short task.
const BURST_MAX: u32 = 4;
const PACE_SPAN: Duration = Duration::from_millis(1);
/// Outcomes in one message.
const REPORT_OUTCOMES_MAX: usize = 8_192;
/// Bytes of error texts in one message; one text is much smaller.
const REPORT_ERROR_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Length to which error texts are cut when the outcomes of a registration do not fit one message.
const CUT_ERROR_CHARS: usize = 48;

/// See the module.
pub(super) struct Link<'a> {
    options: &'a WorkerOptions,
    config: WorkerConfig,
    inbox: Arc<Inbox>,
    outbound: Arc<Outbound>,
    lease: Arc<Lease>,
    route: Route,
    /// Name of this worker's process; a new one for each number that the server gives it.
    token: String,
    /// Uid of the server that knows this worker; empty before.
    server_uid: String,
    /// Registrations that were sent.
    registrations: u64,
    on_registered: &'a dyn Fn(&WorkerView),
}

/// What became of a try to register.
enum Answer {
    Registered(Registered),
    Refused(String),
    Broken(wire::Error),
}

impl<'a> Link<'a> {
    /// A link that has not begun; within the runtime.
    ///
    /// # Errors
    /// [`Error::System`] without randomness, threads or a port.
    pub(super) fn new(
        options: &'a WorkerOptions,
        config: WorkerConfig,
        inbox: Arc<Inbox>,
        outbound: Arc<Outbound>,
        on_registered: &'a dyn Fn(&WorkerView),
    ) -> Result<Self, Error> {
        let lease = Lease::start(Arc::clone(&inbox), options.server_dir.clone());
        let lease = lease.map_err(Error::system("starting a thread"))?;
        let (route, token, server_uid) = (Route::new(options)?, new_token()?, String::new());
        Ok(Self { options, config, inbox, outbound, lease, route, token, server_uid, registrations: 0, on_registered })
    }
}

impl Link<'_> {
    /// Connects and serves until the agent ends.
    ///
    /// # Errors
    /// A server that cannot be found or reached at first, or refuses this worker.
    pub(super) async fn run(&mut self) -> Result<Departure, Error> {
        // Waiting for the end is begun anew each time: a waiter that nobody polls would take wake-ups from others.
        let outbound = Arc::clone(&self.outbound);
        let give_up = Instant::now() + FIRST_CONNECT_SPAN;
        let mut pause = RETRY_MIN;
        let mut is_said = false;
        loop {
            let first = self.server_uid.is_empty();
            let tried = tokio::select! {
                tried = self.connect_and_register() => tried,
                departure = departed(&outbound) => return Ok(departure),
            };
            match tried {
                Ok((connection, Answer::Registered(registered))) => {
                    pause = RETRY_MIN;
                    let seen_as = registered.seen_as.clone();
                    let heartbeat = self.registered(registered);
                    if let Some(departure) = self.serve(connection, heartbeat, &seen_as).await {
                        return Ok(departure);
                    }
                    log::warn!("The connection to the server is broken; tasks go on while the worker looks for it");
                    self.lease.disconnected();
                    self.inbox.put(Input::Lost);
                    continue;
                }
                Ok((_, Answer::Refused(text))) => self.refused(text)?,
                Ok((_, Answer::Broken(error))) if first && Instant::now() >= give_up => {
                    return Err(Error::Broken(error));
                }
                Ok((_, Answer::Broken(error))) => log::warn!("Worker registration failed: {error}"),
                Err(error) if first && (is_final(&error) || Instant::now() >= give_up) => return Err(error),
                Err(error) => {
                    // What refuses at the end of a tunnel is not the server's machine.
                    let dials = matches!(self.route, Route::Straight);
                    if dials && matches!(&error, Error::Dial(error) if error.is_refused()) {
                        self.lease.refused();
                    }
                    let cause = error.source().map(|cause| format!(": {cause}")).unwrap_or_default();
                    if first && !std::mem::replace(&mut is_said, true) {
                        log::warn!("{error}{cause}; it is tried for {} s", FIRST_CONNECT_SPAN.as_secs());
                    } else {
                        log::debug!("{error}{cause}");
                    }
                }
            }
            tokio::select! {
                () = sleep(pause) => pause = (pause * 2).min(RETRY_MAX),
                departure = departed(&outbound) => return Ok(departure),
            }
        }
    }

    async fn connect_and_register(&mut self) -> Result<(Connection, Answer), Error> {
        let access = access::load_worker(&self.options.server_dir, &self.options.version).map_err(Error::Access)?;
        let PeerAccess { endpoint, .. } = &access;
        if endpoint.key.is_absent() {
            log::warn!("No worker key: Unauthenticated and unencrypted connection to server");
        }
        self.lease.calls(matches!(access::read_sign(&self.options.server_dir), Ok(Some(_))));
        let connection = self.route.connect(self.options, &self.token, &access).await?;
        self.registrations += 1;
        self.register(connection).await
    }

    async fn register(&self, mut connection: Connection) -> Result<(Connection, Answer), Error> {
        let sent = clock::since_boot();
        let (reply, holdings) = oneshot::channel();
        self.inbox.put(Input::Holdings(reply));
        let Ok((held, mut outbox)): Result<Holdings, _> = holdings.await else {
            return Ok((connection, Answer::Broken(wire::Error::Cut)));
        };
        fit_message(&mut outbox);
        let (token, server_uid) = (self.token.clone(), self.server_uid.clone());
        let (config, number) = (Box::new(self.config.clone()), self.registrations);
        let registration = Registration { token, config, server_uid, held, outbox, number };
        if let Err(error) = connection.send(&ToServer::Register(registration)).await {
            return Ok((connection, Answer::Broken(error)));
        }
        let answer = match timeout(REGISTRATION_SPAN, connection.recv()).await {
            Ok(Ok(Some(ToWorker::Registered(registered)))) => {
                let (span, heartbeat) = (self.config.lease(), self.config.heartbeat);
                self.lease.begin(span.to_duration(), heartbeat.to_duration(), sent);
                Answer::Registered(registered)
            }
            Ok(Ok(Some(ToWorker::Refused(text)))) => Answer::Refused(text),
            Ok(Ok(Some(_))) => Answer::Broken(wire::Error::Malformed { what: "answer to the registration" }),
            Ok(Ok(None)) => Answer::Broken(wire::Error::Cut),
            Ok(Err(error)) => Answer::Broken(error),
            Err(_) => Answer::Broken(wire::Error::Timeout { ms_max: 15_000 }),
        };
        Ok((connection, answer))
    }

    /// Gives back the interval of heartbeats.
    fn registered(&mut self, registered: Registered) -> Duration {
        let Registered { worker, server_uid, drop, heartbeat, .. } = registered;
        let is_new = self.server_uid.is_empty();
        self.server_uid.clone_from(&server_uid);
        self.inbox.put(Input::Registered { drop, worker: worker.0, server_uid });
        if is_new {
            let started = Time(clock::wall_us());
            let config = Box::new(self.config.clone());
            (self.on_registered)(&WorkerView { id: worker, config, started, ..WorkerView::default() });
        } else {
            log::info!("Connected to the server again as worker {worker}");
        }
        let heartbeat = if heartbeat == Span::default() { self.config.heartbeat } else { heartbeat };
        heartbeat.to_duration().max(Duration::from_millis(1))
    }

    /// A server that does not know this worker any more gets it as a new one.
    fn refused(&mut self, text: String) -> Result<(), Error> {
        if self.server_uid.is_empty() || text.to_lowercase().contains("authentication") {
            return Err(Error::Refused(text));
        }
        log::warn!("The server does not take this worker back: {text}");
        self.server_uid.clear();
        self.token = new_token()?;
        self.inbox.put(Input::Disowned);
        Ok(())
    }

    /// Passes messages both ways; `None` when the connection broke.
    async fn serve(&self, connection: Connection, heartbeat: Duration, seen_as: &str) -> Option<Departure> {
        let (mut receiver, mut sender) = connection.split();
        let beats = Beats::default();
        let receive = async {
            loop {
                match receiver.recv().await {
                    Ok(Some(ToWorker::Heartbeat(_))) => {
                        if let Some(sent) = beats.answered() {
                            self.lease.contact(sent);
                        }
                    }
                    Ok(Some(ToWorker::Noted(number))) => self.outbound.notices.noted(number),
                    Ok(Some(message)) => self.inbox.put_when_room(Input::Server(message)).await,
                    Ok(None) => break,
                    Err(error @ wire::Error::Unknown { .. }) => log::warn!("{error}"),
                    Err(error) => {
                        log::debug!("Lost the server: {error}");
                        break;
                    }
                }
            }
        };
        tokio::select! {
            () = receive => None,
            () = self.lease.over.notified() => None,
            departure = self.send(&mut sender, heartbeat, &beats, seen_as) => departure,
        }
    }

    /// Lets what belongs into one message come together.
    async fn gather(&self, pace: &mut Pace) {
        if self.outbound.is_calm() {
            // A wake-up may be left from something that was sent since.
            let urgent = async {
                while self.outbound.is_calm() {
                    self.outbound.urgent().await;
                }
            };
            let _ = timeout(START_SPAN, urgent).await;
        }
        let pause = pace.next(Instant::now());
        if !pause.is_zero() && self.outbound.has_backlog() && self.outbound.departure().is_none() {
            sleep(pause).await;
        }
    }

    async fn send(
        &self,
        sender: &mut wire::Sender,
        heartbeat: Duration,
        beats: &Beats,
        seen_as: &str,
    ) -> Option<Departure> {
        let mut pace = Pace { messages: BURST_MAX, since: Instant::now() };
        let mut beat = interval_at(Instant::now() + heartbeat, heartbeat);
        beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut arrivals = interval(ARRIVAL_SPAN.min(heartbeat / 2));
        loop {
            let beats_now = tokio::select! {
                () = self.outbound.changed() => false,
                _ = beat.tick() => true,
                // The server may be frozen; its machine has the heartbeats all the same, and it will find them there.
                _ = arrivals.tick() => {
                    if let (Some(true), Some(sent)) = (sender.has_all_arrived(seen_as), beats.last()) {
                        self.lease.contact(sent);
                    }
                    continue;
                }
            };
            if beats_now {
                beats.sending();
            } else {
                self.gather(&mut pace).await;
            }
            let words = Words {
                drains: self.outbound.takes_drain(),
                notices: self.outbound.notices.unsent(),
                beats: beats_now,
            };
            let (report, departure) = self.outbound.take();
            let Some(departure) = departure else {
                let said = match say(sender, words, report).await {
                    Ok(()) => tell(sender, self.outbound.take_overview()).await,
                    failed => failed,
                };
                if let Err(error) = said {
                    log::debug!("Lost the server: {error}");
                    return None;
                }
                continue;
            };
            let farewell = async {
                say(sender, Words { beats: false, ..words }, report).await?;
                if let Some(reason) = departure.leaving {
                    sender.send(&ToServer::Leaving(reason)).await?;
                }
                sender.finish().await
            };
            if !matches!(timeout(FAREWELL_SPAN, farewell).await, Ok(Ok(()))) {
                log::debug!("The server did not hear the last words of this worker");
            }
            return Some(departure);
        }
    }
}

/// Waits for the end of the agent.
async fn departed(outbound: &Outbound) -> Departure {
    loop {
        if let Some(departure) = outbound.departure() {
            return departure;
        }
        outbound.changed().await;
    }
}

/// What is sent beside a report.
struct Words {
    /// That the worker drains.
    drains: bool,
    notices: Vec<Notice>,
    /// A heartbeat.
    beats: bool,
}

/// Sends all that there is to say; what tasks said comes before the report, so that it is heard before their end.
async fn say(sender: &mut wire::Sender, words: Words, report: WorkerReport) -> Result<(), wire::Error> {
    if words.drains {
        sender.send(&ToServer::Draining(Empty {})).await?;
    }
    for notice in words.notices {
        sender.send(&ToServer::Notify(notice)).await?;
    }
    for part in parts(report) {
        sender.send(&ToServer::Report(part)).await?;
    }
    if words.beats { sender.send(&ToServer::Heartbeat(Empty {})).await } else { Ok(()) }
}

/// Sends an overview, if there is one.
async fn tell(sender: &mut wire::Sender, overview: Option<Box<HardwareUse>>) -> Result<(), wire::Error> {
    match overview {
        Some(overview) => sender.send(&ToServer::Overview(overview)).await,
        None => Ok(()),
    }
}

/// The rate of messages: a bucket of [`BURST_MAX`], refilled by one in each [`PACE_SPAN`].
struct Pace {
    messages: u32,
    since: Instant,
}

impl Pace {
    /// Takes one message out; how long it has to wait.
    fn next(&mut self, now: Instant) -> Duration {
        let refilled = now.saturating_duration_since(self.since).as_micros() / PACE_SPAN.as_micros();
        let refilled = u32::try_from(refilled).unwrap_or(u32::MAX);
        self.messages = self.messages.saturating_add(refilled).min(BURST_MAX);
        self.since = if self.messages == BURST_MAX { now } else { self.since + PACE_SPAN * refilled };
        match self.messages.checked_sub(1) {
            Some(left) => {
                self.messages = left;
                Duration::ZERO
            }
            None => {
                self.since += PACE_SPAN;
                self.since.saturating_duration_since(now)
            }
        }
    }
}

/// A random name for a worker's process.
fn new_token() -> Result<String, Error> {
    let failed = |error| Error::System { doing: "choosing a name", source: std::io::Error::other(error) };
    random::alphanumeric(16).map_err(failed)
}

/// Whether a new worker shall not try again.
fn is_final(error: &Error) -> bool {
    matches!(error, Error::Access(_) | Error::Dial(DialError::Version { .. } | DialError::Rejected(_)))
}

fn error_bytes(outcomes: &[Outcome]) -> usize {
    outcomes.iter().map(|outcome| outcome.error.len()).sum()
}

/// A registration has to tell all outcomes in one message; rather than one of them, long texts are cut.
fn fit_message(outbox: &mut [Outcome]) {
    if error_bytes(outbox) > REPORT_ERROR_BYTES_MAX {
        for outcome in outbox {
            let end = outcome.error.char_indices().nth(CUT_ERROR_CHARS).map_or(outcome.error.len(), |(at, _)| at);
            outcome.error.truncate(end);
        }
    }
}

/// Splits a report into messages that surely fit; an empty one is none.
fn parts(mut report: WorkerReport) -> Vec<WorkerReport> {
    if report == WorkerReport::default() {
        return Vec::new();
    }
    if report.ended.len() <= REPORT_OUTCOMES_MAX && error_bytes(&report.ended) <= REPORT_ERROR_BYTES_MAX {
        return vec![report];
    }
    let ended = std::mem::take(&mut report.ended);
    let mut parts = vec![report];
    let mut bytes = 0;
    for outcome in ended {
        bytes += outcome.error.len();
        let full = bytes > REPORT_ERROR_BYTES_MAX;
        match parts.last_mut().filter(|part| !full && part.ended.len() < REPORT_OUTCOMES_MAX) {
            Some(part) => part.ended.push(outcome),
            None => {
                bytes = outcome.error.len();
                parts.push(WorkerReport { ended: vec![outcome], ..WorkerReport::default() });
            }
        }
    }
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_goes_at_once_and_a_stream_is_paced() {
        let begin = Instant::now();
        let mut pace = Pace { messages: BURST_MAX, since: begin };
        let mut now = begin;
        let mut sent = 0;
        while now < begin + Duration::from_millis(100) {
            now += pace.next(now);
            now += Duration::from_micros(20);
            sent += 1;
        }
        assert!((90..=100 + BURST_MAX + 1).contains(&sent), "{sent} messages in 100 ms");
        now += Duration::from_secs(1);
        let waits: Vec<bool> = (0..6).map(|_| !pace.next(now).is_zero()).collect();
        assert_eq!(waits, [false, false, false, false, true, true]);
        // One message a pace never waits.
        now += Duration::from_secs(1);
        for _ in 0..100 {
            now += PACE_SPAN;
            assert_eq!(pace.next(now), Duration::ZERO);
        }
    }

    #[test]
    fn reports_are_split_to_fit() {
        assert!(parts(WorkerReport::default()).is_empty());
        let outcome = |number: u64, bytes: usize| Outcome { number, error: "x".repeat(bytes), ..Outcome::default() };
        for (count, bytes, messages) in [(1, 5, 1), (20_000, 0, 3), (200, 64 * 1024, 4)] {
            let ended: Vec<Outcome> = (1..=count).map(|number| outcome(number, bytes)).collect();
            let parts = parts(WorkerReport { ended: ended.clone(), ..WorkerReport::default() });
            assert_eq!(parts.len(), messages);
            assert!(parts.iter().all(|part| error_bytes(&part.ended) <= REPORT_ERROR_BYTES_MAX));
            assert_eq!(parts.into_iter().flat_map(|part| part.ended).collect::<Vec<_>>(), ended);
        }
        let mut outbox: Vec<Outcome> = (0..200).map(|number| outcome(number, 64 * 1024)).collect();
        fit_message(&mut outbox);
        assert_eq!((outbox.len(), error_bytes(&outbox)), (200, 200 * CUT_ERROR_CHARS));
    }
}
