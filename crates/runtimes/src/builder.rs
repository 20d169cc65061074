//! Builds: packages installed in a separate sandbox.
//!
//! A build is the installer's word against everybody's: packages run code of theirs while they are installed. So it
//! happens where functions run, behind the same walls, with a way out that leads to package indexes only, and what comes
//! back is checked like any upload.

mod failed;
mod file_collector;
mod installer;
mod journal;
mod session;
mod tunnels;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use faas_ports::{
    Blobs, BuildJob, BuildListener, Builder, Built, Clock, Egress, IdSource, LayerMount, Layers, OpenSandbox,
    SandboxExit, SandboxLimits, SandboxSpec, Sandboxes,
};
use faas_proto::build::JobHead;
use faas_types::limits::{MEMORY_MIN, OPEN_FILES_MAX, PIDS_MAX};
use faas_types::{ByteSize, Code, Fault, IndexUrl, IsolationLevel, NetworkMode, RuntimeName};

use crate::discovery::Found;
use crate::installations::Installations;
use crate::recipe::Build;
use crate::runtime_profile::argument;
use crate::seal::TOOL_PLACES;
use failed::Failed;
use installer::BuildRoot;
use journal::{Journal, Sayings};
use session::{Outcome, Session};

/// From the end of a build to the end of its sandbox, before it is killed.
const PATIENCE: Duration = Duration::from_millis(500);
/// What a build may be below its limit when the kernel kills one of its processes.
const MEMORY_SLACK: u64 = 1 << 20;
/// Bytes of a file with certificates.
const CA_MAX: u64 = 256 << 10;

/// How packages are installed.
#[derive(Clone, Debug)]
pub struct BuildConfig {
    /// The operator's indexes, by the name of their kind in descriptions of runtimes.
    pub indexes: BTreeMap<String, PackageIndexes>,
    /// A file with certificates to trust besides the machine's.
    pub ca_file: Option<PathBuf>,
    /// Memory of one build, its files included.
    pub memory: ByteSize,
    /// Files of one build.
    pub disk: ByteSize,
    /// CPU share in thousandths of a core.
    pub cpu_millis: u32,
    /// How long one build may take.
    pub timeout: Duration,
}

/// What the builder works with.
#[derive(Clone)]
#[expect(missing_docs, reason = "each field is the port of its type")]
pub struct BuilderPorts {
    pub sandboxes: Arc<dyn Sandboxes>,
    pub layers: Arc<dyn Layers>,
    pub blobs: Arc<dyn Blobs>,
    pub egress: Arc<dyn Egress>,
    pub clock: Arc<dyn Clock>,
    pub ids: Arc<dyn IdSource>,
}

/// Installs packages for the runtimes of this machine.
pub struct RuntimesBuilder {
    installations: Arc<Installations>,
    ports: BuilderPorts,
    config: BuildConfig,
}

/// Package indexes of one kind, and what installs from them.
#[derive(Clone, Debug, Default)]
pub struct PackageIndexes {
    /// The installer that the operator chose.
    pub installer: Option<String>,
    /// The index in place of the installer's own.
    pub index: Option<IndexUrl>,
    /// Further indexes.
    pub extra: Vec<IndexUrl>,
    /// Pages with links to packages.
    pub find_links: Vec<IndexUrl>,
}

/// What an operator who configures nothing has.
static DEFAULT_INDEXES: PackageIndexes =
    PackageIndexes { installer: None, index: None, extra: Vec::new(), find_links: Vec::new() };

// === impl BuildConfig ===

impl BuildConfig {
    fn indexes(&self, build: &Build) -> &PackageIndexes {
        self.indexes.get(&build.index.kind).unwrap_or(&DEFAULT_INDEXES)
    }

    fn certificates(&self) -> Result<String, Fault> {
        let Some(path) = &self.ca_file else { return Ok(String::new()) };
        let unusable = |why: &dyn std::fmt::Display| {
            Fault::new(Code::DeploymentFailed, format!("build.ca_file {} cannot be used: {why}", path.display()))
                .with_hint("the server's operator sets it in [build], or as FAAS_BUILD_CA_FILE")
        };
        let size = std::fs::metadata(path).map_err(|error| unusable(&error))?.len();
        if size > CA_MAX {
            return Err(unusable(&"it is larger than 256 KB"));
        }
        std::fs::read_to_string(path).map_err(|error| unusable(&error))
    }
}

// === impl PackageIndexes ===

impl PackageIndexes {
    fn urls(&self) -> impl Iterator<Item = &IndexUrl> {
        self.index.iter().chain(&self.extra).chain(&self.find_links)
    }

    /// What must never be shown, nor be part of a layer.
    fn secrets(&self) -> Vec<String> {
        self.urls().flat_map(IndexUrl::secrets).map(str::to_owned).collect()
    }
}

// === impl RuntimesBuilder ===

impl RuntimesBuilder {
    pub(crate) fn new(installations: Arc<Installations>, ports: BuilderPorts, config: BuildConfig) -> Self {
        Self { installations, ports, config }
    }

    fn select(&self, runtime: &RuntimeName) -> Result<(&Arc<Found>, &Build), Fault> {
        let found = self.installations.select(runtime)?;
        let build = found.recipe.build.as_ref().ok_or_else(|| {
            Fault::new(Code::NotImplemented, format!("packages of {runtime} are not installed in this release"))
        })?;
        Ok((found, build))
    }

