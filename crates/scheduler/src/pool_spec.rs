//! What every instance of a pool is started with.

use std::path::PathBuf;
use std::sync::Arc;

use faas_ports::{Clock, IdSource, Inspection, InstanceSpec, InstanceVars, LayerStack, NetworkAccess};
use faas_telemetry::Redactor;
use faas_types::{FunctionId, FunctionName, FunctionSettings, ProjectId, limits};

use crate::scheduler::PoolLimits;

/// What every instance of a pool is started with.
#[expect(missing_docs, reason = "each field is the part of an instance's spec of its name")]
pub struct PoolSpec {
    pub project: ProjectId,
    pub function: FunctionId,
    pub name: FunctionName,
    pub version: u32,
    pub settings: Arc<FunctionSettings>,
    pub network: NetworkAccess,
    /// With secrets in the clear.
    pub vars: InstanceVars,
    /// Removes these secrets from what is kept of its output.
    pub redactor: Option<Arc<Redactor>>,
    pub code: PathBuf,
    /// The layer of its packages.
    pub dependencies: Option<PathBuf>,
    /// Its named layers.
    pub layers: Option<LayerStack>,
    /// Calls that an instance is expected to serve at once.
    pub concurrency: u32,
    /// Lets a debugger attach.
    pub inspection: Option<Inspection>,
}

// === impl PoolSpec ===

impl PoolSpec {
    /// The spec of one more instance.
    pub fn instance(&self, clock: &dyn Clock, ids: &dyn IdSource) -> InstanceSpec {
        let now = clock.now();
        InstanceSpec {
            id: ids.mint(now),
            sandbox: ids.mint(now),
            project: self.project,
            function: self.name.clone(),
            version: self.version,
            settings: Arc::clone(&self.settings),
            network: self.network.clone(),
            vars: self.vars.clone(),
            code: self.code.clone(),
            dependencies: self.dependencies.clone(),
            layers: self.layers.clone(),
            init_timeout: self.inspection.as_ref().map_or(limits::INIT_TIMEOUT, |_| Inspection::PATIENCE),
            bytecode: false,
            inspection: self.inspection.clone(),
        }
    }

    pub(crate) fn limits(&self) -> PoolLimits {
        let scaling = &self.settings.scaling;
        PoolLimits {
            project: self.project,
            min: scaling.min,
            max: scaling.max,
            concurrency: self.concurrency,
            memory: self.settings.memory.bytes(),
            queue: limits::QUEUE_MAX,
        }
    }
}
