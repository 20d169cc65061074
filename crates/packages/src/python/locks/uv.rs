//! `uv.lock`: a graph whose root is the project ([format](https://docs.astral.sh/uv/concepts/projects/layout/#the-lockfile)).

use std::collections::{BTreeMap, HashMap};

use serde::Deserialize;

use super::condition::Condition;
use super::graph::{Edge, Node, reach};
use super::marker::{Environment, Wanted};
use super::names::canonical;
use super::package::{Archive, LOCAL, Origin, Package, REPOSITORY};
use super::{Refusal, check_count, check_python, decide, fresh, from_toml};

/// The format that is read.
const VERSION: u32 = 1;

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct File {
    version: u32,
    requires_python: Option<String>,
    #[serde(default)]
    supported_markers: Vec<String>,
    #[serde(default)]
    package: Vec<Locked>,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Locked {
    name: String,
    version: Option<String>,
    source: Source,
    #[serde(default)]
    dependencies: Vec<Dependency>,
    #[serde(default)]
    optional_dependencies: BTreeMap<String, Vec<Dependency>>,
    sdist: Option<Distribution>,
    #[serde(default)]
    wheels: Vec<Distribution>,
    metadata: Option<Metadata>,
}

#[derive(Deserialize, PartialEq, Eq)]
struct Source {
    registry: Option<String>,
    url: Option<String>,
    git: Option<String>,
    editable: Option<String>,
    r#virtual: Option<String>,
    directory: Option<String>,
    path: Option<String>,
}

#[derive(Deserialize)]
struct Dependency {
    name: String,
    version: Option<String>,
    source: Option<Source>,
    #[serde(default)]
    extra: Vec<String>,
    marker: Option<String>,
}

#[derive(Deserialize)]
struct Distribution {
    url: Option<String>,
    path: Option<String>,
    filename: Option<String>,
    hash: Option<String>,
}

/// What was asked when the lock was made.
#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Metadata {
    #[serde(default)]
    requires_dist: Vec<fresh::Required>,
}

/// A lock whose packages are found by their names.
struct Locks<'a> {
    packages: &'a [Locked],
    by_name: HashMap<&'a str, Vec<usize>>,
    environment: &'a Environment,
}

pub(super) fn read(
    text: &str,
    project: Option<&str>,
    environment: &Environment,
) -> Result<Vec<(Package, Condition)>, Refusal> {
    let file: File = from_toml(text)?;
    if file.version != VERSION {
        return Err(Refusal::whole(&format!("is of version {}, and this release reads {VERSION}", file.version)));
    }
    check_count(file.package.len())?;
    check_python(file.requires_python.as_deref(), environment)?;
    check_supported(&file.supported_markers, environment)?;
    let Some(root) = file.package.iter().position(|package| package.source.is_project()) else {
        return Err(Refusal::whole(
            "has no project at its root: lock the function's own directory, outside of a workspace",
        ));
    };
    if let (Some(project), Some(metadata)) = (project, &file.package[root].metadata) {
        fresh::check_uv(project, &metadata.requires_dist)?;
    }
    let mut by_name: HashMap<&str, Vec<usize>> = HashMap::new();
    for (at, package) in file.package.iter().enumerate() {
        by_name.entry(&package.name).or_default().push(at);
    }
    let locks = Locks { packages: &file.package, by_name, environment };
    let wanted = reach(locks.edges(&file.package[root].dependencies)?, |node| locks.requirements(node))?;
    wanted.into_iter().map(|(at, when)| Ok((file.package[at].package(environment)?, when))).collect()
}

fn check_supported(markers: &[String], environment: &Environment) -> Result<(), Refusal> {
    for marker in markers {
        if !decide(Some(marker), environment, Wanted::default())?.is_never() {
            return Ok(());
        }
    }
    if markers.is_empty() { Ok(()) } else { Err(Refusal::stale("is for other environments (tool.uv.environments)")) }
}

// === impl Source ===

impl Source {
    fn is_project(&self) -> bool {
        [&self.editable, &self.r#virtual, &self.directory].into_iter().flatten().any(|place| place == ".")
    }

    fn origin(&self) -> Origin {
        match self {
            _ if self.is_project() => Origin::Project,
            Self { registry: Some(index), .. } => Origin::Index(Some(index.clone())),
            Self { url: Some(url), .. } => Origin::Address(url.clone()),
            Self { git: Some(_), .. } => REPOSITORY,
            _ => LOCAL,
        }
    }
}

// === impl Locked ===

impl Locked {
    fn package(&self, environment: &Environment) -> Result<Package, Refusal> {
        let files = self.sdist.iter().chain(&self.wheels);
        let archives: Vec<Archive<'_>> =
            files.filter_map(|file| Some(Archive { name: file.name(), hash: file.hash.as_deref()? })).collect();
        Package::new(&self.name, self.version.as_deref(), self.source.origin())?.with_archives(&archives, environment)
    }
}

// === impl Distribution ===

impl Distribution {
    fn name(&self) -> Option<&str> {
        match (&self.filename, &self.url, &self.path) {
            (Some(name), ..) => Some(name),
            (_, Some(url), _) => url.rsplit('/').next(),
            (.., path) => path.as_deref().and_then(|path| path.rsplit('/').next()),
        }
    }
}

// === impl Locks ===

impl Locks<'_> {
    fn requirements(&self, node: &Node) -> Result<Vec<Edge>, Refusal> {
        let package = &self.packages[node.package];
        match &node.extra {
            None => self.edges(&package.dependencies),
            Some(extra) => {
                let optional = package.optional_dependencies.iter().find(|(name, _)| canonical(name) == *extra);
                optional.map_or(Ok(Vec::new()), |(_, dependencies)| self.edges(dependencies))
            }
        }
    }

    /// Extras of the project itself, which markers of conflicting ones name, are not wanted.
    fn edges(&self, dependencies: &[Dependency]) -> Result<Vec<Edge>, Refusal> {
        let mut edges = Vec::new();
        for dependency in dependencies {
            let when = decide(dependency.marker.as_deref(), self.environment, Wanted::default())?;
            if when.is_never() {
                continue;
            }
            let package = self.find(dependency)?;
            let extras = dependency.extra.iter().map(|extra| Some(canonical(extra)));
            edges.extend(
                std::iter::once(None)
                    .chain(extras)
                    .map(|extra| Edge { to: Node { package, extra }, when: when.clone() }),
            );
        }
        Ok(edges)
    }

    fn find(&self, dependency: &Dependency) -> Result<usize, Refusal> {
        let fits = |at: &&usize| {
            let package = &self.packages[**at];
            (dependency.version.is_none() || dependency.version == package.version)
                && dependency.source.as_ref().is_none_or(|source| *source == package.source)
        };
        let named = self.by_name.get(dependency.name.as_str());
        let mut found = named.into_iter().flatten().filter(fits);
        match (found.next(), found.next()) {
            (Some(at), None) => Ok(*at),
            (None, _) => Err(Refusal::of(&dependency.name, "is wanted, but not in it")),
            (Some(_), Some(_)) => {
                Err(Refusal::of(&dependency.name, "is wanted, and it is not said which of its versions"))
            }
        }
    }
}
