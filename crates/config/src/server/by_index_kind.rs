//! Settings that there are for each kind of package index, as the languages of this release declare them.

use std::collections::BTreeMap;

use faas_languages::{Language, PackageIndex};
use schemars::{Schema, SchemaGenerator, json_schema};
use serde_json::{Map, Value, json};

/// The installer that is chosen where the operator names none.
pub(super) const AUTO: &str = "auto";

/// Each kind once, with the languages that install from it.
pub(super) fn kinds() -> BTreeMap<&'static str, (&'static PackageIndex, Vec<&'static str>)> {
    let mut kinds = BTreeMap::new();
    for language in Language::all() {
        let Some(index) = &language.index else { continue };
        kinds.entry(index.kind.as_str()).or_insert_with(|| (index, Vec::new())).1.push(language.title.as_str());
    }
    kinds
}

/// The installers of each kind that has a choice.
pub(super) fn default_installers() -> BTreeMap<String, String> {
    let with_choice = kinds().into_iter().filter(|(_, (index, _))| index.installers.len() > 1);
    with_choice.map(|(kind, _)| (kind.to_owned(), AUTO.to_owned())).collect()
}

/// The first key of a table that no kind takes, with those that there are.
pub(super) fn stranger<T>(table: &BTreeMap<String, T>, takes: impl Fn(&PackageIndex) -> bool) -> Option<String> {
    let known: Vec<&str> = kinds().into_iter().filter(|(_, (index, _))| takes(index)).map(|(kind, _)| kind).collect();
    let stranger = table.keys().find(|key| !known.contains(&key.as_str()))?;
    Some(format!("has no key `{stranger}`; it takes {}", known.join(" and ")))
}

/// The schema of `build.installers`.
pub(super) fn installers(_: &mut SchemaGenerator) -> Schema {
    table(|index, languages| {
        let names = index.installers.join(", ");
        let doc =
            format!("What installs packages for {languages}: {names}, or {AUTO} for the first of them that is found.");
        (index.installers.len() > 1).then(|| json!({ "type": "string", "format": "text", "description": doc }))
    })
}

/// The schema of `build.indexes`.
pub(super) fn indexes(_: &mut SchemaGenerator) -> Schema {
    table(|index, languages| {
        let place = index.hosts.first().map_or("the public one", String::as_str);
        let doc = format!(
            "The index of packages for {languages}, in place of {place}. Credentials in it are never shown, but packages that \
             run code while they are installed can read them."
        );
        Some(json!({ "type": "string", "format": "URL", "description": doc }))
    })
}

/// The schema of `build.extra_indexes`.
pub(super) fn extra_indexes(_: &mut SchemaGenerator) -> Schema {
    urls(|index| index.extra, "Further indexes of packages for")
}

/// The schema of `build.find_links`.
pub(super) fn find_links(_: &mut SchemaGenerator) -> Schema {
    urls(|index| index.find_links, "Pages with links to packages for")
}

fn urls(takes: fn(&PackageIndex) -> bool, what: &str) -> Schema {
    table(|index, languages| {
        let url = json!({ "type": "string", "format": "URL" });
        takes(index).then(|| json!({ "type": "array", "items": url, "description": format!("{what} {languages}.") }))
    })
}

fn table(of: impl Fn(&PackageIndex, &str) -> Option<Value>) -> Schema {
    let property = |(kind, (index, languages)): (&str, (&PackageIndex, Vec<&str>))| {
        Some((kind.to_owned(), of(index, &languages.join(" and "))?))
    };
    let properties: Map<String, Value> = kinds().into_iter().filter_map(property).collect();
    json_schema!({ "type": "object", "properties": properties, "additionalProperties": false })
}

#[cfg(test)]
mod tests {
    use crate::{Flags, ServerConfig};

    fn load(variable: &str, value: &str) -> Result<ServerConfig, String> {
        let env = |name: &str| (name == variable).then(|| value.to_owned());
        ServerConfig::load(false, None, env, Flags::default()).map_err(|error| error.to_string())
    }

    fn load_file(text: &str) -> Result<ServerConfig, String> {
        let dir = tempfile::tempdir().expect("a directory");
        let file = dir.path().join("server.toml");
        std::fs::write(&file, text).expect("written");
        ServerConfig::load(false, Some(&file), |_| None, Flags::default()).map_err(|error| error.to_string())
    }

    #[test]
    fn each_kind_of_index_has_its_keys_and_variables() {
        let config = load("FAAS_BUILD_INDEXES_NPM", "https://npm.internal/").expect("a kind");
        assert_eq!(config.build.indexes["npm"].to_string(), "https://npm.internal/");
        let config = load("FAAS_BUILD_EXTRA_INDEXES_PYPI", "https://a.internal/, https://b.internal/").expect("a kind");
        assert_eq!(config.build.extra_indexes["pypi"].len(), 2);
        assert_eq!(config.build.installer("pypi"), None, "the first that is found");
        let config = load_file("[build]\nindexes.pypi = \"https://p.internal/\"\n[build.installers]\npypi = \"pip\"\n");
        let build = config.expect("kinds").build;
        assert_eq!((build.installer("pypi"), build.named_indexes().count()), (Some("pip"), 1));
    }

    #[test]
    fn a_kind_of_index_that_no_language_has_is_refused() {
        let told = |text: &str| load_file(&format!("[build]\n{text}\n")).expect_err(text);
        let cargo = told("indexes.cargo = \"https://c.internal/\"");
        assert_eq!(cargo, "build.indexes has no key `cargo`; it takes npm and pypi");
        assert_eq!(told("find_links.npm = []"), "build.find_links has no key `npm`; it takes pypi");
        let conda = load("FAAS_BUILD_INSTALLERS_PYPI", "conda").expect_err("no installer of that kind");
        assert_eq!(conda, "build.installers has no installer `conda` for pypi; use auto, uv or pip");
    }
}
