//! Whether a table is current.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use faas_ports::Collection;
use faas_types::{Code, Fault};
use parking_lot::Mutex;
use tokio::time::Instant;

/// How long a table may miss changes before its server is not ready. It outlasts several of the pauses between attempts to
/// follow.
pub const STALE_MAX: Duration = Duration::from_secs(30);

/// How a projection follows its collection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProjectionStatus {
    /// The collection.
    pub collection: Collection,
    /// How long changes may have been missed; `None` while the table is current.
    pub stale_for: Option<Duration>,
    /// Times that the collection was loaded again.
    pub reloads: u64,
    /// Times that this failed.
    pub failures: u64,
}

/// The state behind [`ProjectionStatus`].
#[derive(Debug)]
pub(super) struct Freshness {
    collection: Collection,
    stale_since: Mutex<Option<Instant>>,
    /// The first load included.
    loads: AtomicU64,
    failures: AtomicU64,
}

// === impl ProjectionStatus ===

impl ProjectionStatus {
    /// Finds the table that has been stale the longest.
    ///
    /// # Errors
    /// `FN_016` when that is [`STALE_MAX`] or longer.
    pub fn check_all(statuses: &[Self]) -> Result<(), Fault> {
        let stale = statuses.iter().filter_map(|status| Some((status.stale_for?, status.collection)));
        let Some((longest, collection)) = stale.max().filter(|(longest, _)| *longest >= STALE_MAX) else {
            return Ok(());
        };
        let (table, seconds) = (collection.as_str(), longest.as_secs());
        let message = format!("the server's table of `{table}` has not followed the registry for {seconds} s");
        Err(Fault::new(Code::Unavailable, message)
            .with_hint("look in the server's log for `cannot follow the registry`; the server tries again until it can")
            .with_retry_after(5))
    }
}

// === impl Freshness ===

impl Freshness {
    pub(super) fn new(collection: Collection) -> Self {
        Self { collection, stale_since: Mutex::new(None), loads: AtomicU64::new(0), failures: AtomicU64::new(0) }
    }

    /// The watch ended.
    pub(super) fn lost(&self) {
        self.stale_since.lock().get_or_insert_with(Instant::now);
    }

    /// The collection could not be loaded.
    pub(super) fn failed(&self) {
        self.failures.fetch_add(1, Ordering::Relaxed);
    }

    /// The table is equal to the collection.
    pub(super) fn loaded(&self) {
        self.loads.fetch_add(1, Ordering::Relaxed);
        *self.stale_since.lock() = None;
    }

    pub(super) fn status(&self) -> ProjectionStatus {
        ProjectionStatus {
            collection: self.collection,
            stale_for: self.stale_since.lock().map(|since| since.elapsed()),
            reloads: self.loads.load(Ordering::Relaxed).saturating_sub(1),
            failures: self.failures.load(Ordering::Relaxed),
        }
    }
}
