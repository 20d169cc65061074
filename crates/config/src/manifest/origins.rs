//! The keys of a manifest one by one: their values, and where each came from.

use std::collections::{BTreeMap, BTreeSet};

use faas_types::{Code, Declaration, Fault, Origin, Origins};
use serde_json::Value as Json;

use super::keys::FUNCTIONS;
use super::node::{Node, Value};
use super::reader::shorten;
use super::{Manifest, document};

/// Keys that the written form leaves out where they say nothing.
const OPTIONAL: &[&str] = &[
    "description",
    "scaling.concurrency",
    "background.on_success",
    "background.on_failure",
    "cache",
    "cors",
    "egress",
    "canary",
    "layers",
    "build.scripts",
    "preflight.allow_secrets",
];

/// Keys that are of no matter once the files are packed.
const PACKED_AWAY: &[&str] = &["path", FUNCTIONS];

/// A key of a manifest with its value.
pub type Row = (String, Json);

/// Where the keys of a tree stand in its source.
pub(super) fn origins(source: &str, root: &Node) -> Origins {
    let mut found = Origins::new();
    each_leaf(root, |key, node_at| {
        found.insert(key, node_at.map_or_else(Origin::request, |line| Origin::line(source, line)));
    });
    found
}

/// Marks what a function of several does not say itself.
pub(super) fn mark_shared(origins: &mut Origins, source: &str, shared: &Node, own: &Node) {
    let mut its_own = BTreeSet::new();
    each_leaf(own, |key, _| {
        its_own.insert(key);
    });
    each_leaf(shared, |key, line| {
        if let Some(line) = line.filter(|_| !its_own.contains(&key))
            && let Some(origin) = origins.get_mut(&key)
        {
            *origin = Origin::shared(source, line);
        }
    });
}

/// Every key that is no table, with its line. Tables in lists count as one each.
fn each_leaf(root: &Node, mut told: impl FnMut(String, Option<u32>)) {
    let Value::Table(rows) = &root.value else { return };
    for (key, node) in rows.iter().filter(|(key, _)| !PACKED_AWAY.contains(&key.text.as_str())) {
        leaves(key.text.clone(), key.at.or(node.at).map(|at| at.line), node, &mut told);
    }
}

fn leaves(path: String, line: Option<u32>, node: &Node, told: &mut impl FnMut(String, Option<u32>)) {
    match &node.value {
        Value::Null => {}
        Value::Table(rows) => {
            for (key, node) in rows {
                let line = key.at.or(node.at).map(|at| at.line);
                leaves(format!("{path}.{}", key.text), line, node, told);
            }
        }
        Value::List(items) if is_of_tables(items, |item| matches!(item.value, Value::Table(_))) => {
            for (index, item) in items.iter().enumerate() {
                told(format!("{path}[{index}]"), item.at.map(|at| at.line).or(line));
            }
        }
        _ => told(path, line),
    }
}

fn is_of_tables<T>(items: &[T], is_table: impl Fn(&T) -> bool) -> bool {
    !items.is_empty() && items.iter().all(is_table)
}

/// Takes written settings apart into dotted keys. Lists of tables come apart too, other lists stay whole.
fn flatten(path: String, value: Json, rows: &mut Vec<Row>) {
    match value {
        Json::Object(table) => {
            for (key, value) in table {
                let path = if path.is_empty() { key } else { format!("{path}.{key}") };
                flatten(path, value, rows);
            }
        }
        Json::Array(items) if is_of_tables(&items, Json::is_object) => {
            rows.extend(items.into_iter().enumerate().map(|(index, item)| (format!("{path}[{index}]"), item)));
        }
        value => rows.push((path, value)),
    }
}

// === impl Manifest ===

impl Manifest {
    /// Every key with its value, defaults among them, in the order of the schema. Those that may be absent and are come
    /// last, as `null`.
    #[must_use]
    pub fn rows(&self) -> Vec<Row> {
        let mut rows = Vec::new();
        flatten(String::new(), document::ManifestDocument::from(self).to_json(), &mut rows);
        for key in OPTIONAL {
            let below = format!("{key}.");
            if !rows.iter().any(|(known, _)| known == key || known.starts_with(&below)) {
                rows.push(((*key).to_owned(), Json::Null));
            }
        }
        rows
    }

    /// Says of a key where it came from when no manifest says it.
    pub fn came_from(&mut self, key: &str, origin: Origin) {
        self.origins.insert(key.to_owned(), origin);
    }

    /// Takes what a client says of the origins in place of what its request tells. Every key must be one that this manifest
    /// has, which bounds their number.
    ///
    /// # Errors
    /// [`Code::InvalidConfiguration`] naming the first key that the manifest lacks, or whose origin is not a known one.
    pub fn take_origins(&mut self, told: BTreeMap<String, String>) -> Result<(), Fault> {
        let rows = self.rows();
        let mut origins = Origins::new();
        for (key, text) in told {
            let invalid = |why: &dyn std::fmt::Display| {
                Fault::new(Code::InvalidConfiguration, format!("origins.{}: {why}", shorten(&key)))
            };
            if !rows.iter().any(|(known, _)| *known == key) {
                return Err(invalid(&"the manifest has no such key")
                    .with_command_hint("name keys as `faas functions get` does, such as scaling.max"));
            }
            let origin = text.parse().map_err(|error| invalid(&error))?;
            origins.insert(key, origin);
        }
        self.origins = origins;
        Ok(())
    }

