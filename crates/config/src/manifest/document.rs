//! The written form of a manifest, for its JSON schema and for uploads.

mod background;
mod cors;
mod egress;
mod trigger;

use std::collections::BTreeMap;

use faas_languages::Language;
use faas_types::{
    Allowance, AuthMode, CacheSettings, CacheShare, CanaryPolicy, DependencyMode, ErrorDetail, FunctionSettings,
    NetworkMode, Scaling,
};
use schemars::JsonSchema;
use serde::Serialize;

use super::Manifest;
use background::{BackgroundDocument, RetryDocument};
use cors::CorsDocument;
use egress::EgressDocument;
use trigger::TriggerDocument;

/// A function of Function Cloud.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(title = "faas.toml", default, deny_unknown_fields)]
pub(super) struct ManifestDocument {
    /// The function's name: 1 to 63 of a-z, 0-9 and -, starting with a letter.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String", length(min = 1, max = 63), regex(pattern = "^[a-z]([a-z0-9-]*[a-z0-9])?$"))]
    name: Option<String>,
    /// What is deployed; only functions in this release.
    kind: Kind,
    /// What the function does, for people.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String", length(max = 500))]
    description: Option<String>,
    /// A language, with or without a version; without one the newest that the server has is taken.
    #[schemars(extend("pattern" = runtime_pattern()), example = "python3.12", example = &"node22")]
    runtime: String,
    /// Where the code starts, as the language writes it: mostly a file without its suffix, a colon and a name in it.
    #[schemars(length(max = 200), extend("pattern" = entrypoint_pattern()), example = "main:handler", example = &"index:handler")]
    entrypoint: String,
    /// Who may call the URL: holders of a key (private) or anybody (public).
    auth: Auth,
    /// How long one attempt may take: "1s" to "15m", or a number of seconds.
    timeout: TextOrNumber,
    /// Memory of one instance: "128MB" to "4GB", or a number of bytes.
    memory: TextOrNumber,
    /// CPU share of one instance: cores such as "1" or "0.5", or thousandths such as "500m".
    cpu: TextOrNumber,
    /// What an instance may reach: nothing (none), its own loopback interface (loopback), or other machines too, as `egress`
    /// says (egress).
    network: Network,
    /// What the function may connect to, with network = "egress"; without this table, the public internet.
    #[serde(skip_serializing_if = "Option::is_none")]
    egress: Option<EgressDocument>,
    /// The weakest isolation level that the function accepts; `faas doctor` shows the machine's. 0 leaves it to the server,
    /// which refuses level 0 itself unless it runs with --unsafe-no-isolation.
    #[schemars(range(max = 2))]
    min_isolation: u8,
    /// Instances and concurrency.
    scaling: ScalingDocument,
    /// Plain settings, given to the function as environment variables; names must not start with FAAS_.
    vars: BTreeMap<String, String>,
    /// What creates runs.
    #[schemars(length(max = 32))]
    triggers: Vec<TriggerDocument>,
    /// Runs that are accepted for later.
    background: BackgroundDocument,
    /// What the processes of an instance may use together, besides memory and CPU.
    limits: LimitsDocument,
    /// Keeps answers to GET and HEAD, as far as they allow it; without this table none are kept.
    #[serde(skip_serializing_if = "Option::is_none")]
    cache: Option<CacheDocument>,
    /// Lets pages of other origins call the function from a browser; the server then answers their preflight requests
    /// itself. Without this table the function's own answers decide.
    #[serde(skip_serializing_if = "Option::is_none")]
    cors: Option<CorsDocument>,
    /// What a caller learns of a failure who has no key that may read runs: the code and the run (code), or the message,
    /// place and stack as well (full).
    errors: ErrorsName,
    /// Lets a new version take over step by step, and go by itself when its calls go wrong; without this table it takes
    /// over at once.
    #[serde(skip_serializing_if = "Option::is_none")]
    canary: Option<CanaryDocument>,
    /// What is known of the files before they are uploaded.
    #[serde(skip_serializing_if = "PreflightDocument::is_empty")]
    preflight: PreflightDocument,
    /// Where the files lie, below the directory of the manifest; in it when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String", length(max = 512))]
    path: Option<String>,
    /// Several functions, each under its name; what stands outside is shared by them. They are deployed together.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(with = "BTreeMap<String, serde_json::Value>", extend("additionalProperties" = { "$ref": "#" }, "maxProperties" = 32))]
    functions: BTreeMap<String, ()>,
    /// What happens before a version is checked.
    build: BuildDocument,
    /// The named layers that it stands on, such as "shared-utils:3", or without a number for the newest at its deployment;
    /// those that win first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8), inner(regex(pattern = "^[a-z]([a-z0-9-]*[a-z0-9])?(:[1-9][0-9]*)?$")))]
    layers: Vec<String>,
}

