//! What users see, word for word: every command in every output mode, on the real program, and the pages made from the
//! definition of the command line.
//!
//! Scripts depend on texts, so each is kept in a file, and no change of one goes unnoticed. A session is a file of commands
//! in `sessions/`; what it prints in each mode is in `expected/`. To add a command, add a line to a session, and run
//! `HQ_BLESS=1 cargo nextest run -p hyperqueue --test golden`; then read what that changed.
//!
//! Holds: what is compared differs between two runs only where the program changed; see `volatile`.

#[path = "../harness/mod.rs"]
mod harness;

mod blessed;
mod coverage;
mod journals;
mod reference;
mod schema;
mod session;
mod tables;
mod volatile;

/// A test for each session, and the list of their names.
macro_rules! sessions {
    ($($name:ident)*) => {
        $(
            #[test]
            fn $name() {
                session::check(stringify!($name));
            }
        )*

        /// The names of all sessions.
        const SESSIONS: &[&str] = &[$(stringify!($name)),*];
    };
}

sessions!(colours offline server workers submitting jobs open tasks acts after retries streams journal);
