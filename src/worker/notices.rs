//! Messages by which tasks notify whoever listens, on their way to the server.
//!
//! A task proves by a token of its environment who it is. It hears that its message has arrived when the server has made
//! it durable, so that messages wait here while the server is away.
//!
//! What holds: a token is good from the start of its attempt to its end; a message is told to the server at least once,
//! and those of one task in their order; what waits is bounded, and more is refused.

use crate::platform::random;
use crate::wire::notice::{TOKEN_PREFIX, TOKEN_RANDOM_CHARS};
use hq_core::attempt::{Attempt, Notice};
use hq_core::limits::WORKER_NOTICES_MAX;
use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};
use tokio::sync::oneshot;

/// Hears when a message is durable.
pub(super) type Arrival = oneshot::Receiver<()>;

/// Why a message is not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refusal {
    /// The token is nobody's.
    Stranger,
    /// Too many messages wait.
    Full,
}

#[derive(Debug)]
struct Waiting {
    notice: Notice,
    /// On this connection.
    is_sent: bool,
    arrival: Option<oneshot::Sender<()>>,
}

#[derive(Debug, Default)]
struct Books {
    tokens: HashMap<String, Attempt>,
    of: HashMap<Attempt, String>,
    waiting: BTreeMap<u64, Waiting>,
    last: u64,
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Notices {
    socket: Option<PathBuf>,
    books: Mutex<Books>,
}

impl Notices {
    /// Messages that come over a socket at this path.
    pub(super) fn at(socket: PathBuf) -> Self {
        Self { socket: Some(socket), ..Self::default() }
    }

    fn lock(&self) -> MutexGuard<'_, Books> {
        self.books.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What a new attempt needs to be heard: the value of `HQ_ACCESS_KEY`.
    pub(super) fn admit(&self, attempt: Attempt) -> Option<String> {
        let socket = self.socket.as_ref()?;
        let token = format!("{TOKEN_PREFIX}{}", random::alphanumeric(TOKEN_RANDOM_CHARS).ok()?);
        let mut books = self.lock();
        books.tokens.insert(token.clone(), attempt);
        let key = format!("{}:{token}", socket.display());
        books.of.insert(attempt, token);
        Some(key)
    }

    /// An attempt has ended.
    pub(super) fn dismiss(&self, attempt: Attempt) {
        let mut books = self.lock();
        if let Some(token) = books.of.remove(&attempt) {
            books.tokens.remove(&token);
        }
    }

    /// Takes a message of whoever has the token.
    pub(super) fn put(&self, token: &str, message: &[u8]) -> Result<Arrival, Refusal> {
        let mut books = self.lock();
        let attempt = *books.tokens.get(token).ok_or(Refusal::Stranger)?;
        if books.waiting.len() >= WORKER_NOTICES_MAX {
            return Err(Refusal::Full);
        }
        books.last += 1;
        let number = books.last;
        let (arrival, arrived) = oneshot::channel();
        let notice = Notice { number, attempt, message: message.to_vec().into() };
        books.waiting.insert(number, Waiting { notice, is_sent: false, arrival: Some(arrival) });
        Ok(arrived)
    }

    /// What this connection has not carried yet, in order.
    pub(super) fn unsent(&self) -> Vec<Notice> {
        let mut books = self.lock();
        let unsent = books.waiting.values_mut().rev().take_while(|waiting| !waiting.is_sent);
        let mut notices: Vec<Notice> = unsent
            .map(|waiting| {
                waiting.is_sent = true;
                waiting.notice.clone()
            })
            .collect();
        notices.reverse();
        notices
    }

    /// A new connection has carried nothing.
    pub(super) fn reopen(&self) -> bool {
        let mut books = self.lock();
        books.waiting.values_mut().for_each(|waiting| waiting.is_sent = false);
        !books.waiting.is_empty()
    }

    /// The server has recorded a message, or never will.
    pub(super) fn noted(&self, number: u64) {
        let waiting = self.lock().waiting.remove(&number);
        if let Some(arrival) = waiting.and_then(|waiting| waiting.arrival) {
            // Who does not wait any more does not want to know.
            let _ = arrival.send(());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_good_while_the_attempt_lasts() {
        let notices = Notices::at("/x/control".into());
        let (first, second) = (Attempt::new(1, 0, 1, 0), Attempt::new(1, 1, 1, 0));
        let keys = [first, second].map(|attempt| notices.admit(attempt).unwrap());
        let tokens = keys.each_ref().map(|key| crate::wire::notice::parse_key(key).unwrap().1);
        assert_ne!(tokens[0], tokens[1]);
        let mut arrival = notices.put(tokens[0], b"a").unwrap();
        notices.put(tokens[1], b"b").unwrap();
        assert_eq!(notices.put("hq0-abcdefgh", b"c").unwrap_err(), Refusal::Stranger);
        notices.dismiss(first);
        assert_eq!(notices.put(tokens[0], b"d").unwrap_err(), Refusal::Stranger);
        let numbers = |notices: &Notices| notices.unsent().iter().map(|notice| notice.number).collect::<Vec<_>>();
        assert_eq!(numbers(&notices), [1, 2]);
        assert!(numbers(&notices).is_empty());
        assert!(arrival.try_recv().is_err());
        notices.noted(1);
        assert!(arrival.try_recv().is_ok());
        // What was not acknowledged is told again.
        assert!(notices.reopen());
        notices.put(tokens[1], b"e").unwrap();
        assert_eq!(numbers(&notices), [2, 3]);
    }

    #[test]
    fn what_waits_is_bounded() {
        let notices = Notices::at("/x/control".into());
        let key = notices.admit(Attempt::new(1, 0, 1, 0)).unwrap();
        let token = key.rsplit_once(':').unwrap().1;
        for _ in 0..WORKER_NOTICES_MAX {
            notices.put(token, b"").unwrap();
        }
        assert_eq!(notices.put(token, b"").unwrap_err(), Refusal::Full);
        notices.noted(1);
        notices.put(token, b"").unwrap();
        assert_eq!(Notices::default().admit(Attempt::default()), None);
    }
}
