//! What each key of a manifest takes.

use std::collections::BTreeMap;

use faas_languages::Language;
use faas_types::{
    AuthMode, ByteSize, Entrypoint, ErrorDetail, FunctionSettings, IsolationLevel, NetworkMode, Origins, RuntimeName,
    Scaling, Span, limits,
};

use super::Manifest;
use super::background::background;
use super::bounds::{allowance, cache};
use super::build::build;
use super::canary::canary;
use super::cors::cors;
use super::egress::egress;
use super::keys::FUNCTIONS;
use super::layers::layers;
use super::node::{Node, Value};
use super::preflight::{allowed_secrets, place};
use super::reader::{Reader, Table, closest};
use super::triggers::triggers;
use super::vars::vars;

/// Keys of the manifest itself.
pub(super) const ROOT_KEYS: &[&str] = &[
    "name",
    "kind",
    "description",
    "runtime",
    "entrypoint",
    "auth",
    "timeout",
    "memory",
    "cpu",
    "network",
    "egress",
    "min_isolation",
    "scaling",
    "vars",
    "triggers",
    "limits",
    "cache",
    "cors",
    "errors",
    "background",
    "canary",
    "preflight",
    "path",
    "functions",
    "build",
    "layers",
];
/// Keys of `[scaling]`.
pub(super) const SCALING_KEYS: &[&str] = &["min", "max", "concurrency"];
const DESCRIPTION_MAX: usize = 500;
const CPU_MILLIS_MIN: u32 = 50;
const CPU_MILLIS_MAX: u32 = 64_000;

/// Reads the whole tree. What is wrong is left in `reader`, and a default stands in its place.
pub(super) fn read(reader: &mut Reader, root: &Node) -> Option<Manifest> {
    let table = reader.table("", root)?;
    reader.refuse_unknown(&table, ROOT_KEYS);
    kind(reader, &table);
    if let Some(node) = table.get(FUNCTIONS) {
        let message = "`functions` is for manifests of several functions, and this one is of a single one";
        reader.problem(FUNCTIONS, node.at, message);
    }
    let name = reader.parsed(&table, "name");
    let description = description(reader, &table);
    let runtime = runtime(reader, &table);
    let entrypoint = entrypoint(reader, &table, &runtime);
    let defaults = FunctionSettings::new(runtime, entrypoint);
    let auth = reader.one_of(&table, "auth", &[("private", AuthMode::Private), ("public", AuthMode::Public)]);
    let details = [("code", ErrorDetail::Code), ("full", ErrorDetail::Full)];
    let errors = reader.one_of(&table, "errors", &details);
    let build = build(reader, &table).unwrap_or_default();
    let network = network(reader, &table);
    let settings = FunctionSettings {
        auth: auth.unwrap_or_default(),
        timeout: timeout(reader, &table).unwrap_or(defaults.timeout),
        memory: memory(reader, &table).unwrap_or(defaults.memory),
        cpu_millis: cpu(reader, &table).unwrap_or(defaults.cpu_millis),
        network: network.unwrap_or_default(),
        egress: egress(reader, &table, network),
        min_isolation: min_isolation(reader, &table).unwrap_or(defaults.min_isolation),
        scaling: scaling(reader, &table).unwrap_or_default(),
        vars: table.get("vars").map_or_else(BTreeMap::new, |node| vars(reader, node)),
        triggers: table.get("triggers").and_then(|node| triggers(reader, node)).unwrap_or(defaults.triggers),
        limits: table.get("limits").and_then(|node| allowance(reader, node)).unwrap_or_default(),
        cache: table.get("cache").and_then(|node| cache(reader, node)),
        cors: table.get("cors").and_then(|node| cors(reader, node)),
        errors: errors.unwrap_or_default(),
        canary: table.get("canary").and_then(|node| canary(reader, node)),
        background: background(reader, &table).unwrap_or_default(),
        dependencies: build.dependencies,
        install_scripts: build.scripts,
        layers: table.get("layers").and_then(|node| layers(reader, node)).unwrap_or_default(),
        runtime: defaults.runtime,
        entrypoint: defaults.entrypoint,
    };
    let path = place(reader, &table);
    let allowed_secrets = table.get("preflight").and_then(|node| allowed_secrets(reader, node)).unwrap_or_default();
    Some(Manifest { name, description, settings, path, allowed_secrets, origins: Origins::new() })
}

