//! Lists the versions of a function.

use std::sync::Arc;

use faas_catalog::FunctionEntry;
use faas_ports::Collection;
use faas_types::{AliasName, Code, Fault, Reason, VersionId, VersionRecord};

use crate::deployments::Deployments;

/// Rows read in one page.
const PAGE: u32 = 500;

/// A walk through the versions of a function.
#[derive(Clone, Copy, Debug)]
pub struct VersionWalk {
    /// The number that was seen last.
    pub after: Option<u32>,
    /// From the newest to the oldest.
    pub descends: bool,
    /// The maximum of versions.
    pub limit: usize,
}

// === impl Deployments ===

impl Deployments {
    /// Versions of a function, newest first where the walk descends.
    ///
    /// # Errors
    /// When the registry cannot be read.
    pub async fn versions(&self, entry: &FunctionEntry, walk: VersionWalk) -> Result<Vec<Arc<VersionRecord>>, Fault> {
        let mut numbers = self.stored_versions(entry).await?;
        if walk.descends {
            numbers.reverse();
        }
        numbers.retain(|number| {
            walk.after.is_none_or(|after| if walk.descends { *number < after } else { *number > after })
        });
        let mut versions = Vec::new();
        for number in numbers {
            if versions.len() == walk.limit {
                break;
            }
            match self.deps.catalog.version(entry, number).await {
                Ok(version) => versions.push(version),
                // Dropped meanwhile.
                Err(fault) if fault.code == Code::NotFound => {}
                Err(fault) => return Err(fault),
            }
        }
        Ok(versions)
    }

    /// A version as paths name it: by its number, its id, or an alias, of which the first version counts where it splits.
    ///
    /// # Errors
    /// `FN_013` when the function has no such version; when the registry cannot be read.
    pub async fn find_version(&self, entry: &FunctionEntry, text: &str) -> Result<Arc<VersionRecord>, Fault> {
        let number = if let Ok(number) = text.parse() {
            Some(number)
        } else if let Ok(id) = text.parse::<VersionId>() {
            let all = self.versions(entry, VersionWalk { after: None, descends: true, limit: usize::MAX }).await?;
            all.iter().find(|version| version.id == id).map(|version| version.number)
        } else {
            let alias = text.parse::<AliasName>().ok();
            alias.and_then(|name| Some(entry.record.aliases.get(&name)?.version))
        };
        let Some(number) = number else {
            let (name, shown) = (&entry.record.name, text.chars().take(80).collect::<String>());
            let fault = Fault::new(Reason::VersionNotFound, format!("`{name}` has no version `{shown}`"));
            return Err(fault.with_hint("name one by its number, its id (ver_\u{2026}) or an alias such as `live`"));
        };
        self.deps.catalog.version(entry, number).await
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
