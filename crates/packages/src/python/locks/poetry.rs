//! `poetry.lock`. From Poetry 2 on each package says its groups and when it is wanted; before, the requirements of
//! `pyproject.toml` have to be followed.

mod before;

use std::collections::BTreeMap;

use serde::Deserialize;

use super::condition::Condition;
use super::constraint::Constraint;
use super::marker::{Environment, Wanted};
use super::package::{Archive, LOCAL, Origin, Package, REPOSITORY};
use super::{Refusal, check_count, decide, fresh, from_toml};

/// The group of what the project itself needs.
const GROUP: &str = "main";

#[derive(Deserialize)]
struct File {
    metadata: Metadata,
    #[serde(default)]
    package: Vec<Locked>,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Metadata {
    #[serde(default)]
    lock_version: String,
    python_versions: Option<String>,
    content_hash: Option<String>,
    /// Before version 2 of the format the hashes are here.
    #[serde(default)]
    files: BTreeMap<String, Vec<Distribution>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Locked {
    name: String,
    version: String,
    #[serde(default)]
    optional: bool,
    python_versions: Option<String>,
    #[serde(default)]
    groups: Vec<String>,
    markers: Option<Markers>,
    #[serde(default)]
    files: Vec<Distribution>,
    source: Option<Source>,
    #[serde(default)]
    dependencies: toml::Table,
}

/// One for all groups, or one for each that has any.
#[derive(Deserialize)]
#[serde(untagged)]
enum Markers {
    All(String),
    Each(BTreeMap<String, String>),
}

#[derive(Clone, Deserialize)]
struct Distribution {
    file: String,
    hash: String,
}

#[derive(Deserialize)]
struct Source {
    r#type: String,
    url: String,
}

pub(super) fn read(
    text: &str,
    project: Option<&str>,
    environment: &Environment,
) -> Result<Vec<(Package, Condition)>, Refusal> {
    let file: File = from_toml(text)?;
    check_count(file.package.len())?;
    let version: Vec<&str> = file.metadata.lock_version.splitn(2, '.').collect();
    let says_groups = match version.as_slice() {
        ["1", _] | ["2", "0"] => false,
        ["2", _] => true,
        _ => return Err(Refusal::stale("is of a version that this release does not read")),
    };
    if let (Some(project), Some(hash)) = (project, &file.metadata.content_hash) {
        fresh::check_poetry(project, hash)?;
    }
    let python = file.metadata.python_versions.as_deref().unwrap_or("*");
    if Constraint::parse(python).and_then(|asked| asked.admits_patches_of(environment.python)) == Some(false) {
        let (major, minor) = environment.python;
        let why = format!("is for Python {}, and the function runs on {major}.{minor}", super::shown(python));
        return Err(Refusal::stale(&why));
    }
    let wanted = if says_groups { file.grouped(environment)? } else { before::follow(&file, project, environment)? };
    let package = |(at, when): (usize, Condition)| Ok((file.package(&file.package[at], environment)?, when));
    wanted.into_iter().map(package).collect()
}

// === impl File ===

impl File {
    /// What is in the group of the project itself. Optional packages are those of its extras only.
    fn grouped(&self, environment: &Environment) -> Result<Vec<(usize, Condition)>, Refusal> {
        let mut wanted = Vec::new();
        for (at, locked) in self.package.iter().enumerate() {
            if locked.optional || !locked.groups.iter().any(|group| group == GROUP) {
                continue;
            }
            let marker = match &locked.markers {
                Some(Markers::All(marker)) => Some(marker.as_str()),
                Some(Markers::Each(markers)) => markers.get(GROUP).map(String::as_str),
                None => None,
            };
            let when = decide(marker, environment, Wanted::default())?;
            if !when.is_never() {
                wanted.push((at, when));
            }
        }
        Ok(wanted)
    }

    fn package(&self, locked: &Locked, environment: &Environment) -> Result<Package, Refusal> {
        let files = if locked.files.is_empty() { self.metadata.files.get(&locked.name) } else { Some(&locked.files) };
        let archives: Vec<Archive<'_>> =
            files.into_iter().flatten().map(|file| Archive { name: Some(&file.file), hash: &file.hash }).collect();
        Package::new(&locked.name, Some(&locked.version), locked.origin())?.with_archives(&archives, environment)
    }
}

// === impl Locked ===

impl Locked {
    fn origin(&self) -> Origin {
        match &self.source {
            None => Origin::Index(None),
            Some(Source { r#type, url }) => match r#type.as_str() {
                "legacy" => Origin::Index(Some(url.clone())),
                "url" => Origin::Address(url.clone()),
                "git" => REPOSITORY,
                _ => LOCAL,
            },
        }
    }
}
