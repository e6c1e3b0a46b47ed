//! What users see, word for word: every command in every output mode, on the real program, and the pages made from the
//! definition of the command line.
//!
//! Scripts depend on texts, so each is kept in a file beside its reason, and no change of one goes unnoticed.
//! `HQ_BLESS=1 cargo nextest run -p hyperqueue --test golden` writes the files anew; what it changed is to be read.
//!
//! Holds: what is compared differs between two runs only where the program changed; see `volatile`.

#[path = "../harness/mod.rs"]
mod harness;

mod blessed;
mod reference;
