//! Locks from before Poetry 2. They do not name groups, so the project's requirements are followed.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};

use toml::{Table, Value};

use super::super::condition::Condition;
use super::super::constraint::Constraint;
use super::super::graph::{Edge, Node, reach, too_complex};
use super::super::marker::{Environment, Wanted};
use super::super::names::canonical;
use super::super::version::Version;
use super::super::{Refusal, decide, from_toml};
use super::File;

/// How often packages that are wanted twice are told apart.
const ROUNDS_MAX: usize = 64;

/// The lock, and what has been learned on the way.
struct Follower<'a> {
    file: &'a File,
    environment: &'a Environment,
    by_name: BTreeMap<String, Vec<usize>>,
    /// What has been asked of packages that are there in several versions.
    asked: RefCell<BTreeMap<String, Vec<Constraint>>>,
    /// Packages that are passed over for another version.
    passed: BTreeSet<usize>,
}

pub(super) fn follow(
    file: &File,
    project: Option<&str>,
    environment: &Environment,
) -> Result<Vec<(usize, Condition)>, Refusal> {
    let no_project =
        || Refusal::stale("does not say what is for development, and there is no pyproject.toml that does");
    let project: Table = from_toml(project.ok_or_else(no_project)?)?;
    let roots = project.get("tool").and_then(|tool| tool.get("poetry")).and_then(|poetry| poetry.get("dependencies"));
    let roots = roots.and_then(Value::as_table).ok_or_else(no_project)?;
    let mut by_name: BTreeMap<String, Vec<usize>> = BTreeMap::new();
    for (at, package) in file.package.iter().enumerate() {
        by_name.entry(canonical(&package.name)).or_default().push(at);
    }
    let mut follower = Follower { file, environment, by_name, asked: RefCell::default(), passed: BTreeSet::new() };
    for _ in 0..ROUNDS_MAX {
        let wanted = reach(follower.edges(roots, None)?, |node| follower.requirements(node))?;
        let Some(name) = follower.wanted_twice(&wanted) else { return Ok(wanted.into_iter().collect()) };
        follower.settle(&name)?;
    }
    Err(too_complex())
}

// === impl Follower ===

impl Follower<'_> {
    fn requirements(&self, node: &Node) -> Result<Vec<Edge>, Refusal> {
        let edges = self.edges(&self.file.package[node.package].dependencies, node.extra.as_deref())?;
        Ok(edges)
    }

    /// What a table of requirements leads to.
    fn edges(&self, requirements: &Table, extra: Option<&str>) -> Result<Vec<Edge>, Refusal> {
        let mut edges = Vec::new();
        for (name, asked) in requirements.iter().filter(|(name, _)| *name != "python") {
            let several = asked.as_array();
            for asked in several.map_or(std::slice::from_ref(asked), Vec::as_slice) {
                edges.extend(self.edge(name, asked, extra)?);
            }
        }
        Ok(edges)
    }

    fn edge(&self, name: &str, asked: &Value, extra: Option<&str>) -> Result<Vec<Edge>, Refusal> {
        let text = |key: &str| asked.get(key).and_then(Value::as_str);
        let wanted = Wanted { extra, ..Wanted::default() };
        let when = decide(text("markers"), self.environment, wanted)?;
        let python = text("python").and_then(Constraint::parse);
        let is_other_python = python.and_then(|asked| asked.admits_patches_of(self.environment.python)) == Some(false);
        // In a project's own table, what is optional is for extras.
        let is_optional = asked.get("optional").and_then(Value::as_bool).unwrap_or_default() && extra.is_none();
        if when.is_never() || is_other_python || is_optional {
            return Ok(Vec::new());
        }
        let constraint = asked.as_str().or_else(|| text("version")).and_then(Constraint::parse);
        let package = self.find(&canonical(name), constraint)?;
        let extras = asked.get("extras").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str);
        let nodes = std::iter::once(None).chain(extras.map(|extra| Some(canonical(extra))));
        Ok(nodes.map(|extra| Edge { to: Node { package, extra }, when: when.clone() }).collect())
    }

    /// The newest of those that fit, as the installer of Poetry takes it.
    fn find(&self, name: &str, constraint: Option<Constraint>) -> Result<usize, Refusal> {
        let named = self.by_name.get(name).map(Vec::as_slice).unwrap_or_default();
        if let [only] = named {
            return Ok(*only);
        }
        let fits = |at: &&usize| self.is_for_python(**at) && self.admits(constraint.as_ref(), **at);
        let mut found: Vec<usize> = named.iter().filter(fits).copied().collect();
        found.sort_by(|one, two| self.newest_first(*one, *two));
        if let Some(constraint) = constraint {
            self.asked.borrow_mut().entry(name.to_owned()).or_default().push(constraint);
        }
        let rest = found.iter().find(|at| !self.passed.contains(at));
        rest.or(found.first()).copied().ok_or_else(|| Refusal::of(name, "is wanted, but not in it"))
    }

    fn is_for_python(&self, at: usize) -> bool {
        let asked = self.file.package[at].python_versions.as_deref().and_then(Constraint::parse);
        asked.and_then(|asked| asked.admits_patches_of(self.environment.python)) != Some(false)
    }

    fn admits(&self, constraint: Option<&Constraint>, at: usize) -> bool {
        let version = Version::parse(&self.file.package[at].version);
        constraint.zip(version).is_none_or(|(constraint, version)| constraint.admits(&version))
    }

    fn newest_first(&self, one: usize, two: usize) -> std::cmp::Ordering {
        let version = |at: usize| Version::parse(&self.file.package[at].version);
        match (version(two), version(one)) {
            (Some(two), Some(one)) => two.compare_public(&one),
            (two, one) => two.is_some().cmp(&one.is_some()),
        }
    }

    fn wanted_twice(&self, wanted: &BTreeMap<usize, Condition>) -> Option<String> {
        let mut seen = BTreeSet::new();
        wanted.keys().map(|at| canonical(&self.file.package[*at].name)).find(|name| !seen.insert(name.clone()))
    }

    /// Passes over all versions of a name but the newest that everybody who asks for it can take.
    fn settle(&mut self, name: &str) -> Result<(), Refusal> {
        let asked = self.asked.take().remove(name).unwrap_or_default();
        let mut fit: Vec<usize> = self.by_name.get(name).cloned().unwrap_or_default();
        fit.retain(|at| self.is_for_python(*at) && asked.iter().all(|asked| self.admits(Some(asked), *at)));
        fit.sort_by(|one, two| self.newest_first(*one, *two));
        let kept = fit.first().copied();
        let others: Vec<usize> =
            self.by_name.get(name).into_iter().flatten().copied().filter(|at| Some(*at) != kept).collect();
        if kept.is_none() || others.iter().all(|at| self.passed.contains(at)) {
            return Err(Refusal::of(
                name,
                "is wanted in several versions; lock with Poetry 2, which says when each is",
            ));
        }
        self.passed.extend(others);
        Ok(())
    }
}
