//! Packages that a version depends on: installed once for all functions that ask for the same, kept as a layer.

mod compiled;
mod key;
mod log;
mod node;
mod python;
mod queue;

use std::sync::Arc;
use std::time::{Duration, Instant};

use faas_ports::{BuildJob, Builder, Collection, Expect, Key, KeyedLock, PortError, Write};
use faas_types::{
    Bundle, Code, DependencyMode, Digest, Fault, FunctionSettings, LayerId, LayerRecord, ProjectId, RuntimeName, limits,
};

use crate::catalog::decode;
use crate::core::{Core, encode, stopping};
use crate::engine::Engine;
use crate::progress::{ProgressEvent, ProgressSender};
pub(crate) use compiled::mismatch;
use key::layer_id;
pub(crate) use queue::BuildQueue;

/// Directories beside the code that hold packages already.
const VENDORED: [&str; 4] = ["vendor/", ".python_packages/", "site-packages/", "node_modules/"];

/// Packages that a note names.
const NAMED_MAX: usize = 8;
/// What a deployment may wait for.
const SAME_BUILD: &str = "another deployment installs the same packages";
const OTHER_BUILDS: &str = "other packages are being installed, and so many at once are the most";

/// Characters of a file's text that a refusal shows.
const SHOWN_MAX: usize = 80;

/// What builds packages, and who is building.
pub(crate) struct Builds {
    pub(crate) builder: Arc<dyn Builder>,
    pub(crate) queue: BuildQueue,
    /// Held by whoever finds, builds or removes a layer.
    pub(crate) locks: KeyedLock<Key>,
}

/// What Python and Node say of a module that is not there.
const MISSING: [&str; 3] = ["No module named", "Cannot find module", "Cannot find package"];

/// The packages of a version.
#[derive(Clone, Debug)]
pub struct Dependencies {
    /// Their layer; `None` where nothing is installed, for the reason that `note` gives.
    pub layer: Option<Arc<LayerRecord>>,
    /// Whether the layer was there before.
    pub reused: bool,
    /// How long it took to get it, from the reading of the files.
    pub took: Duration,
    /// The file that asks for them; `None` where nothing is installed.
    pub source: Option<String>,
    /// What the author should know.
    pub note: Option<String>,
}

/// What the files of a bundle ask for.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Asked {
    /// Packages.
    Packages(Request),
    /// Packages, by a file that nothing here can read.
    Unreadable(String),
    /// Nothing.
    Nothing,
}

/// Packages to install.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Request {
    /// The file that asks for them.
    source: String,
    /// What the installer is given.
    root: String,
    /// What it reads: paths and texts, without what does not matter to it.
    files: std::collections::BTreeMap<String, String>,
}

/// The files of a bundle, for those who look for what they ask for.
struct Sources<'a> {
    core: &'a Core,
    bundle: &'a Bundle,
}

// === impl Dependencies ===

impl Dependencies {
    /// The hash of the layer's file list, as versions remember it.
    pub(crate) fn digest(&self) -> Option<Digest> {
        self.layer.as_ref().map(|layer| layer.bundle)
    }

    /// A failed check with what was not installed, where a module is missing that it would have brought.
    pub(crate) fn explain(found: Option<&Self>, fault: Fault) -> Fault {
        let speaks = |told: &str| MISSING.iter().any(|words| told.contains(words));
        let is_missing = fault.function_error.as_ref().map_or(speaks(&fault.message), |error| speaks(&error.message));
        match found.filter(|found| is_missing && found.layer.is_none()).and_then(|found| found.note.as_ref()) {
            Some(note) => fault.with_hint(format!("not installed: {note}")),
            None => fault,
        }
    }

    fn nothing(note: String) -> Self {
        Self { layer: None, reused: false, took: Duration::ZERO, source: None, note: Some(note) }
    }
}

// === impl Engine ===

impl Engine {
    /// The packages that a version's files ask for; builds them when they are not there. `None` when they ask for none.
    ///
    /// # Errors
    /// `FN_006` for a file that asks for what cannot be installed; `FN_005` with the end of the installer's output;
    /// `FN_015` when too many builds wait.
    pub(crate) async fn dependencies(
        &self,
        project: ProjectId,
        settings: &FunctionSettings,
        bundle: &Bundle,
        progress: &ProgressSender,
    ) -> Result<Option<Dependencies>, Fault> {
        let began = Instant::now();
        if settings.dependencies == DependencyMode::None {
            return Ok(None);
        }
        let sources = Sources { core: &self.core, bundle };
        let request = match sources.asked(settings).await? {
            Asked::Packages(request) => request,
            Asked::Unreadable(_) if settings.dependencies == DependencyMode::Auto && sources.vendored().is_some() => {
                return Ok(None);
            }
            Asked::Unreadable(note) => return Ok(Some(Dependencies::nothing(note))),
            Asked::Nothing => return Ok(None),
        };
        if let (DependencyMode::Auto, Some(place)) = (settings.dependencies, sources.vendored()) {
            let source = &request.source;
            let note = format!(
                "`{place}` is in the bundle, so the packages of {source} are not installed; delete it, or set dependencies = \
                 \"install\" in [build] of the manifest"
            );
            return Ok(Some(Dependencies::nothing(note)));
        }
        let source = Some(request.source.clone());
        let (layer, reused) = self.core.packages(project, &settings.runtime, request, progress).await?;
        let note = unscripted(&layer.unscripted);
        Ok(Some(Dependencies { layer: Some(layer), reused, took: began.elapsed(), source, note }))
    }
}

