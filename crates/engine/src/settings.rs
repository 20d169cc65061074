//! The settings of an engine.

use std::sync::Arc;
use std::time::Duration;

use faas_deployments::GcPolicy;
use faas_ports::Inspection;
use faas_preflight::Policy;
use faas_runs::callback_policy::CallbackPolicy;
use faas_runs::quotas::Quotas;
use faas_runs::runs::RunSettings;
use faas_scheduler::CapacityLimits;
use faas_types::{Retention, limits};

/// Instances that start at the same time, for each core: starting one is mostly work and partly waiting for the kernel.
const STARTS_PER_CORE: u32 = 4;

/// The settings of an engine.
#[derive(Clone, Debug)]
pub struct EngineSettings {
    /// How long an instance stays without a call.
    pub idle_timeout: Duration,
    /// How long a leased run stays this server's without a heartbeat.
    pub lease: Duration,
    /// How often idle instances are looked for.
    pub tend_every: Duration,
    /// Instances of all functions together.
    pub instances_max: u32,
    /// How long a project's history is kept that has no settings of its own.
    pub retention: Retention,
    /// The longest sleep between two looks at the clock for schedules: so soon is it seen that the clock was moved.
    pub look_every: Duration,
    /// Bytes of all instances together.
    pub memory_max: u64,
    /// Instances that start at the same time.
    pub starts_max: u32,
    /// Builds of packages at the same time.
    pub builds_max: usize,
    /// Functions that metrics name; the others share one label.
    pub metric_labels_max: usize,
    /// How callbacks are tried again.
    pub callbacks: CallbackPolicy,
    /// Versions of a function that are kept whether something needs them or not.
    pub versions_kept: u32,
    /// What uploads are refused for.
    pub preflight: Arc<Policy>,
    /// Lets debuggers into instances, and gives calls the time for it.
    pub inspection: Option<Inspection>,
    /// How garbage is collected.
    pub gc: GcPolicy,
    /// How much callers can make the server keep.
    pub quotas: Quotas,
    /// What a thread of the engine does first whose work nobody waits for, so that it stands behind those that answer.
    pub give_way: fn(),
}

// === impl EngineSettings ===

impl Default for EngineSettings {
    fn default() -> Self {
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        Self {
            idle_timeout: Duration::from_secs(300),
            lease: Duration::from_secs(30),
            tend_every: Duration::from_secs(1),
            instances_max: 1_000,
            memory_max: u64::MAX,
            starts_max: u32::try_from(cores).unwrap_or(u32::MAX).saturating_mul(STARTS_PER_CORE),
            builds_max: 2,
            metric_labels_max: 200,
            callbacks: CallbackPolicy::default(),
            versions_kept: limits::VERSIONS_KEPT,
            preflight: Arc::default(),
            inspection: None,
            gc: GcPolicy::default(),
            quotas: Quotas::default(),
            give_way: || {},
            retention: Retention::default(),
            look_every: Duration::from_secs(10),
        }
    }
}

impl EngineSettings {
    pub(crate) fn runs(&self) -> RunSettings {
        let Self { lease, quotas, callbacks, retention, ref inspection, .. } = *self;
        RunSettings { lease, quotas, callbacks, retention, inspection: inspection.clone() }
    }

    pub(crate) fn limits(&self) -> CapacityLimits {
        let Self { instances_max, memory_max, starts_max, .. } = *self;
        CapacityLimits {
            instances: instances_max,
            memory: memory_max,
            starts: starts_max.max(1),
            waiting: limits::WAITING_MAX,
        }
    }
}
