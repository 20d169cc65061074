//! Rollbacks: another deployment, backwards.

use std::time::Duration;

use faas_ports::{Expect, Write};
use faas_types::{AliasName, Code, Deployment, Fault, FunctionName};

use crate::catalog::{FunctionEntry, decode};
use crate::core::encode;
use crate::deploy::{Deployed, check_note};
use crate::engine::Engine;
use crate::functions::deployment_key;

impl Engine {
    /// Moves `live` back, to `version` or to where it pointed before the present one.
    ///
    /// # Errors
    /// `FN_013` when there is nothing to go back to.
    pub async fn rollback(
        &self,
        entry: &FunctionEntry,
        version: Option<u32>,
        note: Option<String>,
    ) -> Result<Deployed, Fault> {
        check_note(note.as_deref())?;
        let name = &entry.record.name;
        let live = entry.live_version().ok_or_else(|| nothing_before(name))?;
        let target = match version {
            Some(version) => version,
            None => self.previous(entry, live).await?.ok_or_else(|| nothing_before(name))?,
        };
        let version = self.core.catalog.version(entry, target).await?;
        let now = entry.record.moment(self.core.clock.now());
        let deployment = Deployment {
            id: self.core.ids.mint(now),
            function: entry.record.id,
            alias: AliasName::live(),
            from: Some(live),
            to: target,
            rollback: true,
            note,
            at: now,
        };
        let mut record = entry.record.clone();
        record.point_live(target, &version.settings, now);
        record.updated_at = now;
        let triggers = self.core.reconcile_triggers(record.project, record.id, &version.settings.triggers).await?;
        let mut writes = vec![
            Write::Put { key: entry.key(), value: encode(&record)?, expect: Expect::Revision(entry.revision) },
            Write::Put {
                key: deployment_key(record.project, &deployment),
                value: encode(&deployment)?,
                expect: Expect::Absent,
            },
        ];
        writes.extend(triggers.writes.iter().cloned());
        let revision = self.core.registry.commit(writes).await?;
        self.core.learn_triggers(triggers, revision);
        let entry = self.remember(record, revision);
        self.retire_outdated(&entry).await;
        Ok(Deployed { deployment, entry, version, check: Duration::ZERO })
    }

    /// Where `live` pointed before it was last moved to `live` by a deployment.
    async fn previous(&self, entry: &FunctionEntry, live: u32) -> Result<Option<u32>, Fault> {
        let prefix = format!("{}/", entry.record.id);
        let collection = faas_ports::Collection::Deployments;
        let (mut after, mut found) = (None::<String>, None);
        loop {
            let rows =
                self.core.registry.list(entry.record.project, collection, &prefix, after.as_deref(), 500).await?;
            let Some(last) = rows.last() else { return Ok(found) };
            after = Some(last.key.name.clone());
            for row in &rows {
                let deployment: Deployment = decode(&row.key, &row.value)?;
                if deployment.to == live && !deployment.rollback {
                    found = deployment.from;
                }
            }
        }
    }
}

fn nothing_before(name: &FunctionName) -> Fault {
    Fault::new(Code::NotFound, format!("`{name}` has no earlier version to go back to"))
        .with_hint(format!("its versions are listed by `faas fn versions {name}`"))
}
