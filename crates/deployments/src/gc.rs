//! Garbage collection: files of deleted functions, dropped versions and removed layers, inputs of runs that are forgotten, and
//! old records of deployment groups.
//!
//! Mark and sweep. A file that was stored or asked for within the grace stays in any case: a client that uploads files and
//! deploys them later relies on the server's answer that it has them. State may therefore change during the mark, as long as
//! a file is renewed before anything refers to it; see [`BundleStore::renew`]. A kill at any moment leaves only more to
//! collect.

mod mark;
mod sweep;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use faas_artifacts::{BundleStore, UploadLeases};
use faas_catalog::Catalog;
use faas_ports::{Blobs, Clock, DeadLetters, Layers, Registry};
use faas_scheduler::SchedulerDriver;
use faas_types::{Code, Fault, Reason, Timestamp};
use tokio_util::sync::CancellationToken;

use faas_runs::lifecycle::stopping;

/// The first collection begins no later than this after a start.
const FIRST: Duration = Duration::from_secs(15 * 60);
/// A pause is this many times as long as the step before it.
const PAUSE_SHARE: u32 = 3;
/// The longest pause between two steps.
const PAUSE_MAX: Duration = Duration::from_secs(1);

/// When garbage is collected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GcPolicy {
    /// How often; zero means only on request.
    pub every: Duration,
    /// How long unneeded files stay, counted from when they were last uploaded or asked for. Must be longer than any
    /// deployment and any call.
    pub grace: Duration,
}

/// What a collection removed, or would remove.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct GcReport {
    /// Stored files and lists of files.
    pub blobs: u64,
    /// Their bytes.
    pub blob_bytes: u64,
    /// Trees that were laid out for sandboxes.
    pub layers: u64,
    /// Bytes of their files.
    pub layer_bytes: u64,
    /// Old records of deployment groups.
    pub records: u64,
    /// Stored files and lists that are needed.
    pub needed: u64,
    /// Unneeded files and lists that are too young to be removed.
    pub young: u64,
}

/// Garbage collection since the server started, for `/metrics`.
#[derive(Debug, Default)]
pub struct GcStats {
    /// Collections that succeeded.
    pub done: AtomicU64,
    /// Collections that failed.
    pub failed: AtomicU64,
    /// Stored files removed.
    pub blobs: AtomicU64,
    /// Trees removed.
    pub layers: AtomicU64,
    /// Records removed.
    pub records: AtomicU64,
    /// Bytes freed.
    pub bytes: AtomicU64,
}

/// Ports and services that a garbage collector needs.
#[expect(missing_docs, reason = "each field is the port or service of its type")]
pub struct GcDeps {
    pub registry: Arc<dyn Registry>,
    /// The inputs of runs.
    pub letters: Arc<dyn DeadLetters>,
    pub blobs: Arc<dyn Blobs>,
    pub layers: Arc<dyn Layers>,
    pub clock: Arc<dyn Clock>,
    pub bundles: Arc<BundleStore>,
    pub leases: Arc<UploadLeases>,
    pub catalog: Arc<Catalog>,
    pub scheduler: Arc<SchedulerDriver>,
    /// Ends the background task, and a collection under way.
    pub stop: CancellationToken,
}

/// Collects garbage, in the background and on request.
pub struct GarbageCollector {
    deps: GcDeps,
    policy: GcPolicy,
    stats: GcStats,
    /// Held during a collection.
    running: tokio::sync::Mutex<()>,
}

/// One collection.
#[derive(Clone, Copy, Debug)]
struct Round {
    /// Files renewed since this moment stay.
    before: Timestamp,
    /// Whether nothing is removed.
    dry: bool,
    /// Whether a request waits for it, which shortens its pauses.
    prompt: bool,
    /// Whether the grace is skipped.
    now: bool,
}

// === impl GcPolicy ===

impl Default for GcPolicy {
    fn default() -> Self {
        Self { every: Duration::from_secs(6 * 3_600), grace: Duration::from_secs(24 * 3_600) }
    }
}

// === impl GcStats ===

