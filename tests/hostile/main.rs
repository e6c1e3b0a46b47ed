//! A server among people who mean it ill: strangers at its ports, others on the same machine, peers with a key that lie.
//!
//! Each file is one kind of enemy; each test is one promise of `docs/guarantees.md`, shown with the real program on
//! real sockets.
//!
//! Holds: an attack ends with the server answering, with bounded memory and a bounded log; nothing is left running.

#[path = "../harness/mod.rs"]
mod harness;

mod clients;
mod control;
mod doors;
mod floods;
mod fuzz;
mod leftovers;
mod limits;
mod meter;
mod modes;
mod mutation;
mod paths;
mod peer;
mod proxy;
mod readers;
mod secrets;
mod submits;
mod terminals;
mod workers;
