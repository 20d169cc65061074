//! Deployments: a version is sealed and really loaded before `live` moves; whatever fails, the old one serves on.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use faas_artifacts::StackSpec;
use faas_packages::ecosystem;
use faas_ports::{InstanceLogs, InstanceSpec, Launched, LayerStack, LogEntry, NetworkAccess};
use faas_preflight::AllowedSecret;
use faas_telemetry::Redactor;
use faas_types::{
    Author, BuildLine, BuildLog, Bundle, Code, Declaration, Deployment, DeploymentId, Digest, Fault, FunctionName,
    FunctionRecord, FunctionSettings, InvocationMode, LayerName, PolicyOverride, ProjectId, VersionRecord, limits,
};
use tokio::sync::OwnedMutexGuard;

use crate::deployments::Deployments;
use crate::aliases::Target;
use crate::catalog::FunctionEntry;
use crate::core::stopping;
use crate::dependencies::Dependencies;
use crate::onward::check_destinations;
use crate::pool::PoolSpec;
use crate::progress::{ProgressEvent, ProgressSender};
use crate::publish::Checked;
use crate::stages::Outfit;

/// What the first deployment of a runtime waits for.
const FIRST_USE: &str = "the server has not used this runtime before and prepares it once, which takes some seconds";
/// What helps where a new version does not load and there is one before it.
const SERVES_ON: &str = "the version before serves on; fix the error and deploy again";

/// A version to deploy.
#[derive(Clone, Debug)]
pub struct NewDeployment {
    /// The function; made when it does not exist.
    pub name: FunctionName,
    /// What the version runs with.
    pub settings: FunctionSettings,
    /// Its files.
    pub bundle: Bundle,
    /// What the author says.
    pub note: Option<String>,
    /// Whose key brought it.
    pub author: Option<Author>,
    /// The alias that it goes to.
    pub target: Target,
    /// What looks like a secret in its files and is none.
    pub allowed_secrets: Vec<AllowedSecret>,
    /// What its manifest says besides, and where each key came from.
    pub declaration: Declaration,
    /// Who hears how it goes.
    pub progress: ProgressSender,
}

// === impl NewDeployment ===

impl NewDeployment {
    /// A version for `live`, of which nothing else is said and nobody hears.
    #[must_use]
    pub fn new(name: FunctionName, settings: FunctionSettings, bundle: Bundle) -> Self {
        Self {
            name,
            settings,
            bundle,
            note: None,
            author: None,
            target: Target::live(),
            allowed_secrets: Vec::new(),
            declaration: Declaration::default(),
            progress: ProgressSender::default(),
        }
    }
}

/// A version that is sealed and has loaded, ready to be published.
pub(crate) struct ReadyVersion {
    pub(crate) new: NewDeployment,
    /// The hash of its file list.
    pub(crate) bundle: Digest,
    pub(crate) checked: Checked,
    /// How long the check took.
    check: Duration,
    build_log: BuildLog,
    dependencies: Option<Dependencies>,
}

/// Where the parts of a version lie on this machine.
struct Layout {
    code: PathBuf,
    packages: Option<PathBuf>,
    layers: Option<LayerStack>,
}

/// What a deployment lacks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// Files whose bytes must be uploaded.
    pub missing: Vec<Digest>,
    /// Bytes of all files.
    pub bytes_total: u64,
    /// Bytes of the missing ones.
    pub bytes_missing: u64,
}

/// What files are uploaded for.
#[derive(Clone, Debug)]
pub enum PlanSubject {
    /// A version of a function.
    Function(FunctionName),
    /// A version of a named layer.
    Layer(LayerName),
}

// === impl PlanSubject ===

impl PlanSubject {
    /// The name of the lease on its files.
    pub(crate) fn lease(&self, project: ProjectId) -> String {
        match self {
            Self::Function(name) => format!("{project}/function/{name}"),
            Self::Layer(name) => format!("{project}/layer/{name}"),
        }
    }
}

/// A finished deployment.
pub struct Deployed {
    /// The event.
    pub deployment: Deployment,
    /// The function as it is now.
    pub entry: Arc<FunctionEntry>,
    /// The version that was deployed, or gone back to.
    pub version: Arc<VersionRecord>,
    /// How long the check took.
    pub check: Duration,
    /// What the function wrote meanwhile.
    pub build_log: BuildLog,
    /// The packages that were installed for it; `None` when its files ask for none.
    pub dependencies: Option<Dependencies>,
}

