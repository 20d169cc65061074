//! What every instance of one version in one stage with one set of vars is started with.

use std::path::PathBuf;
use std::sync::Arc;

use faas_ports::{Clock, IdSource, Inspection, InstanceSpec, InstanceVars, LayerStack, NetworkAccess};
use faas_telemetry::Redactor;
use faas_types::{FunctionId, FunctionName, FunctionSettings, ProjectId, limits};

use crate::places::Terms;

/// What every instance of a pool is started with.
pub(crate) struct PoolSpec {
    pub project: ProjectId,
    pub function: FunctionId,
    pub name: FunctionName,
    pub version: u32,
    pub settings: Arc<FunctionSettings>,
    pub network: NetworkAccess,
    /// With secrets in the clear.
    pub vars: InstanceVars,
    /// What takes these secrets out of whatever is kept.
    pub redactor: Option<Arc<Redactor>>,
    pub code: PathBuf,
    /// The layer of its packages.
    pub dependencies: Option<PathBuf>,
    /// Its named layers.
    pub layers: Option<LayerStack>,
    /// How many calls an instance is expected to take at once.
    pub concurrency: u32,
    /// Lets debuggers in.
    pub inspection: Option<Inspection>,
}

// === impl PoolSpec ===

impl PoolSpec {
    /// The spec of one more instance.
    pub(crate) fn instance(&self, clock: &dyn Clock, ids: &dyn IdSource) -> InstanceSpec {
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

    pub(crate) fn terms(&self) -> Terms {
        let scaling = &self.settings.scaling;
        Terms {
            project: self.project,
            min: scaling.min,
            max: scaling.max,
            concurrency: self.concurrency,
            memory: self.settings.memory.bytes(),
            queue: limits::QUEUE_MAX,
        }
    }
}
