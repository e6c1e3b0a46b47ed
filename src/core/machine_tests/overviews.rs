//! Overviews of workers: kept for who asked for them, and without any effect.

use super::scene::*;
use crate::command::Command;
use crate::event::Event;
use crate::id::WorkerId;
use crate::limits;
use crate::overview::HardwareUse;
use crate::time::Span;

#[test]
fn overviews_are_kept_where_they_are_wanted_and_change_nothing() {
    let mut scene = Scene::new();
    let quiet = scene.connect(1);
    let mut wanted = config(1);
    wanted.overview_interval = Some(Span::from_secs(5));
    let telling = scene.connect_with(wanted);
    let before = scene.machine.state().canonical_bytes();
    let state = Box::new(HardwareUse { cpus: vec![5_000], ..HardwareUse::default() });
    let endless = Box::new(HardwareUse { cpus: vec![0; limits::OVERVIEW_CPUS_MAX + 1], ..HardwareUse::default() });
    for (worker, state) in
        [(quiet, state.clone()), (telling, state.clone()), (telling, endless), (WorkerId(99), state.clone())]
    {
        scene.run(Command::Overview { worker, state });
    }
    let kept: Vec<&Event> = scene.log.iter().map(|stamped| &stamped.event).filter(|event| event.kind() == 17).collect();
    assert!(matches!(kept[..], [Event::WorkerOverview(e)] if e.worker == telling && e.state == Some(state)));
    assert_eq!(scene.machine.state().canonical_bytes(), before);
    assert_eq!(scene.replayed().canonical_bytes(), before);
}
