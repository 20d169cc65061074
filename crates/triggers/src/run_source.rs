//! What a run asks of the trigger that made it.

use faas_runs::hooks::RunSource;
use faas_types::{RetryPolicy, RunId, RunRecord, TriggerKind, TriggerSettings};

use super::service::Triggers;

impl RunSource for Triggers {
    fn retry_policy(&self, run: &RunRecord) -> Option<RetryPolicy> {
        let name = run.trigger_name.as_ref().filter(|_| run.trigger == TriggerKind::Queue)?;
        match &self.table.find(run.function().id, name.as_str()).ok()?.record.settings {
            TriggerSettings::Queue(queue) => queue.retry.clone(),
            _ => None,
        }
    }

    fn run_ended(&self, run: RunId) {
        self.subscriptions.ended(run);
    }
}
