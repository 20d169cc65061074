//! Drops versions that nothing needs any more.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use faas_catalog::{FunctionEntry, encode, version_key};
use faas_ports::{Expect, RunQuery, Write};
use faas_types::{Code, Deployment, Fault, FunctionRecord, RunState, Timestamp, limits};

use crate::deployments::Deployments;
use crate::records::delete_writes;

/// A version that an alias left less than this ago is still needed: calls to it may be on their way.
const GRACE: Duration = Duration::from_secs(3600);
/// Earlier versions that are kept for rollbacks.
const WAYS_BACK: usize = 3;
/// The most versions dropped in one commit, and the most events.
const AT_ONCE: usize = 50;

// === impl Deployments ===

impl Deployments {
    /// Drops versions of a function that nothing needs, except the newest, and the oldest events beyond the limit. Called
    /// after each deployment; what one call leaves, the next drops.
    pub(crate) async fn collect_versions(&self, entry: &Arc<FunctionEntry>) {
        let function = &entry.record.name;
        match self.drop_some(entry).await {
            Ok(0) => {}
            // Changed meanwhile: the next deployment looks again.
            Err(fault) if fault.code == Code::Conflict => {}
            Ok(versions) => tracing::info!(%function, versions, "dropped versions that nothing needs"),
            Err(fault) => tracing::warn!(%function, %fault, "versions that nothing needs could not be dropped yet"),
        }
    }

    async fn drop_some(&self, entry: &Arc<FunctionEntry>) -> Result<usize, Fault> {
        let events = self.list(entry).await?;
        self.drop_events(entry, &events).await?;
        if entry.record.latest_version <= self.deps.versions_kept {
            return Ok(0);
        }
        let numbers = self.stored_versions(entry).await?;
        let newest = numbers.len().saturating_sub(self.deps.versions_kept as usize);
        let needed = needed(&entry.record, &events, self.deps.clock.now());
        let in_use = self.deps.scheduler.versions_in_use(entry.record.id);
        let unneeded = numbers[..newest].iter().filter(|number| !needed.contains(number) && !in_use.contains(number));
        let mut spent = Vec::new();
        for number in unneeded.take(AT_ONCE) {
            if !self.has_open_runs(entry, *number).await? {
                spent.push(*number);
            }
        }
        if spent.is_empty() {
            return Ok(0);
        }
        for number in &spent {
            self.deps.bundles.renew_for_instances(&*self.deps.catalog.version(entry, *number).await?).await?;
        }
        let project = entry.record.project;
        let delete =
            |number: &u32| Write::Delete { key: version_key(project, entry.record.id, *number), expect: Expect::Any };
        let mut writes: Vec<Write> = spent.iter().map(delete).collect();
        // Written unchanged: a concurrent move of an alias finds another revision and tries again.
        let value = encode(&entry.record)?;
        writes.push(Write::Put { key: entry.key(), value, expect: Expect::Revision(entry.revision) });
        let revision = self.deps.registry.commit(writes).await?;
        self.deps.catalog.forget_versions(entry.record.id, &spent);
        self.deps.catalog.learn(entry.record.clone(), revision);
        Ok(spent.len())
    }

    /// Whether runs of a version wait or are under way; also true where one page of the history does not tell.
    async fn has_open_runs(&self, entry: &FunctionEntry, number: u32) -> Result<bool, Fault> {
        if self.deps.runs.dispatch.backlog.of(entry.record.id) == 0 {
            return Ok(false);
        }
        for state in [RunState::Queued, RunState::Running, RunState::Retried] {
            let query = RunQuery {
                project: entry.record.project,
                function: Some(entry.record.id),
                state: Some(state),
                code: None,
                cold_start: None,
                version: Some(number),
                trigger: None,
                duration_min: None,
                duration_max: None,
                since: None,
                until: None,
                after: None,
                limit: 1,
            };
            let page = self.deps.runs.history.runs(&query).await?;
            if !page.runs.is_empty() || page.next.is_some() {
                return Ok(true);
            }
        }
        Ok(false)
    }

    async fn drop_events(&self, entry: &FunctionEntry, events: &[Deployment]) -> Result<(), Fault> {
        let old = events.len().saturating_sub(limits::DEPLOYMENTS_KEPT).min(AT_ONCE);
        if old == 0 {
            return Ok(());
        }
        let project = entry.record.project;
        let ended = events[..old].iter().filter(|event| event.state.is_terminal());
        let writes: Vec<Write> = ended.flat_map(|event| delete_writes(project, event)).collect();
        if !writes.is_empty() {
            self.deps.registry.commit(writes).await?;
        }
        Ok(())
    }
}

/// Versions that an alias points to or has just left, and those kept for rollbacks.
fn needed(record: &FunctionRecord, events: &[Deployment], now: Timestamp) -> BTreeSet<u32> {
    let split = |split: Option<faas_types::Split>| split.map(|split| split.version);
    let mut needed = BTreeSet::new();
    for alias in record.aliases.values() {
        needed.insert(alias.version);
        needed.extend(split(alias.split));
    }
    needed.extend(record.canary.map(|canary| canary.version));
    for event in events.iter().filter(|event| now.since(event.created_at) < GRACE) {
        needed.extend(event.from.into_iter().chain(event.to).chain(split(event.split)));
    }
    if let Some(live) = record.live() {
        needed.extend(Deployment::ways_back(events, live.version).into_iter().take(WAYS_BACK));
    }
    needed
}
