//! Rollbacks: deployments that move `live` to an earlier version.

use std::sync::Arc;

use faas_catalog::FunctionEntry;
use faas_types::{AliasName, Code, Deployment, DeploymentKind, Fault, FunctionName, Mover, Reason, VersionRecord};

use crate::aliases::Moved;
use crate::deployed::Deployed;
use crate::deployments::Deployments;
use crate::note::check_note;

impl Deployments {
    /// Moves `live` back to `version`, or to the last version that was good. Ends a canary or a split that is under way; where
    /// no version is named, it does only that.
    ///
    /// # Errors
    /// `FN_013` when there is nothing to go back to.
    pub async fn rollback(
        &self,
        entry: &FunctionEntry,
        version: Option<u32>,
        note: Option<String>,
        by: Mover,
    ) -> Result<Deployed, Fault> {
        check_note(note.as_deref())?;
        let name = &entry.record.name;
        let live = entry.live_version().ok_or_else(|| nothing_before(name))?;
        let version = match version {
            Some(number) => self.deps.catalog.version(entry, number).await?,
            None if entry.record.canary.is_some() => return self.abort_canary(entry, note, by).await,
            None if entry.record.live().is_some_and(|live| live.split.is_some()) => {
                self.deps.catalog.version(entry, live).await?
            }
            None => self.way_back(entry, live).await?.ok_or_else(|| nothing_before(name))?,
        };
        self.point_live(entry, version, DeploymentKind::Rollback, (by, note)).await
    }

    /// Points `live` to a version for every call.
    pub(crate) async fn point_live(
        &self,
        entry: &FunctionEntry,
        version: Arc<VersionRecord>,
        kind: DeploymentKind,
        (by, note): (Mover, Option<String>),
    ) -> Result<Deployed, Fault> {
        let (entry, deployment) = self
            .shift(entry, |record| {
                let now = record.moment(self.deps.clock.now());
                // When one half of a split takes all calls, the other half is what was left.
                let tried = record.live().and_then(|live| live.split).map(|split| split.version);
                let before = record.point(AliasName::live(), &version, now);
                let from = if before == Some(version.number) { tried.or(before) } else { before };
                Ok(Some(self.event(
                    record,
                    &AliasName::live(),
                    Moved { kind, by: by.clone(), from, note: note.clone(), at: now },
                )))
            })
            .await?;
        let deployment = deployment.ok_or_else(|| Fault::internal("a move of `live` left no event"))?;
        Ok(Deployed::moved(deployment, entry, version))
    }

    /// The best version to go back to that still exists.
    pub(crate) async fn way_back(&self, entry: &FunctionEntry, live: u32) -> Result<Option<Arc<VersionRecord>>, Fault> {
        for number in Deployment::ways_back(&self.list(entry).await?, live) {
            match self.deps.catalog.version(entry, number).await {
                Ok(version) => return Ok(Some(version)),
                Err(fault) if fault.code == Code::NotFound => {}
                Err(fault) => return Err(fault),
            }
        }
        Ok(None)
    }
}

fn nothing_before(name: &FunctionName) -> Fault {
    Fault::new(Reason::VersionNotFound, format!("`{name}` has no earlier version to go back to that was good"))
        .with_command_hint(format!("its versions are listed by `faas versions list {name}`; name one with --to"))
}
