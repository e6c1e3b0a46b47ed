//! What workers tell the turn.
//!
//! What holds: a worker that is registered is told so only when that is durable.

use super::Turn;
use crate::server::commit::WorkerSender;
use crate::wire::message::{Registered, ToServer, ToWorker};
use hq_core::attempt::Registration;
use hq_core::command::{Command, Reply};
use hq_core::id::WorkerId;
use std::net::SocketAddr;
use tokio::sync::oneshot;

impl Turn {
    pub(super) fn register(
        &mut self,
        mut registration: Box<Registration>,
        (connection, address): (u64, SocketAddr),
        to: WorkerSender,
        id: oneshot::Sender<Result<WorkerId, String>>,
    ) {
        let (known, number) = (self.machine.state().worker_by_token(&registration.token), registration.number);
        let known = known.map(|worker| worker.id);
        if self.ending.is_some() && known.is_none() {
            drop(id.send(Err("the server is ending".to_owned())));
            return;
        }
        if self.cut_off || self.links.is_overtaken(known, number) {
            // The worker tries again, or it has; what it holds is safe with it.
            return;
        }
        registration.config.idle_timeout = registration.config.idle_timeout.or(self.idle_timeout);
        let heartbeat = registration.config.heartbeat;
        let output = self.machine.handle(self.now, Command::Register(registration));
        match &output.reply {
            Reply::Registered { worker, drop: gone } => {
                let (worker, ticket) = (*worker, self.group.ticket);
                self.links.connect(worker, connection, to);
                let state = self.machine.state();
                self.links.accepted(worker, number);
                let message = ToWorker::Registered(Registered {
                    worker,
                    epoch: state.epoch,
                    server_uid: state.server_uid.clone(),
                    drop: gone.clone(),
                    heartbeat,
                    seen_as: address.to_string(),
                });
                self.group.urgent = true;
                self.links.send(worker, message, ticket, &mut self.group.releases);
                drop(id.send(Ok(worker)));
            }
            Reply::Refused(reason) => drop(id.send(Err(reason.clone()))),
            _ => drop(id.send(Err("the registration was not understood".to_owned()))),
        }
        self.absorb(output);
    }

    pub(super) fn worker(&mut self, worker: WorkerId, message: ToServer) {
        match message {
            ToServer::Report(report) => drop(self.command(Command::Report { worker, report })),
            ToServer::Overview(state) => drop(self.command(Command::Overview { worker, state })),
            ToServer::Leaving(reason) => {
                self.command(Command::Leaving { worker, reason });
                self.links.close(worker);
            }
            ToServer::Notify(notice) => drop(self.command(Command::Notify { worker, notice })),
            ToServer::Draining(_) => drop(self.command(Command::Draining { worker })),
            ToServer::Register(_) | ToServer::Heartbeat(_) => {}
        }
    }
}
