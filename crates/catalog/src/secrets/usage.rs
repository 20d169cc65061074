//! Which functions refer to which secrets.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use faas_types::{Code, Fault, ProjectId, SecretName, Stage, VersionRecord, secret_refs};

use super::Secrets;
use crate::function_entry::FunctionEntry;
use crate::vars::{ProjectVars, VarScope};

/// Functions that are read with one question to the registry.
const PAGE: usize = 200;

/// The names of functions by the secret that they refer to and the stage that has it.
pub(super) type Usage = BTreeMap<(Stage, SecretName), BTreeSet<String>>;

// === impl Secrets ===

impl Secrets {
    /// The functions that use each secret of a project: by versions that an alias points to, in that alias's stage. Reads the
    /// versions of all functions.
    pub(super) async fn usage(&self, project: ProjectId) -> Result<Usage, Fault> {
        let vars = self.deps.vars.of(project);
        let mut usage = Usage::new();
        if vars.secrets().next().is_none() {
            return Ok(usage);
        }
        let mut after = None;
        loop {
            let page = self.deps.catalog.page(project, after.as_ref(), PAGE);
            let Some(last) = page.last() else { return Ok(usage) };
            after = Some(last.record.name.clone());
            // Brings the live ones into memory, where the look-ups below find them.
            self.deps.catalog.live_versions(&page).await?;
            for entry in &page {
                self.note_usage(entry, &vars, &mut usage).await?;
            }
        }
    }

    async fn note_usage(&self, entry: &Arc<FunctionEntry>, vars: &ProjectVars, usage: &mut Usage) -> Result<(), Fault> {
        let pointed: BTreeSet<(Stage, u32)> = entry.record.pointed().collect();
        for (stage, number) in pointed {
            let version: Arc<VersionRecord> = match self.deps.catalog.version(entry, number).await {
                Ok(version) => version,
                Err(fault) if fault.code == Code::NotFound => continue,
                Err(fault) => return Err(fault),
            };
            let scope = VarScope::of(vars, &entry.record, &version, stage);
            for var in scope.effective().values() {
                for name in secret_refs(&var.value) {
                    if let Some((owner, _)) = vars.secret(stage, &name) {
                        usage.entry((owner, name)).or_default().insert(entry.record.name.to_string());
                    }
                }
            }
        }
        Ok(())
    }

    pub(super) async fn users(
        &self,
        project: ProjectId,
        stage: Stage,
        name: &SecretName,
    ) -> Result<BTreeSet<String>, Fault> {
        Ok(self.usage(project).await?.remove(&(stage, name.clone())).unwrap_or_default())
    }
}
