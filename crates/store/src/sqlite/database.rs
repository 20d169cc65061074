//! One database file with its writer and its readers.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use faas_ports::PortResult;
use rusqlite::Connection;

use super::connection::{Durability, open_writer};
use super::migrations::migrate;
use super::readers::Readers;
use super::writer::{Writer, WriterHooks};
use super::{WorkError, WorkResult};
use crate::StoreError;

/// What a [`Database`] is made of.
pub(crate) struct DatabaseConfig<'a> {
    /// The file.
    pub(crate) path: &'a Path,
    /// Its schema, oldest change first.
    pub(crate) migrations: &'a [&'a str],
    /// What its commits survive.
    pub(crate) durability: Durability,
    /// Reads at once.
    pub(crate) readers: usize,
    /// Commands that may wait for the writer.
    pub(crate) queue: usize,
    /// Called by the writer.
    pub(crate) hooks: WriterHooks,
}

/// A database file.
#[derive(Debug)]
pub(crate) struct Database {
    path: PathBuf,
    writer: Writer,
    readers: Arc<Readers>,
}

// === impl Database ===

impl Database {
    pub(crate) fn open(config: DatabaseConfig<'_>) -> Result<Self, StoreError> {
        let connection = open_writer(config.path, config.durability)?;
        migrate(&connection, config.path, config.migrations)?;
        Ok(Self {
            path: config.path.to_owned(),
            readers: Arc::new(Readers::new(config.path, config.readers)),
            writer: Writer::start(connection, config.path, config.queue, config.hooks)?,
        })
    }

    /// Runs `work` in the next transaction and answers when that is durable. `news` runs on the writer's thread
    /// between the commit and the answer, in commit order. Once accepted, the command runs even if the caller goes.
    pub(crate) async fn write<T, W, N>(&self, work: W, news: N) -> PortResult<T>
    where
        T: Send + 'static,
        W: FnOnce(&Connection) -> WorkResult<T> + Send + 'static,
        N: FnOnce(&T) + Send + 'static,
    {
        self.writer.submit(work, news).await
    }

    /// Runs `work` on a reader's connection.
    pub(crate) async fn read<T, F>(&self, work: F) -> PortResult<T>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> WorkResult<T> + Send + 'static,
    {
        self.readers.read(work).await
    }

    /// Reads every page and checks that the file is sound. Takes seconds for each gigabyte.
    pub(crate) async fn check(&self) -> PortResult<()> {
        let path = self.path.clone();
        self.read(move |connection| {
            let verdict: String = connection.query_row("PRAGMA quick_check(1)", [], |row| row.get(0))?;
            if verdict == "ok" {
                return Ok(());
            }
            let what = format!("the database {} ({verdict})", path.display());
            Err(WorkError::Refused(faas_ports::PortError::Corrupt { what }))
        })
        .await
    }

    /// Refuses further commands, finishes those that wait, and ends the writer. Blocks.
    pub(crate) fn stop(&self) {
        self.writer.stop();
    }
}
