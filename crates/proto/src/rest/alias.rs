//! Aliases, the events that moved them, and versions on their way to `live`.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{ActorView, ListPage};

/// Where an alias points.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct AliasView {
    /// Its name.
    #[schema(example = "live")]
    pub name: String,
    /// Where it is called.
    pub url: String,
    /// Whether a version that it points to has a trigger for requests, so that the URL answers them; absent within functions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub http: Option<bool>,
    /// The version's number; the one that takes what the split leaves.
    pub version: u32,
    /// The version that takes a share of the calls.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub split: Option<SplitView>,
    /// What keeps a caller with a version while there is a split: `header:NAME` or `cookie:NAME`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sticky: Option<String>,
    /// When a preview ends; absent for an alias that stays.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<String>,
    /// When it was last moved.
    pub moved_at: String,
    /// Who moved it last; `null` where the server did not keep it.
    #[serde(default)]
    pub actor: Option<ActorView>,
}

/// A second version and its share.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct SplitView {
    /// The version's number.
    pub version: u32,
    /// Its share of the calls.
    pub percent: f64,
}

/// The aliases of a function, by name.
pub type AliasList = ListPage<AliasView>;

/// Where an alias is to point. Replaces what it was.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SetAlias {
    /// One version, or two with shares that make 100 percent together.
    #[schema(min_items = 1, max_items = 2)]
    pub targets: Vec<AliasTarget>,
    /// Keeps a caller with a version: `header:NAME` or `cookie:NAME`.
    #[serde(default)]
    #[schema(pattern = "^(header|cookie):[A-Za-z0-9_-]{1,64}$")]
    pub sticky: Option<String>,
    /// Why, for people.
    #[serde(default)]
    #[schema(max_length = 1000)]
    pub note: Option<String>,
}

/// A version and its share.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AliasTarget {
    /// The version's number.
    #[schema(minimum = 1)]
    pub version: u32,
    /// Its share of the calls, with one decimal at the most; of a single version 100.
    #[serde(default)]
    #[schema(minimum = 0.1, maximum = 100)]
    pub percent: Option<f64>,
}

/// How a new version takes over.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct CanaryPolicyView {
    /// Its shares of the calls in percent.
    pub steps: Vec<f64>,
    /// How long each step lasts at least, such as `2m`.
    pub every: String,
    /// The failed part of its calls that is borne, from 0 to 1.
    pub max_error_rate: f64,
    /// The handler's time that 95 of 100 calls keep to, such as `500ms`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_p95: Option<String>,
    /// Calls that a step needs before it is judged to be good.
    pub min_calls: u32,
}

/// A version on its way to `live`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct RolloutView {
    /// The function's name.
    pub function: String,
    /// The version.
    pub version: u32,
    /// The version that takes the other calls.
    pub live: u32,
    /// The step that it is on, from 1.
    pub step: u32,
    /// Its share of the calls.
    pub percent: f64,
    /// When the step began.
    pub since: String,
    /// Its calls that ended since then, or since the server started.
    pub calls: u64,
    /// Those that failed by its doing.
    pub failed: u64,
    /// Those that took longer than `max_p95`.
    pub slow: u64,
    /// What it is judged by.
    pub policy: CanaryPolicyView,
}

/// How a trial is ended by hand.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct EndRollout {
    /// Why, for people.
    #[serde(default)]
    #[schema(max_length = 1000)]
    pub note: Option<String>,
}

/// What two versions differ in.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct VersionDiff {
    /// The function's name.
    pub function: String,
    /// The first version.
    pub from: u32,
    /// The second one.
    pub to: u32,
    /// Files that they do not share, by path.
    pub files: Vec<FileChangeView>,
    /// Keys of the manifest in which they differ.
    pub settings: Vec<SettingChangeView>,
}

/// A file that two versions do not share.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct FileChangeView {
    /// Where it lies.
    pub path: String,
    /// `added`, `removed` or `changed`.
    #[schema(pattern = "^(added|removed|changed)$")]
    pub change: String,
    /// Its bytes in the first version.
    pub size_from: Option<u64>,
    /// Its bytes in the second one.
    pub size_to: Option<u64>,
}

/// A key of the manifest in which two versions differ.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct SettingChangeView {
    /// The key, such as `scaling.max`.
    pub key: String,
    /// Its value in the first version; `null` where it had none.
    #[schema(value_type = Value)]
    pub from: serde_json::Value,
    /// Its value in the second one.
    #[schema(value_type = Value)]
    pub to: serde_json::Value,
}
