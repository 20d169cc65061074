//! What the adapters share: the databases, the disk's space and the lock of the directory.

use std::sync::Arc;

use rusqlite::{Connection, OpenFlags};

use crate::config::StoreConfig;
use crate::data_dir::DataDir;
use crate::error::StoreError;
use crate::fsync::Fsync;
use crate::key_ring;
use crate::space::Space;
use crate::sqlite::{Database, DatabaseConfig, Durability, WriterHooks};

/// Whether anything is sealed.
const SEALED: &str = "SELECT EXISTS (SELECT 1 FROM entries
    WHERE collection = 'secrets' OR (collection = 'settings' AND name = 'callbacks'))";

/// What the adapters share. Fields end in this order: the lock goes last.
#[derive(Debug)]
pub(crate) struct Shared {
    /// Registry, queue and runs.
    pub(crate) main: Database,
    /// Log lines.
    pub(crate) logs: Database,
    pub(crate) space: Arc<Space>,
    pub(crate) fsync: Fsync,
    pub(crate) give_way: fn(bool),
    pub(crate) dir: DataDir,
}

// === impl Shared ===

impl Shared {
    /// Opens the databases; `recover` runs on the main one before anything else.
    pub(crate) fn open(
        config: &StoreConfig,
        recover: fn(&Connection) -> rusqlite::Result<()>,
    ) -> Result<Self, StoreError> {
        let dir = DataDir::open(&config.dir)?;
        dir.refuse_loss("faas.db", key_ring::FILE)?;
        let space = Arc::new(Space::open(dir.path(), config.low_water, config.ballast)?);
        let hooks = || {
            let full = Arc::clone(&space);
            WriterHooks { fatal: Arc::clone(&config.on_fatal), full: Box::new(move || full.release()) }
        };
        let main = Database::open(DatabaseConfig {
            path: &dir.path().join("faas.db"),
            migrations: &[include_str!("schema/faas.sql")],
            recover,
            durability: Durability::PowerCut,
            readers: config.readers,
            queue: config.write_queue,
            hooks: hooks(),
        })?;
        // Log lines are best effort: losing the last ones in a power cut is cheaper than an fsync for each batch.
        let logs = Database::open(DatabaseConfig {
            path: &dir.path().join("logs.db"),
            migrations: &[include_str!("schema/logs.sql")],
            recover: |_| Ok(()),
            durability: Durability::ProcessEnd,
            readers: config.readers,
            queue: config.write_queue,
            hooks: hooks(),
        })?;
        let fsync = Fsync::new(Arc::clone(&config.on_fatal));
        Ok(Self { main, logs, space, fsync, give_way: config.give_way, dir })
    }

    /// Whether the database holds what only the key file opens: secrets, or a key that callbacks are signed with.
    pub(crate) fn is_anything_sealed(&self) -> Result<bool, StoreError> {
        let path = self.dir.path().join("faas.db");
        let look = || {
            let connection = Connection::open_with_flags(&path, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
            connection.query_row(SEALED, [], |row| row.get(0))
        };
        look().map_err(StoreError::database("cannot read the database", &path))
    }
}
