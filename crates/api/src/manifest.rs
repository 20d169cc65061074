//! What a version's manifest says, key by key.

use std::collections::BTreeMap;

use faas_config::Manifest;
use faas_proto::rest::{SettingChangeView, SettingView};
use faas_types::{FunctionName, FunctionRecord, Origin, Origins, Stage, VersionRecord, secret_refs};
use serde_json::Value;

/// Every key of a version's manifest with its value and its origin.
pub(crate) fn version_rows(name: &FunctionName, version: &VersionRecord) -> Vec<SettingView> {
    let manifest = Manifest { name: Some(name.clone()), ..manifest(version) };
    let origins = version.declaration.as_ref().map(|declaration| &declaration.origins);
    let row = |(key, value): (String, Value)| {
        let from = origins.map(|origins| origin(origins, &key, &value));
        SettingView { key, value, from }
    };
    manifest.rows().into_iter().map(row).collect()
}

/// The same of the version behind `live`, where vars of the function win over those of its manifest.
pub(crate) fn function_rows(record: &FunctionRecord, version: &VersionRecord) -> Vec<SettingView> {
    let mut rows = version_rows(&record.name, version);
    let own = record.vars_of(Stage::Prod);
    for row in &mut rows {
        let is_replaced =
            |vars: &BTreeMap<String, String>| row.key.strip_prefix("vars.").is_some_and(|name| vars.contains_key(name));
        if own.is_some_and(is_replaced) {
            let from = row.from.as_deref().unwrap_or("the manifest");
            row.from = Some(format!("{from}; a var of the function replaces it"));
        }
    }
    rows
}

fn origin(origins: &Origins, key: &str, value: &Value) -> String {
    let from = origins.get(key).map_or_else(|| Origin::default_value().to_string(), ToString::to_string);
    let refers = key.starts_with("vars.") && value.as_str().is_some_and(|text| secret_refs(text).next().is_some());
    if refers { format!("{from}; secrets are put in") } else { from }
}

/// The manifest of a version, without a name.
fn manifest(version: &VersionRecord) -> Manifest {
    let declaration = version.declaration.clone().unwrap_or_default();
    Manifest {
        name: None,
        description: declaration.description,
        settings: version.settings.clone(),
        path: None,
        // A rule that a later release dropped is no rule any more.
        allowed_secrets: declaration.allowed_secrets.iter().filter_map(|text| text.parse().ok()).collect(),
        origins: declaration.origins,
    }
}

/// The keys of the manifest in which versions differ, in the manifest's own words.
pub(crate) fn changed_settings(from: &VersionRecord, to: &VersionRecord) -> Vec<SettingChangeView> {
    changes(manifest(from).rows(), manifest(to).rows())
}

fn changes(from: Vec<(String, Value)>, to: Vec<(String, Value)>) -> Vec<SettingChangeView> {
    let mut before: BTreeMap<String, Value> = from.into_iter().collect();
    let mut changes = Vec::new();
    for (key, to) in to {
        let from = before.remove(&key).unwrap_or_default();
        if from != to {
            changes.push(SettingChangeView { key, from, to });
        }
    }
    let gone = before.into_iter().filter(|(_, from)| !from.is_null());
    changes.extend(gone.map(|(key, from)| SettingChangeView { key, from, to: Value::Null }));
    changes.sort_by(|a, b| a.key.cmp(&b.key));
    changes
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn settings_are_compared_key_by_key() {
        let rows = |text: &str| Manifest::from_toml("faas.toml", text).expect("a good manifest").rows();
        let from = rows("name = \"a\"\ntimeout = \"5s\"\n[vars]\nA = \"1\"\nB = \"1\"");
        let to = rows("name = \"a\"\ntimeout = \"6s\"\n[vars]\nA = \"1\"\nC = \"1\"\n[scaling]\nmax = 3\n[canary]");
        let found: Vec<_> = changes(from, to).into_iter().map(|c| (c.key, c.from, c.to)).collect();
        let expected = [
            ("canary.every", json!(null), json!("2m")),
            ("scaling.max", json!(10), json!(3)),
            ("timeout", json!("5s"), json!("6s")),
            ("vars.B", json!("1"), json!(null)),
            ("vars.C", json!(null), json!("1")),
        ];
        let of_canary = |key: &str| key.starts_with("canary.") && key != "canary.every";
        let found: Vec<_> = found.into_iter().filter(|(key, ..)| !of_canary(key)).collect();
        assert_eq!(found, expected.map(|(key, from, to)| (key.to_owned(), from, to)));
    }

    #[test]
    fn references_to_secrets_say_so() {
        let origins = Origins::from([("vars.A".to_owned(), Origin::line("faas.toml", 4))]);
        assert_eq!(origin(&origins, "vars.A", &json!("${secrets.A}")), "faas.toml:4; secrets are put in");
        assert_eq!(origin(&origins, "vars.A", &json!("$${secrets.A}")), "faas.toml:4");
        assert_eq!(origin(&origins, "memory", &json!("128MB")), "default");
    }
}
