//! Forgetting what is older than a project keeps, in the background and in small steps.
//!
//! A step delays other writes, so it takes few rows, and between two steps the store is left alone for
//! longer than the step took.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use faas_catalog::{RETRIES, Tombstone, encode};
use faas_ports::{Collection, Entry, Expect, Expiry, Key, PortError, Write};
use faas_types::{Fault, ProjectId, Reason, Retention, Span, Timestamp, limits};

use crate::retention_metrics::RetentionMetrics;
use crate::runs::Runs;

/// How often it is looked whether something has expired.
const EVERY: Duration = Duration::from_secs(60);
/// Rows of each kind in one step: a millisecond or two of the writer's time.
const STEP_ROWS: u32 = 250;
/// The shortest pause between two steps.
const PAUSE: Duration = Duration::from_millis(10);
/// A pause is this many times as long as the step before it.
const PAUSE_SHARE: u32 = 3;
/// Projects that are looked after.
const PROJECTS_MAX: u32 = 10_000;

/// The time that was so long ago.
fn before(now: Timestamp, age: Duration) -> Timestamp {
    let millis = u64::try_from(age.as_millis()).unwrap_or(u64::MAX);
    Timestamp::from_millis(now.as_millis().saturating_sub(millis))
}

/// What may go at this moment.
fn expiry(project: ProjectId, retention: &Retention, now: Timestamp) -> Expiry {
    let before = |span: Span| before(now, span.get());
    Expiry {
        project,
        runs_before: before(retention.runs),
        run_bytes_max: retention.run_bytes.bytes(),
        results_before: before(retention.results),
        lines_before: before(retention.logs),
        now,
        log_bytes_max: retention.log_bytes.bytes(),
        limit: STEP_ROWS,
    }
}

fn key(project: ProjectId) -> Key {
    Key::new(project, Collection::Settings, "retention")
}

// === impl Runs ===

impl Runs {
    /// What retention has done.
    #[must_use]
    pub fn retention_metrics(&self) -> &RetentionMetrics {
        &self.retention_metrics
    }

    /// How long a project's history is kept, and whether the project has set that itself.
    ///
    /// # Errors
    /// When the registry cannot be read.
    pub async fn retention(&self, project: ProjectId) -> Result<(Retention, bool), Fault> {
        let key = key(project);
        match self.registry.get(&key).await? {
            Some(entry) => Ok((faas_catalog::decode(&key, &entry.value)?, true)),
            None => Ok((self.retention_default, false)),
        }
    }

    /// What the server is configured with.
    #[must_use]
    pub fn retention_default(&self) -> Retention {
        self.retention_default
    }

