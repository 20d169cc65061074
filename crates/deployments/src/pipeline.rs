//! The steps from uploaded files to a version that can be published. Each step takes what the step before it returned, so
//! that no step can be left out or come too early.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use faas_artifacts::StackSpec;
use faas_catalog::FunctionEntry;
use faas_ports::RuntimeDescription;
use faas_types::{BuildLog, DeploymentState, Digest, Fault, ProjectId};

use crate::dependencies::Dependencies;
use crate::deployments::Deployments;
use crate::event_log::ProgressEvent;
use crate::job::Job;
use crate::load_check::Layout;
use crate::new_deployment::NewDeployment;

/// Why the first deployment of a runtime takes longer.
const FIRST_USE: &str = "the server has not used this runtime before and prepares it once, which takes some seconds";

/// A version whose files are uploaded and sealed, but not yet inspected.
struct Uploaded {
    new: NewDeployment,
    project: ProjectId,
    /// The function, where it exists already.
    known: Option<Arc<FunctionEntry>>,
    /// The hash of the file list.
    bundle: Digest,
}

/// A version whose files passed the preflight.
struct Inspected(Uploaded);

/// A version whose runtime, layers and packages are resolved and laid out on this machine.
struct Resolved {
    upload: Uploaded,
    runtime: RuntimeDescription,
    layers: Vec<Digest>,
    dependencies: Option<Dependencies>,
    layout: Layout,
}

/// A version whose entrypoint has loaded in a sandbox.
struct Loaded {
    upload: Uploaded,
    runtime: RuntimeDescription,
    layers: Vec<Digest>,
    dependencies: Option<Dependencies>,
    concurrency: u32,
    streams_bodies: bool,
    bytecode: Vec<(String, Bytes)>,
    build_log: BuildLog,
    took: Duration,
}

/// A version ready to be published: sealed, loaded once, its build log and bytecode stored.
pub(crate) struct SealedVersion {
    pub(crate) new: NewDeployment,
    /// The hash of its file list.
    pub(crate) bundle: Digest,
    pub(crate) runtime: RuntimeDescription,
    /// Calls that one instance takes at the same time.
    pub(crate) concurrency: u32,
    pub(crate) streams_bodies: bool,
    /// The code with its bytecode.
    pub(crate) compiled: Option<Digest>,
    /// Its named layers.
    pub(crate) layers: Vec<Digest>,
    pub(crate) dependencies: Option<Dependencies>,
    pub(crate) build_log: BuildLog,
    /// The stored build log.
    pub(crate) build_log_digest: Option<Digest>,
    /// How long loading it took.
    pub(crate) check: Duration,
}

// === impl SealedVersion ===

impl SealedVersion {
    /// The bundle of its packages.
    pub(crate) fn packages(&self) -> Option<Digest> {
        self.dependencies.as_ref().and_then(Dependencies::digest)
    }
}

// === impl Deployments ===

impl Deployments {
    /// Seals a version and loads it in a sandbox. Between the steps, and while packages are installed or the entrypoint is
    /// loaded, the job may be cancelled.
    pub(crate) async fn seal_version(self: &Arc<Self>, job: &Job, new: NewDeployment) -> Result<SealedVersion, Fault> {
        let name = new.name.clone();
        job.reach(&name, DeploymentState::Building);
        let uploaded = self.seal_upload(job.project, new).await?;
        job.check()?;
        let inspected = self.inspect(uploaded).await?;
        job.check()?;
        let resolved = self.resolve(job, inspected).await?;
        job.reach(&name, DeploymentState::Checking);
        let loaded = self.load(job, resolved).await?;
        self.store(loaded).await
    }

    /// Seals the files.
    async fn seal_upload(&self, project: ProjectId, new: NewDeployment) -> Result<Uploaded, Fault> {
        let known = self.deps.catalog.by_name(project, &new.name);
        let bundle = self.deps.bundles.seal_uploaded(&new.bundle).await?;
        Ok(Uploaded { new, project, known, bundle })
    }

