//! `package-lock.json` and `npm-shrinkwrap.json`, which npm reads itself. Pure.

use serde_json::{Map, Value};

use super::Order;
use super::graph::{Wrong, web};

/// The keys of `package.json` that npm's installation hangs on.
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

/// What npm is given: both files as they are, without what makes no difference.
pub(super) fn order(text: &str, package: Map<String, Value>) -> Result<Order, Wrong> {
    let lock: Map<String, Value> = serde_json::from_str(text)
        .map_err(|error| Wrong::at(format!("line {}", error.line()), format!("is not JSON: {error}")))?;
    check(&lock)?;
    let kept: Map<String, Value> = package.into_iter().filter(|(key, _)| KEYS.contains(&key.as_str())).collect();
    let names = entries(&lock).filter_map(|(place, entry)| {
        let name = entry.get("name").and_then(Value::as_str);
        name.or_else(|| place.rsplit("node_modules/").next()).map(str::to_owned)
    });
    let names = names.collect();
    Ok(Order { package: Value::Object(kept), lock: Value::Object(lock), names, unknown: Vec::new() })
}

fn entries(lock: &Map<String, Value>) -> impl Iterator<Item = (&String, &Value)> {
    let packages = lock.get("packages").and_then(Value::as_object);
    packages.into_iter().flatten().filter(|(place, _)| !place.is_empty())
}

/// Whether every package comes from a registry or another address of the web.
fn check(lock: &Map<String, Value>) -> Result<(), Wrong> {
    if !lock.get("packages").is_some_and(Value::is_object) {
        return Err(Wrong::at("packages", "is missing; create the file again with npm 7 or later"));
    }
    for (place, package) in entries(lock) {
        let is_link = package.get("link").and_then(Value::as_bool).unwrap_or_default();
        if is_link || !place.starts_with("node_modules/") {
            return Err(Wrong::local(place));
        }
        if let Some(url) = package.get("resolved").and_then(Value::as_str) {
            web(place, url)?;
        }
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
            check(lock.as_object().expect("a table")).map_err(|wrong| wrong.why)
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
