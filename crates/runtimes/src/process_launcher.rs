//! Every runtime of this machine that is a process with a shim, behind the engine's port.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use faas_ports::{
    Clock, IdSource, InstanceSpec, Launched, Launcher, Layers, Networks, RuntimeDescription, Sandboxes, StartMetrics,
};
use faas_types::{ByteSize, Fault, RuntimeName};
use parking_lot::Mutex;
use tokio::task::JoinHandle;

use crate::builder::{BuildConfig, BuilderPorts, RuntimesBuilder};
use crate::installations::Installations;
use crate::launch::Launch;
use crate::warm_pool::WarmPool;

/// What the launcher is told.
#[derive(Clone, Debug, Default)]
pub struct RuntimesConfig {
    /// Further programs, or directories of programs, to look at. They win over `PATH`.
    pub search: Vec<PathBuf>,
    /// A file that remembers what programs said about themselves, so that a restart asks none of them again.
    pub cache: PathBuf,
    /// How many started runtimes wait for functions, for each runtime that deployed functions use. None turns waiting
    /// runtimes and zygotes off.
    pub parked: usize,
}

/// What the launcher works with.
#[derive(Clone)]
#[expect(missing_docs, reason = "each field is the port of its type")]
pub struct RuntimesPorts {
    pub sandboxes: Arc<dyn Sandboxes>,
    pub networks: Arc<dyn Networks>,
    pub layers: Arc<dyn Layers>,
    pub clock: Arc<dyn Clock>,
    pub ids: Arc<dyn IdSource>,
}

/// Finds runtimes, seals them into layers and starts instances of them.
pub struct ProcessLauncher {
    installations: Arc<Installations>,
    clock: Arc<dyn Clock>,
    networks: Arc<dyn Networks>,
    pool: Arc<WarmPool>,
    /// Keeps the pool filled.
    tending: Mutex<Option<JoinHandle<()>>>,
}

// === impl ProcessLauncher ===

impl ProcessLauncher {
    /// Makes a launcher; costs nothing yet. Call [`discover`](Self::discover) soon, off the async threads.
    #[must_use]
    pub fn new(ports: RuntimesPorts, config: RuntimesConfig) -> Self {
        let RuntimesPorts { sandboxes, networks, layers, clock, ids } = ports;
        let installations = Arc::new(Installations::new(layers, config.search, config.cache));
        let pool = WarmPool::new(sandboxes, Arc::clone(&installations), Arc::clone(&clock), ids, config.parked);
        Self { installations, clock, networks, pool: Arc::new(pool), tending: Mutex::new(None) }
    }

    /// What installs packages for the same runtimes.
    #[must_use]
    pub fn builder(&self, ports: BuilderPorts, config: BuildConfig) -> RuntimesBuilder {
        RuntimesBuilder::new(Arc::clone(&self.installations), ports, config)
    }

    /// Finds the runtimes of this machine. Blocks: some 30 ms for each program that the cache does not know. Whatever
    /// needs the answer before does the same.
    pub fn discover(&self) {
        self.installations.found();
    }

    /// Begins to keep runtimes waiting, until [`stop`](Self::stop).
    pub fn tend(&self) {
        let pool = Arc::clone(&self.pool);
        *self.tending.lock() = Some(tokio::spawn(async move { pool.tend().await }));
    }

    /// Ends everything that waits. Instances go on, and can still be started.
    pub async fn stop(&self) {
        let tending = self.tending.lock().take();
        if let Some(tending) = tending {
            tending.abort();
            // Cancelled, which is what was asked for.
            let _ = tending.await;
        }
        self.pool.clear();
    }

    /// Seals the layers of a runtime, so that its first launch need not. Takes seconds once, then microseconds.
    ///
    /// # Errors
    /// The runtime is not here, or the disk failed.
    pub async fn prepare(&self, name: &RuntimeName) -> Result<(), Fault> {
        self.installations.profile(name, faas_types::limits::MEMORY_MIN).await.map(drop)
    }
}

#[async_trait]
impl Launcher for ProcessLauncher {
    fn runtimes(&self) -> Vec<RuntimeDescription> {
        self.installations.found().iter().map(|found| found.description.clone()).collect()
    }

    fn resolve(&self, name: &RuntimeName) -> Result<RuntimeDescription, Fault> {
        self.installations.select(name).map(|found| found.description.clone())
    }

    fn is_prepared(&self, name: &RuntimeName) -> bool {
        self.installations.is_prepared(name)
    }

    fn anticipate(&self, wanted: BTreeSet<(RuntimeName, ByteSize)>) {
        self.pool.want(wanted.into_iter().collect());
    }

    fn starts(&self) -> StartMetrics {
        self.pool.metrics()
    }

    async fn launch(&self, spec: InstanceSpec) -> Result<Launched, Fault> {
        let profile = self.installations.profile(&spec.settings.runtime, spec.settings.memory).await?;
        let debugger = match &spec.inspection {
            Some(inspection) => self.installations.debugger(&profile, inspection).await?,
            None => None,
        };
        let (clock, networks) = (self.clock.clone(), self.networks.clone());
        Launch { profile, spec, debugger, clock, networks }.run(&self.pool).await
    }
}
