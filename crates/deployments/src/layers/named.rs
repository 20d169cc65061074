//! Named layers: immutable versions of files that functions share.

use std::collections::{BTreeMap, BTreeSet};
use std::env::consts::ARCH;

use faas_catalog::decode;
use faas_ports::{Collection, Expect, Key, Write};
use faas_types::{
    ByteSize, Code, Digest, Fault, FunctionId, FunctionName, FunctionSettings, LayerName, LayerRef, LayerVersionRecord,
    NamedLayerRecord, ProjectId, Reason, RuntimeName, limits,
};
use serde::Deserialize;

use super::{LayerCatalog, named_users};

/// Entries read in one page.
const PAGE: u32 = 500;

/// A version of a named layer, with the versions of functions that use it.
#[derive(Clone, Debug)]
pub struct KnownLayerVersion {
    /// The version.
    pub record: LayerVersionRecord,
    /// The versions of functions, by function.
    pub used_by: BTreeMap<FunctionName, BTreeSet<u32>>,
}

/// A named layer.
#[derive(Clone, Debug)]
pub struct KnownLayerName {
    /// Its newest version.
    pub newest: LayerVersionRecord,
    /// How many versions there are.
    pub versions: usize,
    /// Bytes of all of them.
    pub size: u64,
    /// The functions that use any of them.
    pub used_by: BTreeSet<FunctionName>,
}

/// The fields of a version that name its layers.
#[derive(Deserialize)]
struct Standing {
    function: FunctionId,
    number: u32,
    settings: StandingSettings,
}

#[derive(Deserialize)]
struct StandingSettings {
    #[serde(default)]
    layers: Vec<LayerRef>,
}

/// Versions of functions, by the layer that they use.
type Uses = BTreeMap<(LayerName, u32), BTreeMap<FunctionName, BTreeSet<u32>>>;

// === impl LayerCatalog ===

impl LayerCatalog {
    /// The named layers of a project, by name. Reads every version of the project.
    ///
    /// # Errors
    /// When the registry cannot be read.
    pub async fn list_named(&self, project: ProjectId) -> Result<Vec<KnownLayerName>, Fault> {
        self.names_below(project, "versions/").await
    }

    /// One named layer.
    ///
    /// # Errors
    /// `FN_013` for an unknown name.
    pub async fn get_named(&self, project: ProjectId, name: &LayerName) -> Result<KnownLayerName, Fault> {
        let found = self.names_below(project, &format!("versions/{name}/")).await?;
        found.into_iter().next().ok_or_else(|| unknown(&LayerRef { name: name.clone(), version: None }))
    }

    async fn names_below(&self, project: ProjectId, prefix: &str) -> Result<Vec<KnownLayerName>, Fault> {
        let uses = self.named_uses(project).await?;
        let mut layers = BTreeMap::<LayerName, KnownLayerName>::new();
        for record in self.stored(project, prefix).await? {
            let users = uses.get(&(record.name.clone(), record.number));
            let layer = layers.entry(record.name.clone()).or_insert_with(|| KnownLayerName {
                newest: record.clone(),
                versions: 0,
                size: 0,
                used_by: BTreeSet::new(),
            });
            layer.versions += 1;
            layer.size = layer.size.saturating_add(record.size);
            layer.used_by.extend(users.into_iter().flat_map(BTreeMap::keys).cloned());
            // They are read in rising order.
            layer.newest = record;
        }
        Ok(layers.into_values().collect())
    }

    /// The versions of a named layer, newest first.
    ///
    /// # Errors
    /// `FN_013` for an unknown name.
    pub async fn versions_of(&self, project: ProjectId, name: &LayerName) -> Result<Vec<KnownLayerVersion>, Fault> {
        let records = self.stored(project, &format!("versions/{name}/")).await?;
        if records.is_empty() {
            return Err(unknown(&LayerRef { name: name.clone(), version: None }));
        }
        let mut uses = self.named_uses(project).await?;
        let known = |record: LayerVersionRecord| {
            let used_by = uses.remove(&(record.name.clone(), record.number)).unwrap_or_default();
            KnownLayerVersion { record, used_by }
        };
        Ok(records.into_iter().rev().map(known).collect())
    }

    /// One version of a named layer; the newest where the reference names none.
    ///
    /// # Errors
    /// `FN_013` for an unknown layer.
    pub async fn get_version(&self, project: ProjectId, layer: &LayerRef) -> Result<KnownLayerVersion, Fault> {
        let record = self.find(project, layer).await?;
        let mut uses = self.named_uses(project).await?;
        let used_by = uses.remove(&(record.name.clone(), record.number)).unwrap_or_default();
        Ok(KnownLayerVersion { record, used_by })
    }

