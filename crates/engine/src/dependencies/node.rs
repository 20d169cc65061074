//! What a Node bundle asks for: `package.json` with its `package-lock.json`.

use std::collections::BTreeMap;

use faas_types::Fault;
use serde_json::{Map, Value};

use super::{Asked, Request, Sources, refused, shown};

const PACKAGE: &str = "package.json";
const LOCK: &str = "package-lock.json";
/// Lock files that nothing here can read, with what makes the one that can be read.
const OTHERS: [&str; 5] = ["pnpm-lock.yaml", "yarn.lock", "bun.lock", "bun.lockb", "npm-shrinkwrap.json"];
/// The keys of `package.json` that an installation hangs on.
const KEYS: [&str; 10] = [
    "name",
    "version",
    "dependencies",
    "devDependencies",
    "optionalDependencies",
    "peerDependencies",
    "peerDependenciesMeta",
    "bundleDependencies",
    "overrides",
    "engines",
];

pub(super) async fn asked(sources: &Sources<'_>) -> Result<Asked, Fault> {
    let Some(text) = sources.text(PACKAGE).await? else { return Ok(Asked::Nothing) };
    let package = table(PACKAGE, &text)?;
    let wants = |key| package.get(key).and_then(Value::as_object).is_some_and(|packages| !packages.is_empty());
    if !wants("dependencies") && !wants("optionalDependencies") {
        return Ok(Asked::Nothing);
    }
    let Some(lock) = sources.text(LOCK).await? else {
        let other = OTHERS.into_iter().find(|name| sources.has(name));
        let what =
            other.map_or_else(|| format!("there is no {LOCK}"), |name| format!("{name} is not read by this release"));
        return Ok(Asked::Unreadable(format!(
            "{what}, so the packages of {PACKAGE} are not installed; make a {LOCK} with: npm install --package-lock-only"
        )));
    };
    if package.contains_key("workspaces") {
        return Err(refused(PACKAGE, "has workspaces, which a bundle cannot have"));
    }
    let lock = table(LOCK, &lock)?;
    check(&lock).map_err(|(place, why)| refused(&format!("{LOCK}: `{}`", shown(&place)), why))?;
    let kept: Map<String, Value> = package.into_iter().filter(|(key, _)| KEYS.contains(&key.as_str())).collect();
    let files =
        [(PACKAGE, kept), (LOCK, lock)].map(|(name, table)| (name.to_owned(), Value::Object(table).to_string()));
    Ok(Asked::Packages(Request { source: LOCK.to_owned(), root: LOCK.to_owned(), files: BTreeMap::from(files) }))
}

fn table(name: &str, text: &str) -> Result<Map<String, Value>, Fault> {
    match serde_json::from_str(text) {
        Ok(Value::Object(table)) => Ok(table),
        Ok(_) => Err(refused(name, "is not a JSON object")),
        Err(error) => Err(refused(name, &format!("is not JSON: {error}"))),
    }
}

/// Whether every package comes from a registry or another address of the web.
fn check(lock: &Map<String, Value>) -> Result<(), (String, &'static str)> {
    let Some(packages) = lock.get("packages").and_then(Value::as_object) else {
        return Err(("packages".to_owned(), "is missing; make the file anew with npm 7 or later"));
    };
    for (place, package) in packages.iter().filter(|(place, _)| !place.is_empty()) {
        let resolved = package.get("resolved").and_then(Value::as_str);
        let is_web = |url: &str| url.starts_with("https://") || url.starts_with("http://");
        let is_link = package.get("link").and_then(Value::as_bool).unwrap_or_default();
        let why = match resolved {
            _ if is_link || !place.starts_with("node_modules/") => {
                "is a local package; put the code itself into the bundle"
            }
            Some(url) if !is_web(url) => "is of no registry; name a released version instead",
            Some(url) if url.split('/').nth(2).is_some_and(|host| host.contains('@')) => {
                "holds credentials; the server's operator sets those in [build]"
            }
            _ => continue,
        };
        return Err((place.clone(), why));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_the_web_has_is_taken() {
        let lock = |place: &str, package: Value| {
            let lock = serde_json::json!({ "packages": { "": {}, place: package } });
            check(lock.as_object().expect("a table")).map_err(|(_, why)| why)
        };
        let registry = serde_json::json!({ "resolved": "https://registry.npmjs.org/a/-/a-1.0.0.tgz" });
        assert_eq!(lock("node_modules/a", registry), Ok(()));
        assert_eq!(lock("node_modules/a/node_modules/b", serde_json::json!({ "inBundle": true })), Ok(()));
        for (place, package, why) in [
            ("packages/a", serde_json::json!({}), "local package"),
            ("node_modules/a", serde_json::json!({ "link": true, "resolved": "packages/a" }), "local package"),
            ("node_modules/a", serde_json::json!({ "resolved": "file:../a.tgz" }), "no registry"),
            ("node_modules/a", serde_json::json!({ "resolved": "git+ssh://git@example.com/a.git#1" }), "no registry"),
            ("node_modules/a", serde_json::json!({ "resolved": "https://u:p@example.com/a.tgz" }), "credentials"),
        ] {
            assert!(lock(place, package).expect_err(why).contains(why));
        }
        assert!(check(&Map::new()).is_err());
    }
}
