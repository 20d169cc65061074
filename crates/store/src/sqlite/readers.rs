//! A bounded set of connections that read.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use faas_ports::{PortError, PortResult};
use parking_lot::Mutex;
use rusqlite::Connection;
use tokio::sync::Semaphore;

use super::connection::open_reader;
use super::{WorkError, WorkResult};

/// How long a read waits for a connection.
const WAIT: Duration = Duration::from_secs(10);

/// Connections for reading. Each read takes one to a blocking thread and brings it back.
#[derive(Debug)]
pub(super) struct Readers {
    path: PathBuf,
    idle: Mutex<Vec<Connection>>,
    permits: Arc<Semaphore>,
}

// === impl Readers ===

impl Readers {
    /// Opens no connection yet; at most `most` at once.
    pub(super) fn new(path: &Path, most: usize) -> Self {
        Self { path: path.to_owned(), idle: Mutex::default(), permits: Arc::new(Semaphore::new(most.max(1))) }
    }

    /// Runs `work` on a blocking thread. It sees one snapshot only if it opens a transaction.
    pub(super) async fn read<T, F>(self: &Arc<Self>, work: F) -> PortResult<T>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> WorkResult<T> + Send + 'static,
    {
        let permit = match tokio::time::timeout(WAIT, Arc::clone(&self.permits).acquire_owned()).await {
            Ok(Ok(permit)) => permit,
            Ok(Err(_)) => return Err(PortError::Closed("store")),
            Err(_) => return Err(PortError::Full { what: "the store's read queue".into() }),
        };
        let readers = Arc::clone(self);
        let reading = tokio::task::spawn_blocking(move || {
            let _permit = permit;
            let connection = readers.take()?;
            let result = work(&connection);
            readers.idle.lock().push(connection);
            result
        });
        match reading.await {
            Ok(result) => result.map_err(|error| error.into_port("cannot read the database")),
            Err(error) => Err(PortError::failed("a read of the database ended early", error)),
        }
    }

    fn take(&self) -> WorkResult<Connection> {
        let idle = self.idle.lock().pop();
        idle.map_or_else(|| open_reader(&self.path).map_err(WorkError::Sql), Ok)
    }
}
