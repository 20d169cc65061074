//! `pdm.lock`: a flat list in which each package names its groups and says when it is wanted.

use serde::Deserialize;

use super::condition::Condition;
use super::marker::{Environment, Wanted};
use super::package::{Archive, LOCAL, Origin, Package, REPOSITORY};
use super::{Refusal, check_count, check_python, decide, fresh, from_toml};

/// What the versions of the format that are read begin with.
const VERSION: &str = "4.";
/// With it each package says its groups and markers.
const STRATEGY: &str = "inherit_metadata";
/// The group of what the project itself needs.
const GROUP: &str = "default";

#[derive(Deserialize)]
struct File {
    metadata: Metadata,
    #[serde(default)]
    package: Vec<Locked>,
}

#[derive(Deserialize)]
struct Metadata {
    lock_version: String,
    #[serde(default)]
    strategy: Vec<String>,
    content_hash: Option<String>,
    #[serde(default)]
    targets: Vec<Target>,
}

#[derive(Deserialize)]
struct Target {
    requires_python: Option<String>,
}

#[derive(Deserialize)]
struct Locked {
    name: String,
    version: Option<String>,
    marker: Option<String>,
    #[serde(default)]
    groups: Vec<String>,
    git: Option<String>,
    path: Option<String>,
    url: Option<String>,
    #[serde(default)]
    files: Vec<Distribution>,
}

#[derive(Deserialize)]
struct Distribution {
    file: Option<String>,
    url: Option<String>,
    hash: String,
}

pub(super) fn read(
    text: &str,
    project: Option<&str>,
    environment: &Environment,
) -> Result<Vec<(Package, Condition)>, Refusal> {
    let file: File = from_toml(text)?;
    let metadata = &file.metadata;
    if !metadata.lock_version.starts_with(VERSION) {
        return Err(Refusal::stale("is of a version that this release does not read"));
    }
    if !metadata.strategy.iter().any(|strategy| strategy == STRATEGY) {
        return Err(Refusal::stale("does not say which packages are for what (pdm lock --strategy inherit_metadata)"));
    }
    check_count(file.package.len())?;
    if let (Some(project), Some(hash)) = (project, &metadata.content_hash) {
        fresh::check_pdm(project, &metadata.lock_version, hash)?;
    }
    let fits = |target: &Target| check_python(target.requires_python.as_deref(), environment);
    if let Some(Err(refusal)) = metadata.targets.iter().map(fits).reduce(Result::or) {
        return Err(refusal);
    }
    let mut chosen: Vec<(Package, Condition)> = Vec::new();
    for locked in file.package.iter().filter(|locked| locked.groups.iter().any(|group| group == GROUP)) {
        let when = decide(locked.marker.as_deref(), environment, Wanted::default())?;
        if when.is_never() {
            continue;
        }
        let package = locked.package(environment)?;
        // A package stands there once more for each set of extras that is wanted of it.
        match chosen.iter_mut().find(|(other, _)| (&other.name, &other.version) == (&package.name, &package.version)) {
            Some((_, known)) => *known = known.or(&when).map_err(|_| super::too_complex())?,
            None => chosen.push((package, when)),
        }
    }
    Ok(chosen)
}

// === impl Locked ===

impl Locked {
    fn package(&self, environment: &Environment) -> Result<Package, Refusal> {
        let name = |file: &'_ Distribution| {
            file.file.clone().or_else(|| file.url.as_deref()?.rsplit('/').next().map(str::to_owned))
        };
        let names: Vec<Option<String>> = self.files.iter().map(name).collect();
        let archives: Vec<Archive<'_>> = std::iter::zip(&names, &self.files)
            .map(|(name, file)| Archive { name: name.as_deref(), hash: &file.hash })
            .collect();
        Package::new(&self.name, self.version.as_deref(), self.origin())?.with_archives(&archives, environment)
    }

    fn origin(&self) -> Origin {
        match self {
            Self { git: Some(_), .. } => REPOSITORY,
            Self { path: Some(path), .. } if path == "." || path == "./" => Origin::Project,
            Self { path: Some(_), .. } => LOCAL,
            Self { url: Some(url), .. } => Origin::Address(url.clone()),
            _ => Origin::Index(None),
        }
    }
}
