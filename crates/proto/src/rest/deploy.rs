//! Deployments: which files are missing, then the version itself.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// One file of a bundle.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct BundleFileBody {
    /// Where it lies, relative, with forward slashes.
    #[schema(min_length = 1, max_length = 512, example = "main.py")]
    pub path: String,
    /// BLAKE3 of its bytes, 64 lowercase hexadecimal characters.
    #[schema(pattern = "^[0-9a-f]{64}$")]
    pub digest: String,
    /// Its size in bytes.
    pub size: u64,
    /// Whether it may be executed.
    #[serde(default)]
    pub executable: bool,
}

/// The files that a deployment will have.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct DeployPlanRequest {
    /// The files.
    pub files: Vec<BundleFileBody>,
}

/// What must be uploaded before the deployment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct DeployPlan {
    /// Digests that the server lacks; upload each with `PUT /api/v1/blobs/{digest}`.
    pub missing: Vec<String>,
    /// Bytes of all files.
    pub bytes_total: u64,
    /// Bytes of the missing ones.
    pub bytes_missing: u64,
}

/// A deployment.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct DeployRequest {
    /// The manifest as JSON: the same keys as `faas.toml`. Its `name` must be the function's.
    #[schema(value_type = Object)]
    pub manifest: serde_json::Value,
    /// The files; their bytes must have been uploaded.
    pub files: Vec<BundleFileBody>,
    /// What changed, for people.
    #[serde(default)]
    #[schema(max_length = 1000)]
    pub note: Option<String>,
}

/// An event that moved an alias.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct DeploymentView {
    /// Its id.
    pub id: String,
    /// The function's name.
    pub function: String,
    /// Where it is called.
    pub url: String,
    /// The alias that moved.
    pub alias: String,
    /// Where it pointed before.
    pub from: Option<u32>,
    /// Where it points now.
    pub version: u32,
    /// Whether it was a rollback.
    pub rollback: bool,
    /// What the author said.
    pub note: Option<String>,
    /// The exact runtime the version was checked with.
    pub runtime: String,
    /// The handler contract that the check found: what an instance takes at once.
    pub concurrency: u32,
    /// Milliseconds that the check took to load the entrypoint in a sandbox.
    pub check_ms: u64,
    /// When it happened.
    pub at: String,
}

/// Where to roll back to.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RollbackRequest {
    /// The version; the one that `live` pointed to before, when absent.
    #[serde(default)]
    #[schema(minimum = 1)]
    pub version: Option<u32>,
    /// Why, for people.
    #[serde(default)]
    #[schema(max_length = 1000)]
    pub note: Option<String>,
}
