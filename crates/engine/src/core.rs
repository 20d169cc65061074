//! What every part of the engine shares, and the pools it keeps.

use std::sync::Arc;

use faas_artifacts::{BundleStore, UploadLeases};
use faas_catalog::{Catalog, Keys, VarStore};
use faas_ports::{Blobs, Clock, IdSource, Launcher, Registry, Vault};
use faas_runs::lifecycle::Lifecycle;
use faas_runs::runs::Runs;
use faas_scheduler::SchedulerDriver;
use faas_telemetry::Stats;
use faas_triggers::Triggers;

use crate::upload_rules::UploadRules;

/// What every part of the engine shares.
pub(crate) struct Core {
    pub(crate) runs: Arc<Runs>,
    pub(crate) lifecycle: Arc<Lifecycle>,
    pub(crate) registry: Arc<dyn Registry>,
    pub(crate) blobs: Arc<dyn Blobs>,
    pub(crate) vault: Arc<dyn Vault>,
    pub(crate) launcher: Arc<dyn Launcher>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) ids: Arc<dyn IdSource>,
    pub(crate) catalog: Arc<Catalog>,
    pub(crate) vars: Arc<VarStore>,
    pub(crate) keys: Arc<Keys>,
    pub(crate) triggers: Arc<Triggers>,
    pub(crate) scheduler: Arc<SchedulerDriver>,
    pub(crate) stats: Arc<Stats>,
    /// Files of versions and layers.
    pub(crate) bundles: Arc<BundleStore>,
    pub(crate) leases: Arc<UploadLeases>,
    pub(crate) upload_rules: Arc<UploadRules>,
}
