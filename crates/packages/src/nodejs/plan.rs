//! Where every package goes, and the two files that make npm put it there. Pure.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};

use super::graph::{Package, Wrong};

/// Between the path of a package and the name of one inside of it.
const INSIDE: &str = "/node_modules/";
/// Stands for any version: the lock has decided already.
const ANY: &str = "*";

/// Packages by their paths below `node_modules`, such as `a/node_modules/@b/c`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Plan {
    /// The names that the project imports, and whether it works without them.
    pub(super) root: Vec<(String, bool)>,
    pub(super) places: BTreeMap<String, Place>,
}

/// A package in its directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) package: Package,
    /// The names that it imports, and whether it works without them.
    pub(super) needs: Vec<(String, bool)>,
    /// Whether everything works without it.
    pub(super) is_optional: bool,
}

// === impl Plan ===

impl Plan {
    /// The path that a name leads to from a package's path, or from the project's, which is empty.
    pub(super) fn resolve(&self, from: &str, name: &str) -> Option<String> {
        let mut at = from;
        loop {
            let path = below(at, name);
            if self.places.contains_key(&path) {
                return Some(path);
            }
            at = match at.rsplit_once(INSIDE) {
                Some((above, _)) => above,
                None if at.is_empty() => return None,
                None => "",
            };
        }
    }

    /// Leaves out packages that the project does not reach, and marks the optional ones.
    pub(super) fn settled(mut self) -> Result<Self, Wrong> {
        let needed = self.reached(false)?;
        let all = self.reached(true)?;
        self.places.retain(|path, _| all.contains(path));
        for (path, place) in &mut self.places {
            place.is_optional = !needed.contains(path);
        }
        Ok(self)
    }

    fn reached(&self, with_optional: bool) -> Result<BTreeSet<String>, Wrong> {
        let mut reached = BTreeSet::new();
        let mut todo: Vec<(String, &[(String, bool)])> = vec![(String::new(), &self.root)];
        while let Some((from, needs)) = todo.pop() {
            for (name, _) in needs.iter().filter(|(_, is_optional)| with_optional || !is_optional) {
                let Some(path) = self.resolve(&from, name) else {
                    return Err(Wrong::at(
                        below(&from, name),
                        "is needed and not in the lock; create the lock file again",
                    ));
                };
                if reached.insert(path.clone()) {
                    let needs = &self.places[&path].needs;
                    todo.push((path, needs));
                }
            }
        }
        Ok(reached)
    }

    /// The project for npm: it names no versions, since the lock does.
    pub(super) fn package_json(&self) -> Value {
        let mut project = Map::from_iter([("name".into(), json!("function")), ("version".into(), json!("0.0.0"))]);
        project.extend(groups(&self.root));
        Value::Object(project)
    }

    /// The lock in npm's own format, version 3.
    pub(super) fn package_lock(&self) -> Value {
        let mut packages = Map::from_iter([(String::new(), self.package_json())]);
        packages.extend(self.places.iter().map(|(path, place)| (format!("node_modules/{path}"), place.entry(path))));
        json!({ "name": "function", "version": "0.0.0", "lockfileVersion": 3, "requires": true, "packages": packages })
    }

    /// Packages for which the lock does not say whether they suit this platform.
    pub(super) fn unknown(&self) -> Vec<String> {
        let unknown = self.places.iter().filter(|(_, place)| place.is_optional && place.package.platform.is_unknown);
        unknown.map(|(path, _)| format!("node_modules/{path}")).collect()
    }
}

// === impl Place ===

impl Place {
    fn entry(&self, path: &str) -> Value {
        let Package { name, version, resolved, integrity, platform } = &self.package;
        let mut entry = Map::new();
        if path != name && !path.ends_with(&format!("{INSIDE}{name}")) {
            entry.insert("name".into(), json!(name));
        }
        entry.insert("version".into(), json!(version));
        entry.insert("resolved".into(), json!(resolved));
        entry.extend(integrity.iter().map(|integrity| ("integrity".into(), json!(integrity))));
        if self.is_optional {
            entry.insert("optional".into(), json!(true));
        }
        let conditions = [("os", &platform.os), ("cpu", &platform.cpu), ("libc", &platform.libc)];
        let conditions = conditions.into_iter().filter(|(_, words)| !words.is_empty());
        entry.extend(conditions.map(|(key, words)| (key.into(), json!(words))));
        entry.extend(groups(&self.needs));
        Value::Object(entry)
    }
}

/// Names as the two groups that `package.json` has for them.
fn groups(needs: &[(String, bool)]) -> Map<String, Value> {
    let group = |key: &str, optional: bool| {
        let names: BTreeMap<&String, &str> =
            needs.iter().filter(|(_, is)| *is == optional).map(|(name, _)| (name, ANY)).collect();
        (!names.is_empty()).then(|| (key.to_owned(), json!(names)))
    };
    [group("dependencies", false), group("optionalDependencies", true)].into_iter().flatten().collect()
}

/// The path of a package inside of another, or of the project, whose path is empty.
pub(super) fn below(path: &str, name: &str) -> String {
    if path.is_empty() { name.to_owned() } else { format!("{path}{INSIDE}{name}") }
}
