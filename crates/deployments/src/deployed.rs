//! What a deployment leaves.

use std::sync::Arc;
use std::time::Duration;

use faas_catalog::FunctionEntry;
use faas_types::{BuildLog, Deployment, VersionRecord};

use crate::dependencies::Dependencies;

/// A finished deployment.
#[derive(Clone)]
pub struct Deployed {
    /// Its record.
    pub deployment: Deployment,
    /// The function as it is now.
    pub entry: Arc<FunctionEntry>,
    /// The version that the alias points to now.
    pub version: Arc<VersionRecord>,
    /// How long loading the entrypoint took.
    pub check: Duration,
    /// What the function wrote while it loaded.
    pub build_log: BuildLog,
    /// The packages that were installed for it; `None` when its files ask for none.
    pub dependencies: Option<Dependencies>,
}

// === impl Deployed ===

impl Deployed {
    /// A move of an alias to an existing version.
    pub(crate) fn moved(deployment: Deployment, entry: Arc<FunctionEntry>, version: Arc<VersionRecord>) -> Self {
        let (check, build_log) = (Duration::ZERO, BuildLog::default());
        Self { deployment, entry, version, check, build_log, dependencies: None }
    }
}