    async fn inspect(&self, uploaded: Uploaded) -> Result<Inspected, Fault> {
        let Uploaded { new, project, .. } = &uploaded;
        self.deps.rules.check_files(*project, &new.bundle, &new.allowed_secrets).await?;
        Ok(Inspected(uploaded))
    }

    /// Finds the runtime, the layers and the packages, and lays everything out.
    async fn resolve(&self, job: &Job, Inspected(mut upload): Inspected) -> Result<Resolved, Fault> {
        let Uploaded { new, project, bundle, .. } = &mut upload;
        let runtime = self.deps.launcher.resolve(&new.settings.runtime)?;
        // Pins the runtime: `python` must not mean another version after an upgrade of the server.
        new.settings.runtime = runtime.name.clone();
        if !self.deps.launcher.is_prepared(&runtime.name) {
            new.progress.send(ProgressEvent::Waiting(FIRST_USE.to_owned()));
        }
        let layers = self.deps.layers.resolve(*project, &mut new.settings).await?;
        let code = self.deps.bundles.lay_out(bundle).await?;
        let installing = self.deps.installer.install(*project, &new.settings, &new.bundle, &new.progress);
        let dependencies = job.interruptible(&self.deps.lifecycle, installing).await?;
        let packages = dependencies.as_ref().and_then(Dependencies::digest);
        let stack = StackSpec { settings: &new.settings, digests: &layers, packages };
        if stack.digest().is_some() {
            self.deps.bundles.keep(stack.recipe()).await?;
        }
        let layout = Layout {
            code,
            packages: self.deps.bundles.lay_out_packages(packages).await?,
            layers: self.deps.bundles.lay_out_stack(stack).await?,
        };
        Ok(Resolved { upload, runtime, layers, dependencies, layout })
    }

    async fn load(self: &Arc<Self>, job: &Job, resolved: Resolved) -> Result<Loaded, Fault> {
        let Resolved { upload, runtime, layers, dependencies, layout } = resolved;
        upload.new.progress.send(ProgressEvent::Loading);
        let began = Instant::now();
        let deployments = Arc::clone(self);
        // In a task of its own, which ends within the time for the start of an instance: a launch is never given up halfway.
        let loading = tokio::spawn(async move {
            let record = upload.known.as_ref().map(|entry| &entry.record);
            let loaded = deployments.load_once(upload.project, &upload.new, layout, record).await;
            (upload, loaded)
        });
        let loading = async { loading.await.map_err(|error| Fault::internal(format!("the check broke off: {error}"))) };
        let (upload, loaded) = job.interruptible(&self.deps.lifecycle, loading).await?;
        let runtime_name = &upload.new.settings.runtime;
        let (launched, wrote) =
            loaded.map_err(|fault| Dependencies::explain(dependencies.as_ref(), runtime_name, fault))?;
        let took = began.elapsed();
        let build_log = match &dependencies {
            Some(dependencies) => dependencies.log(self.deps.clock.now()).followed_by(wrote),
            None => wrote,
        };
        let (concurrency, streams_bodies) = (launched.instance.concurrency(), launched.instance.streams_bodies());
        let bytecode = launched.bytecode;
        Ok(Loaded { upload, runtime, layers, dependencies, concurrency, streams_bodies, bytecode, build_log, took })
    }

    /// Stores the build log and the bytecode of the load.
    async fn store(&self, loaded: Loaded) -> Result<SealedVersion, Fault> {
        let Loaded { upload, build_log, .. } = loaded;
        let compiled = self.deps.bundles.keep_bytecode(&upload.new.bundle, loaded.bytecode).await;
        let build_log_digest = self.deps.bundles.keep_build_log(&build_log).await?;
        Ok(SealedVersion {
            new: upload.new,
            bundle: upload.bundle,
            runtime: loaded.runtime,
            concurrency: loaded.concurrency,
            streams_bodies: loaded.streams_bodies,
            compiled,
            layers: loaded.layers,
            dependencies: loaded.dependencies,
            build_log,
            build_log_digest,
            check: loaded.took,
        })
    }
}
