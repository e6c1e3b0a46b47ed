//! The rule of the lease against made-up times and signs.

use super::*;
use crate::access::Sign;

const SPAN: Duration = Duration::from_secs(20);

fn at(second: u64) -> Duration {
    Duration::from_secs(second)
}

/// Signs as a server makes them: a fresh one for each call.
struct Signs {
    dir: tempfile::TempDir,
    writer: crate::access::SignWriter,
}

impl Signs {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let server = crate::access::ServerDir::create(dir.path()).unwrap();
        let writer = crate::access::SignWriter::create(&server, "abc123", 1).unwrap();
        server.publish().unwrap();
        Self { dir, writer }
    }

    fn next(&mut self) -> Sign {
        self.writer.write().unwrap();
        access::read_sign(self.dir.path()).unwrap().unwrap()
    }
}

fn lease() -> Judgement {
    let heartbeat = Duration::from_secs(8);
    Judgement { span: Some(SPAN), heartbeat, contact: at(100), connected: true, ..Judgement::default() }
}

#[test]
fn without_evidence_the_lease_ends_in_time() {
    let mut inner = lease();
    assert_eq!(inner.judge(at(119)), Verdict::Goes(Some(at(120))));
    inner.contact = at(108);
    assert_eq!(inner.judge(at(127)), Verdict::Goes(Some(at(128))));
    assert_eq!(inner.judge(at(128)), Verdict::Over);
    assert_eq!(inner.judge(at(129)), Verdict::Goes(None), "it ends once");
}

#[test]
fn a_dead_server_takes_nothing_back() {
    // Its sign stands still.
    let (mut inner, sign) = (lease(), Signs::new().next());
    for second in 110..200 {
        inner.watch.saw(Ok(Some(sign.clone())), at(second));
        assert!(matches!(inner.judge(at(second)), Verdict::Goes(Some(_))), "{second}");
    }
    // A file system that does not answer any more is no evidence.
    assert_eq!(inner.judge(at(230)), Verdict::Over);

    // Its sign was taken away, in order.
    let mut inner = lease();
    inner.watch.saw(Ok(Some(sign)), at(110));
    inner.watch.saw(Ok(None), at(120));
    assert!(matches!(inner.judge(at(121)), Verdict::Goes(Some(_))));

    // Its machine refuses, and there is no sign to be seen from here.
    let mut inner = lease();
    inner.watch.saw(Ok(None), at(119));
    inner.refused = Some(at(118));
    assert!(matches!(inner.judge(at(120)), Verdict::Goes(Some(_))));
    assert_eq!(inner.judge(at(137)), Verdict::Goes(Some(at(138))));
    assert_eq!(inner.judge(at(138)), Verdict::Over, "the refusal was too long ago");
}

#[test]
fn a_sign_of_life_beats_everything() {
    let (mut inner, mut signs) = (lease(), Signs::new());
    for second in 110..120 {
        inner.watch.saw(Ok(Some(signs.next())), at(second));
    }
    inner.refused = Some(at(120));
    assert_eq!(inner.judge(at(120)), Verdict::Over);

    // The server comes back to life after it was taken for dead.
    let (mut inner, last) = (lease(), signs.next());
    for second in 110..140 {
        inner.watch.saw(Ok(Some(last.clone())), at(second));
        assert!(matches!(inner.judge(at(second)), Verdict::Goes(Some(_))), "{second}");
    }
    inner.watch.saw(Ok(Some(signs.next())), at(140));
    assert_eq!(inner.judge(at(140)), Verdict::Over);
}

#[test]
fn a_server_that_was_started_again_can_be_reached_in_time() {
    let (mut inner, mut signs) = (lease(), Signs::new());
    let last = signs.next();
    for second in 110..=130 {
        inner.watch.saw(Ok(Some(last.clone())), at(second));
        assert!(matches!(inner.judge(at(second)), Verdict::Goes(Some(_))), "{second}");
    }
    // The last time that it was known to be dead and that counted is the end of the lease, 120.
    inner.watch.saw(Ok(Some(signs.next())), at(131));
    assert_eq!(inner.judge(at(131)), Verdict::Goes(Some(at(140))));
    assert_eq!(inner.judge(at(140)), Verdict::Over);
}

#[test]
fn one_look_is_no_evidence() {
    let (mut inner, mut signs) = (lease(), Signs::new());
    inner.watch.saw(Ok(Some(signs.next())), at(119));
    assert_eq!(inner.judge(at(120)), Verdict::Over);
    let mut inner = lease();
    inner.watch.saw(Err(()), at(110));
    inner.watch.saw(Ok(None), at(119));
    assert_eq!(inner.judge(at(120)), Verdict::Over, "a directory without signs says nothing");
}

#[test]
fn the_file_system_is_asked_only_when_something_is_missing() {
    let mut inner = lease();
    assert!(!inner.looks(at(109)) && inner.looks(at(111)));
    inner.connected = false;
    assert!(inner.looks(at(101)));
    inner.span = None;
    assert!(!inner.looks(at(111)));
}

#[test]
fn answers_belong_to_heartbeats_in_order() {
    let beats = Beats::default();
    assert_eq!((beats.answered(), beats.last()), (None, None));
    beats.sending();
    beats.sending();
    let last = beats.last();
    assert!(beats.answered() <= last);
    assert_eq!(beats.answered(), last);
    assert_eq!((beats.answered(), beats.last()), (None, last));
}

#[test]
fn the_next_lease_does_not_revive_the_one_before() {
    let heartbeat = Duration::from_secs(8);
    let mut inner = Judgement::default();
    assert!(!inner.begin(SPAN, heartbeat, at(100), at(101)), "the first one has none before it");
    assert!(!inner.begin(SPAN, heartbeat, at(119), at(119)), "it goes on");
    // Frozen before the answer to a registration is read, until long after that lease: nobody has judged it yet.
    assert!(inner.begin(SPAN, heartbeat, at(150), at(151)));
    assert_eq!(inner.judge(at(151)), Verdict::Goes(Some(at(170))));
    assert_eq!(inner.judge(at(170)), Verdict::Over);
    assert!(!inner.begin(SPAN, heartbeat, at(180), at(181)), "that was said");
}
