//! Packages that a version depends on: installed once for all functions of a project that ask for the same, kept as a layer.

mod log;
mod queue;

use std::sync::Arc;
use std::time::{Duration, Instant};

use faas_artifacts::BundleStore;
use faas_catalog::{decode, encode};
use faas_packages::{
    Ecosystem, InstallRequest, InstallTarget, PackagePlan, ReadError, RuntimeRelease, SourceFiles, ecosystem, layer_id,
    unplanned,
};
use faas_ports::{
    Blobs, BuildJob, Builder, Clock, Collection, Expect, Key, KeyedLock, Launcher, PortError, Registry,
    RuntimeDescription, Write,
};
use faas_runs::lifecycle::stopping;
use faas_types::{
    Bundle, Code, DependencyMode, Digest, Fault, FunctionSettings, LayerId, LayerRecord, ProjectId, RuntimeName,
    VersionPackages,
};
use tokio::sync::OwnedMutexGuard;
use tokio_util::sync::CancellationToken;

use crate::event_log::ProgressEvent;
use crate::progress::ProgressSender;
use queue::BuildQueue;

/// Packages that a note names.
const NAMED_MAX: usize = 8;
/// Why a deployment waits.
const SAME_BUILD: &str = "another deployment installs the same packages";
const OTHER_BUILDS: &str = "other packages are being installed, and so many at once are the most";

/// Ports and services that installing packages needs.
#[expect(missing_docs, reason = "each field is the port or service of its type")]
pub struct InstallerDeps {
    pub registry: Arc<dyn Registry>,
    pub blobs: Arc<dyn Blobs>,
    pub launcher: Arc<dyn Launcher>,
    pub builder: Arc<dyn Builder>,
    pub clock: Arc<dyn Clock>,
    pub bundles: Arc<BundleStore>,
    /// Ends builds.
    pub stop: CancellationToken,
}

/// Finds or builds the layers of packages.
pub struct PackageInstaller {
    deps: InstallerDeps,
    queue: BuildQueue,
    /// Held while a layer is found, built or removed.
    locks: KeyedLock<Key>,
}

/// The packages of a version.
#[derive(Clone, Debug)]
pub struct Dependencies {
    /// Their layer; `None` when nothing was installed, for the reason in `note`.
    pub layer: Option<Arc<LayerRecord>>,
    /// Whether the layer existed before.
    pub reused: bool,
    /// How long it took, from reading the files to having the layer.
    pub took: Duration,
    /// The file that asks for them; `None` when nothing was installed.
    pub source: Option<String>,
    /// A remark for the author.
    pub note: Option<String>,
}

// === impl Dependencies ===

impl Dependencies {
    /// The hash of the layer's file list, as versions record it.
    pub(crate) fn digest(&self) -> Option<Digest> {
        self.layer.as_ref().map(|layer| layer.bundle)
    }

    /// What is kept of them with the deployment.
    pub(crate) fn summary(&self) -> VersionPackages {
        let layer = self.layer.as_deref();
        VersionPackages {
            layer: layer.map(|layer| layer.id),
            reused: self.reused,
            count: layer.map_or(0, |layer| u32::try_from(layer.packages.len()).unwrap_or(u32::MAX)),
            size: layer.map_or(0, |layer| layer.size),
            took_ms: u64::try_from(self.took.as_millis()).unwrap_or(u64::MAX),
            source: self.source.clone(),
            note: self.note.clone(),
        }
    }

    /// Adds the reason for packages that were not installed to a fault about a missing module.
    pub(crate) fn explain(found: Option<&Self>, runtime: &RuntimeName, fault: Fault) -> Fault {
        let message = fault.function_error.as_ref().map_or(&fault.message, |error| &error.message);
        let is_missing = ecosystem(runtime.language()).is_some_and(|packages| packages.is_missing_module(message));
        match found.filter(|found| is_missing && found.layer.is_none()).and_then(|found| found.note.as_ref()) {
            Some(note) => fault.with_hint(format!("not installed: {note}")),
            None => fault,
        }
    }