// === impl Deployments ===

impl Deployments {
    /// Which files of a bundle must be uploaded for what is to be deployed or published.
    ///
    /// # Errors
    /// `FN_006` or `FN_011` when the bundle breaks a rule; `FN_028` for files that the operator or the project blocks.
    pub async fn plan(&self, project: ProjectId, subject: &PlanSubject, bundle: &Bundle) -> Result<Plan, Fault> {
        bundle.validate()?;
        self.core.uploads.check_listing(project, bundle).await?;
        self.core.leases.open(&subject.lease(project), self.core.clock.now());
        let missing = self.core.bundles.missing(bundle).await?;
        let sizes: BTreeMap<Digest, u64> = bundle.files.iter().map(|file| (file.digest, file.size)).collect();
        let bytes_missing = missing.iter().filter_map(|digest| sizes.get(digest)).sum();
        Ok(Plan { missing, bytes_total: bundle.size(), bytes_missing })
    }

    /// Stores one file's bytes.
    ///
    /// # Errors
    /// `FN_006` when the bytes are not what `digest` says; `FN_018` when the disk is full.
    pub async fn put_blob(&self, bytes: Bytes, digest: Digest) -> Result<(), Fault> {
        let actual = {
            let bytes = bytes.clone();
            let hashed = tokio::task::spawn_blocking(move || *blake3::hash(&bytes).as_bytes()).await;
            Digest::from_bytes(hashed.map_err(|error| Fault::internal(error.to_string()))?)
        };
        if actual != digest {
            return Err(Fault::new(Code::InvalidConfiguration, format!("digest: the body hashes to {actual}"))
                .with_hint("the digest is BLAKE3 of the whole body"));
        }
        self.core.leases.uploaded(self.core.clock.now());
        self.core.blobs.put(bytes).await?;
        Ok(())
    }

    /// Seals a version, loads it in a sandbox and moves its alias to it, or begins its trial where its settings ask for one.
    ///
    /// # Errors
    /// `FN_005` with the function's error when the version does not load; `FN_006` for a destination or a secret that is not
    /// there; `FN_014` while another deployment of the same function is under way; `FN_028` for a secret among its files. Nothing
    /// has changed then.
    pub async fn deploy(self: &Arc<Self>, project: ProjectId, new: NewDeployment) -> Result<Deployed, Fault> {
        let mut deployed = self.deploy_each(project, vec![new], None).await?;
        deployed.pop().ok_or_else(|| Fault::internal("a deployment left nothing"))
    }

    /// Makes every version ready, one after the other, then publishes all of them at once.
    pub(crate) async fn deploy_each(
        self: &Arc<Self>,
        project: ProjectId,
        news: Vec<NewDeployment>,
        group: Option<DeploymentId>,
    ) -> Result<Vec<Deployed>, Fault> {
        if self.core.stop.is_cancelled() {
            return Err(stopping());
        }
        let _locks = self.lock_functions(project, news.iter().map(|new| &new.name))?;
        let leases: Vec<_> = news.iter().map(|new| PlanSubject::Function(new.name.clone()).lease(project)).collect();
        leases.iter().for_each(|lease| self.core.leases.open(lease, self.core.clock.now()));
        let peers: Vec<_> = news.iter().map(|new| (new.name.clone(), new.settings.background.mode)).collect();
        let mut ready = Vec::with_capacity(news.len());
        for new in news {
            let name = new.name.clone();
            let made = self.make_ready(project, new, &peers).await;
            ready.push(if group.is_some() { made.map_err(|fault| naming(&name, fault))? } else { made? });
        }
        let published = self.publish(project, &ready, group).await?;
        leases.iter().for_each(|lease| self.core.leases.close(lease));
        let mut deployed = Vec::with_capacity(published.len());
        for (made, (deployment, entry, version)) in ready.into_iter().zip(published) {
            let ReadyVersion { check, build_log, dependencies, .. } = made;
            self.retire_outdated(&entry).await;
            let (deployments, newest) = (Arc::clone(self), Arc::clone(&entry));
            self.core.tasks.spawn(async move { deployments.collect_versions(&newest).await });
            tracing::info!(function = %entry.record.name, version = version.number, "deployed");
            deployed.push(Deployed { deployment, entry, version, check, build_log, dependencies });
        }
        Ok(deployed)
    }

