//! Every setting of a server, as the schema of [`ServerConfig`](super::ServerConfig) has it: its key, its variable of the
//! environment, what its values are. The environment, the reference and `faas up --dump-config` read this list.

use std::sync::LazyLock;

use schemars::generate::SchemaSettings;
use serde_json::Value;

use super::ServerConfig;

/// The sections whose settings have no prefix in the environment: `engine.drain` is `FAAS_DRAIN`.
const BARE_SECTIONS: [&str; 4] = ["http", "store", "sandbox", "engine"];

/// The settings that options of `faas up` set, with the option.
pub const OPTIONS: [(&str, &str); 12] = [
    ("http.listen", "--listen ADDRESS:PORT"),
    ("http.public_url", "--public-url URL"),
    ("store.data", "--data DIR"),
    ("sandbox.unsafe_no_isolation", "--unsafe-no-isolation"),
    ("sandbox.interpreters", "--interpreter PATH"),
    ("engine.drain", "--drain TIME"),
    ("engine.idle", "--idle TIME"),
    ("engine.instances_max", "--instances-max N"),
    ("engine.memory_max", "--memory-max SIZE"),
    ("engine.parked", "--parked N"),
    ("log.format", "--log-format FORMAT"),
    ("log.filter", "--log FILTER"),
];

/// One setting.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setting {
    /// Section and name, such as `engine.drain`.
    pub key: String,
    /// The variable that sets it; absent for what only a file can say.
    pub env: Option<String>,
    /// What its values are.
    pub kind: SettingKind,
    /// What it decides, in a sentence or two.
    pub doc: String,
}

/// What the values of a setting are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SettingKind {
    /// On or off.
    Switch,
    /// A whole number.
    Number,
    /// A text of this form, such as `duration`.
    Text(String),
    /// Several of this form. The character stands between them in the environment.
    List(String, char),
    /// Tables and what else only a file can say.
    Table,
}

static SETTINGS: LazyLock<Vec<Setting>> = LazyLock::new(|| {
    let settings = SchemaSettings::draft2020_12().with(|settings| settings.inline_subschemas = true);
    let schema = settings.into_generator().into_root_schema_for::<ServerConfig>();
    let sections = properties(schema.as_value());
    let of_section = |(section, schema): (String, Value)| {
        let named = properties(&schema).into_iter().flat_map(|(name, schema)| leaves(name, schema));
        named.map(move |(name, schema)| Setting::new(&section, &name, &schema))
    };
    sections.into_iter().flat_map(of_section).collect()
});

/// Every setting, in the order of the sections.
#[must_use]
pub fn settings() -> &'static [Setting] {
    &SETTINGS
}

// === impl Setting ===

impl Setting {
    fn new(section: &str, name: &str, schema: &Value) -> Self {
        let key = format!("{section}.{name}");
        let doc = schema["description"].as_str().unwrap_or_default().split_whitespace().collect::<Vec<_>>().join(" ");
        let kind = SettingKind::new(schema);
        let is_for_files = schema["x-file-only"] == true || kind == SettingKind::Table;
        Self { env: (!is_for_files).then(|| variable(section, name)), key, kind, doc }
    }
}

/// The variable of a setting.
fn variable(section: &str, name: &str) -> String {
    match (section, name) {
        ("log", "filter") => "FAAS_LOG".to_owned(),
        (section, name) if BARE_SECTIONS.contains(&section) => format!("FAAS_{name}").to_uppercase(),
        (section, name) => format!("FAAS_{section}_{name}").to_uppercase().replace('.', "_"),
    }
}

// === impl SettingKind ===

impl SettingKind {
    fn new(schema: &Value) -> Self {
        let (kind, form) = (type_of(schema), schema["format"].as_str().unwrap_or("text"));
        match kind {
            "boolean" => Self::Switch,
            "integer" => Self::Number,
            "array" => {
                let form = schema["items"]["format"].as_str().unwrap_or("text");
                Self::List(form.to_owned(), if form == "path" { ':' } else { ',' })
            }
            "object" => Self::Table,
            // The other form of an optional value is null.
            _ => match schema["anyOf"].as_array().and_then(|forms| forms.iter().find(|form| type_of(form) != "null")) {
                Some(form) => Self::new(form),
                None => Self::Text(form.to_owned()),
            },
        }
    }
}

fn type_of(schema: &Value) -> &str {
    match &schema["type"] {
        Value::Array(types) => types.iter().filter_map(Value::as_str).find(|kind| *kind != "null").unwrap_or_default(),
        kind => kind.as_str().unwrap_or_default(),
    }
}

fn properties(schema: &Value) -> Vec<(String, Value)> {
    let properties = schema["properties"].as_object().into_iter().flatten();
    properties.map(|(name, schema)| (name.clone(), schema.clone())).collect()
}

/// A table whose keys are known has a setting for each of them.
fn leaves(name: String, schema: Value) -> Vec<(String, Value)> {
    let keys = properties(&schema);
    if keys.is_empty() {
        return vec![(name, schema)];
    }
    keys.into_iter().map(|(key, schema)| (format!("{name}.{key}"), schema)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn setting(key: &str) -> &'static Setting {
        settings().iter().find(|setting| setting.key == key).unwrap_or_else(|| panic!("no {key}"))
    }

    #[test]
    fn a_setting_is_known_by_key_variable_and_kind() {
        let drain = setting("engine.drain");
        assert_eq!((drain.env.as_deref(), &drain.kind), (Some("FAAS_DRAIN"), &SettingKind::Text("duration".into())));
        assert!(drain.doc.contains("stopping server"), "{}", drain.doc);
        assert_eq!(setting("log.filter").env.as_deref(), Some("FAAS_LOG"));
        assert_eq!(setting("cache.memory").env.as_deref(), Some("FAAS_CACHE_MEMORY"));
        assert_eq!(setting("engine.memory_max").kind, SettingKind::Text("size".into()));
        assert_eq!(setting("http.public_url").kind, SettingKind::Text("text".into()));
        assert_eq!(setting("metrics.open").kind, SettingKind::Switch);
        assert_eq!(setting("egress.connections").kind, SettingKind::Number);
        assert_eq!(setting("egress.proxy").kind, SettingKind::Text("URL".into()));
        assert_eq!(setting("sandbox.interpreters").kind, SettingKind::List("path".into(), ':'));
        assert_eq!(setting("egress.private").kind, SettingKind::List("egress rule".into(), ','));
        assert_eq!(setting("egress.networks").env, None);
        assert_eq!(setting("build.indexes.npm").env.as_deref(), Some("FAAS_BUILD_INDEXES_NPM"));
        assert_eq!(setting("build.extra_indexes.pypi").kind, SettingKind::List("URL".into(), ','));
        assert!(!settings().iter().any(|setting| setting.key == "build.installers.npm"), "there is no choice");
        assert_eq!(setting("preflight.blocked_text").env, None, "a regular expression may hold a comma");
    }

    #[test]
    fn no_two_settings_share_a_variable_and_each_says_what_it_decides() {
        let mut names: Vec<_> = settings().iter().filter_map(|setting| setting.env.as_deref()).collect();
        let all = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), all);
        assert!(all > 60, "{all}");
        assert!(settings().iter().all(|setting| !setting.doc.is_empty()), "{:?}", settings());
        assert!(OPTIONS.iter().all(|(key, _)| settings().iter().any(|setting| setting.key == *key)), "{OPTIONS:?}");
    }
}