    /// What a version keeps of it besides its settings.
    #[must_use]
    pub fn declaration(&self) -> Declaration {
        Declaration {
            description: self.description.clone(),
            allowed_secrets: self.allowed_secrets.iter().map(ToString::to_string).collect(),
            origins: self.origins.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn toml(text: &str) -> Manifest {
        Manifest::from_toml("faas.toml", text).expect("a good manifest")
    }

    fn from<'m>(manifest: &'m Manifest, key: &str) -> &'m str {
        manifest.origins.get(key).map_or("default", Origin::as_str)
    }

    #[test]
    fn every_key_has_its_line() {
        let manifest = toml(
            "name = \"a\"\ntimeout = \"5s\"\nscaling.max = 3\n\n[vars]\nA = \"1\"\n\n[[triggers]]\ntype = \"http\"\npath = \"/\"\n\n\
             [[triggers]]\ntype = \"cron\"\nname = \"night\"\nschedule = \"0 3 * * *\"\n",
        );
        let told = ["name", "timeout", "scaling.max", "vars.A", "memory"].map(|key| from(&manifest, key));
        assert_eq!(told, ["faas.toml:1", "faas.toml:2", "faas.toml:3", "faas.toml:6", "default"]);
        assert_eq!((from(&manifest, "triggers[0]"), from(&manifest, "triggers[1]")), ("faas.toml:8", "faas.toml:12"));
        let rows = manifest.rows();
        for key in manifest.origins.keys() {
            assert!(rows.iter().any(|(known, _)| known == key), "{key} is no row");
        }
        assert!(rows.contains(&("canary".into(), Json::Null)) && rows.contains(&("memory".into(), "128MB".into())));
    }

    #[test]
    fn every_key_of_the_schema_is_a_row() {
        let rows = toml("name = \"a\"").rows();
        let schema = document::manifest_schema();
        let mut todo = vec![(String::new(), &schema["properties"])];
        while let Some((path, properties)) = todo.pop() {
            for (key, property) in properties.as_object().expect("properties") {
                let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
                let is_row = rows.iter().any(|(row, _)| *row == path || row.starts_with(&format!("{path}[")));
                if property["properties"].is_object() && !is_row {
                    todo.push((path, &property["properties"]));
                } else if !PACKED_AWAY.contains(&path.as_str()) && path != "vars" {
                    assert!(is_row, "{path} is no row");
                }
            }
        }
    }

    #[test]
    fn other_names_of_a_key_keep_their_line() {
        let yaml = "name: a\nenv:\n  A: b\nruntime_limits:\n  timeout: 5s\n  concurrency: 2\n";
        let manifest = Manifest::from_yaml("platform.yaml", yaml).expect("good");
        let told = ["vars.A", "timeout", "scaling.concurrency"].map(|key| from(&manifest, key));
        assert_eq!(told, ["platform.yaml:3", "platform.yaml:5", "platform.yaml:6"]);
        let script = "export default {\n  name: 'a',\n  handler: 'index.handler',\n  runtime: 'node',\n};";
        let manifest = Manifest::from_function_config("function.config.ts", script).expect("good");
        assert_eq!(from(&manifest, "entrypoint"), "function.config.ts:3");
    }

    #[test]
    fn what_several_functions_share_says_so() {
        let dir = tempfile::tempdir().expect("temp dir");
        let text = "timeout = '5s'\nmemory = '256MB'\n[vars]\nA = '1'\nB = '2'\n\
                    [functions.web]\ntimeout = '9s'\npath = 'web'\n[functions.web.vars]\nB = '3'\n[functions.api]\n";
        std::fs::write(dir.path().join("faas.toml"), text).expect("write");
        let (_, manifests) = Manifest::load_all(dir.path()).expect("good");
        let [api, web] = &manifests[..] else { panic!("two") };
        let told =
            |manifest| ["name", "timeout", "memory", "vars.A", "vars.B"].map(|key| from(manifest, key).to_owned());
        assert_eq!(
            told(web),
            ["faas.toml:6", "faas.toml:7", "faas.toml:2, shared", "faas.toml:4, shared", "faas.toml:10"]
        );
        assert_eq!(told(api)[1..3], ["faas.toml:1, shared", "faas.toml:2, shared"]);
        assert!(!web.origins.contains_key("path"));
    }

    #[test]
    fn what_a_client_says_is_checked() {
        let mut manifest = Manifest::from_json(serde_json::json!({ "name": "a", "timeout": "5s" })).expect("good");
        assert_eq!((from(&manifest, "timeout"), from(&manifest, "memory")), ("request", "default"));
        let told = |key: &str, text: &str| BTreeMap::from([(key.to_owned(), text.to_owned())]);
        manifest.take_origins(told("timeout", "faas.toml:9")).expect("good");
        assert_eq!((from(&manifest, "timeout"), from(&manifest, "name")), ("faas.toml:9", "default"));
        let refused = |key: &str, text: &str| manifest.clone().take_origins(told(key, text)).expect_err(key).message;
        assert_eq!(refused("tiemout", "x"), "origins.tiemout: the manifest has no such key");
        assert!(refused("timeout", "a\nb").starts_with("origins.timeout: an origin has 1 to 200 bytes"));
        assert!(refused(&"x".repeat(9_000), "x").len() < 200);
    }
}