    /// Seals a version and loads it in a sandbox. `peers` are deployed with it, so that its destinations may be among them.
    async fn make_ready(
        &self,
        project: ProjectId,
        mut new: NewDeployment,
        peers: &[(FunctionName, InvocationMode)],
    ) -> Result<ReadyVersion, Fault> {
        new.bundle.validate()?;
        check_note(new.note.as_deref())?;
        let known = self.core.catalog.by_name(project, &new.name);
        if let Some(known) = &known {
            new.target.check(&known.record)?;
        }
        self.core.check_networks(project, &new.settings.egress.networks, "egress.networks")?;
        check_destinations(&self.core, project, (new.target.alias(), peers), &new.settings.background).await?;
        self.core.uploads.check_listing(project, &new.bundle).await?;
        let digest = self.core.bundles.seal_uploaded(&new.bundle).await?;
        self.core.uploads.check_files(project, &new.bundle, &new.allowed_secrets).await?;
        let runtime = self.core.launcher.resolve(&new.settings.runtime)?;
        // A version stays what it was checked as: `python` must not mean another one after an upgrade.
        new.settings.runtime = runtime.name.clone();
        if !self.core.launcher.is_prepared(&runtime.name) {
            new.progress.send(ProgressEvent::Waiting(FIRST_USE));
        }
        let layers = self.layers.resolve(project, &mut new.settings).await?;
        let code = self.core.bundles.lay_out(&digest).await?;
        let dependencies = self.installer.install(project, &new.settings, &new.bundle, &new.progress).await?;
        let packages = dependencies.as_ref().and_then(Dependencies::digest);
        let stack = StackSpec { settings: &new.settings, digests: &layers, packages };
        if stack.digest().is_some() {
            self.core.bundles.keep(stack.recipe()).await?;
        }
        let layout = Layout {
            code,
            packages: self.core.bundles.lay_out_packages(packages).await?,
            layers: self.core.bundles.lay_out_stack(stack).await?,
        };
        let record = known.as_ref().map(|entry| &entry.record);
        new.progress.send(ProgressEvent::Loading);
        let began = Instant::now();
        let loaded = self.check(project, &new, layout, record).await;
        let (loaded, wrote) =
            loaded.map_err(|fault| Dependencies::explain(dependencies.as_ref(), &new.settings.runtime, fault))?;
        let check = began.elapsed();
        let build_log = match &dependencies {
            Some(dependencies) => dependencies.log(self.core.clock.now()).followed_by(wrote),
            None => wrote,
        };
        let checked = Checked {
            runtime,
            concurrency: loaded.instance.concurrency(),
            streams_bodies: loaded.instance.streams_bodies(),
            prepared: self.core.bundles.keep_bytecode(&new.bundle, loaded.harvest).await,
            build_log: self.core.bundles.keep_build_log(&build_log).await?,
            dependencies: packages,
            layers,
        };
        Ok(ReadyVersion { new, bundle: digest, checked, check, build_log, dependencies })
    }

