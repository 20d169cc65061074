//! Versions that nothing needs any more.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use faas_catalog::{FunctionEntry, encode, version_key};
use faas_ports::{Collection, Expect, RunQuery, Write};
use faas_types::{Code, Deployment, Fault, FunctionRecord, RunState, Timestamp, limits};

use crate::deployments::Deployments;
use crate::functions::deployment_key;

/// What an alias has left for less than this is still needed: calls that it sent there may be on their way.
const GRACE: Duration = Duration::from_secs(3600);
/// Earlier versions that a rollback finds.
const WAYS_BACK: usize = 3;
/// Versions that go at once, and as many events.
const AT_ONCE: usize = 50;
/// Rows that are read at once.
const PAGE: u32 = 500;

// === impl Deployments ===

impl Deployments {
    /// Drops versions of a function that nothing needs, but none of the newest, and the oldest events beyond what is kept.
    /// Called after each deployment; what one call leaves, the next takes.
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
        if entry.record.latest_version <= self.versions_kept {
            return Ok(0);
        }
        let numbers = self.stored_versions(entry).await?;
        let newest = numbers.len().saturating_sub(self.versions_kept as usize);
        let needed = needed(&entry.record, &events, self.core.clock.now());
        let in_use = self.core.scheduler.versions_in_use(entry.record.id);
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
            self.core.bundles.renew_for_instances(&*self.core.catalog.version(entry, *number).await?).await?;
        }
        let project = entry.record.project;
        let delete =
            |number: &u32| Write::Delete { key: version_key(project, entry.record.id, *number), expect: Expect::Any };
        let mut writes: Vec<Write> = spent.iter().map(delete).collect();
        // Written unchanged: a concurrent move of an alias finds another revision and looks again.
        let value = encode(&entry.record)?;
        writes.push(Write::Put { key: entry.key(), value, expect: Expect::Revision(entry.revision) });
        let revision = self.core.registry.commit(writes).await?;
        self.core.catalog.forget_versions(entry.record.id, &spent);
        self.core.catalog.learn(entry.record.clone(), revision);
        Ok(spent.len())
    }

    /// The numbers of a function's versions, rising.
    pub(crate) async fn stored_versions(&self, entry: &FunctionEntry) -> Result<Vec<u32>, Fault> {
        let prefix = format!("{}/", entry.record.id);
        let (mut after, mut numbers) = (None::<String>, Vec::new());
        loop {
            let project = entry.record.project;
            let rows = self.core.registry.list(project, Collection::Versions, &prefix, after.as_deref(), PAGE).await?;
            let Some(last) = rows.last() else { return Ok(numbers) };
            after = Some(last.key.name.clone());
            let number = |name: &str| name.rsplit('/').next()?.parse::<u32>().ok();
            numbers.extend(rows.iter().filter_map(|row| number(&row.key.name)));
        }
    }

    /// Whether runs of a version wait or are under way. Where the history cannot tell in one look, there may be some.
    async fn has_open_runs(&self, entry: &FunctionEntry, number: u32) -> Result<bool, Fault> {
        if self.core.runs.dispatch.backlog.of(entry.record.id) == 0 {
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
            let page = self.core.runs.history.runs(&query).await?;
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
        let delete = |event| Write::Delete { key: deployment_key(project, event), expect: Expect::Any };
        self.core.registry.commit(events[..old].iter().map(delete).collect()).await?;
        Ok(())
    }
}

/// What an alias points to or has just left, and what a rollback would find.
fn needed(record: &FunctionRecord, events: &[Deployment], now: Timestamp) -> BTreeSet<u32> {
    let split = |split: Option<faas_types::Split>| split.map(|split| split.version);
    let mut needed = BTreeSet::new();
    for alias in record.aliases.values() {
        needed.insert(alias.version);
        needed.extend(split(alias.split));
    }
    needed.extend(record.canary.map(|canary| canary.version));
    for event in events.iter().filter(|event| now.since(event.at) < GRACE) {
        needed.extend(event.from.into_iter().chain([event.to]).chain(split(event.split)));
    }
    if let Some(live) = record.live() {
        needed.extend(Deployment::ways_back(events, live.version).into_iter().take(WAYS_BACK));
    }
    needed
}