    fn spec(&self, build_root: &BuildRoot, build: &Build, found: &Found) -> SandboxSpec {
        let mount = |source: &PathBuf, target: &str| LayerMount { source: source.clone(), target: target.into() };
        let mut mounts = vec![mount(&build_root.program, "/opt/faas"), mount(&build_root.installer, installer::PLACE)];
        mounts.extend(build_root.tools.iter().flat_map(|tools| TOOL_PLACES.map(|place| mount(tools, place))));
        SandboxSpec {
            id: self.ports.ids.mint(self.ports.clock.now()),
            root: build_root.root.clone(),
            mounts,
            argv: build.argv.iter().map(|text| argument(text, found, MEMORY_MIN.bytes() >> 20)).collect(),
            env: found.recipe.start.env.iter().map(|(name, value)| (name.clone(), value.clone())).collect(),
            cwd: "/".into(),
            limits: SandboxLimits {
                memory_bytes: self.config.memory.bytes(),
                cpu_millis: self.config.cpu_millis,
                pids: PIDS_MAX,
                tmp_bytes: self.config.disk.bytes(),
                open_files: OPEN_FILES_MAX,
            },
            network: NetworkMode::Loopback,
            port_forward: false,
            // Packages run code while they are installed: never without isolation.
            min_isolation: IsolationLevel::Partial,
        }
    }

    async fn run(
        &self,
        sandbox: OpenSandbox,
        job: &BuildJob,
        build: &Build,
        listener: Arc<dyn BuildListener>,
    ) -> Result<Built, Fault> {
        let certificates = self.config.certificates()?;
        let asked = self.config.indexes(build);
        let plain = asked.urls().filter(|url| url.is_plain());
        let head = JobHead {
            root: &job.root,
            files: &job.files,
            index: asked.index.iter().map(IndexUrl::reveal).collect(),
            extra_indexes: asked.extra.iter().map(IndexUrl::reveal).collect(),
            find_links: asked.find_links.iter().map(IndexUrl::reveal).collect(),
            trusted_hosts: plain.map(|url| url.host().to_string()).collect(),
            ca: &certificates,
            target: &build.target,
        };
        let journal = Journal::new(asked.secrets(), listener, Sayings::of(build));
        let mut session = Session::new(sandbox, &self.ports, asked.secrets(), journal)?;
        let ran = tokio::time::timeout(self.config.timeout, session.run(&head)).await;
        let patience = if ran.is_ok() { PATIENCE } else { Duration::ZERO };
        let exit = session.end(patience).await;
        match ran {
            Ok(Ok(Outcome { bundle, packages, skipped_install_scripts })) => {
                Ok(Built { bundle, packages, log: session.journal.take_lines(), skipped_install_scripts })
            }
            Ok(Err(failed)) => Err(self.fault(job, failed, exit, session)),
            Err(_) => Err(self.fault(job, Failed::Late, exit, session)),
        }
    }

    /// A process of the build that was killed for want of memory may leave the others alive, and a riddle.
    fn note_hunger(&self, exit: SandboxExit, session: &mut Session) {
        let limit = self.config.memory;
        if exit.usage.peak_memory_bytes.is_some_and(|peak| peak + MEMORY_SLACK >= limit.bytes()) {
            session.journal.note(format!("the build used all of its {limit} of memory (build.memory)"));
        }
    }

    fn fault(&self, job: &BuildJob, failed: Failed, exit: SandboxExit, mut session: Session) -> Fault {
        self.note_hunger(exit, &mut session);
        let why = match failed {
            Failed::Fault(fault) => return *fault,
            _ if exit.out_of_memory => {
                format!("the build used more than {} of memory (build.memory)", self.config.memory)
            }
            Failed::Late => {
                format!("the build took longer than {} s (build.timeout)", self.config.timeout.as_secs())
            }
            Failed::Told(why) => why,
            Failed::Breach(why) => format!("the build broke its protocol: {why}"),
            Failed::Gone => "the build ended before it was done".to_owned(),
        };
        let message = format!("the packages of {} could not be installed: {why}", job.source);
        let fault = Fault::new(Code::DeploymentFailed, message);
        match session.journal.last_words() {
            words if words.is_empty() => fault,
            words => fault.with_hint(words),
        }
    }
}

#[async_trait]
impl Builder for RuntimesBuilder {
    fn identity(&self, runtime: &RuntimeName) -> Result<String, Fault> {
        let (found, build) = self.select(runtime)?;
        let installer = installer::find(found, build, self.config.indexes(build).installer.as_deref())?;
        let urls: Vec<String> = self.config.indexes(build).urls().map(ToString::to_string).collect();
        let (name, arch) = (&found.description.name, std::env::consts::ARCH);
        let revision = build.revision;
        Ok(format!("{name} {arch} {} revision {revision} {}", installer.identity(), urls.join(" ")))
    }

    async fn build(&self, job: BuildJob, listener: Arc<dyn BuildListener>) -> Result<Built, Fault> {
        let (found, build) = self.select(&job.runtime)?;
        let installer = installer::find(found, build, self.config.indexes(build).installer.as_deref())?;
        let build_root = BuildRoot::sealed(installer, found, build, &*self.ports.layers).await?;
        let sandbox = self.ports.sandboxes.open(self.spec(&build_root, build, found)).await?;
        self.run(sandbox, &job, build, listener).await
    }
}