impl GcStats {
    fn add(&self, found: &GcReport) {
        self.done.fetch_add(1, Ordering::Relaxed);
        self.blobs.fetch_add(found.blobs, Ordering::Relaxed);
        self.layers.fetch_add(found.layers, Ordering::Relaxed);
        self.records.fetch_add(found.records, Ordering::Relaxed);
        self.bytes.fetch_add(found.blob_bytes + found.layer_bytes, Ordering::Relaxed);
    }
}

// === impl GarbageCollector ===

impl GarbageCollector {
    /// The service on its ports.
    #[must_use]
    pub fn new(deps: GcDeps, policy: GcPolicy) -> Self {
        Self { deps, policy, stats: GcStats::default(), running: tokio::sync::Mutex::default() }
    }

    /// Counters since the server started.
    #[must_use]
    pub fn stats(&self) -> &GcStats {
        &self.stats
    }

    /// When garbage is collected.
    #[must_use]
    pub fn policy(&self) -> GcPolicy {
        self.policy
    }

    /// Removes what nothing needs, of all projects; with `dry` only reports it. With `now` the grace is skipped: besides what is
    /// needed, only files stay on which a deployment, an upload, a run that is being stored or an instance relies.
    ///
    /// # Errors
    /// `FN_014` while another collection is under way. When something that is needed cannot be read: nothing is removed then.
    pub async fn collect(&self, dry: bool, now: bool) -> Result<GcReport, Fault> {
        self.run(dry, now, true).await
    }

    /// Collects periodically until the server stops.
    pub async fn run_periodically(self: Arc<Self>) {
        let every = self.policy.every;
        if every.is_zero() {
            return;
        }
        let mut pause = every.min(FIRST);
        loop {
            tokio::select! {
                () = self.deps.stop.cancelled() => return,
                () = tokio::time::sleep(pause) => {}
            }
            pause = every;
            match self.run(false, false, false).await {
                Ok(_) => {}
                Err(fault) if fault.code == Code::Conflict || self.deps.stop.is_cancelled() => {}
                Err(fault) => tracing::warn!(%fault, "what nothing needs is not collected"),
            }
        }
    }

    async fn run(&self, dry: bool, now: bool, prompt: bool) -> Result<GcReport, Fault> {
        let Ok(_running) = self.running.try_lock() else {
            let fault = Fault::new(Reason::OperationInProgress, "a collection is under way");
            return Err(fault.with_hint("wait for it, then ask again").with_retry_after(5));
        };
        let began = Instant::now();
        let grace = u64::try_from(self.policy.grace.as_millis()).unwrap_or(u64::MAX);
        // Taken before the mark: a file that becomes needed from now on is renewed from now on.
        let moment = self.deps.clock.now();
        let graced = Timestamp::from_millis(moment.as_millis().saturating_sub(grace));
        let before = if now { self.deps.leases.since(moment).max(graced) } else { graced };
        let found = self.sweep_round(Round { before, dry, prompt, now }).await;
        if found.is_err() {
            self.stats.failed.fetch_add(1, Ordering::Relaxed);
        }
        let found = found?;
        if !dry {
            self.stats.add(&found);
            let GcReport { blobs, layers, records, .. } = found;
            let (bytes, seconds) = (found.blob_bytes + found.layer_bytes, began.elapsed().as_secs_f32());
            tracing::info!(blobs, layers, records, bytes, seconds, "collected what nothing needs");
        }
        Ok(found)
    }

    async fn sweep_round(&self, round: Round) -> Result<GcReport, Fault> {
        let needed = self.needed(round).await?;
        let mut found = self.sweep(round, &needed).await?;
        found.records = self.drop_old_groups(round, needed.projects()).await?;
        Ok(found)
    }

    /// Pauses for longer than the step took, so that others get at the store.
    ///
    /// # Errors
    /// When the server stops.
    async fn pause_after(&self, begun: Instant, round: Round) -> Result<(), Fault> {
        if self.deps.stop.is_cancelled() {
            return Err(stopping());
        }
        if round.prompt {
            tokio::task::yield_now().await;
            return Ok(());
        }
        tokio::select! {
            () = self.deps.stop.cancelled() => Err(stopping()),
            () = tokio::time::sleep((begun.elapsed() * PAUSE_SHARE).min(PAUSE_MAX)) => Ok(()),
        }
    }
}
