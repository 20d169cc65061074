//! The embedded store as a whole.

use std::sync::Arc;

use faas_ports::{
    Blobs, Callbacks, Claims, DeadLetters, Events, Layers, PortResult, Registry, RunHistory, RunQueue, Topics, Vault,
};

use crate::blobs::FileBlobs;
use crate::config::StoreConfig;
use crate::error::StoreError;
use crate::events::LocalEvents;
use crate::history::SqliteHistory;
use crate::key_ring::KeyRing;
use crate::layers::FileLayers;
use crate::queue::{self, SqliteQueue};
use crate::registry::SqliteRegistry;
use crate::shared::Shared;
use crate::vault::FileVault;

/// A data directory in use. Adapters share it: the directory stays locked until the last of them is gone.
#[derive(Debug)]
pub struct Store {
    shared: Arc<Shared>,
    registry: Arc<SqliteRegistry>,
    queue: Arc<SqliteQueue>,
    history: Arc<SqliteHistory>,
    blobs: Arc<FileBlobs>,
    layers: Arc<FileLayers>,
    runtimes: Arc<FileLayers>,
    events: Arc<LocalEvents>,
    vault: Arc<FileVault>,
}

// === impl Store ===

impl Store {
    /// Opens the directory, migrates its databases and sweeps what a killed server left half done. Blocks for some
    /// milliseconds.
    ///
    /// # Errors
    /// See [`StoreError`]; each names what to do.
    pub fn open(config: &StoreConfig) -> Result<Self, StoreError> {
        let shared = Arc::new(Shared::open(config, queue::recover)?);
        let layers = Arc::new(FileLayers::open(Arc::clone(&shared))?);
        let runtimes = match &config.runtimes {
            Some(dir) => Arc::new(FileLayers::shared(Arc::clone(&shared), dir)?),
            None => Arc::clone(&layers),
        };
        Ok(Self {
            registry: Arc::new(SqliteRegistry::new(Arc::clone(&shared), config.lag)),
            queue: Arc::new(SqliteQueue::new(Arc::clone(&shared))),
            history: Arc::new(SqliteHistory::new(Arc::clone(&shared))),
            blobs: Arc::new(FileBlobs::open(Arc::clone(&shared))?),
            layers,
            runtimes,
            events: Arc::new(LocalEvents::new(config.lag)),
            vault: Arc::new(FileVault::new(KeyRing::open(shared.dir.path(), || shared.is_anything_sealed())?)),
            shared,
        })
    }

    /// Functions, versions, deployments, keys.
    #[must_use]
    pub fn registry(&self) -> Arc<dyn Registry> {
        Arc::clone(&self.registry) as _
    }

    /// Accepted runs that wait.
    #[must_use]
    pub fn queue(&self) -> Arc<dyn RunQueue> {
        Arc::clone(&self.queue) as _
    }

    /// Runs that were given up, and the inputs of runs.
    #[must_use]
    pub fn dead_letters(&self) -> Arc<dyn DeadLetters> {
        Arc::clone(&self.queue) as _
    }

    /// Callers' own names for runs.
    #[must_use]
    pub fn claims(&self) -> Arc<dyn Claims> {
        Arc::clone(&self.queue) as _
    }

    /// Messages that wait for functions.
    #[must_use]
    pub fn topics(&self) -> Arc<dyn Topics> {
        Arc::clone(&self.queue) as _
    }

    /// Messages about ended runs.
    #[must_use]
    pub fn callbacks(&self) -> Arc<dyn Callbacks> {
        Arc::clone(&self.queue) as _
    }

    /// Runs and their log lines.
    #[must_use]
    pub fn history(&self) -> Arc<dyn RunHistory> {
        Arc::clone(&self.history) as _
    }

    /// Files of bundles.
    #[must_use]
    pub fn blobs(&self) -> Arc<dyn Blobs> {
        Arc::clone(&self.blobs) as _
    }

    /// Sealed directory trees.
    #[must_use]
    pub fn layers(&self) -> Arc<dyn Layers> {
        Arc::clone(&self.layers) as _
    }

    /// Sealed runtimes and what goes with them: made from this machine's programs, so that they can be made again.
    #[must_use]
    pub fn runtimes(&self) -> Arc<dyn Layers> {
        Arc::clone(&self.runtimes) as _
    }

    /// News within this process.
    #[must_use]
    pub fn events(&self) -> Arc<dyn Events> {
        Arc::clone(&self.events) as _
    }

    /// Seals secrets.
    #[must_use]
    pub fn vault(&self) -> Arc<dyn Vault> {
        Arc::clone(&self.vault) as _
    }

    /// Whether new content may be stored beside the store's own files on its disk: what writes there asks this first.
    pub fn admission(&self) -> impl Fn() -> PortResult<()> + Send + Sync + 'static {
        let space = Arc::clone(&self.shared.space);
        move || space.admit()
    }

    /// Reads both databases in full and checks that they are sound: seconds for each gigabyte.
    ///
    /// # Errors
    /// [`PortError::Corrupt`](faas_ports::PortError::Corrupt) naming the first that is not.
    pub async fn check(&self) -> PortResult<()> {
        self.shared.main.check().await?;
        self.shared.logs.check().await
    }

    /// Finishes the commands that wait, refuses further ones and leaves files that need no recovery. Blocks: call it
    /// on a blocking thread. Dropping the store and every adapter does the same.
    pub fn close(&self) {
        self.shared.main.stop();
        self.shared.logs.stop();
    }
}
