//! Changes of aliases by time alone: canaries go on or end, previews expire.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use faas_catalog::FunctionEntry;
use faas_types::{AliasName, Code, DeploymentKind, Fault, FunctionId, Mover, Reason, Timestamp};

use crate::deployments::Deployments;

/// How often counts are judged while a canary is under way.
const JUDGE_EVERY: Duration = Duration::from_millis(200);

/// The canaries whose calls are counted: the version, and when its step began.
type Counted = HashMap<FunctionId, (u32, Timestamp)>;

// === impl Deployments ===

impl Deployments {
    /// Carries canaries on and ends previews in the background until the server stops. While there are any, the clock is
    /// looked at every `look_every` or sooner.
    pub fn start(self: &Arc<Self>, look_every: Duration) {
        self.deps.lifecycle.spawn(keep_rollouts(Arc::clone(self), look_every));
    }
}

async fn keep_rollouts(deployments: Arc<Deployments>, look_every: Duration) {
    let mut counted = Counted::new();
    let deps = &deployments.deps;
    loop {
        let attended = deps.catalog.timed();
        counted.retain(|id, _| attended.iter().any(|entry| entry.record.id == *id && entry.record.canary.is_some()));
        for entry in &attended {
            if let Err(fault) = tend(&deployments, entry, &mut counted).await
                && fault.code != Code::Conflict
            {
                tracing::error!(function = %entry.record.name, %fault, "its rollout cannot go on yet");
            }
        }
        let pause = if counted.is_empty() { look_every } else { JUDGE_EVERY.min(look_every) };
        tokio::select! {
            () = deps.lifecycle.stopped() => return,
            () = deps.catalog.timed_changed() => {}
            () = tokio::time::sleep(pause), if !attended.is_empty() => {}
        }
    }
}

async fn tend(deployments: &Arc<Deployments>, entry: &Arc<FunctionEntry>, counted: &mut Counted) -> Result<(), Fault> {
    let record = &entry.record;
    let now = deployments.deps.clock.now();
    let ended = record.aliases.iter().filter(|(_, alias)| alias.has_expired(now));
    for name in ended.map(|(name, _)| name.clone()).collect::<Vec<AliasName>>() {
        deployments
            .update(entry, |record| {
                // It was deployed again meanwhile.
                if record.aliases.get(&name).is_none_or(|alias| !alias.has_expired(deployments.deps.clock.now())) {
                    return Err(Fault::new(Reason::ChangedMeanwhile, "the preview was renewed"));
                }
                deployments.drop_alias(record, &name, DeploymentKind::Expire, Mover::Platform)
            })
            .await?;
        tracing::info!(function = %record.name, alias = %name, "a preview ended");
    }
    let Some(canary) = record.canary else { return Ok(()) };
    let mark = (canary.version, canary.since);
    if counted.insert(record.id, mark) != Some(mark) {
        let version = deployments.deps.catalog.version(entry, canary.version).await?;
        let slow = version.settings.canary.as_ref().and_then(|policy| policy.max_p95);
        let stats = deployments.deps.stats.function(record.id, &record.name);
        stats.canary.begin(canary.version, slow.map(faas_types::Span::get));
    }
    deployments.tend_canary(entry).await
}
