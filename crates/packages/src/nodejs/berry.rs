//! `yarn.lock` of Yarn 2 and later: YAML. Pure.
//!
//! Such a lock says which peers a package expects, not which ones it gets: those are found here as Yarn finds them,
//! among what the package that needs it needs itself. Its checksums are of Yarn's own archives and say nothing of the
//! registry's.

use std::collections::{BTreeMap, HashMap};

use serde::Deserialize;
use serde::de::IgnoredAny;

use super::graph::{Graph, Need, Package, Platform, Wrong, split};
use super::project::{Project, Wanted};
use super::yaml;

/// The command that updates the lock.
const MEND: &str = "yarn install --mode update-lockfile";
/// The entry that is about the lock itself.
const METADATA: &str = "__metadata";
/// Peers of peers.
const PEERS_DEPTH_MAX: usize = 64;

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Entry {
    resolution: String,
    dependencies: BTreeMap<String, String>,
    optional_dependencies: BTreeMap<String, String>,
    dependencies_meta: BTreeMap<String, Meta>,
    peer_dependencies: BTreeMap<String, IgnoredAny>,
    conditions: String,
}

#[derive(Deserialize)]
struct Meta {
    #[serde(default)]
    optional: bool,
}

/// What a package's peers are: entries by their names.
type Peers = Vec<(String, usize)>;

/// A rule of `resolutions`: who asks for what gets which range.
struct Rule<'a> {
    asker: Option<&'a str>,
    name: &'a str,
    asked: Option<&'a str>,
    range: &'a str,
}

/// The packages on the way from the project downwards.
struct Reading<'a> {
    entries: Vec<&'a Entry>,
    /// Entries by what asks for them, such as `a@npm:^1.0.0`.
    asked: HashMap<&'a str, usize>,
    rules: Vec<Rule<'a>>,
    graph: Graph,
    known: HashMap<(usize, Peers), usize>,
    todo: Vec<Scope>,
}

/// A package among its peers, as what it needs sees it.
struct Scope {
    node: usize,
    entry: usize,
    /// The peers, with the nodes that stand for them.
    peers: Vec<(String, usize, usize)>,
}

/// Whether a `yarn.lock` is of this kind.
pub(super) fn is_one(text: &str) -> bool {
    text.lines().any(|line| line.starts_with("__metadata:"))
}

/// Reads a lock.
pub(super) fn graph(text: &str, project: &Project) -> Result<Graph, Wrong> {
    let lock: BTreeMap<String, Entry> = yaml::read(text)?;
    let mut reading = Reading {
        entries: Vec::new(),
        asked: HashMap::new(),
        rules: rules(project)?,
        graph: Graph::default(),
        known: HashMap::new(),
        todo: Vec::new(),
    };
    let mut root = None;
    for (keys, entry) in lock.iter().filter(|(keys, _)| *keys != METADATA) {
        match entry.resolution.split_once("@workspace:") {
            Some((_, ".")) => root = Some(entry),
            Some(_) => return Err(Wrong::local(keys)),
            None => {}
        }
        let index = reading.entries.len();
        reading.entries.push(entry);
        reading.asked.extend(keys.split(", ").map(|key| (key, index)));
    }
    let root = root.ok_or_else(|| Wrong::missing("the project itself", MEND))?;
    reading.read(root, &project.wanted()?)
}

/// `resolutions` of `package.json`.
fn rules(project: &Project) -> Result<Vec<Rule<'_>>, Wrong> {
    let texts = project.texts(&["resolutions"]);
    texts.into_iter().map(|(pattern, range)| rule(pattern, range)).collect()
}

fn rule<'a>(pattern: &'a str, range: &'a str) -> Result<Rule<'a>, Wrong> {
    let bare = pattern.strip_prefix("**/").unwrap_or(pattern);
    // The last slash that is not of a scope.
    let cut = bare.match_indices('/').map(|(at, _)| at).rfind(|at| {
        let part = bare[..*at].rsplit('/').next().unwrap_or_default();
        !part.starts_with('@') || part[1..].contains('@')
    });
    let (asker, last) = cut.map_or((None, bare), |at| (Some(&bare[..at]), &bare[at + 1..]));
    if asker.is_some_and(|asker| asker.contains('*')) {
        return Err(Wrong::at(pattern, "is a resolution of more than one level, which this release does not read"));
    }
    let asker = asker.map(|asker| split(asker).map_or(asker, |(name, _)| name));
    let (name, asked) = split(last).map_or((last, None), |(name, asked)| (name, Some(asked)));
    Ok(Rule { asker, name, asked, range })
}

