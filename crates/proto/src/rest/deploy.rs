//! Deployments: which files are missing, then the version itself.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::SplitView;

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
    /// The alias that moves; `live` when absent.
    #[serde(default)]
    #[schema(min_length = 1, max_length = 63, pattern = "^[a-z]([a-z0-9-]*[a-z0-9])?$")]
    pub alias: Option<String>,
    /// Whether the alias is a preview, which ends by itself.
    #[serde(default)]
    pub preview: bool,
    /// When a preview ends, counted from now: `1s` to `90d`, a week when absent.
    #[serde(default)]
    #[schema(pattern = "^[0-9]{1,15}(ms|s|m|h|d)?$")]
    pub expires: Option<String>,
}

/// An event that moved an alias.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
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
    /// The version that was deployed, or gone back to.
    pub version: u32,
    /// The version that takes a share of the alias's calls since, and that share.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub split: Option<SplitView>,
    /// When a preview ends.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<String>,
    /// Whether it was a rollback.
    pub rollback: bool,
    /// What a rollback leaves as it is.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub not_reverted: Vec<String>,
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
    /// The packages that were installed for it; absent when its files ask for none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dependencies: Option<DependenciesView>,
}

/// The packages of a version.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct DependenciesView {
    /// Their layer; absent when nothing was installed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub layer: Option<String>,
    /// Whether the layer was there before.
    pub reused: bool,
    /// Packages in it.
    pub packages: u32,
    /// Bytes in it.
    pub size: u64,
    /// Milliseconds that it took to get it.
    pub took_ms: u64,
    /// What the author should know.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

/// Where to roll back to.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RollbackRequest {
    /// The version; when absent the last one that was good, or the end of a canary that is under way.
    #[serde(default)]
    #[schema(minimum = 1)]
    pub version: Option<u32>,
    /// Why, for people.
    #[serde(default)]
    #[schema(max_length = 1000)]
    pub note: Option<String>,
}