fn kind(reader: &mut Reader, table: &Table<'_>) {
    let Some(node) = table.get("kind") else { return };
    match reader.text("kind", node) {
        None | Some("function") => {}
        Some("app") => {
            let message = "kind `app` is not available in this release; deploy it as a function: an ASGI app is served \
                           unchanged with kind = \"function\" and entrypoint = \"main:app\"";
            reader.problem("kind", node.at, message);
        }
        Some(_) => reader.problem("kind", node.at, "`kind` must be \"function\""),
    }
}

fn description(reader: &mut Reader, table: &Table<'_>) -> Option<String> {
    let node = table.get("description")?;
    let text = reader.text("description", node)?;
    if text.len() > DESCRIPTION_MAX {
        reader.problem(
            "description",
            node.at,
            format!("`description` is longer than {DESCRIPTION_MAX} bytes; shorten it"),
        );
    }
    Some(text.to_owned())
}

fn runtime(reader: &mut Reader, table: &Table<'_>) -> RuntimeName {
    let node = table.get("runtime");
    let meant = node.and_then(|node| match &node.value {
        Value::Text(text) => Language::meant(text),
        _ => None,
    });
    if let (Some(node), Some(meant)) = (node, meant) {
        reader.problem("runtime", node.at, format!("`runtime`: did you mean \"{meant}\"?"));
        return meant;
    }
    let Some(name) = reader.parsed::<RuntimeName>(table, "runtime") else { return Language::standard().newest() };
    if let Some(known) = Language::canonical(&name) {
        return known;
    }
    let names: Vec<&str> = Language::all().iter().map(|language| language.name.as_str()).collect();
    let advice = closest(name.language(), names.iter().copied()).map_or_else(
        || format!("this release runs {}", Language::names()),
        |meant| format!("did you mean `{meant}{}`?", name.version().unwrap_or_default()),
    );
    let at = table.get("runtime").and_then(|node| node.at);
    reader.problem("runtime", at, format!("runtime `{name}` is not available in this release; {advice}"));
    name
}

fn entrypoint(reader: &mut Reader, table: &Table<'_>, runtime: &RuntimeName) -> Entrypoint {
    let language = Language::named(runtime.language()).unwrap_or_else(Language::standard);
    let usual = || language.entrypoint.clone();
    let Some(entrypoint) = reader.parsed::<Entrypoint>(table, "entrypoint") else { return usual() };
    let checked = language.entrypoint_parts(&entrypoint).map(|_| entrypoint.clone());
    let Some(node) = table.get("entrypoint") else { return usual() };
    reader.keep("entrypoint", node, checked).unwrap_or_else(usual)
}

fn timeout(reader: &mut Reader, table: &Table<'_>) -> Option<Span> {
    let node = table.get("timeout")?;
    let span = match &node.value {
        Value::Int(seconds) => u64::try_from(*seconds).ok().and_then(|s| s.checked_mul(1_000)).map(Span::from_millis),
        Value::Float(_) => None,
        _ => {
            let text = reader.text("timeout", node)?;
            Some(reader.keep("timeout", node, text.parse::<Span>())?)
        }
    };
    let span = span.filter(|span| (limits::TIMEOUT_MIN..=limits::TIMEOUT_MAX).contains(&span.get()));
    if span.is_none() {
        reader.problem("timeout", node.at, "`timeout` must be between 1s and 15m, such as \"30s\"");
    }
    span
}