    fn nothing(note: String) -> Self {
        Self { layer: None, reused: false, took: Duration::ZERO, source: None, note: Some(note) }
    }
}

// === impl PackageInstaller ===

impl PackageInstaller {
    /// The service on its ports.
    #[must_use]
    pub fn new(deps: InstallerDeps, builds_max: usize) -> Self {
        Self { deps, queue: BuildQueue::new(builds_max), locks: KeyedLock::default() }
    }

    /// Locks a layer against being found, built or removed by others.
    pub(crate) async fn lock(&self, layer: &Key) -> OwnedMutexGuard<()> {
        self.locks.lock(layer).await
    }

    /// The packages that a version's files ask for; builds them when they are not there. `None` when they ask for none.
    ///
    /// # Errors
    /// `FN_006` for a file that asks for what cannot be installed; `FN_005` with the end of the installer's output;
    /// `FN_015` when too many builds wait.
    pub(crate) async fn install(
        &self,
        project: ProjectId,
        settings: &FunctionSettings,
        bundle: &Bundle,
        progress: &ProgressSender,
    ) -> Result<Option<Dependencies>, Fault> {
        let began = Instant::now();
        let Some(ecosystem) = ecosystem(settings.runtime.language()) else { return Ok(None) };
        if settings.dependencies == DependencyMode::None {
            return Ok(None);
        }
        let sources = SourceFiles::of(bundle);
        let vendored = match settings.dependencies {
            DependencyMode::Auto => sources.first_dir(ecosystem.vendor_dirs()),
            _ => None,
        };
        let request = match self.plan(ecosystem, settings, bundle, sources).await? {
            PackagePlan::Install(request) => request,
            PackagePlan::Unreadable(_) if vendored.is_some() => return Ok(None),
            PackagePlan::Unreadable(note) => return Ok(Some(Dependencies::nothing(note))),
            PackagePlan::Nothing => return Ok(None),
        };
        if let Some(dir) = vendored {
            let source = &request.source;
            let note = format!(
                "`{dir}` is in the bundle, so the packages of {source} are not installed; delete it, or set dependencies = \
                 \"install\" in [build] of the manifest"
            );
            return Ok(Some(Dependencies::nothing(note)));
        }
        let source = Some(request.source.clone());
        let (layer, reused) = self.find_or_build(project, &settings.runtime, request, progress).await?;
        let note = skipped_scripts_note(&layer.skipped_install_scripts);
        Ok(Some(Dependencies { layer: Some(layer), reused, took: began.elapsed(), source, note }))
    }
    /// Plans what a bundle asks for, reading the files that the plan needs.
    async fn plan(
        &self,
        ecosystem: &'static dyn Ecosystem,
        settings: &FunctionSettings,
        bundle: &Bundle,
        mut sources: SourceFiles,
    ) -> Result<PackagePlan, Fault> {
        let target = Arc::new(InstallTarget {
            runtime: release(self.deps.launcher.resolve(&settings.runtime)?),
            installed: self.deps.launcher.runtimes().into_iter().map(release).collect(),
            scripts: settings.install_scripts.clone(),
        });
        // Each round asks for a file that was not supplied before.
        for _ in 0..=bundle.files.len() {
            let target = Arc::clone(&target);
            // Parsing a lock of some megabytes takes a while.
            let planned = tokio::task::spawn_blocking(move || {
                let plan = ecosystem.plan(&sources, &target);
                (sources, plan)
            });
            let plan;
            (sources, plan) = planned.await.map_err(|_| unplanned())?;
            let path = match plan {
                Ok(plan) => return Ok(plan),
                Err(ReadError::Refused(fault)) => return Err(*fault),
                Err(ReadError::Needs(path)) => path,
            };
            let file = bundle.files.iter().find(|file| file.path == path).ok_or_else(unplanned)?;
            let bytes = self.deps.blobs.get(&file.digest).await?;
            sources.supply(path, bytes.to_vec());
        }
        Err(unplanned())
    }

