//! The mark: everything that is needed.

use std::collections::{BTreeSet, HashSet};
use std::time::Instant;

use faas_artifacts::StackSpec;
use faas_catalog::decode;
use faas_ports::{Collection, Entry};
use faas_runs::input::RunInput;
use faas_types::{Digest, Fault, FunctionId, LayerRecord, LayerVersionRecord, ProjectId, RunId, VersionRecord};

use super::{GarbageCollector, Round};

/// Records read in one page.
const PAGE: u32 = 200;
/// Inputs read in one page: each may have 64 KB and its head.
const INPUTS: u32 = 32;

/// The marked digests, versions and projects.
#[derive(Debug, Default)]
pub(super) struct Needed {
    /// The first halves of digests, to halve their memory. Two files that share one both stay.
    halves: HashSet<u128>,
    /// Lists of files, which are needed as files too.
    lists: HashSet<Digest>,
    versions: HashSet<(FunctionId, u32)>,
    projects: BTreeSet<ProjectId>,
}

// === impl Needed ===

impl Needed {
    pub(super) fn has(&self, digest: &Digest) -> bool {
        self.halves.contains(&half(digest))
    }

    pub(super) fn has_version(&self, version: (FunctionId, u32)) -> bool {
        self.versions.contains(&version)
    }

    /// Projects that have functions or versions.
    pub(super) fn projects(&self) -> impl Iterator<Item = ProjectId> {
        self.projects.iter().copied()
    }

    fn add(&mut self, digest: &Digest) {
        self.halves.insert(half(digest));
    }

    fn add_list(&mut self, digest: &Digest) {
        self.add(digest);
        self.lists.insert(*digest);
    }

    fn add_version(&mut self, version: &VersionRecord) {
        let VersionRecord { bundle, compiled, dependencies, layers, build_log, .. } = version;
        self.versions.insert((version.function, version.number));
        [Some(bundle), compiled.as_ref(), dependencies.as_ref()].into_iter().flatten().for_each(|d| self.add_list(d));
        layers.iter().for_each(|digest| self.add_list(digest));
        let stack = StackSpec::of(version).digest();
        stack.iter().chain(build_log).for_each(|digest| self.add(digest));
    }
}

fn half(digest: &Digest) -> u128 {
    let (first, _) = digest.as_bytes().split_at(16);
    first.iter().fold(0, |number, byte| number << 8 | u128::from(*byte))
}

// === impl GarbageCollector ===

impl GarbageCollector {
    /// Marks what versions, layers and inputs need.
    ///
    /// # Errors
    /// When any of these cannot be read: nothing may be removed then.
    pub(super) async fn needed(&self, round: Round) -> Result<Needed, Fault> {
        let mut needed = Needed::default();
        needed.projects.extend(self.deps.catalog.all().iter().map(|entry| entry.record.project));
        self.each_record(round, Collection::Versions, |entry| {
            needed.projects.insert(entry.key.project);
            needed.add_version(&decode(&entry.key, &entry.value)?);
            Ok(())
        })
        .await?;
        self.each_record(round, Collection::Layers, |entry| {
            let layer: LayerRecord = decode(&entry.key, &entry.value)?;
            needed.add_list(&layer.bundle);
            Ok(())
        })
        .await?;
        self.each_record(round, Collection::NamedLayers, |entry| {
            if entry.key.name.starts_with("versions/") {
                let layer: LayerVersionRecord = decode(&entry.key, &entry.value)?;
                needed.add_list(&layer.bundle);
            }
            Ok(())
        })
        .await?;
        self.mark_inputs(round, &mut needed).await?;
        self.mark_files(round, &mut needed).await?;
        Ok(needed)
    }

    async fn each_record(
        &self,
        round: Round,
        collection: Collection,
        mut take: impl FnMut(&Entry) -> Result<(), Fault> + Send,
    ) -> Result<(), Fault> {
        let mut after = None;
        loop {
            let begun = Instant::now();
            let page = self.deps.registry.scan(collection, after.as_ref(), PAGE).await?;
            let Some(last) = page.last() else { return Ok(()) };
            after = Some(last.key.clone());
            page.iter().try_for_each(&mut take)?;
            self.pause_after(begun, round).await?;
        }
    }

    async fn mark_inputs(&self, round: Round, needed: &mut Needed) -> Result<(), Fault> {
        let mut after: Option<(ProjectId, RunId)> = None;
        loop {
            let begun = Instant::now();
            let page = self.deps.letters.inputs(after, INPUTS).await?;
            let Some((project, run, _)) = page.last() else { return Ok(()) };
            after = Some((*project, *run));
            for (_, _, input) in &page {
                if let Some(digest) = RunInput::blob_of(input)? {
                    needed.add(&digest);
                }
            }
            self.pause_after(begun, round).await?;
        }
    }

    async fn mark_files(&self, round: Round, needed: &mut Needed) -> Result<(), Fault> {
        for digest in std::mem::take(&mut needed.lists) {
            let begun = Instant::now();
            let bundle = self.deps.bundles.listing(&digest).await.map_err(|fault| {
                let message = format!("the list of files {digest} is needed and cannot be read: {}", fault.message);
                Fault { message, ..fault }
            })?;
            bundle.files.iter().for_each(|file| needed.add(&file.digest));
            self.pause_after(begun, round).await?;
        }
        Ok(())
    }
}
