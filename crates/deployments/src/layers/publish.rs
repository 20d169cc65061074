//! Publishing a version of a named layer: its files are sealed first, then one commit adds it.

use std::collections::BTreeMap;
use std::env::consts::ARCH;

use faas_catalog::{RETRIES, encode};
use faas_packages::{Ecosystem, ecosystem};
use faas_ports::{Collection, PortError, Write};
use faas_preflight::AllowedSecret;
use faas_runs::lifecycle::stopping;
use faas_types::{
    Author, Bundle, BundleFile, Code, DependencyMode, Digest, Fault, FunctionSettings, InstalledPackage, LayerName,
    LayerVersionRecord, ProjectId, Reason, RuntimeName, limits,
};

use super::LayerCatalog;
use super::named::{name_key, version_key};
use crate::note::check_note;
use crate::progress::ProgressSender;
use crate::uploads::lease_on;

/// How many of the largest packages a version lists.
const HEAVY_MAX: usize = 50;
/// Names read to count the layers of a project.
const NAMES_PAGE: u32 = 1_001;

/// A version of a named layer to publish.
#[derive(Clone, Debug)]
pub struct NewLayer {
    /// The layer; created when it does not exist.
    pub name: LayerName,
    /// The runtimes that it is for; empty for any.
    pub runtimes: Vec<RuntimeName>,
    /// Its files; where packages are installed, the files that ask for them.
    pub bundle: Bundle,
    /// Whether its content is the packages that the files ask for, rather than the files.
    pub install: bool,
    /// The note of its author.
    pub note: Option<String>,
    /// The owner of the key that published it.
    pub author: Option<Author>,
    /// Findings in its files that look like secrets but are allowed.
    pub allowed_secrets: Vec<AllowedSecret>,
}

/// A sealed layer.
struct Content {
    digest: Digest,
    bundle: Bundle,
    heavy: Vec<InstalledPackage>,
    /// The architecture that packages were installed for.
    arch: Option<String>,
}

// === impl LayerCatalog ===

impl LayerCatalog {
    /// Seals files and gives them the next number of a name. Nothing of it is there before the commit that ends it.
    ///
    /// # Errors
    /// `FN_005` for files that were not uploaded or packages that cannot be installed; `FN_006` for what breaks a rule;
    /// `FN_028` for what the preflight refuses; `FN_007` past the limits of layers.
    pub async fn publish(&self, project: ProjectId, new: NewLayer) -> Result<LayerVersionRecord, Fault> {
        if self.deps.stop.is_cancelled() {
            return Err(stopping());
        }
        new.bundle.validate()?;
        check_note(new.note.as_deref())?;
        if new.bundle.files.is_empty() {
            return Err(invalid("files: a layer has at least one file"));
        }
        if new.runtimes.len() > limits::LAYER_RUNTIMES_MAX {
            return Err(invalid(&format!("runtimes: {} at most", limits::LAYER_RUNTIMES_MAX)));
        }
        let lease = lease_on(project, &new.bundle);
        self.deps.leases.open(&lease, self.deps.clock.now());
        self.check_room(project, &new.name).await?;
        self.deps.rules.check_listing(project, &new.bundle).await?;
        self.deps.bundles.check_uploaded(&new.bundle).await?;
        let uploaded = self.deps.bundles.seal_uploaded(&new.bundle).await?;
        self.deps.rules.check_files(project, &new.bundle, &new.allowed_secrets).await?;
        let content = if new.install {
            self.install(project, &new).await?
        } else {
            let heavy = heaviest(&new.bundle);
            Content { digest: uploaded, bundle: new.bundle.clone(), heavy, arch: None }
        };
        let published = self.commit_layer(project, &new, content).await?;
        self.deps.leases.close(&lease);
        Ok(published)
    }

    /// Installs what the uploaded files ask for, as for a function that has them.
    async fn install(&self, project: ProjectId, new: &NewLayer) -> Result<Content, Fault> {
        let [runtime] = &new.runtimes[..] else {
            return Err(invalid("runtimes: packages are installed for one runtime, such as python3.13")
                .with_hint("name it with --runtime, and publish once for each"));
        };
        let entrypoint = "layer:none".parse().expect("a file and a name");
        let mut settings = FunctionSettings::new(runtime.clone(), entrypoint);
        settings.dependencies = DependencyMode::Install;
        let built = self.deps.installer.install(project, &settings, &new.bundle, &ProgressSender::default()).await?;
        let Some(layer) = built.as_ref().and_then(|built| built.layer.as_ref()) else {
            let why = built.and_then(|built| built.note).unwrap_or_else(|| "the files ask for no packages".to_owned());
            return Err(invalid(&format!("files: {why}")));
        };
        let mut bundle = self.deps.bundles.listing(&layer.bundle).await?;
        let mut digest = layer.bundle;
        let prefix = ecosystem(runtime.language()).map_or("", Ecosystem::layer_prefix);
        if !prefix.is_empty() {
            bundle.files.iter_mut().for_each(|file| file.path.insert_str(0, prefix));
            bundle.validate()?;
            digest = self.deps.bundles.seal_stored(&bundle).await?;
        }
        let heavy = layer.packages.iter().take(HEAVY_MAX).cloned().collect();
        Ok(Content { digest, bundle, heavy, arch: Some(ARCH.to_owned()) })
    }