    /// The layer of a request, and whether it existed before. Concurrent requests for the same layer share one build.
    async fn find_or_build(
        &self,
        project: ProjectId,
        runtime: &RuntimeName,
        request: InstallRequest,
        progress: &ProgressSender,
    ) -> Result<(Arc<LayerRecord>, bool), Fault> {
        let id = layer_id(&self.deps.builder.identity(runtime)?, &request);
        let key = layer_key(project, id);
        let _lock = match self.locks.try_lock(&key) {
            Some(lock) => lock,
            None => {
                progress.send(ProgressEvent::Waiting(SAME_BUILD.to_owned()));
                self.locks.lock(&key).await
            }
        };
        if let Some(entry) = self.deps.registry.get(&key).await? {
            let record: LayerRecord = decode(&key, &entry.value)?;
            match self.deps.bundles.lay_out(&record.bundle).await {
                Ok(_) => {
                    self.deps.bundles.renew(&record.bundle).await?;
                    let layer = Arc::new(record);
                    progress.send(ProgressEvent::Reused(layer.id.to_string(), layer.built_at));
                    return Ok((layer, true));
                }
                // A lost layer is built again.
                Err(fault) => tracing::warn!(layer = %id, %fault, "a layer of packages is lost"),
            }
        }
        let _permit = self
            .queue
            .enter(&self.deps.stop, || progress.send(ProgressEvent::Waiting(OTHER_BUILDS.to_owned())))
            .await?;
        progress.send(ProgressEvent::Installing(request.source.clone()));
        let record = self.build(id, runtime, request, progress).await?;
        let put = Write::Put { key, value: encode(&record)?, expect: Expect::Any };
        self.deps.registry.commit(vec![put]).await?;
        Ok((Arc::new(record), false))
    }

    async fn build(
        &self,
        id: LayerId,
        runtime: &RuntimeName,
        request: InstallRequest,
        progress: &ProgressSender,
    ) -> Result<LayerRecord, Fault> {
        let InstallRequest { source, root, files } = request;
        let (began, runtime) = (Instant::now(), runtime.clone());
        tracing::info!(layer = %id, %runtime, source, "packages are being installed");
        let job = BuildJob { runtime: runtime.clone(), source: source.clone(), root, files };
        let built = tokio::select! {
            built = self.deps.builder.build(job, Arc::new(progress.clone())) => built,
            () = self.deps.stop.cancelled() => Err(stopping()),
        };
        let built = built.inspect_err(|fault| tracing::warn!(layer = %id, %fault, "packages were not installed"))?;
        let digest = self.deps.bundles.seal_stored(&built.bundle).await.map_err(|error| match error {
            PortError::Invalid(message) => Fault::new(Code::DeploymentFailed, message),
            error => error.into(),
        })?;
        let took = began.elapsed();
        tracing::info!(layer = %id, packages = built.packages.len(), seconds = took.as_secs_f32(), "packages installed");
        Ok(LayerRecord {
            id,
            bundle: digest,
            runtime,
            source,
            files: u32::try_from(built.bundle.files.len()).unwrap_or(u32::MAX),
            size: built.bundle.size(),
            packages: built.packages,
            built_at: self.deps.clock.now(),
            took_ms: u64::try_from(took.as_millis()).unwrap_or(u64::MAX),
            log: built.log,
            skipped_install_scripts: built.skipped_install_scripts,
        })
    }
}

pub(crate) fn layer_key(project: ProjectId, id: LayerId) -> Key {
    Key::new(project, Collection::Layers, id.to_string())
}

/// The remark about install scripts that did not run.
fn skipped_scripts_note(names: &[String]) -> Option<String> {
    let first = names.first()?;
    let shown: Vec<&str> = names.iter().map(String::as_str).take(NAMED_MAX).collect();
    let more = if names.len() > NAMED_MAX { format!(" and {} more", names.len() - NAMED_MAX) } else { String::new() };
    let names = shown.join(", ");
    Some(format!(
        "not run: install scripts of {names}{more}; where a package needs its own, add it to [build] of the manifest: \
         scripts = [\"{first}\"]"
    ))
}

fn release(RuntimeDescription { name, exact, .. }: RuntimeDescription) -> RuntimeRelease {
    RuntimeRelease { name, exact }
}
