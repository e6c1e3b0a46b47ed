//! Pages of tasks of many jobs at once.
//!
//! **Invariant:** an answer has no more tasks, and costs no more looks at tasks, than one page; going on from where it
//! ended tells everything once.

use super::scene::{Scene, array};
use crate::id::{JobId, TaskId};
use crate::idset::IdSet;
use crate::limits;
use crate::view::{TaskPage, TaskPageRequest, TaskState};

fn shape(page: &TaskPage) -> Vec<(u32, usize, Option<u32>)> {
    let all = std::iter::once(page).chain(&page.more);
    all.map(|page| (page.job.0, page.tasks.len(), page.next.map(|next| next.0))).collect()
}

#[test]
fn one_answer_tells_of_many_jobs_within_the_room_of_one_page() {
    let mut scene = Scene::new();
    for tasks in [3, 2, 4] {
        scene.submit(array(IdSet::range(0, tasks - 1), 1, 0));
    }
    let state = scene.machine.state();
    let ask = |limit, also: &[u32]| TaskPageRequest {
        job: JobId(1),
        limit,
        also: also.iter().fold(IdSet::default(), |mut set, id| {
            set.ranges.extend(IdSet::single(*id).ranges);
            set
        }),
        ..TaskPageRequest::default()
    };
    let told = |request: &TaskPageRequest| shape(&state.view_task_pages(request).unwrap());
    assert_eq!(told(&ask(100, &[])), [(1, 3, None)]);
    assert_eq!(told(&ask(100, &[3, 7, 2])), [(1, 3, None), (3, 4, None), (7, 0, None), (2, 2, None)]);
    assert_eq!(told(&ask(2, &[2, 3])), [(1, 2, Some(2))]);
    assert_eq!(told(&ask(3, &[2, 3])), [(1, 3, None)]);
    assert_eq!(told(&ask(4, &[2, 3])), [(1, 3, None), (2, 1, Some(1))]);
    assert_eq!(told(&ask(6, &[2, 3])), [(1, 3, None), (2, 2, None), (3, 1, Some(1))]);
    assert!(state.view_task_pages(&TaskPageRequest { job: JobId(9), ..ask(9, &[1]) }).is_none());
    // The choice is that of each job.
    let chosen = TaskPageRequest { ids: Some(IdSet::range(2, 3)), ..ask(9, &[2, 3]) };
    let page = state.view_task_pages(&chosen).unwrap();
    assert_eq!(shape(&page), [(1, 1, None), (2, 0, None), (3, 2, None)]);
    assert_eq!((page.missing.as_slice(), page.more[0].missing.len()), ([TaskId(3)].as_slice(), 2));
    let none = TaskPageRequest { states: vec![TaskState::Finished], ..ask(9, &[2, 3]) };
    assert_eq!(told(&none), [(1, 0, None), (2, 0, None), (3, 0, None)]);
    // What nobody has is looked for once; jobs that are not there are no way around the limit.
    let ids = Some(IdSet::range(0, u32::try_from(limits::PAGE_SCAN_TASKS_MAX).unwrap() - 1));
    assert_eq!(told(&TaskPageRequest { ids, ..ask(9, &[2, 3]) }).len(), 1);
    let many: Vec<u32> = (100..100 + 2 * limits::PAGE_JOBS_MAX as u32).collect();
    assert_eq!(told(&ask(9, &many)).len(), 1 + limits::PAGE_JOBS_MAX);
}
