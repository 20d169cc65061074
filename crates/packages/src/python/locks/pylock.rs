//! `pylock.toml` ([the specification](https://packaging.python.org/en/latest/specifications/pylock-toml/)): a flat list in
//! which each package says when it is wanted.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::condition::Condition;
use super::marker::{Environment, Wanted};
use super::package::{Archive, LOCAL, Origin, Package, REPOSITORY};
use super::{Refusal, check_count, check_python, decide, from_toml};

/// What the versions of the format that are read begin with.
const VERSION: &str = "1.";

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct File {
    lock_version: String,
    requires_python: Option<String>,
    #[serde(default)]
    environments: Vec<String>,
    #[serde(default)]
    default_groups: Vec<String>,
    #[serde(default)]
    packages: Vec<Locked>,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Locked {
    name: String,
    version: Option<String>,
    marker: Option<String>,
    index: Option<String>,
    vcs: Option<toml::Table>,
    directory: Option<Directory>,
    archive: Option<Distribution>,
    sdist: Option<Distribution>,
    #[serde(default)]
    wheels: Vec<Distribution>,
}

#[derive(Deserialize)]
struct Directory {
    path: String,
}

#[derive(Deserialize)]
struct Distribution {
    name: Option<String>,
    url: Option<String>,
    path: Option<String>,
    #[serde(default)]
    hashes: BTreeMap<String, String>,
}

pub(super) fn read(text: &str, environment: &Environment) -> Result<Vec<(Package, Condition)>, Refusal> {
    let file: File = from_toml(text)?;
    if !file.lock_version.starts_with(VERSION) {
        return Err(Refusal::whole("is of a version that this release does not read"));
    }
    check_count(file.packages.len())?;
    check_python(file.requires_python.as_deref(), environment)?;
    let wanted = Wanted { extra: None, groups: &file.default_groups };
    let mut is_for_here = file.environments.is_empty();
    for marker in &file.environments {
        is_for_here |= !decide(Some(marker), environment, wanted)?.is_never();
    }
    if !is_for_here {
        return Err(Refusal::stale("is for other environments than the function's"));
    }
    let mut chosen = Vec::new();
    for locked in &file.packages {
        let when = decide(locked.marker.as_deref(), environment, wanted)?;
        if !when.is_never() {
            chosen.push((locked.package(environment)?, when));
        }
    }
    Ok(chosen)
}

// === impl Locked ===

impl Locked {
    fn package(&self, environment: &Environment) -> Result<Package, Refusal> {
        let mut archives = Vec::new();
        let files: Vec<&Distribution> = self.archive.iter().chain(&self.sdist).chain(&self.wheels).collect();
        let hashes: Vec<(Option<&str>, String)> = files
            .iter()
            .flat_map(|file| {
                file.hashes.iter().map(|(algorithm, hash)| (file.file_name(), format!("{algorithm}:{hash}")))
            })
            .collect();
        archives.extend(hashes.iter().map(|(name, hash)| Archive { name: *name, hash }));
        Package::new(&self.name, self.version.as_deref(), self.origin())?.with_archives(&archives, environment)
    }

    fn origin(&self) -> Origin {
        match self {
            Self { directory: Some(directory), .. } if directory.path == "." => Origin::Project,
            Self { vcs: Some(_), .. } => REPOSITORY,
            Self { directory: Some(_), .. } => LOCAL,
            Self { archive: Some(archive), .. } => archive.url.clone().map_or(LOCAL, Origin::Address),
            Self { index, .. } => Origin::Index(index.clone()),
        }
    }
}

// === impl Distribution ===

impl Distribution {
    fn file_name(&self) -> Option<&str> {
        let place = self.url.as_deref().or(self.path.as_deref());
        self.name.as_deref().or_else(|| place.and_then(|place| place.rsplit('/').next()))
    }
}