    /// Sets how long a project's history is kept. `change` gets what holds now, and whether that is a setting of its own; it may be
    /// asked again when another writer was first.
    ///
    /// # Errors
    /// What `change` refuses; `FN_006` naming the field that is out of its bounds; `FN_014` when others change it all the time.
    pub async fn change_retention(
        &self,
        project: ProjectId,
        change: impl Fn(Retention, bool) -> Result<Retention, Fault>,
    ) -> Result<Retention, Fault> {
        let key = key(project);
        for _ in 0..RETRIES {
            let (now, expect) = match self.registry.get(&key).await? {
                Some(entry) => (Some(faas_catalog::decode(&key, &entry.value)?), Expect::Revision(entry.revision)),
                None => (None, Expect::Absent),
            };
            let wanted = change(now.unwrap_or(self.retention_default), now.is_some())?;
            let wrong = |(field, message)| Fault::of_field(format!("{field}: {message}"));
            wanted.check().map_err(wrong)?;
            match self.registry.commit(vec![Write::Put { key: key.clone(), value: encode(&wanted)?, expect }]).await {
                Ok(_) => {
                    self.retention_metrics.wake.notify_one();
                    return Ok(wanted);
                }
                Err(PortError::Conflict { .. }) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(Fault::new(Reason::ChangedMeanwhile, "the retention is being changed by others").with_retry_after(1))
    }

    /// Goes back to what the server is configured with.
    ///
    /// # Errors
    /// `FN_013` when the project has no setting of its own.
    pub async fn reset_retention(&self, project: ProjectId) -> Result<(), Fault> {
        let key = key(project);
        let Some(entry) = self.registry.get(&key).await? else { return Err(no_own_retention()) };
        let delete = Write::Delete { key, expect: Expect::Revision(entry.revision) };
        self.registry.commit(vec![delete]).await?;
        self.retention_metrics.wake.notify_one();
        Ok(())
    }

    /// Forgets what has expired, again and again until the engine stops.
    pub(crate) async fn forget(self: Arc<Self>) {
        loop {
            if let Err(fault) = self.forget_all().await {
                tracing::warn!(error = %fault, "what has expired is not forgotten");
            }
            tokio::select! {
                () = self.lifecycle.stopped() => return,
                () = self.retention_metrics.wake.notified() => {}
                () = tokio::time::sleep(EVERY) => {}
            }
        }
    }

    async fn forget_all(&self) -> Result<(), Fault> {
        let mut log_bytes = 0;
        for project in self.projects().await? {
            let (retention, _) = self.retention(project).await?;
            log_bytes += self.forget_of(project, &retention).await?;
            self.forget_tombstones(project, &retention).await?;
        }
        self.retention_metrics.log_bytes.store(log_bytes, Ordering::Relaxed);
        Ok(())
    }

    /// Returns the bytes of the project's lines that are left.
    async fn forget_of(&self, project: ProjectId, retention: &Retention) -> Result<u64, Fault> {
        loop {
            let begun = Instant::now();
            let done = self.history.expire(&expiry(project, retention, self.clock.now())).await?;
            self.retention_metrics.add(&done);
            let more = self.forget_inputs(project, retention).await?;
            if !done.more && !more {
                return Ok(done.log_bytes);
            }
            let pause = (begun.elapsed() * PAUSE_SHARE).max(PAUSE);
            tokio::select! {
                () = self.lifecycle.stopped() => return Ok(done.log_bytes),
                () = tokio::time::sleep(pause) => {}
            }
        }
    }

    /// One step over dead letters and the inputs of ended runs, which are kept for no longer than the runs. Whether there are more.
    async fn forget_inputs(&self, project: ProjectId, retention: &Retention) -> Result<bool, Fault> {
        let age = retention.runs.get().min(limits::DEAD_LETTER_AGE);
        let before = before(self.clock.now(), age);
        let gone = self.dispatch.letters.expire_dead(project, before, STEP_ROWS).await?;
        self.delete_blobs(gone.freed);
        Ok(gone.rows >= u64::from(STEP_ROWS))
    }

    /// Forgets deleted functions of which no run and no log line is kept any more.
    async fn forget_tombstones(&self, project: ProjectId, retention: &Retention) -> Result<(), Fault> {
        let before = before(self.clock.now(), retention.runs.get().max(retention.logs.get()));
        let mut after = None::<String>;
        loop {
            let page = self.registry.list(project, Collection::Tombstones, "", after.as_deref(), STEP_ROWS).await?;
            let Some(last) = page.last() else { return Ok(()) };
            after = Some(last.key.name.clone());
            for Entry { key, value, revision } in page {
                if faas_catalog::decode::<Tombstone>(&key, &value)?.deleted_at >= before {
                    continue;
                }
                // Not where another function of the name was deleted meanwhile.
                let delete = Write::Delete { key, expect: Expect::Revision(revision) };
                match self.registry.commit(vec![delete]).await {
                    Ok(_) | Err(PortError::Conflict { .. }) => {}
                    Err(error) => return Err(error.into()),
                }
            }
        }
    }

    async fn projects(&self) -> Result<Vec<ProjectId>, Fault> {
        let server = ProjectId::from_u128(0);
        let entries = self.registry.list(server, Collection::Projects, "", None, PROJECTS_MAX).await?;
        entries.iter().map(|entry| Ok(faas_catalog::decode(&entry.key, &entry.value)?)).collect()
    }
}

fn no_own_retention() -> Fault {
    Fault::new(Reason::NotFound, "the project has no retention of its own; the server's holds")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_go_follows_from_the_time() {
        let now = Timestamp::from_millis(100 * 86_400_000);
        let retention = Retention { logs: Span::from_secs(3_600), ..Retention::default() };
        let found = expiry(ProjectId::from_u128(1), &retention, now);
        assert_eq!(now.since(found.runs_before), Duration::from_secs(30 * 86_400));
        assert_eq!(now.since(found.results_before), Duration::from_secs(7 * 86_400));
        assert_eq!(now.since(found.lines_before), Duration::from_secs(3_600));
        let young = expiry(ProjectId::from_u128(1), &retention, Timestamp::from_millis(5));
        assert_eq!(young.runs_before, Timestamp::from_millis(0), "nothing is older than time");
    }
}
