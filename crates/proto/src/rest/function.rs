//! Functions and their versions.

use std::collections::BTreeMap;

use faas_types::{AuthMode, Background, NetworkMode, Scaling, TriggerSettings};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::merge_patch::given;
use super::{ActorView, AliasView, CanaryPolicyView, ListPage, NetworkUsageView};

/// A function.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct FunctionView {
    /// Its id.
    #[schema(example = "fn_01JD2Z7Y5T0000000000000000")]
    pub id: String,
    /// Its name.
    #[schema(example = "hello")]
    pub name: String,
    /// Where it is called.
    pub url: String,
    /// `empty` before the first deployment, then `ready`.
    pub status: String,
    /// The version that `live` points to.
    pub version: Option<u32>,
    /// The newest version.
    pub latest_version: u32,
    /// Where each alias points.
    pub aliases: BTreeMap<String, AliasView>,
    /// The live version's settings; absent before the first deployment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub settings: Option<SettingsView>,
    /// Every key of the live version's manifest and where it came from; left out of lists.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub manifest: Vec<SettingView>,
    /// Instances alive now.
    pub instances: u32,
    /// Whether its accepted runs are held back.
    #[serde(default)]
    pub paused: bool,
    /// What it is for.
    #[serde(default)]
    pub description: Option<String>,
    /// What its owners sort it by.
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
    /// Accepted runs that have not ended.
    #[serde(default)]
    pub waiting_runs: u64,
    /// When it was created.
    pub created_at: String,
    /// When it last changed.
    pub updated_at: String,
    /// Whose key set a network policy by hand, which stands in place of the manifest's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub network_set_by: Option<String>,
}

/// What a version runs with.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct SettingsView {
    /// As the manifest names it.
    pub runtime: String,
    /// The exact runtime it was checked with.
    pub runtime_exact: String,
    /// Where the code starts.
    pub entrypoint: String,
    /// Who may call the URL.
    pub auth: AuthMode,
    /// How long one attempt may take, such as `30s`.
    pub timeout: String,
    /// Memory of one instance, such as `128MB`.
    pub memory: String,
    /// CPU share of one instance in thousandths of a core.
    pub cpu_millis: u32,
    /// What it may reach.
    pub network: NetworkMode,
    /// Instances and concurrency.
    pub scaling: Scaling,
    /// What creates runs.
    pub triggers: Vec<TriggerSettings>,
    /// How runs that are accepted for later are treated.
    #[serde(default)]
    pub background: Background,
    /// How it takes over from the version before; absent where it takes over at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub canary: Option<CanaryPolicyView>,
    /// The named layers that it stands on, those that win first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub layers: Vec<String>,
}

/// A key of a manifest.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct SettingView {
    /// The key, such as `scaling.max`.
    #[schema(example = "scaling.max")]
    pub key: String,
    /// Its value; `null` where there is none.
    #[schema(value_type = Value)]
    pub value: serde_json::Value,
    /// Where it came from: a line of a manifest (`faas.toml:12`), a flag, what was detected, the `request` itself, or `default`;
    /// `null` of versions whose server did not keep it.
    #[schema(example = "faas.toml:12")]
    pub from: Option<String>,
}

/// A page of functions, by name.
pub type FunctionList = ListPage<FunctionView>;

/// A function to create. Code comes with a deployment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateFunction {
    /// 1 to 63 of `a-z`, `0-9` and `-`, starting with a letter.
    #[schema(min_length = 1, max_length = 63, pattern = "^[a-z]([a-z0-9-]*[a-z0-9])?$", example = "hello")]
    pub name: String,
    /// Vars to begin with.
    #[serde(default)]
    pub vars: BTreeMap<String, String>,
}

/// What to change of a function outside a deployment: what is absent stays, `null` resets.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PatchFunction {
    /// What it is for.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "given")]
    #[schema(value_type = Option<String>, max_length = 1024)]
    pub description: Option<Option<String>>,
    /// Labels to set; `null` in place of a value removes one.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "given")]
    #[schema(value_type = Option<BTreeMap<String, Option<String>>>)]
    pub labels: Option<Option<BTreeMap<String, Option<String>>>>,
    /// Whether its accepted runs are held back.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "given")]
    #[schema(value_type = Option<bool>)]
    pub paused: Option<Option<bool>>,
}

/// A function outside of its deployments, whole: what is absent is reset.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ReplaceFunction {
    /// What it is for.
    #[serde(default)]
    #[schema(max_length = 1024)]
    pub description: Option<String>,
    /// What its owners sort it by; at most 64.
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
    /// Whether its accepted runs are held back.
    #[serde(default)]
    pub paused: bool,
}

/// An immutable version.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct VersionView {
    /// Its id.
    pub id: String,
    /// Its number within the function.
    pub number: u32,
    /// The hash of its file list.
    pub digest: String,
    /// Files in it.
    pub files: u32,
    /// Bytes in it.
    pub size: u64,
    /// What the author said.
    pub note: Option<String>,
    /// Whose key brought it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub actor: Option<ActorView>,
    /// The aliases that send calls to it.
    #[serde(default)]
    pub aliases: Vec<String>,
    /// What it runs with.
    pub settings: SettingsView,
    /// Every key of its manifest and where it came from; left out of lists.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub manifest: Vec<SettingView>,
    /// When it was sealed.
    pub created_at: String,
}

/// Versions, newest first.
pub type VersionList = ListPage<VersionView>;

/// What a purge has forgotten.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PurgedCache {
    /// Paths whose answers were kept.
    pub purged: u64,
}

/// How a function does, since the server started.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct FunctionMetrics {
    /// The function's name.
    pub function: String,
    /// Calls that ended.
    pub invocations: u64,
    /// Calls that failed.
    pub errors: u64,
    /// `errors / invocations`; 0 before the first call.
    pub error_rate: f64,
    /// Calls that had to start an instance.
    pub cold_starts: u64,
    /// Calls refused because every instance was busy and the queue full.
    pub throttled: u64,
    /// Calls under way.
    pub in_flight: u64,
    /// Instances alive.
    pub instances: u32,
    /// What its instances have done with their network; absent where there was nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub network: Option<NetworkUsageView>,
    /// Duration of ended calls.
    pub duration_ms: DurationSummary,
}

/// Quantiles in milliseconds, within 3 percent; `null` before the first call.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[expect(missing_docs, reason = "the names say it")]
pub struct DurationSummary {
    pub avg: Option<f64>,
    pub p50: Option<f64>,
    pub p95: Option<f64>,
    pub p99: Option<f64>,
}