/// Lets a new version take over step by step.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(inline, default, deny_unknown_fields)]
struct CanaryDocument {
    /// Its shares of the calls in percent, rising; after the last it takes all.
    #[schemars(length(min = 1, max = 16), inner(range(min = 0.1, max = 99.9)))]
    steps: Vec<f64>,
    /// How long each step lasts at least: "1s" to "7d".
    every: TextOrNumber,
    /// The failed part of its calls that is borne.
    #[schemars(range(min = 0, max = 1))]
    max_error_rate: f64,
    /// The handler's time that 95 of 100 calls keep to: "1ms" to "15m"; without it time is not judged.
    #[serde(skip_serializing_if = "Option::is_none")]
    max_p95: Option<TextOrNumber>,
    /// Calls that a step needs before it is judged to be good.
    #[schemars(range(min = 1, max = 1_000_000))]
    min_calls: u32,
}

/// What is known of the files before they are uploaded.
#[derive(Debug, Default, Serialize, JsonSchema)]
#[schemars(inline, default, deny_unknown_fields)]
struct PreflightDocument {
    /// A false positive of the secret scan: a path or a pattern, a colon and a rule or `*`, such as "tests/keys.py:jwt".
    #[schemars(length(max = 64))]
    allow_secrets: Vec<String>,
}

/// What happens before a version is checked.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(inline, default, deny_unknown_fields)]
struct BuildDocument {
    /// Whether the packages that the files ask for are installed: unless packages lie beside the
    /// code already (auto), in any case (install), or not at all (none).
    dependencies: DependencyName,
    /// Packages whose install scripts run, such as "esbuild". Those of all others do not.
    #[schemars(length(max = 64))]
    #[serde(skip_serializing_if = "Vec::is_empty")]
    scripts: Vec<String>,
}

/// What the processes of an instance may use together, besides memory and CPU.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(inline, default, deny_unknown_fields)]
struct LimitsDocument {
    /// Size of the private /tmp, which counts as memory: "1MB" to "4GB".
    tmp: TextOrNumber,
    /// Processes and threads.
    #[schemars(range(min = 16, max = 4096))]
    pids: u32,
}

/// Keeps answers to GET and HEAD, as far as they allow it.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(inline, default, deny_unknown_fields)]
struct CacheDocument {
    /// How long an answer is kept that does not say so in Cache-Control or Expires: up to "24h"; "0s" keeps none of those.
    ttl: TextOrNumber,
    /// The largest body that is kept: up to "10MB".
    entry_max: TextOrNumber,
    /// Who may be sent the kept answer of a private function: other holders of keys where the answer says public or
    /// s-maxage (declared), or every holder of a key of the project (project).
    share: ShareName,
}

#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(inline)]
enum ErrorsName {
    Code,
    Full,
}

#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(inline)]
enum DependencyName {
    Auto,
    Install,
    None,
}

#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(inline)]
enum ShareName {
    Declared,
    Project,
}

#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(inline)]
enum Kind {
    Function,
}

#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(inline)]
enum Auth {
    Private,
    Public,
}

#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(inline)]
enum Network {
    None,
    Loopback,
    Egress,
}

#[derive(Debug, Serialize, JsonSchema)]
#[serde(untagged)]
#[schemars(inline)]
enum TextOrNumber {
    Text(String),
    #[expect(dead_code, reason = "people may write it and the schema shows it, but it is never written back")]
    Number(f64),
}

/// Instances and concurrency.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(inline, default, deny_unknown_fields)]
struct ScalingDocument {
    /// Instances kept even when idle.
    #[schemars(range(max = 1000))]
    min: u32,
    /// Instances at the most.
    #[schemars(range(min = 1, max = 1000))]
    max: u32,
    /// Calls that one instance takes at once. When absent: 1 for a handler that blocks, 100 for one that does not.
    #[schemars(range(min = 1, max = 1000))]
    #[serde(skip_serializing_if = "Option::is_none")]
    concurrency: Option<u32>,
}

/// The JSON schema of `faas.toml`, kept at `docs/schema/faas.toml.schema.json`.
#[must_use]
pub fn manifest_schema() -> serde_json::Value {
    schemars::schema_for!(ManifestDocument).into()
}

fn runtime_pattern() -> String {
    let names = Language::all().iter().flat_map(|language| std::iter::once(&language.name).chain(&language.aliases));
    format!("^({})([0-9]+(\\.[0-9]+)*)?$", names.map(String::as_str).collect::<Vec<_>>().join("|"))
}

/// What an entrypoint of any language looks like.
fn entrypoint_pattern() -> String {
    let mut forms: Vec<&str> = Language::all().iter().map(|language| language.entrypoint_form.pattern()).collect();
    forms.sort_unstable();
    forms.dedup();
    format!("^({})$", forms.join("|"))
}

fn slash() -> String {
    "/".to_owned()
}

// === impl ManifestDocument ===

impl ManifestDocument {
    pub(super) fn to_json(&self) -> serde_json::Value {
        serde_json::to_value(self).expect("text keys and plain values always become JSON")
    }
}

