//! The layers of a project and the versions that use them: layers of packages, made by deployments, and named layers.

mod named;
mod publish;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use faas_artifacts::{BundleStore, UploadLeases};
use faas_catalog::{Catalog, decode};
use faas_ports::{Clock, Collection, Expect, Registry, Write};
use faas_types::{Digest, Fault, FunctionId, FunctionName, LayerId, LayerRecord, ProjectId, Reason};
use serde::Deserialize;
use tokio_util::sync::CancellationToken;

use crate::dependencies::{PackageInstaller, layer_key};
use crate::upload_rules::UploadRules;
pub use named::{KnownLayerName, KnownLayerVersion};
pub use publish::NewLayer;

/// Layers read at once.
const LISTED: u32 = 1_000;
/// Versions read in one page.
const PAGE: u32 = 1_000;
/// The most functions that an error names.
const NAMED: usize = 5;

/// Ports and services that layers need.
#[expect(missing_docs, reason = "each field is the port or service of its type")]
pub struct LayerDeps {
    pub registry: Arc<dyn Registry>,
    pub clock: Arc<dyn Clock>,
    pub catalog: Arc<Catalog>,
    pub bundles: Arc<BundleStore>,
    pub leases: Arc<UploadLeases>,
    pub rules: Arc<UploadRules>,
    pub installer: Arc<PackageInstaller>,
    /// Cancelled when the server stops.
    pub stop: CancellationToken,
}

/// Lists, publishes and removes the layers of projects.
pub struct LayerCatalog {
    deps: LayerDeps,
}

/// A layer of packages, with the versions that use it.
#[derive(Clone, Debug)]
pub struct KnownLayer {
    /// The layer.
    pub record: LayerRecord,
    /// The versions, by function.
    pub used_by: BTreeMap<FunctionName, BTreeSet<u32>>,
}

/// The fields of a version that name its layer of packages.
#[derive(Deserialize)]
struct Standing {
    function: FunctionId,
    number: u32,
    #[serde(default)]
    dependencies: Option<Digest>,
}

/// Versions by the file lists of their packages.
type Uses = BTreeMap<Digest, BTreeMap<FunctionName, BTreeSet<u32>>>;

/// The versions that an error names.
fn named_users(used_by: &BTreeMap<FunctionName, BTreeSet<u32>>) -> String {
    let one = |(name, versions): (&FunctionName, &BTreeSet<u32>)| {
        let numbers: Vec<String> = versions.iter().rev().take(NAMED).map(u32::to_string).collect();
        let rest = if versions.len() > NAMED { ", …" } else { "" };
        format!("{name} ({}{rest})", numbers.join(", "))
    };
    let names: Vec<String> = used_by.iter().take(NAMED).map(one).collect();
    let more = used_by.len().saturating_sub(NAMED);
    let rest = if more > 0 { format!(" and {more} more") } else { String::new() };
    format!("versions of {}{rest}", names.join(", "))
}

// === impl LayerCatalog ===

impl LayerCatalog {
    /// The service on its ports.
    #[must_use]
    pub fn new(deps: LayerDeps) -> Self {
        Self { deps }
    }

    /// The layers of a project, by id; at most 1,000. Reads every version of the project.
    ///
    /// # Errors
    /// When the registry cannot be read.
    pub async fn list(&self, project: ProjectId) -> Result<Vec<KnownLayer>, Fault> {
        let mut entries: Vec<faas_ports::Entry> = Vec::new();
        loop {
            let after = entries.last().map(|entry| entry.key.name.clone());
            let some = self.deps.registry.list(project, Collection::Layers, "", after.as_deref(), LISTED).await?;
            if some.is_empty() {
                break;
            }
            entries.extend(some);
        }
        let uses = self.uses(project).await?;
        let known = |entry: faas_ports::Entry| {
            let record: LayerRecord = decode(&entry.key, &entry.value)?;
            // Two requests may result in the same files.
            let used_by = uses.get(&record.bundle).cloned().unwrap_or_default();
            Ok(KnownLayer { record, used_by })
        };
        entries.into_iter().map(known).collect()
    }

    /// One layer.
    ///
    /// # Errors
    /// `FN_013` for an unknown layer.
    pub async fn get(&self, project: ProjectId, id: LayerId) -> Result<KnownLayer, Fault> {
        let record = self.record(project, id).await?;
        let used_by = self.uses(project).await?.remove(&record.bundle).unwrap_or_default();
        Ok(KnownLayer { record, used_by })
    }

    /// Removes the record of a layer that no version uses. Its files are collected unless something else needs them.
    ///
    /// # Errors
    /// `FN_013` for an unknown layer; `FN_014` while versions use it.
    pub async fn remove(&self, project: ProjectId, id: LayerId) -> Result<(), Fault> {
        let key = layer_key(project, id);
        let _lock = self.deps.installer.lock(&key).await;
        let KnownLayer { used_by, .. } = self.get(project, id).await?;
        if !used_by.is_empty() {
            return Err(Fault::new(Reason::InUse, format!("{} stand on this layer", named_users(&used_by)))
                .with_command_hint("delete those functions first; `faas layers get` names the versions"));
        }
        self.deps.registry.commit(vec![Write::Delete { key, expect: Expect::Any }]).await?;
        Ok(())
    }

    async fn record(&self, project: ProjectId, id: LayerId) -> Result<LayerRecord, Fault> {
        let key = layer_key(project, id);
        match self.deps.registry.get(&key).await? {
            Some(entry) => Ok(decode(&key, &entry.value)?),
            None => Err(Fault::new(Reason::LayerNotFound, format!("there is no layer {id}"))
                .with_command_hint("list those there are with `faas layers list`")),
        }
    }

    async fn uses(&self, project: ProjectId) -> Result<Uses, Fault> {
        let mut uses = Uses::new();
        let mut after: Option<String> = None;
        loop {
            let page = self.deps.registry.list(project, Collection::Versions, "", after.as_deref(), PAGE).await?;
            for entry in &page {
                let version: Standing = decode(&entry.key, &entry.value)?;
                let function = self.deps.catalog.by_id(project, version.function);
                if let (Some(packages), Some(function)) = (version.dependencies, function) {
                    let of_layer = uses.entry(packages).or_default();
                    of_layer.entry(function.record.name.clone()).or_default().insert(version.number);
                }
            }
            match page.last() {
                Some(last) if page.len() == PAGE as usize => after = Some(last.key.name.clone()),
                _ => return Ok(uses),
            }
        }
    }
}
