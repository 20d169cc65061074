//! Dead letters and inputs in memory.

use async_trait::async_trait;
use bytes::Bytes;
use faas_ports::{DeadLetter, DeadLetterQuery, DeadLetters, PortResult, Removed};
use faas_types::{ProjectId, RunId, Timestamp};

use super::MemoryQueue;

#[async_trait]
impl DeadLetters for MemoryQueue {
    async fn dead_letters(&self, query: &DeadLetterQuery) -> PortResult<Vec<DeadLetter>> {
        let state = self.state.lock();
        let wanted = state.dead.values().rev().filter(|letter| takes(query, letter));
        Ok(wanted.take(query.limit as usize).cloned().collect())
    }

    async fn dead_letter(&self, project: ProjectId, run: RunId) -> PortResult<Option<DeadLetter>> {
        Ok(self.state.lock().dead.get(&(project, run)).cloned())
    }

    async fn purge(&self, project: ProjectId, runs: Vec<RunId>) -> PortResult<Removed> {
        let mut state = self.state.lock();
        let mut removed = Removed::default();
        for run in runs {
            if state.dead.remove(&(project, run)).is_some() {
                state.inputs.remove(&(project, run));
                removed.freed.extend(state.kept.remove((project, run)));
                removed.rows += 1;
            }
        }
        Ok(removed)
    }

    async fn input(&self, project: ProjectId, run: RunId) -> PortResult<Option<Bytes>> {
        Ok(self.state.lock().inputs.get(&(project, run)).cloned())
    }

    async fn inputs(
        &self,
        after: Option<(ProjectId, RunId)>,
        limit: u32,
    ) -> PortResult<Vec<(ProjectId, RunId, Bytes)>> {
        let state = self.state.lock();
        let later = state.inputs.iter().filter(|(key, _)| after.is_none_or(|after| **key > after));
        Ok(later.take(limit as usize).map(|((project, run), input)| (*project, *run, input.clone())).collect())
    }

    async fn expire_dead(&self, project: ProjectId, before: Timestamp, limit: u32) -> PortResult<Removed> {
        let mut state = self.state.lock();
        let mut old: Vec<_> =
            state.dead.iter().filter(|(key, letter)| key.0 == project && letter.died_at < before).collect();
        old.sort_by_key(|(_, letter)| letter.died_at);
        let letters: Vec<_> = old.into_iter().take(limit as usize).map(|(key, _)| *key).collect();
        letters.iter().for_each(|key| drop(state.dead.remove(key)));
        let waits =
            |key: &(ProjectId, RunId)| state.slots.iter().any(|slot| (slot.record.project, slot.record.id) == *key);
        let inputs: Vec<_> = state
            .inputs
            .keys()
            .filter(|key| {
                key.0 == project && key.1.created_at() < before && !waits(key) && !state.dead.contains_key(key)
            })
            .take(limit as usize)
            .copied()
            .collect();
        inputs.iter().for_each(|key| drop(state.inputs.remove(key)));
        let freed = inputs.iter().filter_map(|key| state.kept.remove(*key)).collect();
        Ok(Removed { rows: (letters.len() + inputs.len()) as u64, freed })
    }
}

fn takes(query: &DeadLetterQuery, letter: &DeadLetter) -> bool {
    let run = &letter.record;
    run.project == query.project
        && query.function.is_none_or(|function| run.function().id == function)
        && query.code.is_none_or(|code| run.code == Some(code))
        && query.since.is_none_or(|since| run.id.created_at() >= since)
        && query.until.is_none_or(|until| run.id.created_at() < until)
        && query.after.is_none_or(|after| run.id < after)
}
