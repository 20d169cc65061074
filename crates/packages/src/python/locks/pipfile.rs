//! `Pipfile.lock`: a flat list of packages for one release of Python ([format](https://github.com/pypa/pipfile)).

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

use super::condition::Condition;
use super::marker::{Environment, Wanted};
use super::package::{Archive, LOCAL, Origin, Package, REPOSITORY};
use super::{Refusal, check_count, decide, fresh, shown};

#[derive(Deserialize)]
struct File {
    #[serde(rename = "_meta")]
    meta: Meta,
    #[serde(default)]
    default: BTreeMap<String, Locked>,
}

#[derive(Deserialize)]
struct Meta {
    #[serde(default)]
    hash: BTreeMap<String, String>,
    #[serde(default)]
    requires: BTreeMap<String, Value>,
    #[serde(default)]
    sources: Vec<Index>,
}

#[derive(Deserialize)]
struct Index {
    name: String,
    url: String,
}

#[derive(Deserialize)]
struct Locked {
    version: Option<String>,
    #[serde(default)]
    hashes: Vec<String>,
    markers: Option<String>,
    index: Option<String>,
    git: Option<String>,
    hg: Option<String>,
    svn: Option<String>,
    path: Option<String>,
    file: Option<String>,
    #[serde(default)]
    editable: bool,
}

pub(super) fn read(
    text: &str,
    project: Option<&str>,
    environment: &Environment,
) -> Result<Vec<(Package, Condition)>, Refusal> {
    let file: File = serde_json::from_str(text)
        .map_err(|error| Refusal::whole(&format!("cannot be read: {}", shown(&error.to_string()))))?;
    check_count(file.default.len())?;
    if let (Some(project), Some(hash)) = (project, file.meta.hash.get("sha256")) {
        fresh::check_pipfile(project, hash)?;
    }
    file.meta.check_python(environment)?;
    let mut chosen = Vec::new();
    for (name, locked) in &file.default {
        let when = decide(locked.markers.as_deref(), environment, Wanted::default())?;
        if !when.is_never() {
            chosen.push((locked.package(name, &file.meta.sources, environment)?, when));
        }
    }
    Ok(chosen)
}

// === impl Meta ===

impl Meta {
    /// Packages are chosen for the release that the lock was made with.
    fn check_python(&self, environment: &Environment) -> Result<(), Refusal> {
        let asked =
            ["python_version", "python_full_version"].into_iter().find_map(|key| self.requires.get(key)?.as_str());
        let (major, minor) = environment.python;
        let own = format!("{major}.{minor}");
        match asked {
            Some(asked) if asked != "*" && asked.split('.').take(2).collect::<Vec<_>>().join(".") != own => {
                let why =
                    format!("is for Python {}, and the function runs on {own}; set another runtime", shown(asked));
                Err(Refusal::stale(&why))
            }
            _ => Ok(()),
        }
    }
}

// === impl Locked ===

impl Locked {
    fn package(&self, name: &str, indexes: &[Index], environment: &Environment) -> Result<Package, Refusal> {
        let archives: Vec<Archive<'_>> = self.hashes.iter().map(|hash| Archive { name: None, hash }).collect();
        let version = self.version.as_deref().map(|version| version.trim_start_matches("=="));
        Package::new(name, version, self.origin(indexes))?.with_archives(&archives, environment)
    }

    fn origin(&self, indexes: &[Index]) -> Origin {
        if self.git.is_some() || self.hg.is_some() || self.svn.is_some() {
            return REPOSITORY;
        }
        match (&self.path, &self.file) {
            (Some(path), _) if self.editable && (path == "." || path == "./") => Origin::Project,
            (Some(_), _) => LOCAL,
            (_, Some(file)) => Origin::Address(file.clone()),
            _ => {
                let named = self.index.as_ref().and_then(|name| indexes.iter().find(|index| index.name == *name));
                // The first source is the usual one, and packages may come from it without naming it.
                Origin::Index(named.or(indexes.first()).map(|index| index.url.clone()))
            }
        }
    }
}
