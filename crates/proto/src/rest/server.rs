//! The server itself.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// What `faas status` shows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SystemView {
    /// The server's release.
    pub version: String,
    /// Seconds since it started.
    pub uptime_s: u64,
    /// The isolation level of new sandboxes: 0, 1 or 2.
    pub isolation: u8,
    /// What holds and what does not.
    pub features: Vec<FeatureView>,
    /// The runtimes found.
    pub runtimes: Vec<RuntimeView>,
    /// Functions of the caller's project.
    pub functions: u64,
    /// Instances alive.
    pub instances: u64,
    /// Runs whose records were dropped because the history could not keep up, since the start.
    pub dropped_run_records: u64,
}

/// One enforced or missing feature.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct FeatureView {
    /// Its name, such as `seccomp`.
    pub feature: String,
    /// Whether it holds.
    pub enforced: bool,
    /// What was seen.
    pub detail: String,
    /// What to do when it does not hold.
    pub fix: Option<String>,
}

/// A runtime of this machine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RuntimeView {
    /// As manifests name it.
    pub name: String,
    /// The exact version.
    pub exact: String,
}

/// Whether the server lives or is ready.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct HealthView {
    /// `ok`, or what is missing.
    pub status: String,
}