// === impl Core ===

impl Core {
    /// The layer of a request, and whether it was there before. Whoever wants the same meanwhile waits for one build.
    async fn packages(
        &self,
        project: ProjectId,
        runtime: &RuntimeName,
        request: Request,
        progress: &ProgressSender,
    ) -> Result<(Arc<LayerRecord>, bool), Fault> {
        let id = layer_id(&self.builds.builder.identity(runtime)?, &request);
        let key = layer_key(project, id);
        let _lock = match self.builds.locks.try_lock(&key) {
            Some(lock) => lock,
            None => {
                progress.send(ProgressEvent::Waiting(SAME_BUILD));
                self.builds.locks.lock(&key).await
            }
        };
        if let Some(entry) = self.registry.get(&key).await? {
            let record: LayerRecord = decode(&key, &entry.value)?;
            match self.bundles.lay_out(&record.bundle).await {
                Ok(_) => {
                    self.bundles.renew(&record.bundle).await?;
                    let layer = Arc::new(record);
                    progress.send(ProgressEvent::Reused(Arc::clone(&layer)));
                    return Ok((layer, true));
                }
                // What is lost can be built again.
                Err(fault) => tracing::warn!(layer = %id, %fault, "a layer of packages is lost"),
            }
        }
        let _permit =
            self.builds.queue.enter(&self.stop, || progress.send(ProgressEvent::Waiting(OTHER_BUILDS))).await?;
        progress.send(ProgressEvent::Installing(request.source.clone()));
        let record = self.build(id, runtime, request, progress).await?;
        let put = Write::Put { key, value: encode(&record)?, expect: Expect::Any };
        self.registry.commit(vec![put]).await?;
        Ok((Arc::new(record), false))
    }

    async fn build(
        &self,
        id: LayerId,
        runtime: &RuntimeName,
        request: Request,
        progress: &ProgressSender,
    ) -> Result<LayerRecord, Fault> {
        let Request { source, root, files } = request;
        let (began, runtime) = (Instant::now(), runtime.clone());
        tracing::info!(layer = %id, %runtime, source, "packages are being installed");
        let job = BuildJob { runtime: runtime.clone(), source: source.clone(), root, files };
        let built = tokio::select! {
            built = self.builds.builder.build(job, Arc::new(progress.clone())) => built,
            () = self.stop.cancelled() => Err(stopping()),
        };
        let built = built.inspect_err(|fault| tracing::warn!(layer = %id, %fault, "packages were not installed"))?;
        let digest = self.bundles.seal_stored(&built.bundle).await.map_err(|error| match error {
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
            built_at: self.clock.now(),
            took_ms: u64::try_from(took.as_millis()).unwrap_or(u64::MAX),
            log: built.log,
            unscripted: built.unscripted,
        })
    }
}

pub(crate) fn layer_key(project: ProjectId, id: LayerId) -> Key {
    Key::new(project, Collection::Layers, id.to_string())
}

// === impl Sources ===

impl Sources<'_> {
    async fn asked(&self, settings: &FunctionSettings) -> Result<Asked, Fault> {
        match settings.runtime.language() {
            "python" => python::asked(self, &settings.runtime).await,
            "node" => node::asked(self, &settings.install_scripts).await,
            _ => Ok(Asked::Nothing),
        }
    }

    /// A directory of the bundle that holds packages.
    fn vendored(&self) -> Option<&'static str> {
        VENDORED.into_iter().find(|place| self.bundle.files.iter().any(|file| file.path.starts_with(place)))
    }

    fn has(&self, path: &str) -> bool {
        self.bundle.files.iter().any(|file| file.path == path)
    }

    /// A file's text; `None` when the bundle has none of that path.
    async fn text(&self, path: &str) -> Result<Option<String>, Fault> {
        self.text_within(path, limits::REQUIREMENTS_MAX).await
    }

    async fn text_within(&self, path: &str, max: u64) -> Result<Option<String>, Fault> {
        let Some(file) = self.bundle.files.iter().find(|file| file.path == path) else { return Ok(None) };
        if file.size > max {
            return Err(refused(path, &format!("is larger than {} KB", max >> 10)));
        }
        let bytes = self.core.blobs.get(&file.digest).await?;
        match String::from_utf8(bytes.to_vec()) {
            Ok(text) => Ok(Some(text.trim_start_matches('\u{feff}').to_owned())),
            Err(_) => Err(refused(path, "is not UTF-8")),
        }
    }
}

/// What the author should know of install scripts that did not run.
fn unscripted(names: &[String]) -> Option<String> {
    let first = names.first()?;
    let shown: Vec<&str> = names.iter().map(String::as_str).take(NAMED_MAX).collect();
    let more = if names.len() > NAMED_MAX { format!(" and {} more", names.len() - NAMED_MAX) } else { String::new() };
    let names = shown.join(", ");
    Some(format!(
        "not run: install scripts of {names}{more}; where a package needs its own, add it to [build] of the manifest: \
         scripts = [\"{first}\"]"
    ))
}

/// The beginning of a text, for people.
fn shown(text: &str) -> String {
    text.chars().take(SHOWN_MAX).flat_map(char::escape_debug).collect()
}

/// A file that asks for what cannot be installed.
fn refused(place: &str, why: &str) -> Fault {
    Fault::new(Code::InvalidConfiguration, format!("{place} {why}"))
        .with_hint("fix it, or set dependencies = \"none\" in [build] of the manifest to install nothing")
}
