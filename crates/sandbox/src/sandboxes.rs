//! Opens sandboxes with the means of the Linux kernel.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use faas_ports::{OpenSandbox, ParkedSandbox, PortError, PortResult, SandboxSpec, Sandboxes, Zygote};
use faas_types::{Feature, IsolationLevel, IsolationReport, NetworkMode};
use tokio::sync::Mutex;

use crate::child::detached_layer;
use crate::config::SandboxConfig;
use crate::doctor;
use crate::launch::{admit, launch, request};
use crate::lock;
use crate::parked::park;
use crate::path_translation;
use crate::spawner_client::SpawnerClient;
use crate::spawner_protocol::{Confinement, OpenRequest, Settings};
use crate::sys;
use crate::zygote::LinuxZygote;

/// Sandboxes of the Linux kernel: namespaces, sealed layers, cgroups and a system call filter.
pub struct LinuxSandboxes {
    config: SandboxConfig,
    /// Replaced when the spawner has died.
    link: Mutex<Arc<SpawnerClient>>,
    report: IsolationReport,
    /// Whether sandboxes can be opened ahead of time and be as strong as others.
    parks: bool,
    stopped: AtomicBool,
}

// === impl LinuxSandboxes ===

impl LinuxSandboxes {
    /// Starts the spawner, ends what an earlier server on the same data directory left, and probes this machine.
    ///
    /// Raises this process's limit of open files as far as it may. Succeeds where sandboxes are impossible; [`report`](Sandboxes::report) then says so and why.
    pub async fn start(config: SandboxConfig) -> PortResult<Self> {
        sys::allow_many_files();
        let link = Arc::new(connect(&config).await?);
        let report = doctor::examine(&link, &config).await?;
        // Needs the right to mount, which an ordinary user has only inside of its sandboxes.
        let parks = report.level == IsolationLevel::Full && detached_layer(&config.data_dir).is_ok();
        Ok(Self { config, link: Mutex::new(link), report, parks, stopped: AtomicBool::new(false) })
    }

    /// Kills every sandbox and waits until no process and no cgroup of them is left. Nothing can be opened afterwards.
    ///
    /// Dropping does the same without waiting.
    pub async fn stop(&self) {
        self.stopped.store(true, Ordering::Release);
        let link = Arc::clone(&*self.link.lock().await);
        link.stop().await;
    }

    async fn link(&self) -> PortResult<Arc<SpawnerClient>> {
        let mut link = self.link.lock().await;
        if self.stopped.load(Ordering::Acquire) {
            return Err(PortError::Closed("sandbox spawner"));
        }
        if link.is_closed() {
            tracing::warn!("starting another spawner of sandboxes");
            *link = Arc::new(connect(&self.config).await?);
        }
        Ok(Arc::clone(&link))
    }

    fn admit(&self, wanted: IsolationLevel) -> PortResult<()> {
        let level = self.report.level;
        if level == IsolationLevel::Process && !self.config.unsafe_no_isolation {
            let why = "this machine cannot confine functions; for your own code, start with --unsafe-no-isolation";
            return Err(PortError::Isolation(why.to_owned()));
        }
        admit(level, wanted)
    }

    fn may_have_network(&self) -> PortResult<()> {
        let probe = self.report.probes.iter().find(|probe| probe.feature == Feature::Egress);
        match probe {
            Some(probe) if !probe.enforced => {
                let fix = probe.fix.as_deref().unwrap_or_default();
                let why = format!("functions can have no network on this machine: {}; {fix}", probe.detail);
                Err(PortError::Isolation(why))
            }
            _ => Ok(()),
        }
    }

    fn may_park(&self) -> PortResult<()> {
        if self.parks { Ok(()) } else { Err(PortError::Isolation("this machine parks no sandboxes".to_owned())) }
    }
}

#[async_trait]
impl Sandboxes for LinuxSandboxes {
    async fn open(&self, spec: SandboxSpec) -> PortResult<OpenSandbox> {
        self.admit(spec.min_isolation)?;
        let plain = self.report.level == IsolationLevel::Process;
        if spec.network == NetworkMode::Egress && !plain {
            self.may_have_network()?;
        }
        let request = request(spec)?;
        let request = if plain {
            path_translation::translate(OpenRequest { confinement: Confinement::Plain, ..request })
        } else {
            request
        };
        Ok(launch(&*self.link().await?, request, self.report.level).await?)
    }

    async fn park(&self, spec: SandboxSpec) -> PortResult<ParkedSandbox> {
        self.may_park()?;
        let request = OpenRequest { parked: true, network: NetworkMode::None, ..request(spec)? };
        Ok(park(&*self.link().await?, request, self.report.level, None).await?)
    }

    async fn zygote(&self, spec: SandboxSpec) -> PortResult<Arc<dyn Zygote>> {
        self.may_park()?;
        Ok(Arc::new(LinuxZygote::start(self.link().await?, request(spec)?, self.report.level).await?))
    }

    fn report(&self) -> &IsolationReport {
        &self.report
    }
}

async fn connect(config: &SandboxConfig) -> PortResult<SpawnerClient> {
    let cgroup_name = cgroup_name(config).map_err(|error| PortError::io("identifying the data directory", error))?;
    let settings = Settings { cgroup_name };
    let lock = lock::take(&config.data_dir).await?;
    SpawnerClient::start(&config.spawner, settings, lock).await
}

/// Names the cgroups after the data directory itself rather than its path, which may be another directory's elsewhere.
fn cgroup_name(config: &SandboxConfig) -> io::Result<String> {
    use std::os::unix::fs::MetadataExt;
    std::fs::create_dir_all(&config.data_dir)?;
    let path = config.data_dir.canonicalize()?;
    let metadata = path.metadata()?;
    let identity = format!("{} {} {}", metadata.dev(), metadata.ino(), path.display());
    Ok(format!("faas-{}", &blake3::hash(identity.as_bytes()).to_hex()[..16]))
}
