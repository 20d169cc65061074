//! The parts of `package.json` that decide an installation. Pure.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::graph::{Wrong, is_name};

/// Groups of packages that are installed for the function.
const GROUPS: [&str; 2] = ["dependencies", "optionalDependencies"];
/// Names in a list of packages whose install scripts run.
const SCRIPTS_MAX: usize = 256;

/// The project of a bundle.
pub(super) struct Project {
    pub(super) table: Map<String, Value>,
}

/// What a project asks for by one name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Wanted<'a> {
    pub(super) name: &'a str,
    /// What it asks for, such as `^1.2.0` or `npm:other@2`.
    pub(super) range: &'a str,
    pub(super) is_optional: bool,
}

// === impl Project ===

impl Project {
    /// Packages that are installed for the function, each once, by name.
    pub(super) fn wanted(&self) -> Result<Vec<Wanted<'_>>, Wrong> {
        let mut wanted = BTreeMap::new();
        for group in GROUPS {
            for (name, range) in self.table.get(group).and_then(Value::as_object).into_iter().flatten() {
                if !is_name(name) {
                    return Err(Wrong::at(name, "is not a valid name of a package"));
                }
                let Some(range) = range.as_str() else { return Err(Wrong::at(name, "has no version as text")) };
                // Of a name in both groups, the optional one counts.
                wanted.insert(name.as_str(), Wanted { name, range, is_optional: group == GROUPS[1] });
            }
        }
        Ok(wanted.into_values().collect())
    }

    /// The program that keeps the lock, by the field `packageManager`.
    pub(super) fn manager(&self) -> Option<&str> {
        self.table.get("packageManager").and_then(Value::as_str).and_then(|text| text.split('@').next())
    }

    /// Texts at a path of keys, by name.
    pub(super) fn texts<'a>(&'a self, path: &[&str]) -> BTreeMap<&'a str, &'a str> {
        let rows = self.at(path).and_then(Value::as_object);
        rows.into_iter().flatten().filter_map(|(key, value)| Some((key.as_str(), value.as_str()?))).collect()
    }

    /// Packages whose install scripts run, from the fields of pnpm and Bun.
    pub(super) fn trusted(&self) -> impl Iterator<Item = &str> {
        let lists = [&["pnpm", "onlyBuiltDependencies"][..], &["trustedDependencies"]];
        lists
            .into_iter()
            .filter_map(|path| self.at(path)?.as_array())
            .flatten()
            .filter_map(Value::as_str)
            .take(SCRIPTS_MAX)
    }

    fn at(&self, path: &[&str]) -> Option<&Value> {
        let (first, rest) = path.split_first()?;
        rest.iter().try_fold(self.table.get(*first)?, |value, key| value.get(key))
    }
}
