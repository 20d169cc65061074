//! How a store works.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

/// What to do when the disk can no longer be trusted. Called on a thread of the store; the process should log the message
/// and end at once, because after a failed fsync only a restart tells what the disk holds.
pub type OnFatal = Arc<dyn Fn(&str) + Send + Sync>;

/// How a [`Store`](crate::Store) works.
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
    /// Called with `true` on a thread that begins background work, such as storing what ran, and with `false` after it.
    pub give_way: fn(bool),
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
