//! What is under way for all instances, shared between projects.

use std::collections::HashMap;
use std::sync::Arc;

use faas_types::ProjectId;
use parking_lot::Mutex;

/// Counts what is under way, over all and by project. A project may have as many as are left over: one alone gets half of
/// all, and one that comes later always finds room.
#[derive(Debug)]
pub(super) struct Underway {
    most: u32,
    counts: Mutex<Counts>,
}

#[derive(Debug, Default)]
struct Counts {
    all: u32,
    projects: HashMap<ProjectId, u32>,
}

/// One that is under way.
#[derive(Debug)]
pub(super) struct Turn {
    underway: Arc<Underway>,
    project: ProjectId,
}

// === impl Underway ===

impl Underway {
    pub(super) fn new(most: u32) -> Arc<Self> {
        Arc::new(Self { most, counts: Mutex::default() })
    }

    /// Begins one more of a project, unless it has its share.
    pub(super) fn begin(self: &Arc<Self>, project: ProjectId) -> Option<Turn> {
        let mut counts = self.counts.lock();
        let own = counts.projects.get(&project).copied().unwrap_or(0);
        if own >= self.most.saturating_sub(counts.all) {
            return None;
        }
        counts.all += 1;
        counts.projects.insert(project, own + 1);
        Some(Turn { underway: Arc::clone(self), project })
    }
}

// === impl Turn ===

impl Drop for Turn {
    fn drop(&mut self) {
        let mut counts = self.underway.counts.lock();
        counts.all = counts.all.saturating_sub(1);
        if let Some(own) = counts.projects.get_mut(&self.project) {
            *own = own.saturating_sub(1);
            if *own == 0 {
                counts.projects.remove(&self.project);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn project(last: char) -> ProjectId {
        format!("prj_01ARZ3NDEKTSV4RRFFQ69G5FA{last}").parse().expect("an id")
    }

    #[test]
    fn one_project_gets_half_and_the_next_finds_room() {
        let underway = Underway::new(64);
        let take = |last| std::iter::from_fn(|| underway.begin(project(last))).collect::<Vec<Turn>>();
        let first = take('A');
        assert_eq!(first.len(), 32);
        let second = take('B');
        assert_eq!(second.len(), 16);
        assert_eq!(take('C').len(), 8, "all of these are given back at once");
        assert_eq!(take('C').len(), 8);
        drop(first);
        assert!(underway.begin(project('A')).is_some());
        drop(second);
        let counts = underway.counts.lock();
        assert!(counts.all == 0 && counts.projects.is_empty(), "{counts:?}");
    }
}