    /// Removes a version of a named layer, or all of them where the reference names none. Their numbers are not given again.
    ///
    /// # Errors
    /// `FN_013` for an unknown layer; `FN_014` while versions of functions use it, naming them.
    pub async fn remove_versions(&self, project: ProjectId, layer: &LayerRef) -> Result<Vec<u32>, Fault> {
        let doomed = match layer.version {
            Some(_) => vec![self.find(project, layer).await?],
            None => self.stored(project, &format!("versions/{}/", layer.name)).await?,
        };
        if doomed.is_empty() {
            return Err(unknown(layer));
        }
        let uses = self.named_uses(project).await?;
        for record in &doomed {
            if let Some(users) = uses.get(&(record.name.clone(), record.number)) {
                let message = format!("{} stand on {}:{}", named_users(users), record.name, record.number);
                return Err(Fault::new(Reason::InUse, message).with_hint(
                    "versions that are not needed are dropped with later deployments; deleting the function drops all",
                ));
            }
        }
        let delete = |record: &LayerVersionRecord| Write::Delete {
            key: version_key(project, &record.name, record.number),
            expect: Expect::Any,
        };
        self.deps.registry.commit(doomed.iter().map(delete).collect()).await?;
        Ok(doomed.iter().map(|record| record.number).collect())
    }

    async fn named_uses(&self, project: ProjectId) -> Result<Uses, Fault> {
        let mut uses = Uses::new();
        let mut after: Option<String> = None;
        loop {
            let page = self.deps.registry.list(project, Collection::Versions, "", after.as_deref(), PAGE).await?;
            let Some(last) = page.last() else { return Ok(uses) };
            after = Some(last.key.name.clone());
            for entry in &page {
                let version: Standing = decode(&entry.key, &entry.value)?;
                let Some(function) = self.deps.catalog.by_id(project, version.function) else { continue };
                for LayerRef { name, version: layer } in version.settings.layers {
                    let of_layer = uses.entry((name, layer.unwrap_or_default())).or_default();
                    of_layer.entry(function.record.name.clone()).or_default().insert(version.number);
                }
            }
        }
    }

    /// The versions that a function's settings ask for, in their order. The settings then name the versions.
    ///
    /// # Errors
    /// `FN_006` for an unknown layer or one for another runtime, and past the limits.
    pub(crate) async fn resolve(
        &self,
        project: ProjectId,
        settings: &mut FunctionSettings,
    ) -> Result<Vec<Digest>, Fault> {
        let (mut digests, mut size) = (Vec::with_capacity(settings.layers.len()), 0_u64);
        for layer in &mut settings.layers {
            let record = self.find(project, layer).await.map_err(|mut fault| {
                if fault.code == Code::NotFound {
                    fault = fault.with_reason(Reason::InvalidManifest);
                }
                fault.message = format!("layers: {}", fault.message);
                fault
            })?;
            if !suits(&record.runtimes, &settings.runtime) {
                let names = record.runtimes.iter().map(RuntimeName::as_str).collect::<Vec<_>>().join(", ");
                let message =
                    format!("layers: {}:{} is for {names}, not for {}", record.name, record.number, settings.runtime);
                return Err(Fault::new(Code::InvalidConfiguration, message)
                    .with_hint("choose a version of it for this runtime, or publish one with --runtime"));
            }
            refuse_of_another_machine(&record)?;
            size = size.saturating_add(record.size);
            // It may be removed before the version that uses it is committed.
            self.deps.bundles.renew(&record.bundle).await?;
            layer.version = Some(record.number);
            digests.push(record.bundle);
        }
        if size > limits::LAYERS_BYTES_MAX {
            let (have, most) = (ByteSize::from_bytes(size), ByteSize::from_bytes(limits::LAYERS_BYTES_MAX));
            let message = format!("layers: they have {have} together; {most} at the most");
            return Err(
                Fault::new(Code::PayloadTooLarge, message).with_command_hint("`faas layers get` says what is heavy")
            );
        }
        Ok(digests)
    }

    /// # Errors
    /// `FN_013` for an unknown layer.
    async fn find(&self, project: ProjectId, layer: &LayerRef) -> Result<LayerVersionRecord, Fault> {
        let found = match layer.version {
            Some(number) => {
                let key = version_key(project, &layer.name, number);
                self.deps.registry.get(&key).await?.map(|entry| decode(&key, &entry.value)).transpose()?
            }
            None => self.stored(project, &format!("versions/{}/", layer.name)).await?.pop(),
        };
        found.ok_or_else(|| unknown(layer))
    }