// === impl Rule ===

impl Rule<'_> {
    fn fits(&self, asker: &str, name: &str, range: &str) -> bool {
        let plain = |range: &str| range.trim_start_matches("npm:").to_owned();
        self.name == name
            && self.asker.is_none_or(|of| of == asker)
            && self.asked.is_none_or(|of| plain(of) == plain(range))
    }
}

// === impl Reading ===

impl<'a> Reading<'a> {
    fn read(mut self, root: &'a Entry, wanted: &[Wanted<'_>]) -> Result<Graph, Wrong> {
        let mut direct = Vec::new();
        for one in wanted {
            let locked = root.dependencies.get(one.name).or_else(|| root.optional_dependencies.get(one.name));
            let plain = |range: &str| range.trim_start_matches("npm:").to_owned();
            if locked.is_none_or(|range| plain(range) != plain(one.range)) {
                return Err(Wrong::missing(&format!("{}@{}", one.name, one.range), MEND));
            }
            direct.push((one.name, self.entry("", one.name, one.range)?, one.is_optional));
        }
        let own: HashMap<&str, usize> = direct.iter().map(|(name, entry, _)| (*name, *entry)).collect();
        for (name, entry, is_optional) in &direct {
            let target = self.node(*entry, &own, &Scope::of_project(), 0)?;
            self.graph.root.push(Need { name: (*name).to_owned(), target, is_optional: *is_optional, is_peer: false });
        }
        while let Some(scope) = self.todo.pop() {
            self.descend(&scope)?;
        }
        Ok(self.graph)
    }

    /// What a package needs, and its peers.
    fn descend(&mut self, scope: &Scope) -> Result<(), Wrong> {
        let entry = self.entries[scope.entry];
        let asker = self.graph.nodes[scope.node].package.name.clone();
        let mut direct: Vec<(&str, usize, bool)> = Vec::new();
        // A peer that is there stands before a dependency of its name.
        let is_peer = |name: &String| scope.peers.iter().any(|(peer, ..)| peer == name);
        for (name, range) in entry.dependencies.iter().filter(|(name, _)| !is_peer(name)) {
            let is_optional = entry.dependencies_meta.get(name).is_some_and(|meta| meta.optional);
            direct.push((name, self.entry(&asker, name, range)?, is_optional));
        }
        for (name, range) in entry.optional_dependencies.iter().filter(|(name, _)| !is_peer(name)) {
            if !entry.dependencies.contains_key(name) {
                direct.push((name, self.entry(&asker, name, range)?, true));
            }
        }
        let own: HashMap<&str, usize> = direct.iter().map(|(name, entry, _)| (*name, *entry)).collect();
        for (name, entry, is_optional) in &direct {
            let target = self.node(*entry, &own, scope, 0)?;
            let need = Need { name: (*name).to_owned(), target, is_optional: *is_optional, is_peer: false };
            self.graph.nodes[scope.node].needs.push(need);
        }
        for (name, _, target) in &scope.peers {
            let need = Need { name: name.clone(), target: *target, is_optional: false, is_peer: true };
            self.graph.nodes[scope.node].needs.push(need);
        }
        Ok(())
    }

    /// An entry among the peers that it finds with the one that needs it. The peers' own peers are looked for there too.
    fn node(&mut self, entry: usize, own: &HashMap<&str, usize>, scope: &Scope, depth: usize) -> Result<usize, Wrong> {
        if depth > PEERS_DEPTH_MAX {
            return Err(Wrong::at(&self.entries[entry].resolution, "has peers that have peers without end"));
        }
        let peers = self.peers(entry, own, scope);
        if let Some(known) = self.known.get(&(entry, peers.clone())) {
            return Ok(*known);
        }
        let node = self.graph.add(self.entries[entry].package()?)?;
        self.known.insert((entry, peers.clone()), node);
        let mut found = Vec::with_capacity(peers.len());
        for (name, peer) in peers {
            let is_own = own.get(name.as_str()) == Some(&peer);
            let above = scope.peers.iter().find(|(above, ..)| !is_own && *above == name);
            let target = match above {
                Some((_, _, target)) => *target,
                None if !is_own && peer == scope.entry => scope.node,
                None => self.node(peer, own, scope, depth + 1)?,
            };
            found.push((name, peer, target));
        }
        self.todo.push(Scope { node, entry, peers: found });
        Ok(node)
    }

    fn peers(&self, entry: usize, own: &HashMap<&str, usize>, scope: &Scope) -> Peers {
        let expected = self.entries[entry].peer_dependencies.keys();
        let found = expected.filter_map(|name| {
            let above = || scope.peers.iter().find(|(above, ..)| above == name).map(|(_, entry, _)| *entry);
            let itself =
                || self.graph.nodes.get(scope.node).filter(|node| node.package.name == *name).map(|_| scope.entry);
            let peer = own.get(name.as_str()).copied().or_else(above).or_else(itself)?;
            Some((name.clone(), peer))
        });
        found.collect()
    }

    fn entry(&self, asker: &str, name: &str, range: &str) -> Result<usize, Wrong> {
        let rule =
            self.rules.iter().filter(|rule| rule.fits(asker, name, range)).max_by_key(|rule| rule.asker.is_some());
        let range = rule.map_or(range, |rule| rule.range);
        if range.starts_with("patch:") && !range.contains("builtin<") {
            return Err(Wrong::patched(&format!("{name}@{range}")));
        }
        let asked = [format!("{name}@{range}"), format!("{name}@npm:{range}")];
        let found = asked.iter().find_map(|asked| self.asked.get(asked.as_str()));
        found.copied().ok_or_else(|| Wrong::missing(&asked[0], MEND))
    }
}