    async fn check_room(&self, project: ProjectId, name: &LayerName) -> Result<(), Fault> {
        let limited = |message: String| {
            Fault::new(Reason::LimitReached, message)
                .with_command_hint("remove what is not used with `faas layers delete`")
        };
        let versions = self.stored(project, &format!("versions/{name}/")).await?;
        if versions.len() >= limits::LAYER_VERSIONS_MAX {
            let most = limits::LAYER_VERSIONS_MAX;
            return Err(limited(format!("layer {name} has {most} versions, as many as one may have")));
        }
        if !versions.is_empty() {
            return Ok(());
        }
        let names = self.deps.registry.list(project, Collection::NamedLayers, "names/", None, NAMES_PAGE).await?;
        if names.len() >= limits::NAMED_LAYERS_MAX && self.name_record(project, name).await?.0.latest == 0 {
            return Err(limited(format!("a project has at most {} named layers", limits::NAMED_LAYERS_MAX)));
        }
        Ok(())
    }

    async fn commit_layer(
        &self,
        project: ProjectId,
        new: &NewLayer,
        content: Content,
    ) -> Result<LayerVersionRecord, Fault> {
        let Content { digest, bundle, heavy, arch } = content;
        for _ in 0..RETRIES {
            let (mut name, expect) = self.name_record(project, &new.name).await?;
            name.latest += 1;
            let record = LayerVersionRecord {
                name: new.name.clone(),
                number: name.latest,
                bundle: digest,
                runtimes: new.runtimes.clone(),
                arch: arch.clone(),
                files: u32::try_from(bundle.files.len()).unwrap_or(u32::MAX),
                size: bundle.size(),
                packages: heavy.clone(),
                note: new.note.clone(),
                author: new.author.clone(),
                created_at: self.deps.clock.now(),
            };
            let key = version_key(project, &new.name, name.latest);
            let writes = vec![
                Write::Put { key: name_key(project, &new.name), value: encode(&name)?, expect },
                Write::Put { key, value: encode(&record)?, expect: faas_ports::Expect::Absent },
            ];
            match self.deps.registry.commit(writes).await {
                Ok(_) => {
                    tracing::info!(layer = %new.name, version = record.number, "layer published");
                    return Ok(record);
                }
                Err(PortError::Conflict { .. }) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(Fault::new(Reason::ChangedMeanwhile, format!("layer {} is being published by others", new.name))
            .with_retry_after(1))
    }
}

fn invalid(message: &str) -> Fault {
    Fault::new(Code::InvalidConfiguration, message)
}

/// What takes most room, by what stands in the root.
fn heaviest(bundle: &Bundle) -> Vec<InstalledPackage> {
    let mut sizes = BTreeMap::<&str, u64>::new();
    for BundleFile { path, size, .. } in &bundle.files {
        let place = path.split_inclusive('/').next().unwrap_or(path);
        let sum = sizes.entry(place).or_default();
        *sum = sum.saturating_add(*size);
    }
    let one = |(name, size): (&str, u64)| InstalledPackage { name: name.to_owned(), version: String::new(), size };
    let mut heavy: Vec<InstalledPackage> = sizes.into_iter().map(one).collect();
    heavy.sort_by(|a, b| b.size.cmp(&a.size).then_with(|| a.name.cmp(&b.name)));
    heavy.truncate(HEAVY_MAX);
    heavy
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_heavy_comes_first() {
        let file = |path: &str, size| BundleFile {
            path: path.into(),
            digest: Digest::from_bytes([0; 32]),
            size,
            executable: false,
        };
        let bundle = Bundle { files: vec![file("a.py", 5), file("lib/x", 4), file("lib/y/z", 4), file("b.py", 5)] };
        let found: Vec<_> = heaviest(&bundle).into_iter().map(|heavy| (heavy.name, heavy.size)).collect();
        assert_eq!(found, [("lib/".to_owned(), 8), ("a.py".to_owned(), 5), ("b.py".to_owned(), 5)]);
    }
}