    /// Versions of named layers whose keys have this prefix, by name and number.
    pub(crate) async fn stored(&self, project: ProjectId, prefix: &str) -> Result<Vec<LayerVersionRecord>, Fault> {
        let (mut after, mut records) = (None::<String>, Vec::new());
        loop {
            let page =
                self.deps.registry.list(project, Collection::NamedLayers, prefix, after.as_deref(), PAGE).await?;
            let Some(last) = page.last() else { return Ok(records) };
            after = Some(last.key.name.clone());
            for entry in &page {
                records.push(decode(&entry.key, &entry.value)?);
            }
        }
    }

    /// The record of a name, with the revision to expect when changing it.
    pub(super) async fn name_record(
        &self,
        project: ProjectId,
        name: &LayerName,
    ) -> Result<(NamedLayerRecord, Expect), Fault> {
        let key = name_key(project, name);
        match self.deps.registry.get(&key).await? {
            Some(entry) => Ok((decode(&key, &entry.value)?, Expect::Revision(entry.revision))),
            None => Ok((NamedLayerRecord { name: name.clone(), latest: 0 }, Expect::Absent)),
        }
    }
}

pub(super) fn name_key(project: ProjectId, name: &LayerName) -> Key {
    Key::new(project, Collection::NamedLayers, format!("names/{name}"))
}

/// Sorts as the numbers do.
pub(super) fn version_key(project: ProjectId, name: &LayerName, number: u32) -> Key {
    Key::new(project, Collection::NamedLayers, format!("versions/{name}/{number:010}"))
}

/// Whether a layer for these runtimes fits this one: they name its language, or exactly it.
fn suits(runtimes: &[RuntimeName], wanted: &RuntimeName) -> bool {
    let suits = |runtime: &RuntimeName| {
        runtime == wanted || runtime.version().is_none() && runtime.language() == wanted.language()
    };
    runtimes.is_empty() || runtimes.iter().any(suits)
}

/// Packages that were installed on a machine of another architecture hold what that one alone can run.
fn refuse_of_another_machine(record: &LayerVersionRecord) -> Result<(), Fault> {
    let Some(there) = record.arch.as_deref().filter(|arch| *arch != ARCH) else { return Ok(()) };
    let LayerVersionRecord { name, number, .. } = record;
    let message = format!("layers: {name}:{number} was installed for {there}; this machine is {ARCH}");
    Err(Fault::new(Code::InvalidConfiguration, message).with_hint("publish it again on this machine"))
}

fn unknown(layer: &LayerRef) -> Fault {
    Fault::new(Reason::LayerNotFound, format!("there is no layer {layer}"))
        .with_command_hint("list those there are with `faas layers list`, or make one with `faas layers publish`")
}

#[cfg(test)]
mod tests {
    use faas_types::Timestamp;

    use super::*;

    #[test]
    fn packages_of_another_architecture_are_refused() {
        let of = |arch: Option<&str>| LayerVersionRecord {
            name: "web".parse().expect("a name"),
            number: 2,
            bundle: Digest::from_bytes([0; 32]),
            runtimes: Vec::new(),
            arch: arch.map(str::to_owned),
            files: 1,
            size: 1,
            packages: Vec::new(),
            note: None,
            author: None,
            created_at: Timestamp::from_millis(0),
        };
        assert_eq!([of(None), of(Some(ARCH))].map(|record| refuse_of_another_machine(&record)), [Ok(()), Ok(())]);
        let refused = refuse_of_another_machine(&of(Some("riscv128"))).expect_err("another machine's");
        assert!(refused.message.starts_with("layers: web:2 was installed for riscv128; "), "{refused:?}");
    }

    #[test]
    fn runtimes_are_compared_by_language_and_version() {
        let name = |text: &str| text.parse::<RuntimeName>().expect(text);
        let wanted = name("python3.12");
        for (runtimes, is_for) in [
            (vec![], true),
            (vec!["python3.12"], true),
            (vec!["python"], true),
            (vec!["node22", "python"], true),
            (vec!["python3.1"], false),
            (vec!["python3.13"], false),
            (vec!["node"], false),
        ] {
            let runtimes: Vec<RuntimeName> = runtimes.into_iter().map(name).collect();
            assert_eq!(suits(&runtimes, &wanted), is_for, "{runtimes:?}");
        }
    }
}
