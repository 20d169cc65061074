//! Lists the versions of a function.

use std::sync::Arc;

use faas_catalog::FunctionEntry;
use faas_ports::Collection;
use faas_types::{Code, Fault, VersionRecord};

use crate::deployments::Deployments;

/// Rows read in one page.
const PAGE: u32 = 500;

// === impl Deployments ===

impl Deployments {
    /// A function's versions, newest first, `limit` at most, and older than `below` where that is given.
    ///
    /// # Errors
    /// When the registry cannot be read.
    pub async fn versions(
        &self,
        entry: &FunctionEntry,
        below: Option<u32>,
        limit: usize,
    ) -> Result<Vec<Arc<VersionRecord>>, Fault> {
        let mut versions = Vec::new();
        let stored = self.stored_versions(entry).await?.into_iter().rev();
        for number in stored.filter(|number| below.is_none_or(|below| *number < below)).take(limit) {
            match self.deps.catalog.version(entry, number).await {
                Ok(version) => versions.push(version),
                Err(fault) if fault.code == Code::NotFound => {}
                Err(fault) => return Err(fault),
            }
        }
        Ok(versions)
    }

    /// The numbers of a function's versions, rising.
    pub(crate) async fn stored_versions(&self, entry: &FunctionEntry) -> Result<Vec<u32>, Fault> {
        let prefix = format!("{}/", entry.record.id);
        let (mut after, mut numbers) = (None::<String>, Vec::new());
        loop {
            let project = entry.record.project;
            let rows = self.deps.registry.list(project, Collection::Versions, &prefix, after.as_deref(), PAGE).await?;
            let Some(last) = rows.last() else { return Ok(numbers) };
            after = Some(last.key.name.clone());
            let number = |name: &str| name.rsplit('/').next()?.parse::<u32>().ok();
            numbers.extend(rows.iter().filter_map(|row| number(&row.key.name)));
        }
    }
}
