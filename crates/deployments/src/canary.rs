//! Canaries: their state, and ending them by hand.

use std::sync::Arc;

use faas_catalog::FunctionEntry;
use faas_types::{
    AliasName, Canary, CanaryCounts, CanaryMove, CanaryPolicy, DeploymentKind, Fault, Mover, Reason, Split,
    VersionRecord,
};

use crate::aliases::Moved;
use crate::deployed::Deployed;
use crate::deployments::Deployments;
use crate::note::check_note;

/// The state of a canary.
#[derive(Clone, Debug)]
pub struct CanaryStatus {
    /// The version and its step.
    pub canary: Canary,
    /// The version that takes the other calls.
    pub live: u32,
    /// What it is judged by.
    pub policy: CanaryPolicy,
    /// How its calls ended since the step began, or since the server started.
    pub counts: CanaryCounts,
}

// === impl Deployments ===

impl Deployments {
    /// The state of a function's canary; `None` when none is under way.
    ///
    /// # Errors
    /// When the version cannot be read.
    pub async fn canary(&self, entry: &FunctionEntry) -> Result<Option<CanaryStatus>, Fault> {
        let (Some(canary), Some(live)) = (entry.record.canary, entry.live_version()) else { return Ok(None) };
        let version = self.deps.catalog.version(entry, canary.version).await?;
        let stats = self.deps.stats.function(entry.record.id, &entry.record.name);
        let counts = stats.canary.counts(canary.version);
        let policy = version.settings.canary.clone().unwrap_or_default();
        Ok(Some(CanaryStatus { canary, live, policy, counts }))
    }

    /// Lets the canary take every call now.
    ///
    /// # Errors
    /// `FN_013` when no canary is under way.
    pub async fn promote_canary(
        &self,
        entry: &FunctionEntry,
        note: Option<String>,
        by: Mover,
    ) -> Result<Deployed, Fault> {
        check_note(note.as_deref())?;
        let canary = entry.record.canary.ok_or_else(|| no_canary(entry))?;
        self.end_canary(entry, canary, DeploymentKind::Promote, (by, note)).await
    }

    /// Gives the canary no more calls. Rollbacks do not go back to it.
    ///
    /// # Errors
    /// `FN_013` when no canary is under way.
    pub async fn abort_canary(
        &self,
        entry: &FunctionEntry,
        note: Option<String>,
        by: Mover,
    ) -> Result<Deployed, Fault> {
        check_note(note.as_deref())?;
        let canary = entry.record.canary.ok_or_else(|| no_canary(entry))?;
        self.end_canary(entry, canary, DeploymentKind::Abort, (by, note)).await
    }

    /// Ends exactly this canary.
    pub(crate) async fn end_canary(
        &self,
        entry: &FunctionEntry,
        canary: Canary,
        kind: DeploymentKind,
        (by, note): (Mover, Option<String>),
    ) -> Result<Deployed, Fault> {
        let live = entry.live_version().ok_or_else(|| no_canary(entry))?;
        let stays = if kind == DeploymentKind::Promote { canary.version } else { live };
        let version: Arc<VersionRecord> = self.deps.catalog.version(entry, stays).await?;
        let (entry, deployment) = self
            .shift(entry, |record| {
                if record.canary.is_none_or(|now| now.version != canary.version) {
                    return Err(meanwhile(entry));
                }
                let now = record.moment(self.deps.clock.now());
                let before = record.point(AliasName::live(), &version, now);
                let from = if kind == DeploymentKind::Promote { before } else { Some(canary.version) };
                Ok(Some(self.event(
                    record,
                    &AliasName::live(),
                    Moved { kind, by: by.clone(), from, note: note.clone(), at: now },
                )))
            })
            .await?;
        let deployment = deployment.ok_or_else(|| Fault::internal("the end of a canary left no event"))?;
        Ok(Deployed::moved(deployment, entry, version))
    }

    /// Carries out what the counts of a canary call for at this moment.
    pub(crate) async fn tend_canary(&self, entry: &Arc<FunctionEntry>) -> Result<(), Fault> {
        let Some(CanaryStatus { canary, policy, counts: counted, .. }) = self.canary(entry).await? else {
            return Ok(());
        };
        let counts = format!("{} of {} calls failed, {} were slow", counted.failed, counted.calls, counted.slow);
        let next = policy.decide(&canary, counted, self.deps.clock.now());
        let (name, version) = (&entry.record.name, canary.version);
        match next {
            CanaryMove::Wait => return Ok(()),
            CanaryMove::Step(step) => self.step_canary(entry, canary, (step, &policy), &counts).await?,
            CanaryMove::Promote => {
                let note = Some(format!("automatic step: {counts}"));
                self.end_canary(entry, canary, DeploymentKind::Promote, (Mover::Canary, note)).await?;
            }
            CanaryMove::RollBack(breach) => {
                let note = Some(format!("stopped automatically, {}: {counts}", breach.as_str()));
                self.end_canary(entry, canary, DeploymentKind::Breach, (Mover::Canary, note)).await?;
                tracing::warn!(function = %name, version, counts, "a version broke its canary policy and was rolled back");
                return Ok(());
            }
        }
        tracing::info!(function = %name, version, counts, "a canary went on");
        Ok(())
    }

    async fn step_canary(
        &self,
        entry: &FunctionEntry,
        canary: Canary,
        (step, policy): (u32, &CanaryPolicy),
        counts: &str,
    ) -> Result<(), Fault> {
        let Some(share) = policy.share(step) else { return Ok(()) };
        self.update(entry, |record| {
            if record.canary != Some(canary) {
                return Err(meanwhile(entry));
            }
            let now = record.moment(self.deps.clock.now());
            let live = AliasName::live();
            let Some(alias) = record.aliases.get_mut(&live) else { return Err(meanwhile(entry)) };
            let from = Some(alias.version);
            (alias.split, alias.moved_at) = (Some(Split { version: canary.version, share }), now);
            record.canary = Some(Canary { step, since: now, ..canary });
            let note = Some(format!("automatic step: {counts}"));
            Ok(Some(self.event(
                record,
                &live,
                Moved { kind: DeploymentKind::Step, by: Mover::Canary, from, note, at: now },
            )))
        })
        .await?;
        Ok(())
    }
}

fn no_canary(entry: &FunctionEntry) -> Fault {
    Fault::new(Reason::RolloutNotFound, format!("no canary of `{}` is under way", entry.record.name))
        .with_hint("deploy a version whose manifest has a [canary] table")
}

fn meanwhile(entry: &FunctionEntry) -> Fault {
    Fault::new(Reason::ChangedMeanwhile, format!("the canary of `{}` has gone on meanwhile", entry.record.name))
        .with_retry_after(1)
}
