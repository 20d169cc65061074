//! The embedded store as a whole.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use faas_ports::{
    Blobs, Callbacks, Claims, DeadLetters, Events, Layers, PortResult, Registry, RunHistory, RunQueue, Topics, Vault,
};

use crate::StoreError;
use crate::blobs::FileBlobs;
use crate::data_dir::DataDir;
use crate::events::LocalEvents;
use crate::fsync::Fsync;
use crate::history::SqliteHistory;
use crate::key_ring::KeyRing;
use crate::layers::FileLayers;
use crate::queue::SqliteQueue;
use crate::registry::SqliteRegistry;
use crate::space::Space;
use crate::sqlite::{Database, DatabaseConfig, Durability, WriterHooks};
use crate::vault::FileVault;

/// What to do when the disk can no longer be trusted. Called on a thread of the store; the process should log the message
/// and end at once, because after a failed fsync only a restart tells what the disk holds.
pub type OnFatal = Arc<dyn Fn(&str) + Send + Sync>;

/// How a [`Store`] works.
#[derive(Clone)]
pub struct StoreConfig {
    /// The data directory; made when it is absent.
    pub dir: PathBuf,
    /// A directory of sealed runtimes that other stores of this user share; among the other layers when absent.
    pub runtimes: Option<PathBuf>,
    /// Reads of each database at once.
    pub readers: usize,
    /// Commands that may wait for each database's writer; more wait outside, and are refused after ten seconds.
    pub write_queue: usize,
    /// Changes that a registry watcher, and events that a subscriber, may lag behind.
    pub lag: usize,
    /// Free bytes below which new work and new content are refused. Outcomes of accepted runs are taken until a
    /// quarter of it is left; reads and deletes always work.
    pub low_water: u64,
    /// Bytes set aside so that deletes work on a full disk. A write-ahead log holds up to 16 MiB that it can give back
    /// only after moving it: less ballast than that may not be enough. 0 sets nothing aside.
    pub ballast: u64,
    /// What to do when the disk can no longer be trusted.
    pub on_fatal: OnFatal,
    /// Called with `true` on a thread that begins what nobody waits for, such as storing what ran, and with `false` after it.
    pub give_way: fn(bool),
}

/// A data directory in use. Adapters share it: the directory stays locked until the last of them is gone.
#[derive(Debug)]
pub struct Store {
    core: Arc<Core>,
    registry: Arc<SqliteRegistry>,
    queue: Arc<SqliteQueue>,
    history: Arc<SqliteHistory>,
    blobs: Arc<FileBlobs>,
    layers: Arc<FileLayers>,
    runtimes: Arc<FileLayers>,
    events: Arc<LocalEvents>,
    vault: Arc<FileVault>,
}

/// What the adapters share. Fields end in this order: the lock goes last.
#[derive(Debug)]
pub(crate) struct Core {
    /// Registry, queue and runs.
    pub(crate) main: Database,
    /// Log lines.
    pub(crate) logs: Database,
    pub(crate) space: Arc<Space>,
    pub(crate) fsync: Fsync,
    pub(crate) give_way: fn(bool),
    pub(crate) dir: DataDir,
}

// === impl StoreConfig ===

impl StoreConfig {
    /// The defaults for a directory: 4 readers, 64 MiB low water, 16 MiB ballast. A fatal failure is only logged;
    /// a server sets `on_fatal` to end itself.
    pub fn new(dir: impl Into<PathBuf>) -> Self {
        Self {
            dir: dir.into(),
            runtimes: None,
            readers: 4,
            write_queue: 1024,
            lag: 4096,
            low_water: 64 << 20,
            ballast: 16 << 20,
            on_fatal: Arc::new(|message| tracing::error!(message, "the store has failed for good")),
            give_way: |_| {},
        }
    }
}

impl fmt::Debug for StoreConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StoreConfig").field("dir", &self.dir).finish_non_exhaustive()
    }
}

// === impl Store ===

impl Store {
    /// Opens the directory, migrates its databases and sweeps what a killed server left half done. Blocks for some
    /// milliseconds.
    ///
    /// # Errors
    /// See [`StoreError`]; each names what to do.
    pub fn open(config: &StoreConfig) -> Result<Self, StoreError> {
        let core = Arc::new(Core::open(config)?);
        let layers = Arc::new(FileLayers::open(Arc::clone(&core))?);
        let runtimes = match &config.runtimes {
            Some(dir) => Arc::new(FileLayers::shared(Arc::clone(&core), dir)?),
            None => Arc::clone(&layers),
        };
        Ok(Self {
            registry: Arc::new(SqliteRegistry::new(Arc::clone(&core), config.lag)),
            queue: Arc::new(SqliteQueue::new(Arc::clone(&core))),
            history: Arc::new(SqliteHistory::new(Arc::clone(&core))),
            blobs: Arc::new(FileBlobs::open(Arc::clone(&core))?),
            layers,
            runtimes,
            events: Arc::new(LocalEvents::new(config.lag)),
            vault: Arc::new(FileVault::new(KeyRing::open(core.dir.path())?)),
            core,
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
        let space = Arc::clone(&self.core.space);
        move || space.admit()
    }

    /// Reads both databases in full and checks that they are sound: seconds for each gigabyte.
    ///
    /// # Errors
    /// [`PortError::Corrupt`](faas_ports::PortError::Corrupt) naming the first that is not.
    pub async fn check(&self) -> PortResult<()> {
        self.core.main.check().await?;
        self.core.logs.check().await
    }

    /// Finishes the commands that wait, refuses further ones and leaves files that need no recovery. Blocks: call it
    /// on a blocking thread. Dropping the store and every adapter does the same.
    pub fn close(&self) {
        self.core.main.stop();
        self.core.logs.stop();
    }
}

// === impl Core ===

impl Core {
    fn open(config: &StoreConfig) -> Result<Self, StoreError> {
        let dir = DataDir::open(&config.dir)?;
        let space = Arc::new(Space::open(dir.path(), config.low_water, config.ballast)?);
        let hooks = || {
            let full = Arc::clone(&space);
            WriterHooks { fatal: Arc::clone(&config.on_fatal), full: Box::new(move || full.release()) }
        };
        let main = Database::open(DatabaseConfig {
            path: &dir.path().join("faas.db"),
            migrations: &[
                include_str!("schema/faas_1.sql"),
                include_str!("schema/faas_2.sql"),
                include_str!("schema/faas_3.sql"),
                include_str!("schema/faas_4.sql"),
                include_str!("schema/faas_5.sql"),
                include_str!("schema/faas_6.sql"),
                include_str!("schema/faas_7.sql"),
                include_str!("schema/faas_8.sql"),
                include_str!("schema/faas_9.sql"),
            ],
            recover: crate::queue::recover,
            durability: Durability::PowerCut,
            readers: config.readers,
            queue: config.write_queue,
            hooks: hooks(),
        })?;
        // Log lines are best effort: losing the last ones in a power cut is cheaper than an fsync for each batch.
        let logs = Database::open(DatabaseConfig {
            path: &dir.path().join("logs.db"),
            migrations: &[include_str!("schema/logs_1.sql"), include_str!("schema/logs_2.sql")],
            recover: |_| Ok(()),
            durability: Durability::ProcessEnd,
            readers: config.readers,
            queue: config.write_queue,
            hooks: hooks(),
        })?;
        let fsync = Fsync::new(Arc::clone(&config.on_fatal));
        Ok(Self { main, logs, space, fsync, give_way: config.give_way, dir })
    }
}
