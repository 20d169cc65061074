//! Messages about ended runs, in memory.

use std::collections::BTreeMap;

use async_trait::async_trait;
use faas_ports::{CallbackDepth, Callbacks, NewCallback, PortResult, RunHistory, TakeCallbacks, TakenCallback};
use faas_types::{Callback, ProjectId, RunId, Timestamp};

use super::MemoryQueue;

/// Messages that are not delivered yet.
#[derive(Debug, Default)]
pub(super) struct CallbackTable {
    rows: BTreeMap<(ProjectId, RunId), Row>,
}

#[derive(Debug)]
struct Row {
    callback: NewCallback,
    due_at: Timestamp,
    attempts: u32,
}

// === impl CallbackTable ===

impl CallbackTable {
    pub(super) fn add(&mut self, key: (ProjectId, RunId), callback: NewCallback) {
        let due_at = callback.ended_at;
        self.rows.insert(key, Row { callback, due_at, attempts: 0 });
    }

    fn take(&mut self, take: &TakeCallbacks) -> Vec<TakenCallback> {
        let mut due: Vec<_> = self.rows.iter_mut().filter(|(_, row)| row.due_at <= take.now).collect();
        due.sort_by(|(_, one), (_, other)| {
            let rank = |row: &Row| (row.callback.host <= take.after, row.callback.host.clone(), row.due_at);
            rank(one).cmp(&rank(other))
        });
        let mut busy: BTreeMap<String, u32> = take.busy.iter().cloned().collect();
        let mut taken = Vec::new();
        for ((project, run), row) in due {
            let count = busy.entry(row.callback.host.clone()).or_default();
            if *count >= take.per_host || taken.len() == take.limit as usize {
                continue;
            }
            *count += 1;
            row.attempts += 1;
            row.due_at = take.until;
            let (callback, attempts) = (row.callback.clone(), row.attempts);
            taken.push(TakenCallback { project: *project, run: *run, callback, attempts });
        }
        taken
    }

    /// Whether there was such a message.
    fn note(&mut self, key: (ProjectId, RunId), again: Option<Timestamp>) -> bool {
        match again {
            Some(at) => self.rows.get_mut(&key).map(|row| row.due_at = at).is_some(),
            None => self.rows.remove(&key).is_some(),
        }
    }
}

#[async_trait]
impl Callbacks for MemoryQueue {
    async fn next_callback(&self) -> PortResult<Option<Timestamp>> {
        Ok(self.state.lock().callbacks.rows.values().map(|row| row.due_at).min())
    }

    async fn take_callbacks(&self, take: TakeCallbacks) -> PortResult<Vec<TakenCallback>> {
        Ok(self.state.lock().callbacks.take(&take))
    }

    async fn note_callback(
        &self,
        project: ProjectId,
        run: RunId,
        callback: Callback,
        again: Option<Timestamp>,
    ) -> PortResult<bool> {
        let known = self.state.lock().callbacks.note((project, run), again);
        if let Some(mut record) = self.history.run(project, run).await?.filter(|_| known) {
            record.completion.get_or_insert_default().callback = Some(callback);
            self.show(vec![record]).await?;
        }
        Ok(known && again.is_none())
    }

    async fn callback_depths(&self) -> PortResult<Vec<CallbackDepth>> {
        let mut depths: BTreeMap<ProjectId, CallbackDepth> = BTreeMap::new();
        for ((project, _), row) in &self.state.lock().callbacks.rows {
            let fresh = CallbackDepth { project: *project, messages: 0, bytes: 0 };
            let depth = depths.entry(*project).or_insert(fresh);
            depth.messages += 1;
            depth.bytes += row.callback.body.len() as u64;
        }
        Ok(depths.into_values().collect())
    }
}