    /// Locks functions against other deployments. Never waits, so that two deployments of several functions cannot wait for
    /// each other.
    pub(crate) fn lock_functions<'n>(
        &self,
        project: ProjectId,
        names: impl Iterator<Item = &'n FunctionName>,
    ) -> Result<Vec<OwnedMutexGuard<()>>, Fault> {
        let lock =
            |name: &FunctionName| self.deploying.try_lock(&(project, name.clone())).ok_or_else(|| under_way(name));
        names.map(lock).collect()
    }

    /// Loads the entrypoint in a sandbox, as an instance would, and throws the instance away. What it wrote comes without
    /// secrets.
    async fn check(
        &self,
        project: ProjectId,
        new: &NewDeployment,
        Layout { code, packages, layers }: Layout,
        record: Option<&FunctionRecord>,
    ) -> Result<(Launched, BuildLog), Fault> {
        let stages = self.core.stages.of(project);
        let stage = new.target.stage();
        let outfit = Outfit { project, stage, stages: &stages, settings: Some(&new.settings), record };
        outfit.check()?;
        let (vars, redactor) = outfit.open(&*self.core.vault)?;
        let now = self.core.clock.now();
        let set = record.and_then(|record| record.egress.as_ref());
        let policy = set.map_or_else(|| new.settings.egress.clone(), PolicyOverride::in_force);
        let spec = PoolSpec {
            project,
            function: self.core.ids.mint(now),
            name: new.name.clone(),
            version: 0,
            settings: Arc::new(new.settings.clone()),
            network: NetworkAccess::constant(policy),
            vars,
            redactor: redactor.clone(),
            concurrency: 1,
            inspection: None,
            code,
            dependencies: packages,
            layers,
        };
        let instance = InstanceSpec { harvest: true, ..spec.instance(&*self.core.clock, &*self.core.ids) };
        let launched = self.core.launcher.launch(instance).await;
        let mut launched = launched.map_err(|fault| {
            let fault = match &redactor {
                Some(redactor) => redactor.fault(fault),
                None => fault,
            };
            let is_first = record.is_none();
            not_loaded(new, is_first, fault)
        })?;
        launched.instance.stop(Duration::from_millis(200)).await;
        let log = build_log(&mut launched.logs, redactor.as_deref());
        Ok((launched, log))
    }
}

/// What an instance wrote until now, within the limits of a kept log.
fn build_log(logs: &mut InstanceLogs, redactor: Option<&Redactor>) -> BuildLog {
    let (mut log, mut bytes) = (BuildLog::default(), 0);
    while let Ok(LogEntry { at, level, stream, mut message }) = logs.try_recv() {
        redactor.iter().for_each(|redactor| redactor.clean_in_place(&mut message));
        bytes += message.len();
        if log.lines.len() < limits::BUILD_LOG_LINES && bytes <= limits::BUILD_LOG_BYTES {
            log.lines.push(BuildLine { at, level, stream, message });
        } else {
            log.dropped += 1;
        }
    }
    log
}

fn under_way(name: &FunctionName) -> Fault {
    Fault::new(Code::Conflict, format!("another deployment of `{name}` is under way"))
        .with_hint("wait for it, then deploy again")
        .with_retry_after(2)
}

/// Of several functions, the one that a fault is about.
fn naming(name: &FunctionName, mut fault: Fault) -> Fault {
    if !fault.message.starts_with(&format!("`{name}`")) {
        fault.message = format!("`{name}`: {}", fault.message);
    }
    fault
}

fn not_loaded(new: &NewDeployment, is_first: bool, fault: Fault) -> Fault {
    let unfit = matches!(
        fault.code,
        Code::RuntimeError | Code::MemoryExceeded | Code::ColdStartTimeout | Code::TimeoutExceeded
    );
    if !unfit {
        return fault;
    }
    let mut failed = Fault::new(Code::DeploymentFailed, format!("`{}` does not load: {}", new.name, fault.message));
    let kind = fault.function_error.as_ref().map(|error| error.kind.as_str());
    let is_import = kind.is_some_and(|kind| ["ImportError", "ModuleNotFoundError"].contains(&kind));
    let runtime = &new.settings.runtime;
    let packages = ecosystem(runtime.language()).filter(|_| is_import);
    let compiled = packages.and_then(|packages| packages.incompatibility(&new.bundle, runtime));
    let usual = if is_first { "fix the error and deploy again" } else { SERVES_ON };
    failed.function_error = fault.function_error;
    if let (Some(error), Some(_)) = (&mut failed.function_error, &compiled) {
        // What the runtime advises knows the error alone.
        error.hint = None;
    }
    failed.hint = compiled.or(fault.hint).or_else(|| Some(usual.to_owned()));
    failed
}

pub(crate) fn check_note(note: Option<&str>) -> Result<(), Fault> {
    match note {
        Some(note) if note.len() > limits::NOTE_MAX => Err(Fault::new(
            Code::InvalidConfiguration,
            format!("the note has {} bytes, more than {}", note.len(), limits::NOTE_MAX),
        )),
        _ => Ok(()),
    }
}
