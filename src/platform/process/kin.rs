//! Which of the machine's processes belong to whom.
//!
//! Somebody who is known to belong passes that on to all children, whatever group or session they are in.
//!
//! Invariants: plain functions of a census; each process belongs to one at most, the nearest of its ancestors that
//! is known decides.

use std::collections::HashMap;

use super::census::Process;

/// A census by number.
pub(super) struct Kin<'a> {
    everybody: &'a [Process],
    by_pid: HashMap<libc::pid_t, usize>,
}

impl<'a> Kin<'a> {
    pub(super) fn new(everybody: &'a [Process]) -> Self {
        let by_pid = everybody.iter().enumerate().map(|(at, process)| (process.pid, at)).collect();
        Self { everybody, by_pid }
    }

    fn ancestors(&self, process: &'a Process) -> impl Iterator<Item = &'a Process> + '_ {
        // Parents are older, so that no chain is longer than there are processes; a census is not of one moment.
        let next = move |process: &&'a Process| self.everybody.get(*self.by_pid.get(&process.parent)?);
        std::iter::successors(Some(process), next).take(self.everybody.len() + 1)
    }

    /// Whether a process is a descendant of another one.
    pub(super) fn descends(&self, process: &'a Process, from: libc::pid_t) -> bool {
        self.ancestors(process).skip(1).any(|ancestor| ancestor.pid == from)
    }

    /// All living processes that belong to somebody, themselves or by the nearest ancestor for which `known` says so.
    pub(super) fn belonging<T: Copy>(&self, known: impl Fn(&'a Process) -> Option<T>) -> Vec<(&'a Process, T)> {
        let mut answers: Vec<Option<Option<T>>> = vec![None; self.everybody.len()];
        let mut found = Vec::new();
        for process in self.everybody {
            let mut way = Vec::new();
            let mut answer = None;
            for ancestor in self.ancestors(process) {
                let Some(at) = self.by_pid.get(&ancestor.pid) else { break };
                if let Some(before) = answers.get(*at).copied().flatten() {
                    answer = before;
                    break;
                }
                way.push(*at);
                answer = known(ancestor);
                if answer.is_some() {
                    break;
                }
            }
            for at in way {
                if let Some(place) = answers.get_mut(at) {
                    *place = Some(answer);
                }
            }
            found.extend(answer.filter(|_| !process.is_dead).map(|whose| (process, whose)));
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn process(pid: i32, parent: i32) -> Process {
        Process { pid, parent, group: pid, session: pid, start: 1, is_dead: pid % 100 == 9 }
    }

    #[test]
    fn the_nearest_known_ancestor_decides() {
        let everybody: Vec<Process> =
            [(1, 0), (10, 1), (20, 10), (21, 20), (30, 10), (31, 30), (32, 31), (109, 31), (40, 1), (50, 51), (51, 50)]
                .map(|(pid, parent)| process(pid, parent))
                .to_vec();
        let kin = Kin::new(&everybody);
        let known = |process: &Process| match process.pid {
            20 => Some('a'),
            30 => Some('b'),
            32 => Some('c'),
            _ => None,
        };
        let mut found: Vec<(i32, char)> =
            kin.belonging(known).into_iter().map(|(process, whose)| (process.pid, whose)).collect();
        found.sort_unstable();
        assert_eq!(found, [(20, 'a'), (21, 'a'), (30, 'b'), (31, 'b'), (32, 'c')]);
        let descends = |pid: i32, from| kin.descends(everybody.iter().find(|p| p.pid == pid).unwrap(), from);
        assert!(descends(32, 10) && descends(32, 30) && !descends(10, 10) && !descends(40, 10) && !descends(50, 10));
    }
}
