//! What triggers do for the runs that they caused.

use faas_runs::hooks::RunSource;
use faas_types::{RetryPolicy, RunId, RunRecord, TriggerKind, TriggerSettings};

use crate::core::Core;

impl RunSource for Core {
    fn retry_policy(&self, run: &RunRecord) -> Option<RetryPolicy> {
        let name = run.trigger_name.as_ref().filter(|_| run.trigger == TriggerKind::Queue)?;
        match &self.triggers.find(run.function, name.as_str()).ok()?.record.settings {
            TriggerSettings::Queue(queue) => queue.retry.clone(),
            _ => None,
        }
    }

    fn run_ended(&self, run: RunId) {
        self.topics.tracker.ended(run);
    }
}
