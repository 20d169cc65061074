//! Deployments: which files are missing, then the deployment itself.

use std::collections::BTreeMap;

use faas_types::{DeploymentKind, DeploymentState, LogLevel, LogStream};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{ActorView, ListPage, Problem, SplitView, StreamEvent};

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

/// The files that a deployment or a layer's version will have.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CheckBlobs {
    /// The files.
    pub files: Vec<BundleFileBody>,
}

/// What must be uploaded.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct MissingBlobs {
    /// Digests that the server lacks, or whose stored bytes are damaged; upload each with `PUT /api/v1/blobs/{digest}`.
    pub missing: Vec<String>,
    /// Bytes of all files.
    pub total_bytes: u64,
    /// Bytes of the missing ones.
    pub missing_bytes: u64,
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

/// A deployment, from the moment that it was accepted, or another move of an alias.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct DeploymentView {
    /// Its id.
    #[schema(example = "dep_01JD2Z7Y5T0000000000000000")]
    pub id: String,
    /// The project's id.
    #[schema(example = "prj_01JD2Z7Y5T0000000000000000")]
    pub project: String,
    /// The function's name.
    pub function: String,
    /// The function's id; `null` until a deployment that makes it has succeeded.
    #[schema(required)]
    pub function_id: Option<String>,
    /// What moved the alias, or is to move it.
    pub kind: DeploymentKind,
    /// How far it is. More states may come.
    pub state: DeploymentState,
    /// Whether it does all but the move.
    pub dry_run: bool,
    /// The alias.
    pub alias: String,
    /// Where it pointed before.
    #[schema(required)]
    pub from: Option<u32>,
    /// Where it points since; where it pointed last, when it is gone; `null` when nothing moved.
    #[schema(required)]
    pub version: Option<u32>,
    /// The version that takes a share of the alias's calls since, and that share.
    #[schema(required)]
    pub split: Option<SplitView>,
    /// When a preview ends.
    #[schema(required)]
    pub expires_at: Option<String>,
    /// Where the function is called by the alias.
    pub url: String,
    /// Whether the version has an http trigger, so that the URL answers.
    pub http: bool,
    /// Who asked for it; `null` where the server did not keep it.
    #[schema(required)]
    pub actor: Option<ActorView>,
    /// What the author said, or why it happened by itself.
    #[schema(required)]
    pub note: Option<String>,
    /// The deployment group that it is part of.
    #[schema(required)]
    pub group: Option<String>,
    /// The exact runtime of the version.
    #[schema(required)]
    pub runtime: Option<String>,
    /// What an instance of the version takes at once.
    #[schema(required)]
    pub concurrency: Option<u32>,
    /// Milliseconds that the check took to load the entrypoint in a sandbox.
    #[schema(required)]
    pub check_ms: Option<u64>,
    /// The packages of the version; `null` when its files ask for none.
    #[schema(required)]
    pub dependencies: Option<DependenciesView>,
    /// What a rollback leaves as it is.
    pub not_reverted: Vec<String>,
    /// Whose key set a network policy by hand, which stands in place of the manifest's.
    #[schema(required)]
    pub network_set_by: Option<String>,
    /// Why it failed or was cancelled.
    #[schema(required)]
    pub problem: Option<Box<Problem>>,
    /// When it was accepted.
    pub created_at: String,
    /// When it ended.
    #[schema(required)]
    pub finished_at: Option<String>,
}

/// Deployments and other moves of a function's aliases, newest first.
pub type DeploymentList = ListPage<DeploymentView>;

/// Events of a deployment, oldest first.
pub type DeploymentEventList = ListPage<StreamEvent>;

/// The data of a `step` event: what a deployment does.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "step", rename_all = "snake_case")]
pub enum DeployStep {
    /// It waits.
    Waiting {
        /// The function's name.
        function: String,
        /// For what.
        message: String,
    },
    /// Its packages are being installed.
    Installing {
        /// The function's name.
        function: String,
        /// The file that asks for them.
        source: String,
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
    Loading {
        /// The function's name.
        function: String,
    },
}

/// The data of a `log` event of a deployment: a line of the installer, or of the function while it was loaded.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeployLine {
    /// The function's name.
    pub function: String,
    /// Where from; `platform` for the installer.
    pub stream: LogStream,
    /// The text.
    pub message: String,
}

/// The data of a `state` event of a deployment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeployProgress {
    /// The function's name.
    pub function: String,
    /// How far its deployment is.
    pub state: DeploymentState,
}

/// The packages of a version.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct DependenciesView {
    /// Their layer; `null` when nothing was installed.
    #[schema(required)]
    pub layer: Option<String>,
    /// Whether the layer was there before.
    pub reused: bool,
    /// Packages in it.
    pub packages: u32,
    /// Bytes in it.
    pub size_bytes: u64,
    /// Milliseconds that it took to get it.
    pub took_ms: u64,
    /// The file that asks for them, such as `uv.lock`; `null` when nothing was installed.
    #[schema(required)]
    pub source: Option<String>,
    /// What the author should know.
    #[schema(required)]
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
pub type VersionFiles = ListPage<BundleFileBody>;

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

/// A deployment group: functions that move in one commit, or not at all.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct DeploymentGroupView {
    /// Its id.
    #[schema(example = "dgr_01JD2Z7Y5T0000000000000000")]
    pub id: String,
    /// The project's id.
    #[schema(example = "prj_01JD2Z7Y5T0000000000000000")]
    pub project: String,
    /// `deploy` or `rollback`.
    pub kind: DeploymentKind,
    /// How far it is. More states may come.
    pub state: DeploymentState,
    /// Whether it does all but the move.
    pub dry_run: bool,
    /// The functions' deployments, by name.
    pub deployments: Vec<DeploymentView>,
    /// Functions that a rollback could not move.
    pub unmoved: Vec<UnmovedView>,
    /// Who asked for it.
    #[schema(required)]
    pub actor: Option<ActorView>,
    /// What the author said.
    #[schema(required)]
    pub note: Option<String>,
    /// Why it failed or was cancelled.
    #[schema(required)]
    pub problem: Option<Box<Problem>>,
    /// When it was accepted.
    pub created_at: String,
    /// When it ended.
    #[schema(required)]
    pub finished_at: Option<String>,
}

/// Deployment groups, newest first.
pub type DeploymentGroupList = ListPage<DeploymentGroupView>;

/// A function that a rollback did not move.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct UnmovedView {
    /// Its name.
    pub function: String,
    /// Why, in a sentence.
    pub message: String,
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