// === impl Scope ===

impl Scope {
    fn of_project() -> Self {
        Self { node: usize::MAX, entry: usize::MAX, peers: Vec::new() }
    }
}

// === impl Entry ===

impl Entry {
    fn package(&self) -> Result<Package, Wrong> {
        let place = &self.resolution;
        let (name, rest) = split(place).ok_or_else(|| Wrong::no_registry(place))?;
        if ["link:", "portal:", "file:"].iter().any(|local| rest.starts_with(local)) {
            return Err(Wrong::local(place));
        }
        if rest.starts_with("patch:") {
            return Err(Wrong::patched(place));
        }
        let rest = rest.strip_prefix("npm:").ok_or_else(|| Wrong::no_registry(place))?;
        let (version, bindings) = rest.split_once("::").unwrap_or((rest, ""));
        let archive = bindings.split('&').find_map(|binding| binding.strip_prefix("__archiveUrl="));
        let archive = archive.map(percent_decoded);
        Ok(Package { platform: platform(&self.conditions), ..Package::new(place, name, version, archive.as_deref())? })
    }
}

/// `os=linux & cpu=x64 & libc=glibc`; several in brackets, as `(os=darwin | os=linux) & cpu=x64`.
fn platform(conditions: &str) -> Platform {
    let words = |key: &str| {
        let parts = conditions.split(['&', '|', '(', ')']).map(str::trim);
        parts
            .filter_map(|part| {
                let (is, not) =
                    (part.strip_prefix(key), part.strip_prefix('!').and_then(|part| part.strip_prefix(key)));
                is.map(str::to_owned).or_else(|| not.map(|word| format!("!{word}")))
            })
            .collect()
    };
    Platform { os: words("os="), cpu: words("cpu="), libc: words("libc="), is_unknown: false }
}

fn percent_decoded(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        let hex = after.get(..2).and_then(|hex| u8::from_str_radix(std::str::from_utf8(hex).ok()?, 16).ok());
        match (first, hex) {
            (b'%', Some(byte)) => {
                bytes.push(byte);
                rest = &after[2..];
            }
            _ => {
                bytes.push(*first);
                rest = after;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn conditions_say_where_a_package_works() {
        let both = platform("(os=darwin | os=linux) & cpu=x64 & libc=glibc");
        assert_eq!(
            (both.os, both.cpu, both.libc),
            (vec!["darwin".into(), "linux".into()], vec!["x64".into()], vec!["glibc".into()])
        );
        assert_eq!(platform("os=!win32 & !cpu=arm").cpu, ["!arm"]);
        assert_eq!(platform("os=!win32").os, ["!win32"]);
    }

    #[test]
    fn resolutions_may_be_of_one_asker() {
        let parts = |pattern| rule(pattern, "1").map(|rule| (rule.asker, rule.name, rule.asked)).ok();
        assert_eq!(parts("qs"), Some((None, "qs", None)));
        assert_eq!(parts("**/@s/qs"), Some((None, "@s/qs", None)));
        assert_eq!(parts("express/qs"), Some((Some("express"), "qs", None)));
        assert_eq!(parts("@s/a@npm:1/@t/b@npm:^2"), Some((Some("@s/a"), "@t/b", Some("npm:^2"))));
        assert_eq!(parts("a/**/b"), None);
    }

    #[test]
    fn addresses_are_decoded() {
        assert_eq!(percent_decoded("https%3A%2F%2Fr%2Fa.tgz%"), "https://r/a.tgz%");
    }
}
