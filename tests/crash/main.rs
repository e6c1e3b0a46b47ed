//! What survives when processes die: servers and workers that are killed, signalled, stopped and started again.
//!
//! The promises about crashes are made to users of real processes, so real processes are killed here.
//!
//! Holds: every random choice comes from a seed that is printed; each test ends with a journal that replays to what
//! was shown.

#[path = "../harness/mod.rs"]
mod harness;
#[path = "../harness/small_disk.rs"]
mod small_disk;

mod acts;
mod adoption;
mod background;
mod caller;
mod drains;
mod families;
mod full_disk;
mod full_stream;
mod kills;
mod kinds;
mod ledger;
mod load;
mod lock;
mod open_jobs;
mod outages;
mod prunes;
mod repairs;
mod replay;
mod seed;
mod signals;
mod soak;
mod stops;
mod worker_kills;
mod workers;
