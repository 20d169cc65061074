//! Deployments: which files are missing, then the version itself.

use std::collections::BTreeMap;

use faas_types::{LogLevel, LogStream};
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
    #[schema(value_type = std::collections::BTreeMap<String, serde_json::Value>)]
    pub manifest: serde_json::Value,
    /// Where its keys came from, such as `"timeout": "faas.toml:12"`; keys that are left out count as defaults. Without it
    /// every key of the manifest counts as the request's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub origins: Option<BTreeMap<String, String>>,
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
    /// Whether the version has an http trigger, so that the URL answers.
    #[serde(default = "yes")]
    pub http: bool,
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
    /// Whose key set a network policy by hand, which stands in place of the manifest's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub network_set_by: Option<String>,
    /// What the author said.
    pub note: Option<String>,
    /// The exact runtime the version was checked with.
    pub runtime: String,
    /// The handler contract that the check found: what an instance takes at once.
    pub concurrency: u32,
    /// Milliseconds that the check took to load the entrypoint in a sandbox.
    pub check_ms: u64,
    /// The deployment group that it was part of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<String>,
    /// What the function wrote while it was checked; of a deployment only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub build_log: Option<BuildLogView>,
    /// When it happened.
    pub at: String,
    /// The packages that were installed for it; absent when its files ask for none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dependencies: Option<DependenciesView>,
}

/// Of servers that do not say it.
fn yes() -> bool {
    true
}

/// What happens while a deployment is under way, for clients that accept `text/event-stream`. Lines for which there is no time are
/// left out, never waited for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "step", rename_all = "snake_case")]
pub enum DeployEvent {
    /// It waits.
    Waiting {
        /// The function's name.
        function: String,
        /// For what.
        why: String,
    },
    /// Its packages are being installed.
    Installing {
        /// The function's name.
        function: String,
        /// The file that asks for them.
        source: String,
    },
    /// The installer wrote a line.
    Line {
        /// The function's name.
        function: String,
        /// The text.
        message: String,
    },
    /// Lines were left out.
    LeftOut {
        /// The function's name.
        function: String,
        /// How many.
        lines: u64,
    },
    /// Its packages are there already.
    Reused {
        /// The function's name.
        function: String,
        /// Their layer.
        layer: String,
        /// When that was built.
        built_at: String,
    },
    /// Its entrypoint is being loaded in a sandbox.
    Checking {
        /// The function's name.
        function: String,
    },
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
    /// The file that asks for them, such as `uv.lock`; absent when nothing was installed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// What the author should know.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

/// What a function wrote while its version was checked.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct BuildLogView {
    /// The lines, oldest first.
    pub lines: Vec<BuildLineView>,
    /// Lines that were not kept because there were too many.
    pub dropped: u64,
}

/// One line of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct BuildLineView {
    /// When.
    pub at: String,
    /// How important.
    pub level: LogLevel,
    /// Where from.
    pub stream: LogStream,
    /// The text.
    pub message: String,
}

/// The files of a version.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct VersionFiles {
    /// The version's number.
    pub version: u32,
    /// The files, by path.
    pub files: Vec<BundleFileBody>,
}

/// Functions to deploy as a group, in one commit.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct DeployGroupRequest {
    /// The functions; each manifest names its own.
    #[schema(min_items = 1, max_items = 32)]
    pub functions: Vec<FunctionToDeploy>,
    /// What changed, for people.
    #[serde(default)]
    #[schema(max_length = 1000)]
    pub note: Option<String>,
}

/// A function of a group to deploy.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct FunctionToDeploy {
    /// The manifest as JSON: the same keys as `faas.toml`, `name` among them.
    #[schema(value_type = std::collections::BTreeMap<String, serde_json::Value>)]
    pub manifest: serde_json::Value,
    /// Where its keys came from, as for a function alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub origins: Option<BTreeMap<String, String>>,
    /// The files; their bytes must have been uploaded.
    pub files: Vec<BundleFileBody>,
}

/// A deployment group: functions that moved in one commit.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct DeploymentGroupView {
    /// The group's id; pass it to `/api/v1/deployments/{id}/rollback` to move all of them back.
    pub id: String,
    /// The functions, by name.
    pub deployments: Vec<DeploymentView>,
    /// Functions that a rollback could not move.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unmoved: Vec<UnmovedView>,
}

/// A function that a rollback did not move.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct UnmovedView {
    /// Its name.
    pub function: String,
    /// Why.
    pub why: String,
}

/// Why a deployment group is rolled back.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RollbackGroupRequest {
    /// Why, for people.
    #[serde(default)]
    #[schema(max_length = 1000)]
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