fn memory(reader: &mut Reader, table: &Table<'_>) -> Option<ByteSize> {
    let node = table.get("memory")?;
    let size = match &node.value {
        Value::Int(bytes) => u64::try_from(*bytes).ok().map(ByteSize::from_bytes),
        Value::Float(_) => None,
        _ => {
            let text = reader.text("memory", node)?;
            Some(reader.keep("memory", node, text.parse::<ByteSize>())?)
        }
    };
    let size = size.filter(|size| (limits::MEMORY_MIN..=limits::MEMORY_MAX).contains(size));
    if size.is_none() {
        let message = "`memory` must be between 128MB and 4GB, such as \"256MB\"; a number without a unit is bytes";
        reader.problem("memory", node.at, message);
    }
    size
}

/// Cores as a number (`1`, `0.5`) or thousandths as text (`"500m"`).
fn cpu(reader: &mut Reader, table: &Table<'_>) -> Option<u32> {
    let node = table.get("cpu")?;
    let millis = match &node.value {
        Value::Int(cores) => cores.checked_mul(1_000),
        Value::Float(cores) => whole_millis(*cores),
        Value::Text(text) => match text.strip_suffix('m') {
            Some(millis) => millis.parse().ok(),
            None => text.parse().ok().and_then(whole_millis),
        },
        _ => None,
    };
    let millis = millis.and_then(|n| u32::try_from(n).ok()).filter(|n| (CPU_MILLIS_MIN..=CPU_MILLIS_MAX).contains(n));
    if millis.is_none() {
        let message = "`cpu` must be 0.05 to 64 cores, such as \"1\", \"0.5\" or \"500m\" (thousandths of a core)";
        reader.problem("cpu", node.at, message);
    }
    millis
}

#[expect(clippy::cast_possible_truncation, reason = "the range is checked first")]
fn whole_millis(cores: f64) -> Option<i64> {
    (0.0..=1_000.0).contains(&cores).then(|| (cores * 1_000.0).round() as i64)
}

/// What other platforms call a way out.
const WAYS_OUT: [&str; 6] = ["outbound", "internet", "public", "host", "bridge", "full"];

fn network(reader: &mut Reader, table: &Table<'_>) -> Option<NetworkMode> {
    let node = table.get("network")?;
    if let Value::Text(text) = &node.value
        && WAYS_OUT.contains(&text.as_str())
    {
        reader.problem("network", node.at, format!("`network`: did you mean \"egress\" in place of \"{text}\"?"));
        return None;
    }
    let words = [("none", NetworkMode::None), ("loopback", NetworkMode::Loopback), ("egress", NetworkMode::Egress)];
    reader.one_of(table, "network", &words)
}

fn min_isolation(reader: &mut Reader, table: &Table<'_>) -> Option<IsolationLevel> {
    let level = reader.count(table, "min_isolation", 0, 2)?;
    u8::try_from(level).ok().and_then(|level| IsolationLevel::try_from(level).ok())
}

fn scaling(reader: &mut Reader, root: &Table<'_>) -> Option<Scaling> {
    let node = root.get("scaling")?;
    let table = reader.table("scaling", node)?;
    reader.refuse_unknown(&table, SCALING_KEYS);
    let defaults = Scaling::default();
    let min = reader.count(&table, "min", 0, limits::INSTANCES_MAX);
    let max = reader.count(&table, "max", 1, limits::INSTANCES_MAX);
    let concurrency = reader.count(&table, "concurrency", 1, 1_000);
    // A larger `min` alone asks for that many instances, so it lifts the default of `max`.
    let scaling = Scaling {
        min: min.unwrap_or(defaults.min),
        max: max.unwrap_or_else(|| defaults.max.max(min.unwrap_or(0))),
        concurrency,
    };
    if scaling.min > scaling.max {
        let message = format!(
            "`scaling.min` ({}) is more than `scaling.max` ({}); raise max or lower min",
            scaling.min, scaling.max
        );
        reader.problem("scaling.min", table.get("min").and_then(|node| node.at).or(table.at()), message);
    }
    Some(scaling)
}
