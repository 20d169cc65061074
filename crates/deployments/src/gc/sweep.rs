//! The sweep: removes unmarked files.

use std::time::Instant;

use faas_ports::{Collection, Expect, StoredBlob, Write};
use faas_types::{Fault, ProjectId};

use super::mark::Needed;
use super::{GarbageCollector, GcReport, Round};

/// Blobs removed in one step.
const STEP: u64 = 64;
/// Records of deployment groups that a project keeps.
const GROUPS_KEPT: usize = 500;
/// Records read in one page, and removed in one commit.
const PAGE: u32 = 500;

// === impl GarbageCollector ===

impl GarbageCollector {
    pub(super) async fn sweep(&self, round: Round, needed: &Needed) -> Result<GcReport, Fault> {
        let mut found = GcReport::default();
        // An instance of a deleted version uses a tree that nothing else needs; the grace outlasts any such instance.
        let holds_trees = round.now && self.has_orphans(needed);
        for first in 0..=u8::MAX {
            let mut begun = Instant::now();
            for (at, blob) in (1..).zip(self.deps.blobs.shelf(first).await?) {
                if needed.has(&blob.digest) {
                    found.needed += 1;
                } else if blob.renewed_at >= round.before
                    || (round.now && self.deps.leases.spares(blob.renewed_at, round.before))
                {
                    found.young += 1;
                } else {
                    self.sweep_one(round, &blob, holds_trees, &mut found).await?;
                }
                if at % STEP == 0 {
                    self.pause_after(begun, round).await?;
                    begun = Instant::now();
                }
            }
            self.pause_after(begun, round).await?;
        }
        Ok(found)
    }

    /// Removes a blob with the tree that was laid out from it, unless it was renewed since.
    async fn sweep_one(
        &self,
        round: Round,
        blob: &StoredBlob,
        holds_trees: bool,
        found: &mut GcReport,
    ) -> Result<(), Fault> {
        let StoredBlob { digest, size, .. } = blob;
        let is_laid_out = self.deps.layers.find(digest).is_some();
        if is_laid_out && holds_trees {
            found.young += 1;
            return Ok(());
        }
        // The recipe of mount points is not a list of files, and their tree is tiny.
        let tree =
            if is_laid_out { self.deps.bundles.listing(digest).await.map_or(0, |bundle| bundle.size()) } else { 0 };
        if !round.dry {
            let _lock = if is_laid_out { Some(self.deps.bundles.lock(digest).await) } else { None };
            if is_laid_out {
                if !self.deps.blobs.is_older(digest, round.before).await? {
                    found.young += 1;
                    return Ok(());
                }
                // Before the list: what a kill leaves is laid out no more, or found again.
                self.deps.layers.remove(digest).await?;
            }
            if !self.deps.blobs.collect(digest, round.before).await? {
                found.young += 1;
                return Ok(());
            }
        }
        found.blobs += 1;
        found.blob_bytes += size;
        found.layers += u64::from(is_laid_out);
        found.layer_bytes += tree;
        Ok(())
    }

    /// Whether an instance of a deleted version still runs or is just ending.
    fn has_orphans(&self, needed: &Needed) -> bool {
        let in_use = self.deps.scheduler.functions().into_iter().flat_map(|function| {
            let versions = self.deps.scheduler.versions_in_use(function);
            versions.into_iter().map(move |number| (function, number))
        });
        self.deps.scheduler.snapshot().terminating > 0 || in_use.into_iter().any(|version| !needed.has_version(version))
    }

    /// Deletes the oldest records of deployment groups, beyond the number kept.
    pub(super) async fn drop_old_groups(
        &self,
        round: Round,
        projects: impl Iterator<Item = ProjectId>,
    ) -> Result<u64, Fault> {
        let mut dropped = 0;
        for project in projects {
            let (mut after, mut keys) = (None::<String>, Vec::new());
            loop {
                let begun = Instant::now();
                let after_name = after.as_deref();
                let page =
                    self.deps.registry.list(project, Collection::Deployments, "groups/", after_name, PAGE).await?;
                let Some(last) = page.last() else { break };
                after = Some(last.key.name.clone());
                keys.extend(page.into_iter().map(|entry| entry.key));
                self.pause_after(begun, round).await?;
            }
            // Ids rise with time.
            let old = keys.len().saturating_sub(GROUPS_KEPT);
            dropped += old as u64;
            for batch in keys[..old].chunks(PAGE as usize).filter(|_| !round.dry) {
                let begun = Instant::now();
                let delete = |key: &faas_ports::Key| Write::Delete { key: key.clone(), expect: Expect::Any };
                self.deps.registry.commit(batch.iter().map(delete).collect()).await?;
                self.pause_after(begun, round).await?;
            }
        }
        Ok(dropped)
    }
}