impl Default for ManifestDocument {
    fn default() -> Self {
        let name = "hello".parse().expect("a function name");
        let language = Language::standard();
        Self { name: None, ..Self::from(&Manifest::new(name, language.newest(), language.entrypoint.clone())) }
    }
}

impl Default for BuildDocument {
    fn default() -> Self {
        Self { dependencies: DependencyName::Auto, scripts: Vec::new() }
    }
}

impl From<&FunctionSettings> for BuildDocument {
    fn from(settings: &FunctionSettings) -> Self {
        let dependencies = match settings.dependencies {
            DependencyMode::Auto => DependencyName::Auto,
            DependencyMode::Install => DependencyName::Install,
            DependencyMode::None => DependencyName::None,
        };
        Self { dependencies, scripts: settings.install_scripts.clone() }
    }
}

impl Default for ScalingDocument {
    fn default() -> Self {
        Self::from(Scaling::default())
    }
}

impl From<&Manifest> for ManifestDocument {
    fn from(manifest: &Manifest) -> Self {
        let settings = &manifest.settings;
        Self {
            name: manifest.name.as_ref().map(ToString::to_string),
            kind: Kind::Function,
            description: manifest.description.clone(),
            runtime: settings.runtime.to_string(),
            entrypoint: settings.entrypoint.to_string(),
            auth: settings.auth.into(),
            timeout: TextOrNumber::Text(settings.timeout.to_string()),
            memory: TextOrNumber::Text(settings.memory.to_string()),
            cpu: TextOrNumber::Text(cores(settings.cpu_millis)),
            network: settings.network.into(),
            egress: (settings.network == NetworkMode::Egress).then(|| (&settings.egress).into()),
            min_isolation: settings.min_isolation.into(),
            scaling: settings.scaling.into(),
            vars: settings.vars.clone(),
            triggers: settings.triggers.iter().map(Into::into).collect(),
            background: (&settings.background).into(),
            limits: settings.limits.into(),
            cache: settings.cache.map(Into::into),
            cors: settings.cors.as_ref().map(Into::into),
            errors: match settings.errors {
                ErrorDetail::Code => ErrorsName::Code,
                ErrorDetail::Full => ErrorsName::Full,
            },
            canary: settings.canary.as_ref().map(Into::into),
            preflight: PreflightDocument {
                allow_secrets: manifest.allowed_secrets.iter().map(ToString::to_string).collect(),
            },
            path: None,
            functions: BTreeMap::new(),
            build: settings.into(),
            layers: settings.layers.iter().map(ToString::to_string).collect(),
        }
    }
}

impl PreflightDocument {
    fn is_empty(&self) -> bool {
        self.allow_secrets.is_empty()
    }
}

impl Default for LimitsDocument {
    fn default() -> Self {
        Self::from(Allowance::default())
    }
}

impl Default for CacheDocument {
    fn default() -> Self {
        Self::from(CacheSettings::default())
    }
}

impl Default for CanaryDocument {
    fn default() -> Self {
        Self::from(&CanaryPolicy::default())
    }
}

impl From<&CanaryPolicy> for CanaryDocument {
    fn from(policy: &CanaryPolicy) -> Self {
        let text = |span: faas_types::Span| TextOrNumber::Text(span.to_string());
        Self {
            steps: policy.steps.iter().map(|share| share.percent()).collect(),
            every: text(policy.every),
            max_error_rate: f64::from(policy.max_error_rate.get()) / 1000.0,
            max_p95: policy.max_p95.map(text),
            min_calls: policy.min_calls,
        }
    }
}

impl From<Allowance> for LimitsDocument {
    fn from(Allowance { tmp, pids }: Allowance) -> Self {
        Self { tmp: TextOrNumber::Text(tmp.to_string()), pids }
    }
}

impl From<CacheSettings> for CacheDocument {
    fn from(settings: CacheSettings) -> Self {
        Self {
            ttl: TextOrNumber::Text(settings.ttl.to_string()),
            entry_max: TextOrNumber::Text(settings.entry_max.to_string()),
            share: match settings.share {
                CacheShare::Declared => ShareName::Declared,
                CacheShare::Project => ShareName::Project,
            },
        }
    }
}

fn cores(millis: u32) -> String {
    if millis.is_multiple_of(1_000) { (millis / 1_000).to_string() } else { format!("{millis}m") }
}

impl From<AuthMode> for Auth {
    fn from(mode: AuthMode) -> Self {
        match mode {
            AuthMode::Private => Self::Private,
            AuthMode::Public => Self::Public,
        }
    }
}

impl From<NetworkMode> for Network {
    fn from(mode: NetworkMode) -> Self {
        match mode {
            NetworkMode::None => Self::None,
            NetworkMode::Loopback => Self::Loopback,
            NetworkMode::Egress => Self::Egress,
        }
    }
}

impl From<Scaling> for ScalingDocument {
    fn from(scaling: Scaling) -> Self {
        let Scaling { min, max, concurrency } = scaling;
        Self { min, max, concurrency }
    }
}
