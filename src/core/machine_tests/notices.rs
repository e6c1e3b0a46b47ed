//! Messages of tasks, told more than once.

use super::scene::{Scene, array};
use crate::attempt::{Attempt, Notice};
use crate::command::Command;
use crate::event::Event;
use crate::id::WorkerId;
use crate::idset::IdSet;

fn tell(scene: &mut Scene, worker: WorkerId, number: u64, attempt: Attempt) {
    let notice = Notice { number, attempt, message: number.to_string().into_bytes().into() };
    scene.run(Command::Notify { worker, notice });
}

fn recorded(scene: &Scene) -> Vec<u64> {
    let of = |event: &Event| if let Event::TaskNotified(event) = event { Some(event.number) } else { None };
    scene.log.iter().filter_map(|stamped| of(&stamped.event)).collect()
}

#[test]
fn a_message_that_is_told_again_is_recorded_once() {
    let mut scene = Scene::new();
    let worker = scene.connect(2);
    scene.submit(array(IdSet::range(0, 1), 1, 0));
    scene.begin(worker, 0);
    scene.begin(worker, 1);
    let [first, second] = [0, 1].map(|position| scene.held[&worker][position].0);
    tell(&mut scene, worker, 1, first);
    tell(&mut scene, worker, 2, second);
    tell(&mut scene, worker, 2, second);
    scene.restart();
    scene.come_back(worker);
    for number in [1, 2, 3] {
        tell(&mut scene, worker, number, second);
    }
    // Those of an attempt that the worker does not have are nobody's.
    tell(&mut scene, worker, 4, Attempt::new(1, 9, 1, 0));
    tell(&mut scene, worker, 5, first);
    assert_eq!(recorded(&scene), [1, 2, 3, 5]);
    assert_eq!(scene.replayed().canonical_bytes(), scene.machine.state().canonical_bytes());
}
